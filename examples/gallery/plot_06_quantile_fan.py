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

data = sm.datasets.engel.load_pandas().data
data = data[data["income"] < 2500.0]  # three households beyond say little of spreads
X, y = data[["income"]], data["foodexp"]
model = MoERegressor(2, dispersion_features=["income"], random_state=0).fit(X, y)
print("0.1, 0.5 and 0.9 quantiles at 500, 1000 and 2000 francs of income:")
print(model.predict_quantile(X.iloc[:3].assign(income=[500.0, 1000.0, 2000.0]), [0.1, 0.5, 0.9]))

# %%
# The fan
# -------
# What to see: the bands hold half, 80 % and 95 % of households of that income. They open as
# income grows and lie unevenly about the median: some households spend much less on food than
# their neighbours, few spend much more.
PredictiveDisplay.from_estimator(
    model, X, y, xlabel="income, francs", ylabel="spent on food, francs"
)
