"""scikit-learn's own checks, with no expected failure."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from mixexp import (
    EM,
    ConformalRegressor,
    HMEClassifier,
    HMERegressor,
    MoEClassifier,
    MoERegressor,
)
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    RankDeficientWarning,
    RoundedTargetWarning,
)

# The checks fit noise, constant columns and a dozen rows: these warnings are then due.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (
        ConvergenceWarning,
        DegenerateExpertWarning,
        RankDeficientWarning,
        RoundedTargetWarning,
    )
]


@parametrize_with_checks(
    [
        MoERegressor(),
        HMERegressor(n_init=2, max_iter=50),
        MoEClassifier(),
        HMEClassifier(n_init=2, max_iter=50, solver=EM(n_moves=0)),
        ConformalRegressor(MoERegressor(random_state=0)),
        MoERegressor(2, expert="student_t", n_init=1, max_iter=20),  # of one target and several
        MoERegressor(2, expert=[Ridge(), "gaussian"], gate="gaussian", n_init=2),
        HMERegressor(
            [[1, 1], 1],
            expert=Ridge(),
            gate=["quadratic", DecisionTreeClassifier()],
            n_init=1,
            max_iter=5,
        ),
        MoEClassifier(2, expert=LogisticRegression(), n_init=1, max_iter=5),
        HMEClassifier([[1, 1], 1], expert=["auto", GaussianNB(), "auto"], n_init=1, max_iter=5),
    ],
)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)
