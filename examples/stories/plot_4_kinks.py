"""
Where does the response bend?
=============================

A simulation of a heat exchanger takes hours per run. Its output is smooth in places and bends where
the regime of the flow changes. An engineer has 300 runs and wants a quick replacement, the place of
the bend, and a test of whether there is one at all.
"""

# %%
# The runs
# --------
# Two inputs; the response is linear on both sides of a line that the model does not know.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from mixexp import MoERegressor, select_n_experts
from mixexp.displays import ResponsibilityMapDisplay


def respond(X):
    return 2.0 + 1.5 * X["flow"] + np.maximum(3.0 * (X["flow"] + X["heat"] - 0.4), 0.0)


rng = np.random.default_rng(0)
X = pd.DataFrame(rng.uniform(-1.0, 1.0, (300, 2)), columns=["flow", "heat"])
y = respond(X) + 0.05 * rng.normal(size=len(X))

# %%
# Is there a bend?
# ----------------
# One expert is a plane. BIC of one to three; the ridge on the gate is weak, for a kink is sharp.
model = MoERegressor(gate_alpha=0.01, alpha=1.0, n_init=10, random_state=0)
chosen = select_n_experts(model, X, y, [1, 2, 3])
for count, bic in zip(chosen.candidates, chosen.values, strict=True):
    print(f"{count} plane(s): BIC {bic:.1f}")
best = chosen.best_estimator_
print(best.summary())

# %%
# Which slope changes?
# --------------------
# Both slopes change by three at the bend; the tests reject equal slopes.
found = best.inference(X, y)
for name in ("flow", "heat"):
    slopes = best.coef_[:, X.columns.get_loc(name)].round(2)
    print(f"{name}: slopes {slopes}, equal by {found.equality_test(name)}")

# %%
# Where is it?
# ------------
# What to see: colour is the plane that the gate expects, and the black line is the border. The
# dashed line is the true bend. The two planes meet there too: their difference is zero.
display = ResponsibilityMapDisplay.from_estimator(best, X, y)
ax = display.figure_.axes[0]
ends = np.array([-0.6, 1.0])
ax.plot(ends, 0.4 - ends, "w--", linewidth=2.0)
difference = np.append(np.diff(best.coef_, axis=0)[0], np.diff(best.intercept_))
_, heat, level = difference / difference[0]
print(f"the planes meet at flow + {heat:.2f} heat = {-level:.2f}")

# %%
# The answer
# ----------
# The replacement is judged on new inputs, beside a random forest and one plane. Its own
# standard deviation is largest at the border, which is where the next runs of the simulation
# should be made.
new = pd.DataFrame(rng.uniform(-1.0, 1.0, (2000, 2)), columns=X.columns)
rivals = {
    "one plane": MoERegressor(1).fit(X, y),
    "random forest": RandomForestRegressor(200, random_state=0).fit(X, y),
    "two planes": best,
}
errors = {
    name: float(np.sqrt(np.mean((rival.predict(new) - respond(new)) ** 2)))
    for name, rival in rivals.items()
}
for name, error in errors.items():
    print(f"{name}: error {error:.3f}")
mean, spread = best.predict(new, return_std=True)
figure, ax = plt.subplots(figsize=(5.6, 4.0), layout="constrained")
points = ax.scatter(new["flow"], new["heat"], c=spread, s=6)
figure.colorbar(points, label="standard deviation of the prediction")
ax.set(xlabel="flow", ylabel="heat", title="where to run the simulation next")
