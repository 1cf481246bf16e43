"""
Did EM find the best optimum?
=============================

Five experts on the crash of a motorcycle (`mixexp.datasets.make_motorcycle`): where twenty starts
ended, and how fast the winner came to where it is.
"""

# %%
# Twenty starts
# -------------
# The priors are weak, which leaves the likelihood as rugged as it is.

from mixexp import MoERegressor
from mixexp.datasets import make_motorcycle
from mixexp.displays import ConvergenceDisplay

X, y = make_motorcycle(400, random_state=0)
model = MoERegressor(
    5, alpha=0.1, gate_alpha=0.01, dispersion_prior=5.0, n_init=20, random_state=0
).fit(X, y)

n_dropped = sum(restart.reason.startswith("dropped") for restart in model.restarts_)
print(f"{len(model.restarts_)} starts, {n_dropped} dropped when two others had left them behind")
for optimum in model.optima_:
    print(f"penalised log-likelihood {optimum.objective:.3f}, starts: {optimum.n_starts}")

# %%
# How far below the best
# ----------------------
# What to see: the curve is the way of the winner, on a logarithmic scale. EM creeps along a plateau
# where other starts give up and call it an optimum, then Newton's method falls to the bottom in
# a few steps. Two starts got there, by different ways: a sign that there is nothing better, and
# no proof. With other seeds it is found by one to five of twenty: with ten starts it may be missed.

ConvergenceDisplay.from_estimator(model)
