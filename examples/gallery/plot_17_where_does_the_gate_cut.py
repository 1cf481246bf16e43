"""
Along which features does the gate cut?
=======================================

Maps of every pair of three measurements that a gate may look at: two experts, the diabetes data.
"""

# %%
# Pairs
# -----
# What to see: on the diagonal the probabilities of the experts along one measurement, below it
# maps of two, with all others at typical values. Expert 1 is expected where body mass index, blood
# pressure and s5 are high. No single measurement decides: the borders are oblique in every map,
# and at the highest blood pressure expert 0 still has a quarter of the probability.

from sklearn.datasets import load_diabetes

from mixexp import MoERegressor
from mixexp.displays import ResponsibilityMapDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
features = ["bmi", "bp", "s5"]
model = MoERegressor(2, gate_features=features, random_state=0).fit(X, y)
ResponsibilityMapDisplay.from_estimator(model, X, y, features=features)
