"""
Can a neural network be one of the experts?
===========================================

A line and a small neural network share the rows: simulated data, in which a second column says
where y is a line of the first and where it is a wave.
"""

# %%
# A line where a line will do
# ---------------------------
# The network is an estimator of scikit-learn's, the line a family; the gate sees the second column
# alone. What to see: in the left panel, where a point's colour is the expert that is responsible,
# the line goes through one half of the points and the network's curve through the other. The right
# panel has the probability of the network, which rises where the waves begin.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPRegressor

from mixexp import EstimatorExpert, MoERegressor

rng = np.random.default_rng(0)
X = rng.uniform(-2.0, 2.0, (300, 2))
is_wave = rng.random(300) < 1.0 / (1.0 + np.exp(-6.0 * X[:, 1]))
y = np.where(is_wave, 1.5 * np.sin(3.0 * X[:, 0]), 1.0 + 0.8 * X[:, 0])
y += 0.15 * rng.standard_normal(300)

network = MLPRegressor(
    hidden_layer_sizes=(20,), solver="lbfgs", alpha=0.1, tol=1e-3, max_iter=3000, random_state=0
)
expert = EstimatorExpert(network, cross_fit=0)
model = MoERegressor(
    2,
    expert=["gaussian", expert],
    expert_features=[0],
    gate_features=[1],
    init=(X[:, 1] > 0.0).astype(int),
    max_iter=60,
    random_state=0,
)
model.fit(X, y)
print(model.convergence_reason_)

# %%
# EM ends where the objective stands still. A network's fit may lower it, and then the best iterate
# is kept, as the reason above says.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
resp = model.responsibilities(X, y)[:, 1]
left.scatter(X[:, 0], y, c=[f"C{int(share > 0.5)}" for share in resp], s=8, alpha=0.5)
grid = np.column_stack([np.linspace(-2.0, 2.0, 200), np.zeros(200)])
for k, name in enumerate(("line", "network")):
    left.plot(grid[:, 0], model.predict_experts(grid)[:, k], color=f"C{k}", label=name)
left.set(xlabel="first column", ylabel="y")
left.legend()
along = np.column_stack([np.zeros(200), np.linspace(-2.0, 2.0, 200)])
right.plot(along[:, 1], model.gate_proba(along)[:, 1], color="C1", label="fitted")
right.plot(along[:, 1], 1.0 / (1.0 + np.exp(-6.0 * along[:, 1])), "k:", label="drawn from")
right.set(xlabel="second column", ylabel="probability of the network", ylim=(-0.02, 1.02))
right.legend()
plt.show()
