"""
Do children keep a marriage together?
=====================================

Marginal effects in Fair's survey of 6 366 wives (statsmodels' ``fair``): who had an affair at all,
by a mixture of two logistic experts. An effect has two parts: what happens within the experts, and
what happens because a wife is handed to another one.
"""

# %%
# The fit and its effects
# -----------------------
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm

from mixexp import MoEClassifier

data = sm.datasets.fair.load_pandas().data
features = ["rate_marriage", "yrs_married", "children", "religious"]
X = data[features]
y = np.where(data["affairs"] > 0, "affair", "none")
for count in (1, 2):
    model = MoEClassifier(count, random_state=0).fit(X, y)
    print(f"{count} expert(s): BIC {model.bic(X, y):.1f}")
effects = model.inference(X, y).marginal_effects()
effects = effects[effects["class"] == "affair"]
shown = effects[["feature", "part", "estimate", "std_error", "p_value"]]
print(shown.to_string(index=False, float_format="{:.4f}".format))

# %%
# Two parts of one effect
# -----------------------
# What to see: how many percentage points one more unit of a feature adds to the probability of an
# affair, averaged over the wives, with 95 % intervals. The total of children is nothing, but it
# is the sum of two parts: more children go with a little more affairs within the experts, and make
# the faithful expert a little more probable. The rating of the marriage works mostly by the gate:
# it says which wife is of which kind. Totals hardly depend on how the model is cut into experts;
# parts do. And all of them are associations in a survey. The warning above is about the faithful
# expert: it is sure of its class, so that its own coefficients are not determined. What it says of
# the wives is, and so are the effects.
parts = {"total": "black", "within experts": "#0072B2", "re-routing": "#D55E00"}
figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
for shift, (part, colour) in zip([-0.2, 0.0, 0.2], parts.items(), strict=True):
    chosen = effects[effects["part"] == part].set_index("feature").loc[features]
    points = 100.0 * chosen["estimate"]
    reach = 100.0 * (chosen["upper"] - chosen["lower"]) / 2.0
    places = np.arange(len(features)) + shift
    ax.errorbar(points, places, xerr=reach, fmt="o", color=colour, capsize=2, label=part)
ax.axvline(0.0, color="0.6", linewidth=0.8)
ax.set_yticks(range(len(features)), features)
ax.invert_yaxis()
ax.set_xlabel("percentage points per unit of the feature")
ax.legend()
