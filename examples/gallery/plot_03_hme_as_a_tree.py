"""
What does a tree of experts say?
================================

A hierarchical mixture, read like a decision tree: gates divide patients softly, and every leaf is a
linear model. The tree has three leaves, because one of four leaves would have no patients.
"""

# %%
# The fit, as text
# ----------------
from sklearn.datasets import load_diabetes

from mixexp import HMERegressor, export_text
from mixexp.displays import TreeDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
model = HMERegressor(tree=[[1, 1], 1], gate_features=["bmi", "s5", "bp"], random_state=0).fit(X, y)
print(export_text(model, n_terms=3))

# %%
# The same as a picture
# ---------------------
# What to see: every box above the leaves is a gate. Its share is the proportion of patients that
# reach it, the words on its edges are the features that lead there, and its histogram shows how
# certain the assignment is after the outcome is known. A leaf shows the strongest terms of its
# expert. The widths of edges are shares.
TreeDisplay.from_estimator(model, X, y)
