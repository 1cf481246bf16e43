"""
What should a policy with a deductible cost?
============================================

An insurer has claims of 1 500 losses. Losses below the deductible were not reported, payments stop
at a limit. There are many small losses and a few large ones. What is the mean loss, and what would
another deductible and another limit cost?
"""

# %%
# The data
# --------
# Simulated: the kind of a loss depends on the value of the building, its size on the floor area.
import matplotlib.pyplot as plt
import numpy as np

from mixexp import MoERegressor
from mixexp.displays import SurvivalDisplay

rng = np.random.default_rng(2)
n = 1500
area, value = rng.normal(size=(2, n))
is_large = value + rng.logistic(size=n) > 1.0
log_mean = np.where(is_large, 2.0 + 0.4 * area, 0.3 + 0.1 * area)
loss = np.exp(log_mean + np.where(is_large, 0.9, 0.6) * rng.normal(size=n))
deductible, limit = rng.choice([0.5, 1.0], n), rng.choice([10.0, 25.0], n)
is_seen = loss > deductible
X_all = np.column_stack([area, value])
X, entry = X_all[is_seen], deductible[is_seen]
paid, is_capped = np.minimum(loss, limit)[is_seen], (loss > limit)[is_seen].astype(int)
print(f"{is_seen.mean():.0%} of losses were reported, {is_capped.mean():.0%} of them are capped")

# %%
# Which family?
# -------------
# The likelihood is truncated at the deductible and censored at the limit. Three families, each
# with one expert and with two, are compared by BIC on the same claims.
known = {"censoring": is_capped, "truncation": entry}
fits = {}
for family in ("lognormal", "gamma", "weibull"):
    for count in (1, 2):
        model = MoERegressor(
            count, expert=family, expert_features=[0], gate_features=[1], n_init=2, random_state=0
        )
        fits[family, count] = model.fit(X, paid, **known)
        bic = fits[family, count].bic(X, paid, **known)
        print(f"{count} {family} expert(s): BIC {bic:.1f}")
best = fits["lognormal", 2]

# %%
# What the experts are
# --------------------
print(best.summary())

# %%
# Does it fit, and what does the naive fit miss?
# ----------------------------------------------
# What to see: the fit with deductibles and limits follows all losses, including those that were
# not reported; the fit to the payments alone does not.
naive = MoERegressor(
    2, expert="lognormal", expert_features=[0], gate_features=[1], n_init=2, random_state=0
).fit(X, paid)
figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.0), layout="constrained", sharey=True)
for ax, model, name in zip(
    axes, (best, naive), ("with deductibles and limits", "payments alone"), strict=True
):
    SurvivalDisplay.from_estimator(model, X_all, np.minimum(loss, 25.0), ax=ax, xlabel="loss")
    ax.set_title(name)

# %%
# The answer
# ----------
# The expected payment per loss of a policy with deductible d and limit u is the limited expected
# value at u minus that at d. Points are the means over the simulated losses.
dist = best.predict_dist(X_all)
print(f"mean loss: truth {loss.mean():.2f}, with deductibles and limits {dist.mean().mean():.2f}, "
      f"payments alone {naive.predict(X_all).mean():.2f}")  # fmt: skip
deductibles = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
premium, truth = np.zeros((2, 3, 5)), (10.0, 25.0, 50.0)
for row, upper in enumerate(truth):
    for column, lower in enumerate(deductibles):
        below = dist.limited_expected_value(lower).mean() if lower > 0.0 else 0.0
        premium[0, row, column] = dist.limited_expected_value(upper).mean() - below
        premium[1, row, column] = np.mean(np.clip(loss, lower, upper) - lower)
figure, ax = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
for row, upper in enumerate(truth):
    (line,) = ax.plot(deductibles, premium[0, row], label=f"limit {upper:g}")
    ax.plot(deductibles, premium[1, row], "o", color=line.get_color())
ax.set(xlabel="deductible", ylabel="paid per loss", title="lines: model, points: all losses")
ax.legend()
print(f"largest error of a premium: {np.abs(premium[0] / premium[1] - 1.0).max():.1%}")
