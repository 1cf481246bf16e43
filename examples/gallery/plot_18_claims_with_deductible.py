"""
What did the losses cost that were never claimed?
=================================================

Claims are observed only above a deductible, and paid up to a policy limit. Two kinds of losses are
simulated, so that the truth is known: a mixture with and without this information.
"""

# %%
# Claims
# ------
# Every policy has a deductible and a limit of its own. A loss below the deductible is not
# reported; of one above the limit it is known that it was larger.
import matplotlib.pyplot as plt
import numpy as np

from mixexp import MoERegressor
from mixexp.displays import SurvivalDisplay

rng = np.random.default_rng(0)
n = 4000
power, age = rng.normal(size=(2, n))
is_large = 0.8 * age + rng.logistic(size=n) > 0.5
log_mean = np.where(is_large, 1.6 + 0.5 * power, 0.1 + 0.2 * power)
loss = np.exp(log_mean + np.where(is_large, 0.8, 0.6) * rng.normal(size=n))
deductible, limit = rng.choice([0.5, 1.0, 2.0], n), rng.choice([6.0, 15.0], n)

is_seen = loss > deductible
X = np.column_stack([power, age])[is_seen]
paid = np.minimum(loss, limit)[is_seen]
is_capped = (loss > limit)[is_seen].astype(int)
print(f"{is_seen.mean():.0%} of losses are claimed, {is_capped.mean():.0%} of claims at the limit")

# %%
# A fit that knows
# ----------------
options = {"expert": "lognormal", "expert_features": [0], "n_init": 4, "random_state": 0}
told = MoERegressor(2, **options).fit(X, paid, censoring=is_capped, truncation=deductible[is_seen])
naive = MoERegressor(2, **options).fit(X, paid)
everyone = np.column_stack([power, age])
print("slopes of power, truth [0.2, 0.5]")
print("  told of deductible and limit", told.coef_[:, 0].round(2))
print("  not told", naive.coef_[:, 0].round(2))
print(f"mean of all losses {loss.mean():.2f}, told {told.predict(everyone).mean():.2f}")
print(f"not told {naive.predict(everyone).mean():.2f}")

# %%
# All losses
# ----------
# What to see: on the left, the fit with truncation and censoring follows all losses, including
# those that were never claimed, and its experts are the two kinds. On the right, the fit without
# this information lacks small losses, which were not reported, and large ones, which were capped.
figure, axes = plt.subplots(1, 2, figsize=(11.0, 4.2), layout="constrained", sharey=True)
for ax, model, name in zip(axes, (told, naive), ("told", "not told"), strict=True):
    SurvivalDisplay.from_estimator(model, everyone, np.minimum(loss, 15.0), ax=ax, xlabel="loss")
    ax.set_title(name)
