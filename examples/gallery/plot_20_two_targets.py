"""
Do two measurements share their experts?
========================================

Two targets on every row, simulated: two experts, each with a line for either target and residuals
that go together in a way of their own.
"""

# %%
# One expert, one ellipse
# -----------------------
# y has two columns, so that each expert has a covariance matrix. What to see: in the left panel,
# at one x, the ellipses hold 90 % of what each expert says of both targets; one leans up and the
# other down. The right panel has the correlation of the targets given x: it goes from that of one
# expert to that of the other, by way of what their means do between them.

import matplotlib.pyplot as plt
import numpy as np

from mixexp import MoERegressor

rng = np.random.default_rng(0)
n = 800
x = rng.uniform(-2.0, 2.0, n)
is_late = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * x))
early = rng.multivariate_normal([0.0, 0.0], [[0.2, 0.16], [0.16, 0.2]], n)
late = rng.multivariate_normal([0.0, 0.0], [[0.3, -0.18], [-0.18, 0.2]], n)
y = np.where(is_late[:, None], np.column_stack([2.0 + x, -x]) + late, early)
model = MoERegressor(2, n_init=3, random_state=0).fit(x[:, None], y)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
resp = model.responsibilities(x[:, None], y)
is_near = np.abs(x) < 0.3
left.scatter(*y[is_near].T, c=[f"C{k}" for k in resp[is_near].argmax(axis=1)], s=10, alpha=0.6)
regions = model.predict_dist([[0.0]]).ellipsoids(0.9)
angle = np.linspace(0.0, 2.0 * np.pi, 200)
circle = np.array([np.cos(angle), np.sin(angle)])
for k in range(2):
    edge = regions.center[0, k][:, None] + np.linalg.cholesky(regions.shape[0, k]) @ circle
    left.plot(*edge, color=f"C{k}", label=f"expert {k}, x = 0")
left.set(xlabel="first target", ylabel="second target")
left.legend()
grid = np.linspace(-2.0, 2.0, 200)
right.plot(grid, model.predict_dist(grid[:, None]).corr()[:, 0, 1], "k", label="given x")
for k, covariance in enumerate(model.covariance_):
    deviation = np.sqrt(np.diag(covariance))
    level = covariance[0, 1] / deviation.prod()
    right.axhline(level, color=f"C{k}", linestyle=":", label=f"given x and expert {k}")
right.set(xlabel="x", ylabel="correlation of the targets", ylim=(-1.0, 1.0))
right.legend()
plt.show()
