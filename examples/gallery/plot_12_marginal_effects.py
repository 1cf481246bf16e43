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
    effects = model.inference(X, y).marginal_effects()
    effects = effects[effects["class"] == "affair"]
    totals = effects.loc[effects["part"] == "total", "estimate"].round(3).tolist()
    print(f"{count} expert(s): BIC {model.bic(X, y):.1f}, total effects {totals}")
shown = effects[["feature", "part", "estimate", "std_error", "p_value"]]
print(shown.to_string(index=False, float_format="{:.4f}".format))

# %%
# Two parts of one effect
# -----------------------
# What to see: how many percentage points one more unit of a feature adds to the probability of an
# affair, averaged over the wives, with 95 % intervals. The total of children is nothing, and so are
# its parts: a little more within the experts, a little less by the gate, neither beyond its error.
# The rating of the marriage works mostly by the gate: it says which wife is of which kind, and one
# of the two kinds has no affairs, whatever the features. Years of marriage work within the other
# kind. There the effect is steep in the first years and nothing later, which one logistic
# regression cannot say: its total is little more than a third of this one, while those of the
# other features are nearly the same. All of them are associations in a survey.
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
