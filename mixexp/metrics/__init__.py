"""How good predicted distributions are, and scorers to choose a model by.

Scorers are called as ``scorer(estimator, X, y)``, as `GridSearchCV` and `cross_val_score` do;
functions take the truth and what was predicted, as those of scikit-learn.
"""

from mixexp.metrics._scorers import (
    CRPSScorer,
    LogDensityScorer,
    NegativeBICScorer,
    NegativeCriterionScorer,
    PinballScorer,
    log_density_scorer,
    negative_bic_scorer,
    negative_crps_scorer,
)
from mixexp.metrics._scores import (
    crps_score,
    interval_coverage,
    interval_width,
    log_score,
    pinball_loss,
    pit_values,
)
from mixexp.metrics._survival import (
    KaplanMeier,
    brier_score_censored,
    concordance_index_censored,
    kaplan_meier,
)

__all__ = [
    "CRPSScorer",
    "KaplanMeier",
    "LogDensityScorer",
    "NegativeBICScorer",
    "NegativeCriterionScorer",
    "PinballScorer",
    "brier_score_censored",
    "concordance_index_censored",
    "crps_score",
    "interval_coverage",
    "interval_width",
    "kaplan_meier",
    "log_density_scorer",
    "log_score",
    "negative_bic_scorer",
    "negative_crps_scorer",
    "pinball_loss",
    "pit_values",
]
