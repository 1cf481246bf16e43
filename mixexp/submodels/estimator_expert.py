"""A scikit-learn estimator as an expert: a density around what it predicts, refitted by EM.

A regressor has a family's density around its prediction, a classifier the probabilities that it
predicts. The M-step fits a copy to all rows, weighted by responsibilities, which maximises nothing
in general: EM may fall, and the best iterate is kept.
"""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from mixexp.arguments import is_real, is_whole, is_word
from mixexp.submodel import Setting, SubmodelRows
from mixexp.submodels._around import Around, AroundExpert, location_of_mean, resolve_family
from mixexp.submodels._learning import (
    Told,
    as_table,
    check_predicted,
    check_weighting,
    counted_rows,
    fit_weighted,
    has_probabilities,
    is_estimator,
    take_rows,
    title_of,
)
from mixexp.text import shown

WEIGHTINGS = ("sample_weight", "resample")
# Folds of a learner that is flexible, where the user says nothing.
_N_FOLDS = 3
# Where fitted estimators that wrap another keep it.
_FITTED_INNER = ("best_estimator_", "regressor_", "estimator_")


class EstimatorExpert(AroundExpert):
    """A scikit-learn regressor or classifier as an expert.

    Given as ``expert=``, alone or in a list; an estimator that is given there itself is wrapped in
    one with the default options.

    Parameters
    ----------
    estimator : estimator
        Copies are fitted; it is left as it is. Where its ``random_state`` is None, a fixed seed is
        used, lest the fit change between iterations by chance.
    family : str or Expert, default="gaussian"
        Density of y around what a regressor predicts: a family with a mean and at most a
        dispersion. With a log link predictions are cut at zero.
    weighting : {"sample_weight", "resample"}, default="sample_weight"
        How it is told how much each row counts: as weights, or, for estimators that take none, by
        drawing rows in proportion, each as often as its weight says, rounded.
    cross_fit : "auto" or int, default="auto"
        Folds of which each is predicted by a copy fitted to the others, so that the dispersion is
        that of residuals of rows that were not learned by heart; 0 for residuals of the fit
        itself. "auto" is 0 for estimators with coefficients (``coef_``), else 3.
    dispersion_prior : float, default=None
        Pseudo-rows that pull the dispersion to that of one such expert for all rows; None for
        that of the model, one at the most.
    smoothing : float, default=1e-3
        Share of an equal probability for all classes in a classifier's probabilities, lest a class
        that it holds for impossible be so.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from mixexp import EstimatorExpert, MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.where(x[:, 0] < 0.0, np.sin(9.0 * x[:, 0]), x[:, 0])
    >>> wavy = EstimatorExpert(DecisionTreeRegressor(min_samples_leaf=5), cross_fit=5)
    >>> model = MoERegressor(2, expert=[wavy, "gaussian"], n_init=1, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.9
    True
    """

    is_monotone = False

    def __init__(
        self,
        estimator: Any,
        *,
        family: Any = "gaussian",
        weighting: str = "sample_weight",
        cross_fit: str | int = "auto",
        dispersion_prior: float | None = None,
        smoothing: float = 1e-3,
    ) -> None:
        self.estimator = estimator
        self.family = family
        self.weighting = weighting
        self.cross_fit = cross_fit
        self.dispersion_prior = dispersion_prior
        self.smoothing = smoothing

    @property
    def title(self) -> str:
        return title_of(self.estimator)

    @property
    def name(self) -> str:  # type: ignore[override]  # that of the estimator
        return self.title

    @property
    def target(self) -> str:  # type: ignore[override]  # by the kind of estimator
        is_for_classes = is_estimator(self.estimator) and is_classifier(self.estimator)
        return "classes" if is_for_classes else "regression"

    def check_options(self) -> None:
        if not is_estimator(self.estimator):
            raise ValueError(
                "The 'estimator' parameter of EstimatorExpert must be an estimator with fit, "
                f"predict and get_params. Got {shown(self.estimator)} instead."
            )
        folds: Any = self.cross_fit
        is_folds = is_whole(folds) and int(folds) != 1 and int(folds) >= 0
        rules = {
            "weighting": (is_word(self.weighting, WEIGHTINGS), "'sample_weight' or 'resample'"),
            "cross_fit": (
                is_folds or is_word(self.cross_fit, ("auto",)),
                "'auto', 0, or an int of at least 2",
            ),
            "dispersion_prior": (
                self.dispersion_prior is None
                or (is_real(self.dispersion_prior) and 0.0 <= self.dispersion_prior < np.inf),
                "None or a float in the range [0, inf)",
            ),
            "smoothing": (
                is_real(self.smoothing) and 0.0 < self.smoothing < 1.0,
                "a float between 0 and 1",
            ),
        }
        for name, (is_valid, wanted) in rules.items():
            if not is_valid:
                raise ValueError(
                    f"The {name!r} parameter of EstimatorExpert must be {wanted}. "
                    f"Got {shown(getattr(self, name))} instead."
                )
        if not is_classifier(self.estimator):
            resolve_family(self.family, "EstimatorExpert")

    def bind(self, setting: Setting) -> "EstimatorExpert":
        check_weighting(self.estimator, self.weighting, setting.where, "mixexp.EstimatorExpert")
        bound = EstimatorExpert(**self.get_params(deep=False))
        bound._setting = setting
        if is_classifier(self.estimator):
            if not has_probabilities(self.estimator):
                raise ValueError(
                    f"{self.title}, {setting.where}, has no predict_proba, which an expert for "
                    "classes needs; wrap it in CalibratedClassifierCV."
                )
            assert setting.classes is not None
            bound.n_classes = len(setting.classes)
        else:
            bound._family = resolve_family(self.family, "EstimatorExpert")
        return bound

    # What EM asks.

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        return [(rows.X, rows.y, weight)]

    def m_step(self, params: Around | None, stats: Any) -> Around:
        X, y, weight = map(np.concatenate, zip(*stats, strict=True))
        digest = hash(weight.tobytes())
        if not self.n_classes:
            weight = self._in_support(y, weight)
        if params is not None and (digest == params.digest or not weight.max() > 0.0):
            return params
        rows = counted_rows(weight)
        table, y, weight = as_table(X[rows], self._setting.feature_names), y[rows], weight[rows]
        n_fits = 0 if params is None else params.n_fits + 1
        with Told(f"{self.title}, {self._setting.where}, in its fit number {n_fits} of a start"):
            predictor = self._fit(table, y, weight)
            if self.n_classes:
                return Around(predictor, np.nan, np.nan, n_fits, digest)
            location = self._held_out(predictor, table, y, weight)
        anchor = None if params is None else params.anchor
        log_dispersion = self._log_dispersion(y, location, weight, anchor)
        return Around(
            predictor, log_dispersion, log_dispersion if anchor is None else anchor, n_fits, digest
        )

    def _fit(self, table: Any, y: np.ndarray, weight: np.ndarray) -> Any:
        if self.n_classes:
            y = y.astype(np.int64)
            if y.min() == y.max():  # nothing to be told apart, which some refuse to fit
                return int(y[0])
        return fit_weighted(self.estimator, table, y, weight, self.weighting)

    def _held_out(
        self, predictor: Any, table: Any, y: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Return locations of the rows of a fit, by copies that have not seen them if need be."""
        n_folds = self.cross_fit
        if n_folds == "auto":
            n_folds = 0 if _has_coefficients(predictor) else _N_FOLDS
        if int(n_folds) == 0 or len(y) < 2 * int(n_folds):
            return self._predicted(predictor, table, len(y))
        fold, out = np.arange(len(y)) % int(n_folds), np.empty(len(y))
        for number in range(int(n_folds)):
            own, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            copy = self._fit(take_rows(table, rest), y[rest], weight[rest])
            out[own] = self._predicted(copy, take_rows(table, own), len(own))
        return out

    def _predicted(self, predictor: Any, table: Any, n_rows: int) -> np.ndarray:
        found = check_predicted(
            predictor.predict(table), (n_rows,), self.title, self._setting.where
        )
        return location_of_mean(self._family, found)

    def _location(self, predictor: Any, rows: SubmodelRows) -> np.ndarray:
        return self._predicted(
            predictor, as_table(rows.X, self._setting.feature_names), len(rows.X)
        )

    # Classes.

    def _probabilities(self, predictor: Any, X: np.ndarray) -> np.ndarray:
        """Return probabilities of all classes, shape (rows, n_classes)."""
        out = np.zeros((len(X), self.n_classes))
        if isinstance(predictor, int):
            out[:, predictor] = 1.0
        else:
            table, known = as_table(X, self._setting.feature_names), predictor.classes_
            out[:, known] = check_predicted(
                predictor.predict_proba(table),
                (len(X), len(known)),
                self.title,
                self._setting.where,
            )
        return (1.0 - self.smoothing) * out + self.smoothing / self.n_classes

    def log_terms(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        if not self.n_classes:
            return super().log_terms(params, rows)
        assert rows.y is not None
        proba = self._probabilities(params.predictor, rows.X)
        return np.log(proba[np.arange(len(proba)), rows.y.astype(np.int64)])

    def mean(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        if not self.n_classes:
            return super().mean(params, rows)
        return self._probabilities(params.predictor, rows.X).T


def _has_coefficients(fitted: Any) -> bool:
    """Tell whether a fitted estimator is linear, and so learns no row by heart."""
    inner = fitted.steps[-1][1] if isinstance(fitted, Pipeline) else fitted
    for name in _FITTED_INNER:
        if hasattr(inner, name):
            return _has_coefficients(getattr(inner, name))
    return hasattr(inner, "coef_")
