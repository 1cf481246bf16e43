"""
How wide should the fan be?
===========================

Quantiles of food expenditure given income: Engel's data, the classic of quantile regression.
A mixture gives the whole conditional distribution, so its quantiles never cross.
"""

# %%
# Two experts, spreads that grow
# ------------------------------
import statsmodels.api as sm

from mixexp import MoERegressor
from mixexp.displays import PredictiveDisplay
from mixexp.metrics import interval_coverage

data = sm.datasets.engel.load_pandas().data
data = data[data["income"] < 2500.0]  # three households beyond say little of spreads
X, y = data[["income"]], data["foodexp"]
model = MoERegressor(2, expert_features={"dispersion": ["income"]}, random_state=0).fit(X, y)
incomes = [500.0, 1000.0, 2000.0]
quantiles = model.predict_quantile(X.iloc[:3].assign(income=incomes), [0.1, 0.5, 0.9])
for income, (low, middle, high) in zip(incomes, quantiles, strict=True):
    print(
        f"income {income:4.0f}: median {middle:4.0f}, four of five between {low:.0f} and {high:.0f}"
    )
covered = interval_coverage(y, model.predict_interval(X, 0.8))
print(f"80 % intervals hold {covered:.0%} of the households")

# %%
# The fan
# -------
# What to see: the bands contain 50, 80 and 95 % of the households of an income. They widen with
# income about as fast as the median rises, so the relative spread is nearly constant. Mean and
# median are almost equal: the distribution is nearly symmetric.
PredictiveDisplay.from_estimator(
    model, X, y, xlabel="income, francs", ylabel="spent on food, francs"
)
