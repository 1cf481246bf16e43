"""Experts that were fitted elsewhere: they take part, and are not refitted."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import as_finite, is_real
from mixexp.experts import FAMILIES, Expert
from mixexp.submodel import Setting, SubmodelRows
from mixexp.submodels._around import Around, AroundExpert, location_of_mean, resolve_family
from mixexp.submodels._learning import Memory, as_table, check_predicted, is_estimator, title_of
from mixexp.text import shown


class Frozen(AroundExpert):
    """An expert that was fitted elsewhere, and stays as it is.

    Gates and other experts are fitted beside it: with frozen experts alone that is stacking with
    weights that depend on x.

    Parameters
    ----------
    model : fitted estimator, str or Expert
        A regressor or classifier, of which nothing is copied or changed; or a family, for a linear
        predictor with known coefficients.
    coef : array-like of shape (n_expert_features,), default=None
        Of a family: slopes per unit of each feature.
    intercept : float, default=0.0
        Of a family.
    family : str or Expert, default="gaussian"
        Density of y around what a regressor predicts: a family with a mean and at most a
        dispersion.
    dispersion : float, default=None
        Dispersion of y, for Gaussian ones the variance in squared units of y; None to estimate it
        from the rows that the expert is responsible for. Of an estimator that was fitted to the
        same rows it is then too small: give that of rows that were held out, or fit to such.
    dispersion_prior : float, default=None
        Pseudo-rows that pull an estimated dispersion to that of this expert on all rows; None for
        that of the model, one at the most.
    smoothing : float, default=1e-3
        Of a classifier: share of an equal probability for all classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from mixexp import Frozen, MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> right = LinearRegression().fit(x[100:], y[100:])
    >>> left = Frozen("gaussian", coef=[-1.0])
    >>> model = MoERegressor(2, expert=[left, Frozen(right)], random_state=0).fit(x, y)
    >>> model.predict([[-0.5], [0.5]]).round(1)
    array([0.5, 0.5])
    """

    _memory = Memory()  # of one that is not bound, and so never asked

    def __init__(
        self,
        model: Any,
        coef: Any = None,
        intercept: float = 0.0,
        *,
        family: Any = "gaussian",
        dispersion: float | None = None,
        dispersion_prior: float | None = None,
        smoothing: float = 1e-3,
    ) -> None:
        self.model = model
        self.coef = coef
        self.intercept = intercept
        self.family = family
        self.dispersion = dispersion
        self.dispersion_prior = dispersion_prior
        self.smoothing = smoothing

    def __sklearn_clone__(self) -> "Frozen":
        """Return itself: a clone would not be fitted."""
        return self

    @property
    def _is_estimator(self) -> bool:
        return is_estimator(self.model)

    @property
    def title(self) -> str:
        return f"Frozen({title_of(self.model) if self._is_estimator else self.name})"

    @property
    def name(self) -> str:  # type: ignore[override]  # that of what is frozen
        if self._is_estimator:
            return title_of(self.model)
        return self.model if isinstance(self.model, str) else str(getattr(self.model, "name", ""))

    @property
    def target(self) -> str:  # type: ignore[override]  # by the kind of estimator
        if self._is_estimator:
            return "classes" if is_classifier(self.model) else "regression"
        family = FAMILIES.get(self.model, self.model) if isinstance(self.model, str) else self.model
        return str(getattr(family, "target", "regression"))

    def check_options(self) -> None:
        prior, smoothing = self.dispersion_prior, self.smoothing
        if prior is not None and not (is_real(prior) and 0.0 <= prior < np.inf):
            raise ValueError(
                "The 'dispersion_prior' parameter of Frozen must be None or a float in the range "
                f"[0, inf). Got {shown(prior)} instead."
            )
        if not (is_real(smoothing) and 0.0 < smoothing < 1.0):
            raise ValueError(
                "The 'smoothing' parameter of Frozen must be a float between 0 and 1. "
                f"Got {shown(smoothing)} instead."
            )
        if self.dispersion is not None and not (
            is_real(self.dispersion) and 0.0 < self.dispersion < np.inf
        ):
            raise ValueError(
                "The 'dispersion' parameter of Frozen must be None or a positive number. "
                f"Got {shown(self.dispersion)} instead."
            )
        if self._is_estimator:
            self._check_estimator()
        else:
            self._check_coefficients()

    def _check_estimator(self) -> None:
        if self.coef is not None:
            raise ValueError(
                f"The 'coef' parameter of Frozen is for a family; {title_of(self.model)} has its "
                "own. Leave it out."
            )
        try:
            check_is_fitted(self.model)
        except NotFittedError as error:
            raise ValueError(
                f"Frozen({title_of(self.model)}) is not fitted; fit it first, or give the "
                "estimator itself as an expert, for EM to fit it."
            ) from error
        if is_classifier(self.model):
            if not hasattr(self.model, "predict_proba"):
                raise ValueError(
                    f"{self.title} has no predict_proba, which an expert for classes needs."
                )
        else:
            resolve_family(self.family, "Frozen")

    def _check_coefficients(self) -> None:
        if isinstance(self.model, type) or self._known_family() is None:
            raise ValueError(
                "The 'model' parameter of Frozen must be a fitted estimator, or a family of one "
                f"location and at most a dispersion. Got {shown(self.model)} instead."
            )
        if self.coef is None:
            raise ValueError(
                f"{self.title} needs coef=, one slope per feature that experts look at."
            )
        if as_finite(self.coef, "coef").ndim != 1 or not is_real(self.intercept):
            raise ValueError(
                f"{self.title} takes coef= of shape (n_features,) and a number as intercept=. Got "
                f"{shown(self.coef)} and {shown(self.intercept)}."
            )

    def _known_family(self) -> Expert | None:
        """Return the family of known coefficients, None if it is none that can have them."""
        is_name = isinstance(self.model, str) and self.model in FAMILIES
        family: Any = FAMILIES[self.model]() if is_name else self.model
        if not isinstance(family, Expert) or family.uses_trials:
            return None
        kinds = [head.kind for head in family.heads]
        return family if kinds in (["location"], ["location", "dispersion"]) else None

    def bind(self, setting: Setting) -> "Frozen":
        bound = Frozen(**self.get_params(deep=False))
        bound._setting, bound._memory = setting, Memory()
        classes = [] if setting.classes is None else setting.classes.tolist()
        if self.target != "regression":
            bound.n_classes = len(classes)
        if not self._is_estimator:
            family = self._known_family()
            assert family is not None
            bound._family = family
            _check_count(len(np.asarray(self.coef)), "coefficients", self.title, setting)
            return bound
        if not is_classifier(self.model):
            bound._family = resolve_family(self.family, "Frozen")
        elif unknown := set(self.model.classes_.tolist()) - set(classes):
            raise ValueError(
                f"{self.title}, {setting.where}, knows class {shown(sorted(unknown)[0])}, which y "
                f"does not hold; expected some of {classes}."
            )
        n_known = getattr(self.model, "n_features_in_", setting.n_features)
        _check_count(n_known, "features", self.title, setting)
        names = getattr(self.model, "feature_names_in_", None)
        if names is not None and setting.feature_names not in (None, list(names)):
            raise ValueError(
                f"{self.title}, {setting.where}, was fitted to features {list(names)}, and sees "
                f"{setting.feature_names} here; give these as expert_features, in that order."
            )
        if names is not None:
            bound._setting = setting._replace(feature_names=[str(name) for name in names])
        else:
            bound._setting = setting._replace(feature_names=None)
        return bound

    # What EM asks.

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        if self._has_known_dispersion:
            return []
        assert rows.y is not None
        return [(rows.y, self._location(None, rows), weight)]

    def m_step(self, params: Around | None, stats: Any) -> Around:
        if self._has_known_dispersion:
            given = np.nan if self.dispersion is None else float(np.log(float(self.dispersion)))
            return Around(None, given, np.nan)
        y, location, weight = map(np.concatenate, zip(*stats, strict=True))
        weight = self._in_support(y, weight)
        if not weight.max() > 0.0:
            assert params is not None
            return params
        anchor = None if params is None else params.anchor
        found = self._log_dispersion(y, location, weight, anchor)
        return Around(None, found, found if anchor is None else anchor)

    @property
    def _has_known_dispersion(self) -> bool:
        return self.dispersion is not None or not self._family.has_dispersion or self._has_classes

    @property
    def _has_classes(self) -> bool:
        return self._is_estimator and is_classifier(self.model)

    def log_prior(self, params: Around) -> float:
        return 0.0 if self._has_known_dispersion else super().log_prior(params)

    def _location(self, predictor: Any, rows: SubmodelRows) -> np.ndarray:
        if not self._is_estimator:
            # One column after another: the bits of a row do not depend on how many there are.
            total = np.full(len(rows.X), float(self.intercept))
            for slope, column in zip(np.asarray(self.coef, dtype=float), rows.X.T, strict=True):
                total = total + slope * column
            return total
        return location_of_mean(self._family, self._memory.recall(rows.X, lambda: self._ask(rows)))

    def _ask(self, rows: SubmodelRows) -> np.ndarray:
        """Return what the estimator predicts."""
        table = as_table(rows.X, self._setting.feature_names)
        found = self.model.predict_proba(table) if self._has_classes else self.model.predict(table)
        n_known = (len(self.model.classes_),) if self._has_classes else ()
        return check_predicted(found, (len(rows.X), *n_known), self.title, self._setting.where)

    def log_terms(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        if not self._has_classes:
            return super().log_terms(params, rows)
        assert rows.y is not None
        proba = self._probabilities(rows)
        return np.log(proba[np.arange(len(proba)), rows.y.astype(np.int64)])

    def mean(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        return self._probabilities(rows).T if self._has_classes else super().mean(params, rows)

    def _probabilities(self, rows: SubmodelRows) -> np.ndarray:
        """Return probabilities of all classes, shape (rows, n_classes)."""
        classes, known = self._setting.classes, list(self.model.classes_)
        assert classes is not None
        found = self._memory.recall(rows.X, lambda: self._ask(rows))
        out = np.zeros((len(rows.X), len(classes)))
        out[:, [list(classes).index(own) for own in known]] = found
        return (1.0 - self.smoothing) * out + self.smoothing / len(classes)


def _check_count(n_known: int, what: str, title: str, setting: Setting) -> None:
    """Refuse what is for another number of features."""
    if n_known != setting.n_features:
        raise ValueError(
            f"{title}, {setting.where}, has {n_known} {what}, and sees {setting.n_features} "
            "columns here; say which with expert_features."
        )
