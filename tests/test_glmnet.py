"""One Poisson expert with an L1 penalty is glmnet's: figures of R 4.2, glmnet 4.1-6.

``glmnet(X, y, family = "poisson", alpha = ratio, lambda = ..., thresh = 1e-20)`` minimises
``-log-likelihood / n + lambda * (ratio * sum|b| + (1 - ratio) / 2 * sum(b**2))`` on columns of unit
(population) variance, so that here ``l1 = n * lambda * ratio``.
"""

import numpy as np
import pytest

from mixexp import MoERegressor

ROWS = np.arange(120)
WAVES = [np.sin(1.3 * ROWS * (j + 1) + j) + 0.3 * np.cos(0.37 * ROWS) for j in range(6)]
X = np.column_stack(WAVES)
Y = np.floor(np.exp(0.6 + 0.8 * X[:, 0] - 0.5 * X[:, 2]) + ROWS % 3)
# (ratio, lambda): intercept and slopes.
THEIRS = {
    (1.0, 0.5): [0.98607835370157593, 0.34267371224498971, 0, -0.15277779175687209, 0, 0, 0],
    (1.0, 0.1): [0.90562729713543577, 0.57360618356984061, 0, -0.37317622947288837, 0, 0, 0],
    (1.0, 0.05): [
        *(0.89149023104749880, 0.60448925236622764, 0, -0.40159203808249255, 0, 0),
        -0.00147375662685283,
    ],
    (1.0, 0.01): [
        *(0.87979995524086274, 0.62954384762282478, -0.01115449588714501),
        *(-0.42115221537221531, 0.00609100946330691, 0, -0.01906900777589585),
    ],
    (0.5, 0.2): [0.91507508910715185, 0.54969421223452364, 0, -0.35735614169706553, 0, 0, 0],
    (0.5, 0.05): [
        *(0.88726799742237450, 0.61346030600544654, -0.00198409983359222),
        *(-0.40867887733805525, 0.00301844867764164, 0, -0.01298731924033734),
    ],
}


@pytest.mark.parametrize(("ratio", "strength"), THEIRS)
def test_a_poisson_expert_is_that_of_glmnet(ratio, strength):
    l1, ridge = len(X) * strength * np.array([ratio, 1.0 - ratio])
    model = MoERegressor(1, expert="poisson", l1=l1, alpha=ridge, tol=1e-12, random_state=0)
    model.fit(X, Y)
    found, wanted = np.array([*model.intercept_, *model.coef_[0]]), THEIRS[ratio, strength]
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    np.testing.assert_array_equal(found == 0.0, np.array(wanted) == 0.0)
