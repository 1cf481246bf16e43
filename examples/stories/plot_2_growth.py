"""
Which children need a second look?
==================================

A clinic measures 150 children several times between birth and the age of five. Some grow
normally, some start small and catch up, some fall behind. The clinic wants to know how many kinds
there are, when they can be told apart, and what to expect of a child that has been seen twice.
"""

# %%
# The data
# --------
# Visits are irregular. The growth is curved, so that the experts get the age and its square.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mixexp import MoERegressor, select_n_experts
from mixexp.displays import TrajectoryDisplay

rng = np.random.default_rng(5)
n_children = 150
child = np.repeat(np.arange(n_children), rng.integers(4, 8, n_children))
early = rng.normal(size=n_children)  # weeks born early, standardised
logits = np.column_stack([1.0 - early, 0.9 * early, 0.2 + 0.3 * early])
kind = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
age = rng.uniform(0.0, 5.0, len(child))
curves = np.stack(
    [50 + 16 * age - 1.2 * age**2, 44 + 19.5 * age - 1.6 * age**2, 49 + 12 * age - 0.9 * age**2]
)
height = pd.Series(
    curves[kind[child], np.arange(len(child))] + 1.8 * rng.normal(size=len(child)), name="height"
)
X = pd.DataFrame({"age": age, "age squared": age**2, "early": early[child]})

# %%
# How many kinds?
# ---------------
model = MoERegressor(
    expert_features=["age", "age squared"],
    gate_features=["early"],
    alpha=1.0,
    n_init=6,
    random_state=0,
)
chosen = select_n_experts(model, X, height, [1, 2, 3, 4], groups=child)
for count, bic in zip(chosen.candidates, chosen.values, strict=True):
    print(f"{count} kind(s): BIC {bic:.1f}")
best = chosen.best_estimator_
print(best.summary())

# %%
# The curves
# ----------
# What to see: every thin line is a child in the colour of its kind. The kinds overlap at birth and
# differ by ten centimetres at five.
figure, ax = plt.subplots(figsize=(8.0, 4.4), layout="constrained")
TrajectoryDisplay.from_estimator(
    best, X, height, groups=child, feature="age", ax=ax, xlabel="age, years", ylabel="height, cm"
)

# %%
# When can they be told apart?
# ----------------------------
# The model stays as it is; children are judged by their visits up to some age. The curve is the
# share of children whose most probable kind is then already that of all their visits.
final = best.responsibilities(X, height, groups=child)
ages, agreed = np.arange(0.5, 5.01, 0.5), []
for until in ages:
    seen = age <= until
    so_far = best.responsibilities(X[seen], height[seen], groups=child[seen])
    agreed.append(np.mean(so_far.argmax(axis=1) == final[seen].argmax(axis=1)))
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.plot(ages, agreed, marker="o")
ax.set(xlabel="age at the last visit, years", ylabel="same kind as in the end", ylim=(0.0, 1.02))

# %%
# The answer
# ----------
# What is expected of the visits after three years: by the weeks at birth alone, and given the
# visits before. A child is worth a second look if the slow kind is probable after its visits
# up to that age.
is_past = age < 3.0
later, past = X[~is_past], (X[is_past], height[is_past], child[is_past])
for name, given in (("birth", {}), ("visits", {"groups": child[~is_past], "history": past})):
    error = height[~is_past] - best.predict(later, **given)
    print(f"error in cm, given the {name}: {np.sqrt(np.mean(error**2)):.2f}")
slow = int(best.predict_experts(X.assign(age=5.0, **{"age squared": 25.0}))[0].argmin())
before = best.responsibilities(X[is_past], height[is_past], groups=child[is_past])[:, slow]
flagged = np.unique(child[is_past][before > 0.5])
print(f"{len(flagged)} children for a second look; {np.mean(kind[flagged] == 2):.0%} grow slowly")
