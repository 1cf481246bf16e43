"""The mixture in a block of rows: sums over experts of what each says of y.

``p(y | x) = sum over experts k of weight_k(x) * f_k(y | x)``, and likewise the distribution
function, its complement, and expectations.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import entr

from mixexp import kernels
from mixexp.data import Block
from mixexp.distribution._docs import block_docs
from mixexp.distribution._family import FamilyBlock
from mixexp.model import (
    ExpertGroup,
    Model,
    Parameters,
    allocate,
    batch_invariant_product,
    gate_logits,
    gate_probabilities,
    group_heads,
    linear_predictors,
)

Array = np.ndarray

# Columns of fewer rows are joined: Python's calls would take longer than what they compute.
_ROWS_TOGETHER = 4096


class Bracket(NamedTuple):
    """Where to look for quantiles.

    Parameters
    ----------
    lower, upper : ndarray of shape (rows,)
        Quantiles lie between them, but for the rounding of families' quantile functions.
    start : ndarray of shape (rows,)
        A guess; not a number where there is none.
    """

    lower: Array
    upper: Array
    start: Array


@block_docs
class BlockMixture(NamedTuple):
    """Gate and experts at the features of a block of rows.

    Parameters
    ----------
    weight : ndarray of shape (n_experts, rows)
        Probability of each expert before y is seen.
    families : tuple of FamilyBlock
    """

    weight: Array
    families: tuple[FamilyBlock, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.weight.shape[1]

    @property
    def atoms(self) -> tuple[float, ...]:
        """Values with a probability of their own, ascending, integers of counts aside."""
        return tuple(sorted({at for family in self.families for at in family.family.atoms}))

    @property
    def has_integers(self) -> bool:
        """Whether some experts are of counts."""
        return any(family.has_integers for family in self.families)

    @property
    def is_smooth(self) -> bool:
        """Whether some experts have a density."""
        return any(family.is_smooth for family in self.families)

    @property
    def least_integer(self) -> float:
        """Return the least value of a count."""
        return min(f.family.support_limits[0] for f in self.families if f.has_integers)

    def take(self, rows: Array | slice) -> "BlockMixture":
        """Return some of the rows."""
        families = tuple(family.take(rows) for family in self.families)
        return BlockMixture(self.weight[:, rows], families)

    def smooth_part(self) -> "BlockMixture":
        """Return the experts that have a density; their weights no longer sum to one."""
        return BlockMixture(self.weight, tuple(f for f in self.families if f.is_smooth))

    def integer_part(self) -> "BlockMixture":
        """Return the experts of counts; their weights no longer sum to one."""
        return BlockMixture(self.weight, tuple(f for f in self.families if f.has_integers))

    def experts_by_leaf(self) -> dict[int, FamilyBlock]:
        """Return every expert alone, from left to right."""
        found = {
            int(leaf): family.expert(at)
            for family in self.families
            for at, leaf in enumerate(family.group.leaves)
        }
        return dict(sorted(found.items()))

    def experts(self) -> list["BlockMixture"]:
        """Return every expert as a mixture of its own."""
        alone, first = np.ones((1, self.n_rows)), np.zeros(1, dtype=np.intp)
        return [
            BlockMixture(alone, (one._replace(group=one.group._replace(leaves=first)),))
            for one in self.experts_by_leaf().values()
        ]

    # Of y, arrays of shape (rows,).

    def log_density(self, y: Array) -> Array:
        """Return the log density of y, probabilities of its own included."""
        values = self._by_leaf(lambda family: family.log_density(y))
        with np.errstate(divide="ignore"):
            terms = np.log(self.weight) + values
        top = terms.max(axis=0)
        shift = np.where(np.isfinite(top), top, 0.0)
        total = _ordered_sum(np.exp(terms - shift))
        with np.errstate(divide="ignore"):
            found = np.log(total) + shift
        return np.minimum(found, values.max(axis=0))  # which no average is above

    def density(self, y: Array) -> Array:
        """Return the density of y, leaving out probabilities of their own."""
        return self._mean_of(FamilyBlock.density, y)

    def mass(self, y: Array) -> Array:
        """Return the probability of y itself."""
        return self._mean_of(FamilyBlock.mass, y)

    def cdf(self, y: Array) -> Array:
        """Return the probability of a value of at most y."""
        return np.minimum(self._mean_of(FamilyBlock.cdf, y), 1.0)

    def survival(self, y: Array) -> Array:
        """Return the probability of a value above y."""
        return np.minimum(self._mean_of(FamilyBlock.survival, y), 1.0)

    def expected_excess(self, y: Array) -> Array:
        """Return the mean of ``max(Y - y, 0)``."""
        return self._weigh(self._by_leaf(lambda family: family.expected_excess(y)))

    def limited_mean(self, y: Array) -> Array:
        """Return the mean of ``min(Y, y)``."""
        return self._weigh(self._by_leaf(lambda family: family.limited_mean(y)))

    # Moments.

    def mean(self) -> Array:
        """Return the mean of y."""
        return self._weigh(self._by_leaf(FamilyBlock.mean))

    def variances(self) -> tuple[Array, Array]:
        """Return the variance within and between experts, which add up to that of y."""
        means = self._by_leaf(FamilyBlock.mean)
        away = means - self._weigh(means)
        return self._weigh(self._by_leaf(FamilyBlock.variance)), self._weigh(away * away)

    def gate_entropy(self) -> Array:
        """Return the entropy of the gate, natural log."""
        return _ordered_sum(entr(self.weight))

    # Of quantile levels.

    def bracket(self, q: Array) -> Bracket:
        """Return values that the quantile lies between: it lies between those of the experts."""
        lower, upper = np.full(self.n_rows, np.inf), np.full(self.n_rows, -np.inf)
        start = np.zeros(self.n_rows)
        for family in self.families:
            below, above = family.bracket(q)
            for at, leaf in enumerate(family.group.leaves):
                weight = self.weight[leaf]
                lower = np.where(weight > 0.0, np.minimum(lower, below[at]), lower)
                upper = np.where(weight > 0.0, np.maximum(upper, above[at]), upper)
                with np.errstate(invalid="ignore", over="ignore"):
                    start += weight * (0.5 * below[at] + 0.5 * above[at])
        return Bracket(lower, upper, start)

    # Draws.

    def sample(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw one y per row, and the expert it came from."""
        below = rng.random(self.n_rows) >= np.cumsum(self.weight, axis=0)[:-1]
        expert = below.sum(axis=0)
        y = np.empty(self.n_rows)
        for family in self.families:
            for at, leaf in enumerate(family.group.leaves):
                rows = np.flatnonzero(expert == leaf)
                if len(rows):
                    y[rows] = family.take(rows).expert(at).sample(rng, len(rows))[0]
        return y, expert

    # Sums over experts, added in order so that batches do not matter.

    def _mean_of(self, function: Callable[[FamilyBlock, Array], Array], y: Array) -> Array:
        total = np.zeros(self.n_rows)
        for family in self.families:
            values = function(family, y)
            for at, leaf in enumerate(family.group.leaves):
                total += self.weight[leaf] * values[at]
        return total

    def _weigh(self, values: Array) -> Array:
        """Return the weighted mean of finite or infinite values, shape (n_experts, rows)."""
        with np.errstate(invalid="ignore"):
            return _ordered_sum(np.where(self.weight > 0.0, self.weight * values, 0.0))

    def _by_leaf(self, function: Callable[[FamilyBlock], Array]) -> Array:
        out = np.empty(self.weight.shape)
        for family in self.families:
            out[family.group.leaves] = function(family)
        return out


