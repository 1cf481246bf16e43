"""scikit-learn's own checks, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from mixexp import ConformalRegressor, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning, RankDeficientWarning

# The checks fit noise, constant columns and a dozen rows: these warnings are then due.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (ConvergenceWarning, DegenerateExpertWarning, RankDeficientWarning)
]


@parametrize_with_checks(
    [
        MoERegressor(),
        HMERegressor(),
        MoEClassifier(),
        HMEClassifier(),
        ConformalRegressor(MoERegressor(random_state=0)),
    ],
)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)
