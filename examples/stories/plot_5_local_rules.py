"""
Does one rule fit all applicants?
=================================

A bank decides on loans by one logistic regression. The suspicion is that income works differently
for employees and for the self-employed, and nobody recorded who is which. Are there several
rules, who falls under which, and are the probabilities then better?
"""

# %%
# The data
# --------
# Default or not, by income, debt and the years that an account has existed. In the simulation
# income helps those with an old account, and says nothing for those with a young one.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from mixexp import MoEClassifier, export_text, select_n_experts
from mixexp.displays import ResponsibilityMapDisplay

rng = np.random.default_rng(3)
n = 3000
X = pd.DataFrame(
    {"income": rng.normal(size=n), "debt": rng.normal(size=n), "years": rng.uniform(0.0, 20.0, n)}
)
is_old = rng.random(n) < 1.0 / (1.0 + np.exp(8.0 - X["years"]))
logit = np.where(is_old, -1.0 - 2.5 * X["income"] + 0.4 * X["debt"], 0.2 + 2.0 * X["debt"])
y = np.where(rng.random(n) < 1.0 / (1.0 + np.exp(-logit)), "default", "paid")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1500, random_state=0)

# %%
# How many rules?
# ---------------
# The gate looks at the years alone, the rules at income and debt.
model = MoEClassifier(
    expert_features=["income", "debt"],
    gate_features=["years"],
    alpha=1.0,
    gate_alpha=0.1,
    n_init=5,
    random_state=0,
)
chosen = select_n_experts(model, X_train, y_train, [1, 2, 3])
for count, bic in zip(chosen.candidates, chosen.values, strict=True):
    print(f"{count} rule(s): BIC {bic:.1f}")
best = chosen.best_estimator_

# %%
# What are the rules?
# -------------------
# In one text, and as a summary with standard errors.
print(export_text(best))
print(best.summary(X_train, y_train))

# %%
# Who falls under which?
# ----------------------
# What to see: the gate changes from one rule to the other at about eight years, as simulated.
# Marks are applicants by the rule that explains their outcome best; near the border both do.
figure, ax = plt.subplots(figsize=(7.0, 4.4), layout="constrained")
some = X_train.index[:300]
ResponsibilityMapDisplay.from_estimator(
    best, X_train.loc[some], y_train[:300], features=["years", "income"], ax=ax
)

# %%
# The answer
# ----------
# Two rules give better probabilities on new applicants. The forest shows what can be learned
# without this structure, but it has no rule that can be read.
rivals = {
    "one rule": LogisticRegression().fit(X_train, y_train),
    "random forest": RandomForestClassifier(300, min_samples_leaf=10, random_state=0).fit(
        X_train, y_train
    ),
    "two rules": best,
}
true = 1.0 / (1.0 + np.exp(-logit[X_test.index]))
for name, rival in rivals.items():
    found = rival.predict_proba(X_test)
    error = np.abs(found[:, 0] - true).mean()
    print(
        f"{name}: log loss {log_loss(y_test, found):.3f}, mean error of probabilities {error:.3f}"
    )
