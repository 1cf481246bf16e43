"""
Which measurements tell the experts apart?
==========================================

The coefficients of experts and gate with their intervals, by observed information: in which
the errors count that nobody knows for certain who belongs to whom.
"""

# %%
# The fit
# -------
# Without the ridge, so that intervals are nearly those of plain maximum likelihood: what is left
# is the weak prior on the two variances.
import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from mixexp import MoERegressor
from mixexp.displays import CoefficientDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X[["bmi", "bp", "s5", "sex"]]
model = MoERegressor(2, alpha=0, gate_alpha=0, n_init=20, random_state=0).fit(X, y)
found = model.inference(X, y)
print(found.summary())
for term in ("bmi", "bp", "s5", "sex"):
    print(f"same slope of {term} in both experts: p = {found.equality_test(term).p_value:.3f}")

# %%
# Experts and gate side by side
# -----------------------------
# What to see: slopes with 95 % intervals, per standard deviation of each measurement, on the left
# those of the two experts. Only body mass index has two slopes that are clearly different. On the
# right the gate: an interval that leaves out zero is a measurement that helps to tell who follows
# which line, to the left expert 1, to the right expert 0. s5 does that most, though its slope is
# the same in both experts.
table = found.coef_table()
gate = table[(table["part"] == "gate") & (table["term"] != "intercept")].set_index("term")
spread = X.std()

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.0), layout="constrained")
CoefficientDisplay.from_estimator(model, table=table, ax=left)
left.set_title("experts")
for place, term in enumerate(reversed(["bmi", "s5", "bp", "sex"])):
    row = gate.loc[term]
    ends = [row["lower"] * spread[term], row["upper"] * spread[term]]
    right.plot(ends, [place, place], color="black")
    right.plot(row["estimate"] * spread[term], place, "s", color="black")
right.axvline(0.0, color="0.6", linewidth=0.8)
right.set_yticks(range(4), ["sex", "bp", "s5", "bmi"])
right.set_ylim(-0.5, 3.5)
right.set(xlabel="logit of expert 0 against 1, per standard deviation", title="gate")
