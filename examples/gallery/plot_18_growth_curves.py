"""
Do all children grow alike?
===========================

Growth curves: 120 children, measured at three to seven ages each. Every child is of one kind, not
every measurement: a growth mixture, with `groups`. One kind or several, who is of which, and what
does a child's past say of its future?
"""

# %%
# Children of three kinds
# -----------------------
# Simulated: two kinds that start alike and part later on, and one that starts ahead and grows
# slowly. The score at birth says something of the kind.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mixexp import MoERegressor, select_n_experts
from mixexp.displays import TrajectoryDisplay

rng = np.random.default_rng(3)
child = np.repeat(np.arange(120), rng.integers(3, 8, 120))
score = rng.normal(size=120)
logits = np.outer(score, [-1.5, 0.0, 1.5])
kind = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)[child]
age = rng.uniform(0.0, 10.0, len(child))
curve = np.stack([2.0 + 1.0 * age, 2.0 + 2.0 * age, 9.0 + 0.5 * age])
size = pd.Series(
    curve[kind, np.arange(len(child))] + 1.2 * rng.normal(size=len(child)), name="size"
)
X = pd.DataFrame({"age": age, "score": score[child]})

# %%
# How many kinds
# --------------
# BIC of models with one class per child; what it counts is children.
model = MoERegressor(expert_features=["age"], gate_features=["score"], random_state=0)
selected = select_n_experts(model, X, size, [1, 2, 3, 4], groups=child)
for count, bic in zip(selected.candidates, selected.values, strict=True):
    print(f"{count} kind(s): BIC {bic:.1f}")

# %%
# Who is of which kind
# --------------------
# What to see: each thin line is a child, in the colour of its kind. The curves cross, and at any
# one age kinds overlap, so that a single measurement says little. All of a child's measurements
# leave next to no doubt: hardly a line is faint.
best = selected.best_estimator_
figure, ax = plt.subplots(figsize=(8.0, 4.6), layout="constrained")
TrajectoryDisplay.from_estimator(best, X, size, groups=child, ax=ax)
resp = best.responsibilities(X, size, groups=child)
print(f"mean probability of the most probable kind: {resp.max(axis=1).mean():.3f}")

# %%
# What the past says
# ------------------
# Predict measurements after the age of six: by the score at birth alone, and given those before.
is_past = age < 6.0
past = (X[is_past], size[is_past], child[is_past])
later = X[~is_past]
for name, given in (("score at birth", {}), ("past", {"groups": child[~is_past], "history": past})):
    error = size[~is_past] - best.predict(later, **given)
    print(f"error given the {name}: {np.sqrt(np.mean(error**2)):.2f}")
