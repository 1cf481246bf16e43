"""
Did EM find the best optimum?
=============================

Five experts on the crash of a motorcycle (`mixexp.datasets.make_motorcycle`): where twenty starts
ended, and how fast the winner came to where it is.
"""

# %%
# Twenty starts
# -------------
# The priors are weak, so the likelihood keeps its many optima.

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
# What to see: the curve is the best start, on a logarithmic scale. EM makes little progress on a
# plateau where other starts stop, then Newton's method reaches the optimum in a few steps. Two
# starts found it by different paths, which suggests, but does not prove, that it is the global
# optimum. With other seeds one to five of twenty starts find it, so ten starts may miss it.

ConvergenceDisplay.from_estimator(model)
