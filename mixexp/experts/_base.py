"""The contract of an expert family, and the registry of their names.

A family is a density of y given a few linear predictors, its *heads*: the location and,
where there is one, the log dispersion. It holds options (a link, shared dispersion) but
nothing learned, and works elementwise on arrays of shape (..., rows), so that all experts
of one family are evaluated in one call. What the coefficients of the heads are, where
responsibilities come from and how anything is maximised is no concern of a family.

To add one: a file with one subclass of `Expert`, and its name in ``experts/__init__.py``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from mixexp.experts._quantile import invert_cdf, least_integer

Heads = tuple[np.ndarray, ...]
# Second derivatives of the log density by pair of heads (a, b), a <= b; absent means zero.
Curvature = dict[tuple[int, int], np.ndarray]

#: log of the least dispersion, 1e-10, relative to its anchor: a standard deviation of 1e-5 of
#: the pooled one. Only fits that are exact to five digits, or meaningless, come here.
LOG_DISPERSION_FLOOR = -10.0 * math.log(10.0)


class Head(NamedTuple):
    """A linear predictor of a family.

    Parameters
    ----------
    name : str
        What it predicts, for tables: "location", "log_dispersion", ...
    kind : {"location", "dispersion", "shape"}
        Which features it may look at: those of the experts, those of the dispersion (by
        default none), or none but the intercept. A dispersion head is a logarithm.
    lower, upper : float
        Bounds of the intercept, which keep fits to degenerate data finite.
    """

    name: str
    kind: str
    lower: float = -math.inf
    upper: float = math.inf


class Derivatives(NamedTuple):
    """Derivatives of the log density with respect to the heads.

    Parameters
    ----------
    score : tuple of ndarray
        First derivatives, one per head.
    curvature : dict
        Non-negative curvature by pair of heads: minus the second derivative or its
        expectation.
    """

    score: Heads
    curvature: Curvature


class Expert(BaseEstimator):
    """Base of all expert families.

    Conventions for every method: ``y`` has shape (rows,), ``heads`` is a tuple with one
    array per head, each of shape (..., rows) or (..., 1) where it does not vary over rows,
    logarithms are natural, and results have shape (..., rows).
    """

    name: ClassVar[str]
    #: Target it is for: "regression", "binary" or "classes".
    target: ClassVar[str] = "regression"
    #: Shifting and scaling y shifts and scales the location and nothing else.
    is_location_scale: ClassVar[bool] = False
    #: Given the location, the best dispersion is the mean deviance: no Newton step needed.
    has_mean_deviance_dispersion: ClassVar[bool] = False

    @property
    def heads(self) -> tuple[Head, ...]:
        """The linear predictors, location first."""
        raise NotImplementedError

    @property
    def shares_dispersion(self) -> bool:
        """Whether all experts of this family have one dispersion."""
        return False

    @property
    def has_dispersion(self) -> bool:
        return any(head.kind == "dispersion" for head in self.heads)

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        """Return where y lies outside of the support, as a boolean array."""
        return ~np.isfinite(y)

    #: The support in words, for error messages.
    support: ClassVar[str] = "finite"

    def log_base(self, y: np.ndarray) -> np.ndarray | float:
        """Return the part of the log density that depends on y alone."""
        return 0.0

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log density without the part that depends on y alone."""
        raise NotImplementedError

    def log_density(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log density of y, or its log probability where y is discrete."""
        return self.log_kernel(y, heads) + self.log_base(y)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        """Return the score of each head and the curvature used by EM steps."""
        raise NotImplementedError

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        """Return minus the second derivatives at y; the default is that of EM steps."""
        return self.derivatives(y, heads).curvature

    def mean(self, heads: Heads) -> np.ndarray:
        """Return the mean of y; for classes, probabilities with a leading class axis."""
        raise NotImplementedError

    def predict(self, heads: Heads) -> np.ndarray:
        """Return what users are told: the mean, or probabilities, classes in the first axis."""
        return self.mean(heads)

    def variance(self, heads: Heads) -> np.ndarray:
        """Return the variance of y."""
        raise NotImplementedError

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the probability of a value of at most y."""
        raise NotImplementedError

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the least y whose cdf reaches q."""
        raise NotImplementedError

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        """Draw one y per element of the heads."""
        raise NotImplementedError

    def location_coef(self, coefs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the location's coefficients as users see them.

        Parameters
        ----------
        coefs : sequence of ndarray of shape (n, p)
            One per location head.

        Returns
        -------
        ndarray of shape (n, p), or (n, n_classes, p) for class logits
        """
        return coefs[0]

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        """Return a value for each head, as if y did not depend on features."""
        raise NotImplementedError


class Registry(Mapping[str, type[Expert]]):
    """Expert families by name."""

    def __init__(self, *families: type[Expert]) -> None:
        self._families = {family.name: family for family in families}

    def __getitem__(self, name: str) -> type[Expert]:
        return self._families[name]

    def __iter__(self) -> Any:
        return iter(self._families)

    def __len__(self) -> int:
        return len(self._families)
