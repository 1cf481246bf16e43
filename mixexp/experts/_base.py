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

from mixexp.arguments import is_in_range, is_whole, is_word
from mixexp.experts._docs import contract_docs
from mixexp.experts._quantile import invert_cdf, least_integer
from mixexp.experts._tail import integrate_survival, limit_mean, log_tail
from mixexp.experts._units import Unit, units_of
from mixexp.links import capped_exp
from mixexp.text import shown

Heads = tuple[np.ndarray, ...]
# Second derivatives of the log density by pair of heads (a, b), a <= b; absent means zero.
Curvature = dict[tuple[int, int], np.ndarray]

#: Bound of the intercepts of log-odds. An expert whose rows are all of one class would go on to
#: infinity; here its curvature, 1e-217, is still a number. Not tighter, for a steep boundary far
#: from the centre of the features has a large intercept too.
LARGEST_LOG_ODDS = 500.0

#: log of the least dispersion, 1e-10, relative to its anchor: a standard deviation of 1e-5 of
#: the pooled one. Only fits that are exact to five digits, or meaningless, come here.
LOG_DISPERSION_FLOOR = -10.0 * math.log(10.0)


#: Classes have log-odds each, and curvatures in pairs.
MOST_CLASSES = 10_000

# A subclass that defines one of these has another density, or other derivatives.
_MAKES_DENSITY = ("log_kernel", "derivatives", "mean", "location_mean", "link_function")


