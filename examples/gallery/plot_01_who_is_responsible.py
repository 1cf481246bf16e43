"""
Who is responsible for whom?
============================

A flat mixture of two linear experts on 442 diabetes patients: their disease a year later, from
ten measurements. The gate uses body mass index and s5 only.
"""

# %%
# The fit
# -------
from sklearn.datasets import load_diabetes

from mixexp import MoERegressor
from mixexp.displays import ResponsibilityMapDisplay

data = load_diabetes(as_frame=True, scaled=False)
X, y = data.data, data.target
gate_features = ["bmi", "s5"]
model = MoERegressor(2, gate_features=gate_features, random_state=0).fit(X, y)
print(model.summary())

# %%
# The map
# -------
# What to see: colour is the expert that the gate predicts before the outcome is known, paler where
# it is uncertain; on the line both experts are equally probable. Marks are patients, coloured by
# the expert that is most probable given the outcome, and ringed where it differs from the
# prediction. There are many rings: body mass index and s5 change the probabilities of the experts,
# but do not determine the expert.
ResponsibilityMapDisplay.from_estimator(
    model, X, y, features=gate_features, xlabel="body mass index", ylabel="s5 (log triglycerides)"
)
