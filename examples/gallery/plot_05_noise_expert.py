"""
What do wild measurements do to a line?
=======================================

Robust regression: a linear expert and a uniform expert for rows that fit no line. A
fifth of Engel's households is given a random expenditure, so that the truth is known.
"""

# %%
# Engel's food expenditure, with a fifth of the rows spoilt
# ---------------------------------------------------------
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression

from mixexp import MoERegressor

data = sm.datasets.engel.load_pandas().data
data = data[data["income"] < 2500.0]
X, y = data[["income"]].to_numpy(), data["foodexp"].to_numpy().copy()
rng = np.random.default_rng(0)
is_spoilt = rng.random(len(y)) < 0.2
y[is_spoilt] = rng.uniform(0.0, 4000.0, size=is_spoilt.sum())

line = LinearRegression().fit(X, y)
clean = LinearRegression().fit(X[~is_spoilt], y[~is_spoilt])
model = MoERegressor(2, expert=["gaussian", "uniform"], gate="constant", random_state=0).fit(X, y)
families = [expert.name for expert in model.experts_]
gaussian, noise = families.index("gaussian"), families.index("uniform")
is_noise = model.responsibilities(X, y)[:, noise] > 0.5
print(f"spoilt rows {is_spoilt.sum()}, called noise {is_noise.sum()}")
print(
    f"slope without the spoilt rows {clean.coef_[0]:.3f}, least squares on all {line.coef_[0]:.3f},"
)
print(f"linear expert beside a noise expert {model.coef_[gaussian, 0]:.3f}")

# %%
# Lines
# -----
# What to see: least squares follows the outliers (crosses). The expert's line is close to that of
# the clean rows; crosses are the rows assigned to the noise. Changed rows that happen to lie near
# the line are not detected, but do no harm.
grid = np.linspace(X.min(), X.max(), 50)[:, None]
figure, ax = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
ax.scatter(X[~is_noise], y[~is_noise], s=14, color="0.55", label="kept")
ax.scatter(X[is_noise], y[is_noise], s=22, marker="x", color="#D55E00", label="left to the noise")
ax.plot(grid, line.predict(grid), color="#0072B2", linestyle="--", label="least squares, all rows")
ax.plot(grid, clean.predict(grid), color="black", linewidth=3, alpha=0.35, label="clean rows alone")
ax.plot(grid, model.predict_experts(grid)[:, gaussian], color="#009E73", label="linear expert")
ax.set(xlabel="income, francs", ylabel="spent on food, francs")
ax.legend(loc="upper right", ncols=2, fontsize="small")