def keeps_methods(family: Any, base: type, names: Sequence[str]) -> bool:
    """Tell whether a family has methods as a base wrote them, whose shortcut is then its own."""
    return all(getattr(type(family), name) is getattr(base, name) for name in names)


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
    at_lower, at_upper : str
        The family that an expert has become at that bound, if it is one with a name.
    unit : Unit or None
        How the head changes with the unit of y. Where no head of a family says so, it is found by
        trial: see `Expert.units`.
    """

    name: str
    kind: str
    lower: float = -math.inf
    upper: float = math.inf
    at_lower: str = ""
    at_upper: str = ""
    unit: Unit | None = None


class Derivatives(NamedTuple):
    """Derivatives of the log density with respect to the heads.

    Parameters
    ----------
    score : tuple of ndarray of shape (..., rows)
        First derivatives, one per head.
    curvature : dict
        Non-negative curvature by pair of heads: minus the second derivative or its
        expectation.
    """

    score: Heads
    curvature: Curvature


@contract_docs
class Expert(BaseEstimator):
    """Base of all expert families.

    Options are stored untouched; `check_options` looks at them.

    Conventions for every method: ``y`` has shape (rows,), ``heads`` is a tuple with one
    array per head, each of shape (..., rows) or (..., 1) where it does not vary over rows,
    logarithms are natural, and results have shape (..., rows). A method states what differs.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A shortcut belongs to the density that it was written for.
        is_redefined = any(name in vars(cls) for name in _MAKES_DENSITY)
        if is_redefined and "evaluate" not in vars(cls):
            cls.evaluate = Expert.evaluate  # type: ignore[method-assign]
        if is_redefined or "observed_curvature" in vars(cls):
            cls.has_observed_curvature = bool(vars(cls).get("has_observed_curvature", False))

    name: ClassVar[str]
    #: Target it is for: "regression", "binary" or "classes".
    target: ClassVar[str] = "regression"
    #: Values of the option ``link``, the default first; empty for families without a link.
    links: ClassVar[tuple[str, ...]] = ()
    #: Whether y takes integer values only, so that densities are probabilities.
    is_discrete: ClassVar[bool] = False
    #: Whether y may be counts of several trials: an array (2, rows) of successes and trials.
    uses_trials: ClassVar[bool] = False
    #: Whether the classes have an order that the density goes by.
    has_ordered_classes: ClassVar[bool] = False
    #: Whether it is there for rows that no other expert explains, and predictions may leave it out.
    is_noise: ClassVar[bool] = False
    #: Whether the log density has a curvature to tell standard errors by; not if it has a kink.
    is_smooth: ClassVar[bool] = True

    #: Whether the curvature of `derivatives` is the observed one: a link that is canonical. A
    #: subclass that has another density, or derivatives, does not inherit it.
    has_observed_curvature: ClassVar[bool] = False

    #: Whether it is of several targets at once, see `JointExpert`.
    has_outputs: ClassVar[bool] = False

    #: Whether `mean_distance` is there.
    has_mean_distance: ClassVar[bool] = False

    @property
    def takes_error(self) -> bool:
        """Whether `with_error` is written: missing features can then be integrated out, exactly."""
        return False

    def with_error(self, heads: Heads, variance: np.ndarray) -> Heads:
        """Return the heads of y's density where the location has a normal error beside.

        Parameters
        ----------
        heads : tuple of ndarray of shape (experts, rows) or (experts, 1)
        variance : ndarray of shape (experts, rows)
            Of the error, at least 0.
        """
        raise NotImplementedError

    @property
    def moving_heads(self) -> tuple[int, ...]:
        """Numbers of the locations whose errors `widened` takes.

        The one that moves y, of a family with the logarithm of a scale; none of others.
        """
        units = self.units
        moving = tuple(h for h, unit in enumerate(units) if unit.moves)
        return moving if len(moving) == 1 and self._scale_head is not None else ()

    @property
    def _scale_head(self) -> int | None:
        """The dispersion that is a multiple of the logarithm of y's scale, if there is one."""
        for h, (head, unit) in enumerate(zip(self.heads, self.units, strict=True)):
            if head.kind == "dispersion" and unit.log_power > 0.0:
                return h
        return None

    def widened(self, heads: Heads, errors: Sequence[np.ndarray]) -> Heads:
        """Return the heads of a y that is less certain by errors of its locations.

        The default adds the square of an error to the square of the scale. For Gaussian y that is
        an independent normal error. For others, for which that has no closed form, the error is of
        the same shape as y and as far in its tails when y is; a location stays where it is.

        Parameters
        ----------
        heads : tuple of ndarray of shape (experts, rows) or (experts, 1)
        errors : sequence of ndarray of shape (experts, rows)
            Of each of the `moving_heads`, in the unit of y; where all are 0, heads are the same.

        Returns
        -------
        tuple of ndarray of shape (experts, rows) or (experts, 1)
        """
        at = self._scale_head
        assert at is not None  # else there is no head whose error is asked
        half = 0.5 * self.units[at].log_power
        grown = half * np.log1p(np.square(errors[0]) * capped_exp(-heads[at] / half))
        return (*heads[:at], heads[at] + grown, *heads[at + 1 :])

    @property
    def support_limits(self) -> tuple[float, float]:
        """Limits of y, where its cdf is 0 below the first and 1 at the second."""
        return -math.inf, math.inf

    @property
    def units(self) -> tuple[Unit, ...]:
        """How each head changes with the unit of y.

        As heads declare it. If none does, the common ones are tried on the density itself; where
        none of them fits, the family is fitted to y as it is given.
        """
        return units_of(self)

    @property
    def is_location_scale(self) -> bool:
        """Whether a shift and scale of y shifts and scales the location."""
        return any(unit.moves for unit in self.units)

    @property
    def has_mean_deviance_dispersion(self) -> bool:
        """Whether a Fisher step for the location is exact, and the dispersion mean deviance.

        EM then needs no Newton step for the dispersion.
        """
        return False

    @property
    def heads(self) -> tuple[Head, ...]:
        """The linear predictors, location first."""
        raise NotImplementedError

    @property
    def shares_dispersion(self) -> bool:
        """Whether all experts of this family have one dispersion."""
        return bool(getattr(self, "dispersion", "own") == "shared")

    @property
    def known_dispersion(self) -> float | None:
        """The dispersion, in the unit of y, if it is given and not to be estimated."""
        dispersion = getattr(self, "dispersion", "own")
        return None if isinstance(dispersion, str) else float(dispersion)

    def shares_head(self, h: int) -> bool:
        """Return whether all experts of this family have one set of coefficients of a head."""
        return self.shares_dispersion and self.heads[h].kind == "dispersion"

    def known_dispersion_of(self, h: int) -> float | None:
        """Return the dispersion of a head, in the unit of y, if it is given."""
        known = self.known_dispersion
        return known if known is not None and self.heads[h].kind == "dispersion" else None

    @property
    def has_dispersion(self) -> bool:
        """Whether there is a dispersion, known or estimated, with a head of its own."""
        return any(head.kind == "dispersion" for head in self.heads)

    def check_options(self) -> None:
        """Check the options, which the constructor only stores.

        Raises
        ------
        ValueError
            If an option has a value that the family does not know.
        """
        if self.links:
            self._check_choice("link", self.links)
        dispersion = getattr(self, "dispersion", "own")
        if not is_word(dispersion, ("own", "shared")):
            is_valid = is_in_range(dispersion, 0.0, math.inf)
            self._check_range("dispersion", is_valid, "'own', 'shared' or a positive number")
        if hasattr(self, "n_classes"):
            is_valid = is_whole(self.n_classes) and 2 <= self.n_classes <= MOST_CLASSES
            self._check_range("n_classes", is_valid, f"an int in the range [2, {MOST_CLASSES}]")

    def _check_choice(self, option: str, allowed: Sequence[Any]) -> None:
        value = getattr(self, option)
        if not is_word(value, allowed):
            raise ValueError(
                f"The {option!r} option of the {self.name} expert must be one of "
                f"{list(allowed)}. Got {shown(value)} instead."
            )

    def _check_range(self, option: str, is_valid: bool, expected: str) -> None:
        if not is_valid:
            raise ValueError(
                f"The {option!r} option of the {self.name} expert must be {expected}. "
                f"Got {shown(getattr(self, option))} instead."
            )

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> "Expert":
        """Return the family with options that stand for "from the data" filled in.

        Called once per fit, first of all, on the raw y; the returned family fits and predicts.
        """
        return self

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

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        """Return `log_kernel` and `derivatives`, for families that find them in one go.

        A subclass that has another ``log_kernel``, ``derivatives`` or mean does not inherit it.
        """
        return self.log_kernel(y, heads), self.derivatives(y, heads)

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
        raise NotImplementedError(
            f"The {self.name} expert has no variance; write its method 'variance'."
        )

    def cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the probability of a value of at most y."""
        raise NotImplementedError(
            f"The {self.name} expert has no distribution function; write its method 'cdf' for "
            "quantiles, intervals and scores of them."
        )

    def survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the probability of a value above y, with its digits where it is small.

        The default, one less the cdf, has none beyond 1e-16.
        """
        return 1.0 - self.cdf(y, heads)

    def log_cdf(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of `cdf`; the default continues it below the smallest number."""
        return log_tail(self, self.cdf(y, heads), y, heads, -1.0)

    def log_survival(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the log of `survival`; the default continues it below the smallest number."""
        return log_tail(self, self.survival(y, heads), y, heads, 1.0)

    @property
    def atoms(self) -> tuple[float, ...]:
        """Values that have a probability of their own, beside integers where y is discrete."""
        return ()

    def has_mass(self, y: np.ndarray) -> np.ndarray:
        """Return where y has a probability of its own, as a boolean array."""
        if self.atoms:
            return np.isin(y, self.atoms)
        if self.is_discrete:
            return ~self.find_unsupported(y)
        return np.zeros(y.shape[-1:], dtype=bool)

    def bracket(self, q: np.ndarray, heads: Heads) -> tuple[np.ndarray, np.ndarray]:
        """Return values that the quantile lies between, which a mixture's search starts from."""
        quantile = self.quantile(q, heads)
        return quantile, quantile

    def expected_excess(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the mean of ``max(Y - y, 0)``; the default integrates the survival function."""
        return integrate_survival(self, y, heads)

    def limited_mean(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the mean of ``min(Y, y)``, also where the mean of Y is infinite."""
        return limit_mean(self, y, heads)

    def mean_distance(self, heads: Heads, others: Heads) -> np.ndarray:
        """Return the mean distance of y from an independent y at other heads."""
        raise NotImplementedError

    def quantile(self, q: np.ndarray, heads: Heads) -> np.ndarray:
        """Return the least y whose cdf reaches q; the default searches."""
        q = np.broadcast_to(q, np.broadcast_shapes(np.shape(q), *(head.shape for head in heads)))
        search = least_integer if self.is_discrete else invert_cdf
        return search(lambda y: self.cdf(y, heads), q, *self.support_limits)

    def reflections(self, heads: Heads) -> Sequence[Heads]:
        """Return heads that lean to another side, to which EM does not cross over."""
        return ()

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        """Draw one y per element of the location."""
        raise NotImplementedError(
            f"The {self.name} expert cannot draw y; write its method 'sample'."
        )

    def sample_rows(self, heads: Heads, rng: np.random.Generator, n_rows: int) -> np.ndarray:
        """Draw y for n_rows rows, shape (..., n_rows), also where heads do not vary."""
        spread = (np.broadcast_to(head, (*head.shape[:-1], n_rows)) for head in heads)
        return self.sample(tuple(spread), rng)

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
