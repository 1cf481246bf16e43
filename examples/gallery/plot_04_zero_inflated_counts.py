"""
Who never goes to the doctor, and who just did not this year?
=============================================================

Counts with too many zeros: the visits of the RAND health insurance experiment (statsmodels'
``randhie``), once by one Poisson regression, once by mixtures with an expert for zeros.
"""

# %%
# Three models
# ------------
# ``["point_mass", "poisson"]`` is the zero-inflated Poisson model: the gate says who is a
# structural zero. With negative binomial counts it is the ZINB model.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

from mixexp import MoERegressor

data = sm.datasets.randhie.load_pandas().data.sample(4000, random_state=0)
X = data[["lncoins", "idp", "physlm", "disea", "hlthf", "hlthp"]]
y = data["mdvis"]
families = {
    "Poisson": "poisson",
    "zero-inflated Poisson": ["point_mass", "poisson"],
    "zero-inflated negative binomial": ["point_mass", "negative_binomial"],
}
fits = {
    name: MoERegressor(
        1 if isinstance(family, str) else len(family), expert=family, random_state=0
    ).fit(X, y)
    for name, family in families.items()
}
for name, fit in fits.items():
    print(f"{name:34s} BIC {fit.bic(X, y):9.1f}")

# %%
# Counts seen and counts expected
# -------------------------------
# What to see: one Poisson regression predicts less than a third of the zeros and hardly any of the
# large counts. The zero-inflated Poisson model fits the zeros, but has too few ones and too many
# counts after them. With negative binomial counts the whole histogram fits, and the point mass has
# only the share that is printed below: most zeros are of people who might have gone.
visits = np.arange(16)
figure, ax = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
ax.bar(visits, [(y == count).mean() for count in visits], color="0.75", label="seen")
styles = zip(["#0072B2", "#E69F00", "#009E73"], ["o", "s", "^"], strict=True)
for (name, fit), (colour, marker) in zip(fits.items(), styles, strict=True):
    dist = fit.predict_dist(X)
    below = np.array([dist.cdf(count).mean() for count in visits])
    share = np.diff(below, prepend=0.0)
    ax.plot(visits, share, color=colour, marker=marker, markersize=5, label=name)
ax.set(xlabel="visits to a doctor in a year", ylabel="share of the people")
ax.legend()
best = fits["zero-inflated negative binomial"]
never = best.gate_proba(X)[:, [expert.name for expert in best.experts_].index("point_mass")]
print(
    f"never go, by that model: {never.mean():.1%} of the people, zeros seen: {(y == 0).mean():.1%}"
)
