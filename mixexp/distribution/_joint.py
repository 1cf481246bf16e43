"""The distribution of several targets at some rows, as users see it: rows first."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from mixexp.arguments import as_numbers, check_count, is_whole
from mixexp.data import cut_rows, run_blocks
from mixexp.distribution._arguments import check_coverage, check_n_samples, seed_sequence
from mixexp.distribution._block import BlockMixture
from mixexp.distribution._docs import joint_docs
from mixexp.distribution._family import FamilyBlock
from mixexp.distribution._mixture import MixtureDistribution, Variance
from mixexp.model import JointGroup
from mixexp.text import shown

Array = np.ndarray


class Ellipsoids(NamedTuple):
    """Regions of a given probability under each expert, one per row and expert.

    A point y is inside where ``(y - center)' inv(shape) (y - center) <= 1``.

    Parameters
    ----------
    weight : ndarray of shape (n, n_experts)
        Probability of each expert before y is seen.
    center : ndarray of shape (n, n_experts, d)
        In the units of y.
    shape : ndarray of shape (n, n_experts, d, d)
    """

    weight: Array
    center: Array
    shape: Array

    def contains(self, y: Any) -> Array:
        """Return whether y is inside of each ellipsoid, shape (n, n_experts).

        Parameters
        ----------
        y : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, n_experts), bool
        """
        away = np.asarray(y, dtype=float)[:, None] - self.center
        pulled = np.linalg.solve(self.shape, away[..., None])[..., 0]
        return np.einsum("nkj,nkj->nk", away, pulled) <= 1.0


@joint_docs
class JointDistribution:
    """Distribution of several targets at n rows, a mixture of the experts' distributions.

    Made by ``predict_dist`` of a regressor that was fitted to y of shape (n, d); it does not
    change. What is of one target, such as quantiles, is asked of a `marginal`.

    Parameters
    ----------
    blocks : sequence of BlockMixture
        Blocks of rows, in the partition of `mixexp.data.cut_rows`.
    n_rows : int
    n_outputs : int
    n_threads : int

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x) + 0.1 * rng.standard_normal((200, 2))
    >>> dist = MoERegressor(2, n_init=2, random_state=0).fit(x, y).predict_dist([[0.5], [-1.0]])
    >>> dist.mean().shape, dist.cov().shape
    ((2, 2), (2, 2, 2))
    >>> dist.marginal(1).ppf([0.1, 0.9]).shape
    (2, 2)
    """

    def __init__(
        self, blocks: Sequence[BlockMixture], n_rows: int, n_outputs: int, n_threads: int = 1
    ) -> None:
        self._blocks = blocks
        self._rows = cut_rows(n_rows)
        self._n_threads = n_threads
        self.n_outputs = n_outputs

    def __len__(self) -> int:
        return self._rows[-1].stop

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.n_outputs} targets at {len(self)} rows"

    def blocks(self) -> list[BlockMixture]:
        """Return the mixtures of all blocks of rows."""
        return self._map(lambda at: self._blocks[at])

    def frozen(self) -> "JointDistribution":
        """Return the same with all blocks evaluated and kept."""
        return JointDistribution(self.blocks(), len(self), self.n_outputs, self._n_threads)

    def marginal(self, output: int) -> MixtureDistribution:
        """Return the distribution of one target alone: quantiles, cdf, scores and the rest.

        Parameters
        ----------
        output : int
            Column of y.

        Returns
        -------
        MixtureDistribution

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if not is_whole(output) or not -self.n_outputs <= int(output) < self.n_outputs:
            raise ValueError(
                f"output must be a column of y, an int in the range [0, {self.n_outputs - 1}]. "
                f"Got {shown(output)}."
            )
        at = int(output) % self.n_outputs
        blocks = [_marginal(block, at) for block in self.blocks()]
        return MixtureDistribution(blocks, len(self), self._n_threads)

    # Moments.

    def mean(self) -> Array:
        """Return the mean of y, shape (n, d), in its units."""
        return self._over_blocks(lambda block: _average(block, _means(block)).T)

    def cov(self) -> Array:
        """Return the covariance matrix of y, shape (n, d, d), within and between experts."""

        def covariance(block: BlockMixture) -> Array:
            means = _means(block)
            away = means - _average(block, means)[None]
            between = np.einsum("kr,kar,kbr->rab", block.weight, away, away)
            return np.moveaxis(_average(block, _covariances(block)), -1, 0) + between

        return self._over_blocks(covariance)

    def variance(self) -> Variance:
        """Return the variances with their parts within and between experts, each (n, d)."""
        parts = [self.marginal(j).variance() for j in range(self.n_outputs)]
        return Variance(*(np.stack(own, axis=1) for own in zip(*parts, strict=True)))

    def var(self) -> Array:
        """Return the variance of each target, shape (n, d)."""
        return self.variance().total

    def std(self) -> Array:
        """Return the standard deviation of each target, shape (n, d)."""
        return np.sqrt(self.var())

    def corr(self) -> Array:
        """Return the correlation matrix of y, shape (n, d, d)."""
        covariance = self.cov()
        deviation = np.sqrt(np.einsum("njj->nj", covariance))
        return covariance / deviation[:, None] / deviation[..., None]

    def gate_entropy(self) -> Array:
        """Return the entropy of the gate, shape (n,), natural log: 0 where one expert is sure."""
        return self._over_blocks(BlockMixture.gate_entropy)

    # Of values of y.

    def logpdf(self, y: Any) -> Array:
        """Return the joint log density at y, shape (n,), natural log.

        Parameters
        ----------
        y : array-like of shape (n, d)
            NaN for targets that are not known, where a fit takes such: the density of the others.

        Returns
        -------
        ndarray of shape (n,)
        """
        return _log_density(self.blocks(), self._rows, self._checked(y))

    def pdf(self, y: Any) -> Array:
        """Return the joint density at y, shape (n,)."""
        return np.exp(self.logpdf(y))

    def _checked(self, y: Any) -> Array:
        values = as_numbers(y, "y")
        if values.shape != (len(self), self.n_outputs):
            raise ValueError(
                f"y has shape {values.shape}; expected ({len(self)}, {self.n_outputs}), one column "
                "per target."
            )
        return values

    # Regions.

    def ellipsoids(self, coverage: float = 0.9) -> Ellipsoids:
        """Return, per expert, the smallest region that holds so much of what it says.

        Together they hold at least ``coverage`` of y: an expert's y are in its own with that
        probability.

        Parameters
        ----------
        coverage : float, default=0.9
            Between 0 and 1, both excluded.

        Returns
        -------
        Ellipsoids

        Raises
        ------
        ValueError
            If an expert has a family of its own for each target.
        """
        level, blocks = check_coverage(coverage), self.blocks()
        weight = np.concatenate([block.weight.T for block in blocks])
        center = np.concatenate([np.moveaxis(_means(block), -1, 0) for block in blocks])
        shape = [np.moveaxis(_ellipsoid_shapes(block, level), -1, 0) for block in blocks]
        return Ellipsoids(weight, center, np.concatenate(shape))

    def region_level(self, y: Any, n_samples: int = 1000, random_state: Any = None) -> Array:
        """Return the probability of the smallest region of targets that reaches y.

        y is in the highest-density region of coverage c where this is c or less, so that it is
        uniform if the model is true. By simulation: the share of draws that are denser than y.

        Parameters
        ----------
        y : array-like of shape (n, d)
        n_samples : int, default=1000
            Draws per row; the standard error is at most ``0.5 / sqrt(n_samples)``.
        random_state : int, Generator, RandomState or None, default=None

        Returns
        -------
        ndarray of shape (n,)
        """
        values, n_draws = self._checked(y), check_count("n_samples", n_samples)
        blocks, at = self.blocks(), _log_density(self.blocks(), self._rows, values)
        drawn, _ = self.sample(n_draws, random_state)
        n_denser = np.zeros(len(self))
        for number in range(n_draws):
            n_denser += _log_density(blocks, self._rows, drawn[:, number]) > at
        return n_denser / n_draws

    # Draws.

    def rvs(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw y, shape (n, n_samples, d); see `sample`."""
        return self.sample(n_samples, random_state)[0]

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, Array]:
        """Draw y, and say which expert each came from."""
        n = check_n_samples(n_samples, len(self) * self.n_outputs)
        seeds = seed_sequence(random_state).spawn(len(self._blocks))

        def draw(at: int) -> tuple[Array, Array]:
            return _sample(self._blocks[at], np.random.default_rng(seeds[at]), n, self.n_outputs)

        y, expert = zip(*self._map(draw), strict=True)
        return np.concatenate(y), np.concatenate(expert)

    # What is of one target.

    def cdf(self, y: Any) -> NoReturn:
        """Refuse: distribution functions are those of a `marginal`."""
        self._refuse("cdf")

    def sf(self, y: Any) -> NoReturn:
        """Refuse: distribution functions are those of a `marginal`."""
        self._refuse("sf")

    def ppf(self, q: Any) -> NoReturn:
        """Refuse: quantiles are those of a `marginal`."""
        self._refuse("ppf")

    def interval(self, coverage: Any = 0.9, kind: Any = "central") -> NoReturn:
        """Refuse: intervals are those of a `marginal`; see `ellipsoids` and `region_level`."""
        self._refuse("interval")

    def crps(self, y: Any) -> NoReturn:
        """Refuse: the score is that of a `marginal`."""
        self._refuse("crps")

    def pit(self, y: Any, random_state: Any = None) -> NoReturn:
        """Refuse: the transform is that of a `marginal`; see `region_level`."""
        self._refuse("pit")

    def _refuse(self, name: str) -> NoReturn:
        raise ValueError(
            f"{name!r} is of one target, but there are {self.n_outputs}; ask it of a marginal: "
            f"predict_dist(X).marginal(0).{name}(...)."
        )

    # Blocks.

    def _map(self, function: Callable[[int], Any]) -> list[Any]:
        return list(run_blocks(function, range(len(self._blocks)), self._n_threads))

    def _over_blocks(self, function: Callable[[BlockMixture], Array]) -> Array:
        return np.concatenate(self._map(lambda at: function(self._blocks[at])))


def _groups(block: BlockMixture) -> list[tuple[JointGroup, FamilyBlock]]:
    return [(own.group, own) for own in block.families if isinstance(own.group, JointGroup)]


def _marginal(block: BlockMixture, output: int) -> BlockMixture:
    families = []
    for group, own in _groups(block):
        alone, heads = group.marginal(output, own.heads)
        families.append(FamilyBlock(alone, heads, None))
    return BlockMixture(block.weight, tuple(families))


def _means(block: BlockMixture) -> Array:
    """Return the means of all experts, shape (n_experts, d, rows)."""
    found = [
        (group, group.in_unit(np.moveaxis(own.family.mean(own.heads), 1, 0), None))
        for group, own in _groups(block)
    ]
    out = np.empty((len(block.weight), len(found[0][0].outputs), block.n_rows))
    for group, values in found:
        out[group.leaves] = values
    return out


def _covariances(block: BlockMixture) -> Array:
    """Return the covariance matrices of all experts, shape (n_experts, d, d, rows)."""
    return _matrices(block, lambda own: own.family.covariance_of(own.heads))


def _ellipsoid_shapes(block: BlockMixture, coverage: float) -> Array:
    def shapes(own: Any) -> Array:
        radius = own.family.squared_radius(coverage, own.heads)
        return own.family.scatter_of(own.heads) * radius

    return _matrices(block, shapes)


def _matrices(block: BlockMixture, function: Callable[[Any], Array]) -> Array:
    d = len(_groups(block)[0][0].outputs)
    out = np.empty((len(block.weight), d, d, block.n_rows))
    for group, own in _groups(block):
        scale = np.array([scale for _, scale, _ in group.outputs])
        values = np.moveaxis(function(own), 2, 0)
        out[group.leaves] = values * np.multiply.outer(scale, scale)[..., None]
    return out


def _average(block: BlockMixture, values: Array) -> Array:
    """Return the mean over experts, added in order so that batches do not matter."""
    total = np.zeros(values.shape[1:])
    for weight, own in zip(block.weight, values, strict=True):
        total += np.where(weight > 0.0, weight, 0.0) * own
    return total


def _log_density(blocks: Sequence[BlockMixture], rows: Sequence[slice], y: Array) -> Array:
    parts = [block.log_density(y[at]) for block, at in zip(blocks, rows, strict=True)]
    return np.concatenate(parts)


def _sample(block: BlockMixture, rng: np.random.Generator, n: int, d: int) -> tuple[Array, Array]:
    """Draw n y per row, (rows, n, d), and the experts they came from."""
    repeated = block.take(np.repeat(np.arange(block.n_rows), n))
    n_drawn = repeated.n_rows
    expert = (rng.random(n_drawn) >= np.cumsum(repeated.weight, axis=0)[:-1]).sum(axis=0)
    y = np.empty((n_drawn, d))
    for group, own in _groups(repeated):
        for at, leaf in enumerate(group.leaves):
            rows = np.flatnonzero(expert == leaf)
            if len(rows):
                one = own.take(rows).expert(at)
                drawn = one.family.sample_rows(one.heads, rng, len(rows))[:, 0]
                y[rows] = group.in_unit(drawn, None).T
    return y.reshape(-1, n, d), expert.reshape(-1, n)
