"""
Are the segments told apart?
============================

Responsibilities of three experts: for the crash of a motorcycle, whose regimes lie side by side in
time, and for the diabetes patients, whose lines lie on top of each other.
"""

# %%
# Two fits
# --------

from sklearn.datasets import load_diabetes

from mixexp import MoERegressor
from mixexp.datasets import make_motorcycle
from mixexp.displays import RootogramDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
patients = MoERegressor(3, alpha=1.0, random_state=0).fit(X, y)
time, acceleration = make_motorcycle(400, random_state=0)
crash = MoERegressor(3, alpha=1.0, gate_alpha=0.1, random_state=0).fit(time, acceleration)
print(
    f"relative entropy of the crash {crash.criteria(time, acceleration).relative_entropy:.2f},",
    end=" ",
)
print(f"of the patients {patients.criteria(X, y).relative_entropy:.2f}")

# %%
# The crash
# ---------
# What to see: a panel per expert, with the rows by how responsible it is for them; heights are
# square roots, so that small bars can be seen. Before, in and after the impact hardly a row is in
# doubt: it belongs to an expert for certain, or not at all.

RootogramDisplay.from_estimator(crash, time, acceleration)

# %%
# The patients
# ------------
# What to see: every expert has patients that certainly belong to it, and as many that are shared.
# Such experts are useful for prediction and for its uncertainty, but not for classifying patients:
# the relative entropy, 1 for certain assignments, is low.

RootogramDisplay.from_estimator(patients, X, y)
