"""
Which features do gate and experts need?
========================================

Blood measurements and the progress of diabetes (scikit-learn's ``diabetes``), with ten columns of
noise: a lasso path for experts and gate, from all slopes zero to almost no penalty.
"""

# %%
# The path
# --------
# Twenty columns for two experts and a gate make sixty slopes. Each strength of the penalty is
# fitted from its neighbours; BIC counts the slopes that are not zero.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

from mixexp import MoERegressor
from mixexp.displays import RegularizationPathDisplay
from mixexp.selection import regularization_path

X, y = load_diabetes(return_X_y=True, as_frame=True)
rng = np.random.default_rng(0)
noise = pd.DataFrame(rng.standard_normal((len(X), 10)), columns=[f"noise{j}" for j in range(10)])
X = pd.concat([X, noise], axis=1)
model = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=3, random_state=0)
path = regularization_path(model, X, y, n_strengths=30)
best = path.best_estimator_
print(path.table[["l1", "n_nonzero", "n_parameters", "bic"]].iloc[::5].round(1).to_string())

# %%
# Who came in
# -----------
# What to see: from left to right the penalty decreases. Body mass index (``bmi``) and
# triglycerides (``s5``) enter first, in the gate and in the experts. At the choice of BIC, the
# dashed line, nearly all columns of noise are zero; one is not, since the choice used the same
# rows. Further right, slopes are included that do not improve the fit enough.
RegularizationPathDisplay.from_path(path)
for part, slopes in [("experts", best.coef_), ("gate", best.gate_coef_)]:
    print(f"{part}:", ", ".join(X.columns[slopes.any(axis=0)]))
plt.show()
