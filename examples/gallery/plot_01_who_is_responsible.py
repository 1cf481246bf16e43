"""
Who is responsible for whom?
============================

A flat mixture of two linear experts on 442 diabetes patients: their disease a year later, from
ten measurements. The gate may look at body mass index and s5 alone.
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
# What to see: colour is the expert that the gate expects before the outcome is known, paler
# where it is less sure, and the line is where both are equally probable. Marks are patients, by
# the expert that explains their outcome best; ringed ones are not with the expert that was
# expected. There are many of those: body mass index and s5 make an expert probable, they do
# not decide.
ResponsibilityMapDisplay.from_estimator(
    model, X, y, features=gate_features, xlabel="body mass index", ylabel="s5 (log triglycerides)"
)
