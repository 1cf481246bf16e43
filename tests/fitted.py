"""Estimators that every contract of the surface is held to, and all that they say of rows."""

import numpy as np
from problems import simulate_classes, simulate_regimes

from mixexp import HMEClassifier, HMERegressor, MoEClassifier, MoERegressor

N_ROWS = 300
ESTIMATORS = {
    "moe_regressor": MoERegressor(2, n_init=2, random_state=0),
    "hme_regressor": HMERegressor([[1, 1], 1], n_init=2, random_state=0, max_iter=2000),
    "constant_gate": MoERegressor(2, n_init=2, random_state=0, gate="constant"),
    "moe_classifier": MoEClassifier(2, n_init=2, random_state=0, max_iter=2000),
    "hme_classifier": HMEClassifier((1, 2), n_init=2, random_state=0, max_iter=2000),
}


def data_for(model, rng, n=N_ROWS):
    if hasattr(model, "predict_proba"):
        return simulate_classes(rng, n, 3)
    return simulate_regimes(rng, n, n_regimes=3 if hasattr(model, "tree") else 2)


def outputs(model, X, y):
    """Return everything that a fitted model says of rows, by name."""
    out = {
        "predict": model.predict(X),
        "predict_expert": model.predict_expert(X),
        "predict_expert_posterior": model.predict_expert(X, y),
        "predict_experts": model.predict_experts(X),
        "gate_proba": model.gate_proba(X),
        "responsibilities": model.responsibilities(X, y),
        "log_density": model.log_density(X, y),
    }
    if hasattr(model, "predict_proba"):
        out["predict_proba"] = model.predict_proba(X)
    return out


def assert_same_outputs(found, expected):
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
