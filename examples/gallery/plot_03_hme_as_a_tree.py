"""
What does a tree of experts say?
================================

A hierarchical mixture, read like a decision tree: gates that divide patients softly, and a
linear model at every leaf. A pair of leaves beside a single one: of the four in a tree of two by
two, one is left without patients.
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
# What to see: every box above the leaves is a gate. Its share is the part of the patients that
# come to it, words on its edges are what sends them there, its histogram how sure it is
# after the outcome is seen. A leaf shows the strongest terms of its expert. Widths of edges are
# shares: a thin edge would lead to an expert that few patients follow.
TreeDisplay.from_estimator(model, X, y)
