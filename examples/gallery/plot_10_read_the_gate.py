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
table = model.coef_table(X, y, reference=-1)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.0), layout="constrained")
CoefficientDisplay.from_estimator(model, table=table, ax=left)
CoefficientDisplay.from_estimator(model, table=table, part="gate", ax=right)
left.set_title("experts")
right.set_title("gate")