def over_columns(
    function: Callable[[BlockMixture, Array], Array], block: BlockMixture, values: Array
) -> Array:
    """Apply a function of a block and of one value per row to every column of a matrix.

    Several columns of a few rows are taken at once, as more rows.

    Parameters
    ----------
    function : callable
    block : BlockMixture
    values : ndarray of shape (rows, m)

    Returns
    -------
    ndarray of shape (rows, m)
    """
    out = np.empty(values.shape)
    n_rows, m = values.shape
    n_together = min(max(_ROWS_TOGETHER // n_rows, 1), m)
    wide = block if n_together == 1 else block.take(np.repeat(np.arange(n_rows), n_together))
    for start in range(0, m, n_together):
        part = values[:, start : start + n_together]
        if part.shape[1] < n_together:
            wide = block.take(np.repeat(np.arange(n_rows), part.shape[1]))
        found = function(wide, np.ascontiguousarray(part).ravel())
        out[:, start : start + n_together] = found.reshape(part.shape)
    return out


def _ordered_sum(values: Array) -> Array:
    total = np.zeros(values.shape[1])
    for value in values:
        total += value
    return total


def mixture_of_block(model: Model, params: Parameters, block: Block) -> BlockMixture:
    """Evaluate gates and experts at the features of a block.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
        Its y is not looked at.

    Returns
    -------
    BlockMixture

    Raises
    ------
    ValueError
        If an expert is a `Submodel` that defines no distribution.
    """
    tree, n_rows = model.tree, block.features.shape[1]
    eta = linear_predictors(model, params, block, batch_invariant_product)
    logits = gate_logits(model, params, eta, block)
    if block.known.evidence is not None:
        resp = allocate(tree, logits, block.known.evidence).node_resp
        return BlockMixture(resp[tree.leaves], _evaluate(model, params, eta, block))
    gate = gate_probabilities(tree, logits, n_rows)[0]
    path, weight = np.empty((tree.n_nodes, n_rows)), np.empty((tree.n_leaves, n_rows))
    kernels.leaf_prior(gate, tree.parent, tree.leaves, path, weight)
    return BlockMixture(weight, _evaluate(model, params, eta, block))


def mixture_without_noise(model: Model, params: Parameters, block: Block) -> BlockMixture:
    """Return the same of the experts that are no noise, given that y comes from one of these.

    Parameters
    ----------
    model : Model
    params : Parameters
    block : Block
        Its y is not looked at.

    Returns
    -------
    BlockMixture

    Raises
    ------
    ValueError
        As for `mixture_of_block`.
    """
    eta = linear_predictors(model, params, block, batch_invariant_product)
    logits = gate_logits(model, params, eta, block)
    is_kept = np.ones(model.tree.n_leaves, dtype=bool)
    for group in model.groups:
        is_kept[group.leaves] = not group.family.is_noise
    evidence = block.known.evidence
    known = np.zeros(block.features.shape[1]) if evidence is None else evidence
    log_kept = np.where(is_kept[:, None], known, -np.inf)
    # As a posterior, for the gate may give all others less than the smallest number.
    weight = allocate(model.tree, logits, log_kept).node_resp[model.tree.leaves[is_kept]]
    place = np.cumsum(is_kept) - 1
    families = tuple(
        family._replace(group=family.group._replace(leaves=place[family.group.leaves]))
        for family in _evaluate(model, params, eta, block)
        if not family.family.is_noise
    )
    return BlockMixture(weight, families)


def _evaluate(
    model: Model, params: Parameters, eta: list[Array], block: Block
) -> tuple[FamilyBlock, ...]:
    families = zip(model.groups, group_heads(model, eta), strict=True)
    found = [
        FamilyBlock(group.uncensored(), heads, block.known.trials) for group, heads in families
    ]
    for other, own in zip(model.others, params.others, strict=True):
        if not other.is_gate:
            leaf = np.array([model.tree.leaf_position(int(other.nodes[0]))])
            family, heads = other.density_at(own, model.view(other, block))
            group = ExpertGroup(family, leaf, (), rivals=other.rivals)
            found.append(FamilyBlock(group.uncensored(), heads, block.known.trials))
    return tuple(found)
