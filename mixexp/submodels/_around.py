"""Experts whose location someone else predicts: a family's density around it."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator

from mixexp.experts import FAMILIES, Expert, Gaussian
from mixexp.submodel import Setting, Submodel, SubmodelRows
from mixexp.text import shown

# A variance is not taken below this share of the pooled one: rows that are met exactly.
_LEAST_RATIO = 1e-10
# Log dispersions of other families are looked for within this distance of the pooled one.
_FURTHEST = 12.0
# A family is told by its mean if one that is made of this mean has it.
_TRIED_MEAN = 0.75


class Around(NamedTuple):
    """Parameters of an expert around a prediction; never changed in place.

    Parameters
    ----------
    predictor : object
        What predicts the mean, or the probabilities of classes.
    log_dispersion : float
        Log of the dispersion of y around it, in the unit of y; NaN where there is none.
    anchor : float
        That of one expert for all rows, which the prior pulls to.
    n_fits : int
        How often it has been fitted.
    digest : int
        Tells the weights of the last fit.
    """

    predictor: Any
    log_dispersion: float
    anchor: float
    n_fits: int = 0
    digest: int = 0

    @property
    def dispersion(self) -> float:
        """Dispersion of y around the prediction."""
        return float(np.exp(self.log_dispersion))


def resolve_family(family: Any, title: str) -> Expert:
    """Return a family that has a location and at most a dispersion, from its name or itself.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = FAMILIES[family]() if isinstance(family, str) and family in FAMILIES else family
    if isinstance(found, Expert):
        found.check_options()
    if not isinstance(found, Expert) or not _is_told_by_mean(found):
        names = sorted(name for name, known in FAMILIES.items() if _is_told_by_mean(known()))
        raise ValueError(
            f"The 'family' parameter of {title} must be one of {names}, or such a family: a mean "
            f"and at most a dispersion. Got {shown(family)} instead."
        )
    return found


def _is_told_by_mean(family: Expert) -> bool:
    """Tell whether a mean and a dispersion are all that a family has."""
    kinds = [head.kind for head in family.heads]
    is_number = family.target == "regression" and not family.uses_trials
    if not is_number or kinds not in (["location"], ["location", "dispersion"]):
        return False
    link = getattr(family, "link_function", None)
    if link is not None and link.name not in ("identity", "log"):
        return False
    location = location_of_mean(family, np.full((1, 1), _TRIED_MEAN))
    return bool(np.allclose(family.mean((location, np.zeros((1, 1)))[: len(kinds)]), _TRIED_MEAN))


class AroundExpert(Submodel, BaseEstimator):
    """An expert with a family's density around a prediction.

    Subclasses say what predicts, `_location`, and how it is fitted.
    """

    sees_raw = True
    uses_offset = False
    dispersion_prior: float | None
    _family: Expert = Gaussian()
    _setting: Setting = Setting("an expert", None, 0, None)

    @property
    def _pseudo_rows(self) -> float:
        """Pseudo-rows of the prior on the dispersion."""
        if self.dispersion_prior is None:
            return min(self._setting.dispersion_prior, 1.0)
        return self.dispersion_prior

    def _location(self, predictor: Any, rows: SubmodelRows) -> np.ndarray:
        """Return the linear predictor of the family, shape (rows,)."""
        raise NotImplementedError

    def _heads(self, params: Around, rows: SubmodelRows) -> tuple[np.ndarray, ...]:
        location = self._location(params.predictor, rows)[None]
        if not self._family.has_dispersion:
            return (location,)
        return location, np.full((1, 1), params.log_dispersion)

    def _in_support(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return the weights, zero where y cannot be of the family.

        Raises
        ------
        ValueError
            If no row is left.
        """
        is_outside = self._family.find_unsupported(y)
        if is_outside.all():
            raise ValueError(
                f"No row of y is {self._family.support}, which {self.title}, "
                f"{self._setting.where}, needs with family={self._family.name!r}; use another "
                "family."
            )
        return np.where(is_outside, 0.0, weight)

    def log_terms(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        assert rows.y is not None
        is_outside = self._family.find_unsupported(rows.y)
        y = np.where(is_outside, 1.0, rows.y)  # which is in all supports
        return np.where(
            is_outside, -np.inf, self._family.log_density(y, self._heads(params, rows))[0]
        )

    @property
    def measure(self) -> Any:
        return self._family if self.target == "regression" else self

    def mean(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        return self._family.predict(self._heads(params, rows)).reshape(-1, len(rows.X))

    def density_at(
        self, params: Around, rows: SubmodelRows
    ) -> tuple[Expert, tuple[np.ndarray, ...]]:
        return self._family, self._heads(params, rows)

    def is_cut(self, params: Around, rows: SubmodelRows) -> np.ndarray:
        """Return where what is predicted is no mean that the family may have.

        Parameters
        ----------
        params : Around
        rows : SubmodelRows

        Returns
        -------
        ndarray of bool of shape (rows,)
        """
        if self.target != "regression" or not _needs_positive(self._family):
            return np.zeros(len(rows.X), dtype=bool)
        least = location_of_mean(self._family, np.zeros(1))[0]
        return np.asarray(self._location(params.predictor, rows) <= least)

    def log_prior(self, params: Around) -> float:
        if np.isnan(params.log_dispersion) or self._pseudo_rows == 0.0:
            return 0.0
        away = params.anchor - params.log_dispersion
        return -0.5 * self._pseudo_rows * float(params.log_dispersion + np.exp(away))

    def _log_dispersion(
        self, y: np.ndarray, location: np.ndarray, weight: np.ndarray, anchor: float | None
    ) -> float:
        """Return the log dispersion that explains some rows best, with its prior.

        Without an anchor it is that of one expert for all rows, and has no prior.
        """
        family, known = self._family, self._family.known_dispersion
        if not family.has_dispersion:
            return np.nan
        if known is not None:
            return float(np.log(known))
        rows = 0.0 if anchor is None else self._pseudo_rows
        if isinstance(family, Gaussian) and family.link == "identity":
            return _gaussian_log_dispersion(y - location, weight, anchor, rows)
        start = family.start(y, weight)[1] if anchor is None else anchor

        def loss(u: float) -> float:
            log_density = family.log_density(y, (location[None], np.full((1, 1), u)))[0]
            prior = 0.5 * rows * (u + np.exp(start - u))
            return float(prior - weight @ np.maximum(log_density, -1e100))

        bounds = start - _FURTHEST, start + _FURTHEST
        return float(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _gaussian_log_dispersion(
    residual: np.ndarray, weight: np.ndarray, anchor: float | None, rows: float
) -> float:
    share = weight / weight.sum()
    largest = float(np.abs(residual).max()) or 1.0
    square = largest**2 * float(share @ (residual / largest) ** 2)
    if anchor is None:
        return float(np.log(max(square, np.finfo(float).tiny)))
    pooled = np.exp(anchor)
    square = (weight.sum() * square + rows * pooled) / (weight.sum() + rows)
    return float(np.log(max(square, _LEAST_RATIO * pooled, np.finfo(float).tiny)))


def location_of_mean(family: Expert, mean: np.ndarray) -> np.ndarray:
    """Return the linear predictor of a mean, cut where a link needs it positive."""
    if not _needs_positive(family):
        return mean
    positive = np.maximum(mean, np.finfo(float).tiny)
    return np.asarray(family.link_function.predictor(positive))  # type: ignore[attr-defined]


def _needs_positive(family: Expert) -> bool:
    link = getattr(family, "link_function", None)
    return link is not None and link.name != "identity"
