"""
How do you see that a fit is bad?
=================================

Quantile residuals of counts: a Poisson mixture and a negative binomial one of the RAND health
insurance experiment (statsmodels' ``randhie``).
"""

# %%
# Two fits of the same counts
# ---------------------------
import matplotlib.pyplot as plt
import statsmodels.api as sm

from mixexp import MoERegressor
from mixexp.displays import ResidualDisplay
from mixexp.metrics import pit_values

data = sm.datasets.randhie.load_pandas().data.sample(3000, random_state=0)
X, y = data[["lncoins", "idp", "physlm", "disea", "hlthf"]], data["mdvis"]
fits = {
    family: MoERegressor(2, expert=family, n_init=5, random_state=0).fit(X, y)
    for family in ("poisson", "negative_binomial")
}

# %%
# Histograms that ought to be flat
# --------------------------------
# What to see: each count is turned into its place in the distribution that the model gave it,
# from 0 to 1 (drawn at random within the jump of a count). If the model is right, all places are
# equally frequent. Two Poisson experts leave a valley between two humps, for each of them is too
# narrow. Negative binomial experts, with a spread of their own, pass.
figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained", sharey=True)
for ax, (family, fit) in zip(axes, fits.items(), strict=True):
    places = pit_values(y, fit.predict_dist(X), random_state=0)
    ax.hist(places, bins=20, range=(0.0, 1.0), density=True, color="#56B4E9", edgecolor="white")
    ax.axhline(1.0, color="black", linewidth=0.8)
    ax.set(xlabel="place in the predicted distribution", title=family.replace("_", " "))
axes[0].set_ylabel("density")

# %%
# Where it goes wrong
# -------------------
# What to see: the same places of the Poisson mixture as normal quantiles. On the left the points
# should follow the line; beyond a residual of two they leave it, for there are more large counts
# than either expert has a use for. Those marks, on the right, lie at any fitted mean: no
# feature that was left out would mend it, another family does.

ResidualDisplay.from_estimator(fits["poisson"], X, y)
