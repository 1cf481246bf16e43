"""What a user writes, with types: `tests/test_typed.py` has mypy check it, and runs it."""

import numpy as np

from mixexp import HMERegressor, MoEClassifier, MoERegressor, export_text, select_n_experts
from mixexp.datasets import make_moe
from mixexp.distribution import JointDistribution, MixtureDistribution
from mixexp.inference import Inference, Summary

X, y, _ = make_moe(120, 2, 2, random_state=0)
model: MoERegressor = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
summary: Summary = model.summary()
found: Inference = model.inference(X, y)
table: str = found.coef_table(format="markdown")
dist: MixtureDistribution | JointDistribution = model.predict_dist(X)
quantiles: np.ndarray = model.predict_quantile(X, [0.1, 0.9])
responsibilities: np.ndarray = model.responsibilities(X, y)
bic: float = model.bic(X, y)
tree = HMERegressor((2,), n_init=1, random_state=0).fit(X, y)
text: str = export_text(tree)
labels = np.where(y > 0.0, "high", "low")
probabilities: np.ndarray = MoEClassifier(1, random_state=0).fit(X, labels).predict_proba(X)
chosen = select_n_experts(model, X, y, [1, 2])
best: int = chosen.best_candidate_
assert isinstance(dist, MixtureDistribution)
assert isinstance(bic, float)
