"""
Where does the crash begin?
===========================

Regimes along time: the head of a motorcycle's rider before, in and after an impact, as
`mixexp.datasets.make_motorcycle` simulates it. Each regime has a line and a spread of its own.
"""

# %%
# Five experts on time
# --------------------
# The ridge on gates is weak, since borders are sharp, and so is the prior on dispersions, since
# the variance before the impact is much smaller.
import matplotlib.pyplot as plt
import numpy as np

from mixexp import MoERegressor
from mixexp.datasets import make_motorcycle
from mixexp.displays import ExpertFitDisplay, GateDisplay

X, y = make_motorcycle(400, random_state=0)
model = MoERegressor(5, gate_alpha=0.01, dispersion_prior=5.0, n_init=20, random_state=0).fit(X, y)
order = np.argsort([X[model.predict_expert(X) == k].mean() for k in range(5)])
print("slopes in g per millisecond, in order of time:", model.coef_[order, 0].round(1))
print("standard deviations in g:", np.sqrt(model.dispersion_[order]).round(1))

# %%
# Lines and gate
# --------------
# What to see: above, each line and the points that follow it, with the band of the mixture
# narrow before the impact and wide in it. Below, which line the gate expects at what time: the
# first border is where the crash begins. The simulator bends at 14, 21, 33 and 42 ms; the last of
# these bends is lost in the noise, and two experts share the fall, quiet at first, then noisier.
figure, (above, below) = plt.subplots(
    2, 1, figsize=(7.5, 6.5), sharex=True, layout="constrained", height_ratios=(2, 1)
)
ExpertFitDisplay.from_estimator(model, X, y, ax=above, ylabel="acceleration, g")
GateDisplay.from_estimator(model, X, ax=below, xlabel="milliseconds after the impact")
above.set_xlabel("")
below.set_title("")
