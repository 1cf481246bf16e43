"""The distribution of y at some rows, as users see it: rows first, arrays checked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import is_real
from mixexp.data import cut_rows, run_blocks
from mixexp.distribution._arguments import (
    as_levels,
    as_values,
    check_coverage,
    check_kind,
    check_n_samples,
    seed_sequence,
)
from mixexp.distribution._block import BlockMixture, over_columns
from mixexp.distribution._conditional import ConditionalDistribution
from mixexp.distribution._conformal import (
    central_region,
    central_score,
    densest_region,
    densest_score,
)
from mixexp.distribution._crps import mixture_crps
from mixexp.distribution._docs import mixture_docs
from mixexp.distribution._quantile import mixture_quantile
from mixexp.distribution._regions import densest_regions, mixture_modes
from mixexp.text import shown

Array = np.ndarray


class Variance(NamedTuple):
    """A variance by the law of total variance, each part an ndarray of shape (n,).

    Parameters
    ----------
    total : ndarray of shape (n,)
        ``within + between``, in squared units of y.
    within : ndarray of shape (n,)
        Mean over experts of their variances: the noise.
    between : ndarray of shape (n,)
        Variance of the experts' means: what is not known of who is responsible.
    """

    total: Array
    within: Array
    between: Array


@mixture_docs
class MixtureDistribution:
    """Distribution of y at n rows, a mixture of the experts' distributions; immutable.

    Made by ``predict_dist``. Every method is vectorised over rows. Values of y are given as a
    number, as (n,), one per row, or as a matrix (n, m), or (1, m) for the same grid in every
    row; quantile levels as a number, as (m,) for all rows, or as such a matrix. A number or
    (n,) gives back (n,), all else (n, m).

    Parameters
    ----------
    blocks : sequence of BlockMixture
        Blocks of rows, in the partition of `mixexp.data.cut_rows`.
    n_rows : int
    n_threads : int

    Notes
    -----
    Where an expert gives single values a probability (counts, a point mass, Tweedie's zero),
    ``pdf`` adds that probability, so that for counts it is the probability of y, as
    ``log_density`` of the estimator. Blocks of some thousand rows are worked on at a time,
    whatever n is.

    References
    ----------
    Hyndman (1996), Computing and graphing highest density regions, Am. Statist. 50.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.02 * np.sin(50.0 * x[:, 0])
    >>> dist = MoERegressor(n_experts=2, random_state=0).fit(x, y).predict_dist([[0.5], [-1.0]])
    >>> dist.ppf([0.1, 0.5, 0.9]).round(2)
    array([[0.48, 0.5 , 0.52],
           [0.98, 1.  , 1.02]])
    >>> np.abs(dist.cdf(dist.ppf(0.9)) - 0.9).max() < 1e-10
    np.True_
    """

    def __init__(self, blocks: Sequence[BlockMixture], n_rows: int, n_threads: int = 1) -> None:
        self._blocks = blocks
        self._rows = cut_rows(n_rows)
        self._n_threads = n_threads

    def __len__(self) -> int:
        return self._rows[-1].stop

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)} rows"

    def frozen(self) -> "MixtureDistribution":
        """Return the same with all blocks evaluated and kept."""
        return MixtureDistribution(self.blocks(), len(self), self._n_threads)

    def blocks(self) -> list[BlockMixture]:
        """Return the mixtures of all blocks of rows."""
        return self._map(lambda at: self._blocks[at])

    def experts(self) -> list["MixtureDistribution"]:
        """Return what each expert alone says of y, from left to right, whoever is responsible."""
        by_block = self._map(lambda at: self._blocks[at].experts())
        return [
            MixtureDistribution(blocks, len(self), self._n_threads)
            for blocks in zip(*by_block, strict=True)
        ]

    # Moments.

    def mean(self) -> Array:
        """Return the mean of y, shape (n,), in its unit."""
        return self._over_blocks(BlockMixture.mean)

    def var(self) -> Array:
        """Return the variance of y, shape (n,); infinite where an expert's is."""
        return self.variance().total

    def std(self) -> Array:
        """Return the standard deviation of y, shape (n,)."""
        return np.sqrt(self.var())

    def variance(self) -> Variance:
        """Return the variance with its two parts, within and between experts."""
        within, between = self._over_blocks(lambda block: np.column_stack(block.variances())).T
        return Variance(within + between, within, between)

    def gate_entropy(self) -> Array:
        """Return the entropy of the gate, shape (n,), natural log: 0 where one expert is sure."""
        return self._over_blocks(BlockMixture.gate_entropy)

    # Of values of y.

    def pdf(self, y: Any) -> Array:
        """Return the density at y, per unit of y; the probability of y where it is a count."""
        return np.exp(self.logpdf(y))

    def logpdf(self, y: Any) -> Array:
        """Return the log density at y, natural log; -inf outside of the support."""
        return self._of_values(BlockMixture.log_density, y, "y")

    def cdf(self, y: Any) -> Array:
        """Return the probability of a value of at most y."""
        return self._of_values(BlockMixture.cdf, y, "y")

    def sf(self, y: Any) -> Array:
        """Return the probability of a value above y, with its digits where it is small."""
        return self._of_values(BlockMixture.survival, y, "y")

    def crps(self, y: Any) -> Array:
        """Return the continuous ranked probability score at y, in its unit; lower is better.

        ``E|Y - y| - E|Y - Y'| / 2``, the integral of ``(cdf(t) - (t >= y))**2``. Closed forms
        for Gaussian and for lognormal experts, alone or with point masses; a sum for counts;
        otherwise quadrature, see Notes.

        Notes
        -----
        The sum is exact for up to 4 096 values; more are added in runs, good to some 1e-6 of the
        standard deviation. Quadrature takes some 200 evaluations of the cdf per row and expert.

        References
        ----------
        Gneiting & Raftery (2007), Strictly proper scoring rules, J. Am. Statist. Assoc. 102,
        eqs. 20 and 21. Grimit, Gneiting, Berrocal & Johnson (2006), Q. J. R. Meteorol. Soc. 132,
        eq. 5.
        """
        return self._of_values(mixture_crps, y, "y")

    def pit(self, y: Any, random_state: Any = None) -> Array:
        """Return the probability integral transform of y: uniform if the model is true.

        ``cdf(y)``, and where y has a probability of its own a draw from what the cdf leaps
        over there.

        Parameters
        ----------
        y : float or array-like of shape (n,), (n, m) or (1, m)
        random_state : int, Generator, RandomState or None, default=None

        References
        ----------
        Czado, Gneiting & Held (2009), Predictive model assessment for count data, Biometrics 65.
        """
        after, leap = self.cdf(y), self._of_values(BlockMixture.mass, y, "y")
        share = np.random.default_rng(seed_sequence(random_state)).random(after.shape)
        return np.clip(after - share * leap, 0.0, 1.0)

    # Of levels.

    def ppf(self, q: Any) -> Array:
        """Return quantiles: the least y whose cdf is at least q.

        Parameters
        ----------
        q : float or array-like of shape (m,) or (n, m)
            Levels in [0, 1]; 0 and 1 give the limits of y.

        Returns
        -------
        ndarray of shape (n,) or (n, m)
            In the unit of y; never falling in q.

        Raises
        ------
        ValueError
            If a level lies outside of [0, 1].

        Notes
        -----
        Newton's method on the logarithm of the cdf, or of ``sf`` above the median, kept safe by
        the experts' own quantiles: some eight evaluations of cdf and density.
        """
        levels, is_single = as_levels(q, len(self))
        found = self._over_blocks(_ordered_quantiles, levels)
        return found[:, 0] if is_single else found

    def interval(self, coverage: Any = 0.9, kind: str = "central") -> Array:
        """Return prediction intervals.

        Parameters
        ----------
        coverage : float, default=0.9
            Probability of y inside, between 0 and 1, both excluded. Counts may have more.
        kind : {"central", "hdr"}, default="central"
            "central" leaves equal probability on either side. "hdr" is the highest-density
            region, the smallest of that coverage: one interval, or one per mode that holds
            enough.

        Returns
        -------
        ndarray of shape (n, 2), or (n, m, 2) for "hdr"
            Lower and upper ends, both inside. m is the largest number of intervals of any row;
            rows with fewer have NaN in the intervals that they lack, which come last.

        Raises
        ------
        ValueError
            If coverage or kind is not as described, or if a highest-density region is asked for
            where counts and densities are mixed: counts come first, and have no end.
        """
        coverage = check_coverage(coverage)
        if check_kind(kind) == "central":
            return self.ppf([0.5 * (1.0 - coverage), 0.5 * (1.0 + coverage)])
        return self._padded(lambda block: densest_regions(block, coverage))

    def modes(self) -> Array:
        """Return where the density has its local maxima, the highest first.

        Returns
        -------
        ndarray of shape (n, m)
            m is the largest number of modes of any row; rows with fewer have NaN after theirs.
            Values with a probability of their own are modes and come first, the most probable
            in front. A density that rises to a limit of y has its mode there.
        """
        return self._padded(mixture_modes)

    def mode(self) -> Array:
        """Return the highest of `modes`, shape (n,)."""
        return self.modes()[:, 0]

    # Insurance and engineering.

    def tail_expectation(self, q: Any) -> Array:
        """Return the mean of the worst share 1 - q of y (CTE, tail value at risk).

        ``ppf(q) + expected_excess(ppf(q)) / (1 - q)``, which for continuous y is the mean of y
        beyond its quantile (Acerbi & Tasche 2002, On the coherence of expected shortfall,
        proposition 3.2). 0 gives the mean, 1 the upper limit of y.

        Parameters
        ----------
        q : float or array-like of shape (m,) or (n, m)
            Levels in [0, 1].

        Raises
        ------
        ValueError
            If a level lies outside of [0, 1].
        """
        levels, is_single = as_levels(q, len(self))
        found = self._over_blocks(partial(over_columns, _tail_expectation), levels)
        return found[:, 0] if is_single else found

    def expected_excess(self, threshold: Any) -> Array:
        """Return the mean of ``max(y - threshold, 0)``: a stop-loss premium."""
        return self._of_values(BlockMixture.expected_excess, threshold, "threshold")

    def mean_excess(self, threshold: Any) -> Array:
        """Return the mean of ``y - threshold`` where y is above; 0 where nothing is."""
        excess, beyond = self.expected_excess(threshold), self.sf(threshold)
        return np.divide(excess, beyond, out=np.zeros_like(excess), where=beyond > 0.0)

    def limited_expected_value(self, limit: Any) -> Array:
        """Return the mean of ``min(y, limit)``."""
        return self._of_values(BlockMixture.limited_mean, limit, "limit")

    def given_above(self, threshold: Any) -> ConditionalDistribution:
        """Return the distribution of y given that it is above a threshold: survival so far.

        Raises
        ------
        ValueError
            If the threshold is not one per row, or nothing is above it.
        """
        return ConditionalDistribution(self, threshold)

    # Conformal prediction.

    def conformal_score(self, y: Any, method: str = "central") -> Array:
        """Return how far out y lies, for split-conformal intervals; see `ConformalRegressor`.

        Parameters
        ----------
        y : float or array-like of shape (n,), (n, m) or (1, m)
        method : {"central", "hdr"}, default="central"
            Natural log of one over the smaller tail at y, or the probability of what is denser.

        Raises
        ------
        ValueError
            If there is no such method, or y is not one value per row.
        """
        score = densest_score if check_kind(method, "method") == "hdr" else central_score
        return self._of_values(score, y, "y")

    def conformal_interval(self, score: float, method: str = "central") -> Array:
        """Return where scores are at most that; shapes are those of `interval`.

        Parameters
        ----------
        score : float
        method : {"central", "hdr"}, default="central"

        Raises
        ------
        ValueError
            If the score is not a number, or there is no such method.
        """
        if not is_real(score) or np.isnan(float(score)):
            raise ValueError(f"score must be a number. Got {shown(score)} instead.")
        score = float(score)
        if check_kind(method, "method") == "hdr":
            return self._padded(lambda block: densest_region(block, score))
        return self._over_blocks(lambda block: central_region(block, score))

    # Draws.

    def rvs(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw y, shape (n, n_samples); see `sample`."""
        return self.sample(n_samples, random_state)[0]

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Array]:
        """Draw y, and say which expert each came from."""
        m = check_n_samples(n_samples, len(self))
        seeds = seed_sequence(random_state).spawn(len(self._rows))
        drawn = self._map(lambda at: _draw(self._blocks[at], m, seeds[at]))
        y, expert = zip(*drawn, strict=True)
        return np.concatenate(y), np.concatenate(expert)

    # Blocks of rows.

    def _map(self, function: Callable[[int], Any]) -> list[Any]:
        return list(run_blocks(function, range(len(self._rows)), self._n_threads))

    def _over_blocks(self, function: Callable[..., Array], *per_row: Array) -> Array:
        """Return what a function says of every block, rows of arrays beside it."""

        def of_block(at: int) -> Array:
            return function(self._blocks[at], *(array[self._rows[at]] for array in per_row))

        return np.concatenate(self._map(of_block))

    def _of_values(
        self, function: Callable[[BlockMixture, Array], Array], y: Any, name: str
    ) -> Array:
        values, is_single = as_values(y, name, len(self))
        found = self._over_blocks(partial(over_columns, function), values)
        return found[:, 0] if is_single else found

    def _padded(self, function: Callable[[BlockMixture], Array]) -> Array:
        """Return arrays (rows, m, ...) of all blocks with NaN up to the largest m."""
        found = self._map(lambda at: function(self._blocks[at]))
        m = max(part.shape[1] for part in found)
        out = np.full((len(self), m, *found[0].shape[2:]), np.nan)
        for rows, part in zip(self._rows, found, strict=True):
            out[rows, : part.shape[1]] = part
        return out


def _ordered_quantiles(block: BlockMixture, levels: Array) -> Array:
    """Return quantiles, shape (rows, m), whose last digits do not upset their order."""
    found = over_columns(mixture_quantile, block, levels)
    order = np.argsort(levels, axis=1, kind="stable")
    ordered = np.maximum.accumulate(np.take_along_axis(found, order, axis=1), axis=1)
    np.put_along_axis(found, order, ordered, axis=1)
    return found


def _tail_expectation(block: BlockMixture, q: Array) -> Array:
    at = mixture_quantile(block, q)
    is_inside = (q > 0.0) & (q < 1.0)
    finite = np.where(is_inside, at, 0.0)
    beyond = block.expected_excess(finite) / np.where(is_inside, 1.0 - q, 1.0)
    return np.where(is_inside, finite + beyond, np.where(q <= 0.0, block.mean(), at))


def _draw(block: BlockMixture, n_samples: int, seed: np.random.SeedSequence) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    expert = np.empty((block.n_rows, n_samples), dtype=np.intp)
    numbers = np.broadcast_to(np.arange(float(n_samples)), expert.shape)

    def draw(part: BlockMixture, number: Array) -> Array:
        y, own = part.sample(rng)
        at = number.astype(np.intp).reshape(block.n_rows, -1)
        expert[:, at[0]] = own.reshape(at.shape)
        return y

    return over_columns(draw, block, numbers), expert
