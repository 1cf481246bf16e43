"""
Which customers react to a discount?
====================================

A shop has the monthly orders of 300 customers. It wants to send vouchers to those who order more
because of them, and to know such customers before it has seen them order. This is a latent class
regression of counts: every customer is of one kind, and all orders of a customer belong to it.
"""

# %%
# The data
# --------
# One row per customer and month: the number of orders, the discount of that month, days that the
# shop was open for this customer (new customers start within a month), and the customer's age.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mixexp import MoERegressor, select_n_experts

rng = np.random.default_rng(1)
n_customers, n_months = 300, 8
customer = np.repeat(np.arange(n_customers), n_months)
age = rng.uniform(18.0, 75.0, n_customers)[customer]
hunts = (rng.random(n_customers) < 1.0 / (1.0 + np.exp((age[::n_months] - 42.0) / 7.0)))[customer]
data = pd.DataFrame({"discount": rng.choice([0.0, 5.0, 10.0, 15.0], len(customer)), "age": age})
days = np.where(rng.random(len(customer)) < 0.1, rng.integers(5, 30, len(customer)), 30)
rate = np.where(
    hunts, np.exp(-0.4 + 0.11 * data["discount"]), np.exp(0.6 + 0.01 * data["discount"])
)
orders = rng.poisson(rate * days / 30.0)
months = days / 30.0

# %%
# How many kinds of customers?
# ----------------------------
# The experts see the discount, the gate sees the age, and the days open are an exposure. BIC counts
# customers, not months.
model = MoERegressor(
    expert="poisson",
    expert_features=["discount"],
    gate_features=["age"],
    n_init=4,
    random_state=0,
)
known = {"groups": customer, "exposure": months}
chosen = select_n_experts(model, data, orders, [1, 2, 3], **known)
for count, bic in zip(chosen.candidates, chosen.values, strict=True):
    print(f"{count} kind(s): BIC {bic:.1f}")

# %%
# What are they?
# --------------
# Two kinds. The summary begins with their sizes, their rates at the average discount and what tells
# them apart; names make the tables readable.
best = chosen.best_estimator_
steep = int(best.coef_[:, 0].argmax())
best.rename_experts({steep: "discount hunter", 1 - steep: "regular"})
print(best.summary())

# %%
# Is the difference in slopes real?
# ---------------------------------
# A Wald test of equal slopes, with standard errors that allow dependence between a customer's
# months beyond the segment (``kind="robust"``), and the rate ratio per 5 % of discount.
found = best.inference(data, orders, kind="robust", **known)
print(found.equality_test("discount"))
for unit in ("discount hunter", "regular"):
    slope = found.contrast({(unit, "discount"): 5.0})
    low, high = np.exp(slope.lower), np.exp(slope.upper)
    print(f"{unit}: orders x {np.exp(slope.estimate):.2f} per 5 % [{low:.2f}, {high:.2f}]")

# %%
# Whom to write to?
# -----------------
# What to see: on the left the probability of a hunter by age, from the gate, with the true
# one. On the right how certain customers are, once their eight months are known: most of the
# probabilities are near zero or one, so that the two kinds can be told apart.
figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
ages = np.linspace(18.0, 75.0, 100)
grid = pd.DataFrame({"discount": 0.0, "age": ages})
left.plot(ages, best.gate_proba(grid)[:, steep], label="fitted gate")
left.plot(ages, 1.0 / (1.0 + np.exp((ages - 42.0) / 7.0)), "k--", label="truth")
left.set(xlabel="age", ylabel="probability of a discount hunter")
left.legend()
resp = best.responsibilities(data, orders, **known)
right.hist(resp[::n_months, steep], bins=20)
right.set(xlabel="responsibility of the discount hunter", ylabel="customers")

# %%
# The answer
# ----------
# Vouchers pay for customers whose orders react. After eight months more than nine in ten are named
# rightly; of new customers the age alone says who is likely to be one.
called = resp[::n_months, steep] > 0.5
print(f"share of customers named rightly: {(called == hunts[::n_months]).mean():.1%}")
new = pd.DataFrame({"discount": [0.0, 0.0], "age": [25.0, 65.0]})
print("new customers of 25 and 65 years:", best.gate_proba(new)[:, steep].round(2))
extra = best.predict_experts(new.assign(discount=10.0)) - best.predict_experts(new)
print("orders more per month by 10 % discount, by kind:", extra[0].round(2))
