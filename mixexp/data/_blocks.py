"""Blocks of rows: what one call of the model sees, made when it is asked for.

Where the partition of the rows comes from is in `mixexp.data._rows`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mixexp.data._design import DenseDesign, Design, Excess
from mixexp.data._rows import RowSource, cut_rows, take_rows
from mixexp.data._scaling import Scaling
from mixexp.data._sparse import rows_of_block

# Standardised features up to here are kept, for small data are visited hundreds of times and
# the copy is small beside the interpreter and its libraries. Beyond, memory would grow with
# the rows, to save the few percent of a pass that standardising costs.
KEPT_BYTES = 32 * 2**20


class RowArguments(NamedTuple):
    """What is known of each row beside features and y; a further argument is one more field.

    Parameters
    ----------
    weight : ndarray of shape (n,)
        Sample weights.
    offset : ndarray of shape (n,) or None
        Added to the linear predictor of every location, in the unit of the predictor.
    trials : ndarray of shape (n,) or None
        Trials of which y counts the successes.
    groups : ndarray of shape (n,), int, or None
        Number of the group whose class a row shares; rows of a group are neighbours. None if
        every row has a class of its own.
    evidence : ndarray of shape (n_leaves, n) or None
        Added to the log densities: -inf for experts that a row is known not to belong to, or what
        other rows of its group say.
    ends : ndarray of shape (2, n) or None
        Ends of the interval that y is known to lie in, equal where it is known exactly; None if
        it is in all rows.
    window : ndarray of shape (2, n) or None
        y is seen only because it lies above the first and not above the second.
    """

    weight: np.ndarray
    offset: np.ndarray | None = None
    trials: np.ndarray | None = None
    groups: np.ndarray | None = None
    evidence: np.ndarray | None = None
    ends: np.ndarray | None = None
    window: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> "RowArguments":
        """Return the same for some of the rows."""
        rest = (None if known is None else known[..., rows] for known in self[1:])
        return RowArguments(self.weight[rows], *rest)

    @classmethod
    def joined(cls, parts: Sequence["RowArguments"]) -> "RowArguments":
        """Return the same for the rows of all parts, one behind the other."""
        weight, *rest = (
            None if same[0] is None else np.concatenate(same, axis=-1)
            for same in zip(*parts, strict=True)
        )
        return cls(np.asarray(weight), *rest)


class Block(NamedTuple):
    """Rows of standardised data.

    Parameters
    ----------
    features : Design of shape (1 + p, rows)
        Intercept first, then standardised features.
    known : RowArguments
    targets : tuple of ndarray of shape (rows,)
        y as each group of experts sees it; empty where y is unknown.
    bases : tuple of ndarray or float
        Part of the log density that depends on y alone, per group of experts; -inf where y
        is outside of the support.
    y : ndarray of shape (rows,) or None
        Target in its own unit; None where it is unknown.
    window : Block or None
        The rows, without features, as such of which no more is known than that y is in the window
        that it had to be in to be seen.
    outside : tuple of Block
        The same of what lies below and above the window.
    read_raw : callable or None
        Returns the features as they were given, shape (rows, p).
    limits : ndarray of shape (2, 1 + p) or None
        Of features: where densities of y are asked, and rows beyond are less certain. None where
        rows are learned from.
    """

    features: Design
    known: RowArguments
    targets: tuple[np.ndarray, ...] = ()
    bases: tuple[np.ndarray | float, ...] = ()
    y: np.ndarray | None = None
    window: "Block | None" = None
    outside: tuple["Block", ...] = ()
    read_raw: Callable[[], Any] | None = None
    limits: np.ndarray | None = None

    def find_excess(self) -> Excess | None:
        """Return what lies beyond the limits of the features, None if nothing does."""
        return None if self.limits is None else self.features.find_excess(self.limits)

    @property
    def weight(self) -> np.ndarray:
        """Sample weights, shape (rows,)."""
        return self.known.weight

    @property
    def group_starts(self) -> np.ndarray | None:
        """First row of each group of rows that share a class; None where every row has its own."""
        groups = self.known.groups
        return None if groups is None else np.flatnonzero(np.diff(groups, prepend=-1))

    @property
    def is_first(self) -> np.ndarray | None:
        """1 in the first row of each group and 0 in others, shape (rows,); None without groups."""
        starts = self.group_starts
        if starts is None:
            return None
        out = np.zeros(len(self.weight))
        out[starts] = 1.0
        return out

    @property
    def gate_weight(self) -> np.ndarray:
        """Weights with which gates see the rows, shape (rows,): one row per group."""
        is_first = self.is_first
        return self.weight if is_first is None else self.weight * is_first

    def alone(self, weight: np.ndarray) -> "Block":
        """Return the same rows with other weights, for a single expert: no classes are known."""
        known = self.known._replace(weight=weight, groups=None, evidence=None, window=None)
        return self._replace(known=known, window=None, outside=())

    def reweighted(self, weight: np.ndarray) -> "Block":
        """Return the same rows with other weights."""
        return self._replace(
            known=self.known._replace(weight=weight),
            window=None if self.window is None else self.window.reweighted(weight),
            outside=tuple(part.reweighted(weight) for part in self.outside),
        )

    def take(self, rows: np.ndarray | slice) -> "Block":
        """Return some of the rows."""
        return Block(
            self.features.take(rows),
            self.known.take(rows),
            tuple(np.ascontiguousarray(target[..., rows]) for target in self.targets),
            tuple(np.asarray(base)[rows] if np.ndim(base) else base for base in self.bases),
            None if self.y is None else self.y[rows],
            None if self.window is None else self.window.take(rows),
            tuple(part.take(rows) for part in self.outside),
            None if self.read_raw is None else partial(_take_raw, self.read_raw, rows),
            self.limits,
        )

    def pieces(self, size: int | None) -> list[slice]:
        """Return slices of about so many rows, or of the fixed partition, which part no group."""
        return cut_rows(len(self.weight), size, self.known.groups)


# By what they are of, sums over rows with the sample weights that they were formed with.
Products = dict[bytes, tuple[list[np.ndarray], np.ndarray]]


def _take_raw(read_raw: Callable[[], Any], rows: np.ndarray | slice) -> Any:
    return read_raw()[rows]


class RowBlocks(Sequence[Block]):
    """All blocks of the data, whose features are made whenever a block is asked for.

    Parameters
    ----------
    read_features : callable
        Returns the features of the block with a given number, a Design of shape (1 + p, rows).
    bare : sequence of Block
        The blocks without features (a design of shape (0, rows)): vectors, kept in memory, for
        the base measure of a target may cost a gamma function per row.
    kept : sequence of Design, optional
        The features of all blocks, where these are held in memory.
    products : dict, optional
        Sums of products of the same features that are known, see `remember_product`.

    Notes
    -----
    A loop holds one block at a time, `run_blocks` one per thread. Visit ``without_features`` where
    no features are needed.
    """

    #: Whether they are passed over in this process.
    is_local = True
    #: The rows that starts may compete on in the place of these, if they are held by a source.
    sample: "RowBlocks | None" = None

    def __init__(
        self,
        read_features: Callable[[int], Design],
        bare: Sequence[Block],
        kept: Sequence[Design] = (),
        products: Products | None = None,
    ) -> None:
        self._read_features, self._kept = read_features, kept
        self.without_features = bare
        self._products: Products = {} if products is None else products
        self._whole = [
            block._replace(features=own) for block, own in zip(bare, kept, strict=bool(kept))
        ]
        #: Whether rows share classes.
        self.has_groups = any(block.known.groups is not None for block in bare[:1])

    @cached_property
    def pattern(self) -> Block:
        """A block without features that tells what is known of the rows."""
        return self.without_features[0]

    @cached_property
    def partition(self) -> list[slice]:
        """Where the rows of each block stand among all."""
        ends = np.cumsum(
            [0, *(len(block.known.weight) for block in self.without_features)]
        ).tolist()
        return [slice(first, end) for first, end in pairwise(ends)]

    def group_means(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., n_rows) with the mean of its group in the place of each, if any."""
        if not self.has_groups:
            return values
        parts = [
            mean_of_groups(values[..., rows], block.group_starts)
            for rows, block in zip(self.partition, self.without_features, strict=True)
        ]
        return np.concatenate(parts, axis=-1)

    def __len__(self) -> int:
        return len(self.without_features)

    def __iter__(self) -> Iterator[Block]:
        return iter(self._whole) if self._whole else super().__iter__()

    def __getitem__(self, at: int) -> Block:  # type: ignore[override]  # one block, no slices
        if self._whole:
            return self._whole[at]
        number = range(len(self.without_features))[at]
        return self.without_features[number]._replace(features=self._read_features(number))

    def map_blocks(self, function: Callable[..., Block], *parts: Iterable[Any]) -> "RowBlocks":
        """Return the same rows with a function of each block without features in its place.

        Parameters
        ----------
        function : callable
            Takes a block without features, and one item of each of the parts.
        *parts : iterable
            One item per block.
        """
        bare = [function(*items) for items in zip(self.without_features, *parts, strict=True)]
        return RowBlocks(self._read_features, bare, self._kept, self._products)

    def keep_features(self) -> "RowBlocks":
        """Return the same blocks with all features made now, and kept."""
        features = [self._read_features(at) for at in range(len(self.without_features))]
        return self._keeping(features)

    def remember_product(self, key: bytes, form: Callable[[], np.ndarray]) -> np.ndarray:
        """Return a sum over the rows that depends on features and sample weights alone.

        Parameters
        ----------
        key : bytes
            Tells which features.
        form : callable
            Returns it; not asked again for the same rows with the same weights.
        """
        weights = [block.known.weight for block in self.without_features]
        known, product = self._products.get(key, ([], np.empty(0)))
        if not known or not all(map(np.array_equal, known, weights)):
            known, product = weights, form()
            self._products[key] = known, product
        return product

    def keep_small(self) -> "RowBlocks":
        """Return the same blocks, their features kept if `KEPT_BYTES` hold them."""
        n_rows, first = self.partition[-1].stop, self._read_features(0)
        if first.nbytes / first.shape[1] * n_rows > KEPT_BYTES:
            return self
        rest = [self._read_features(at) for at in range(1, len(self.without_features))]
        return self._keeping([first, *rest])

    def _keeping(self, features: list[Design]) -> "RowBlocks":
        return RowBlocks(features.__getitem__, self.without_features, features, self._products)


def cut_features(
    X: RowSource,
    scaling: Scaling,
    per_row: RowArguments,
    chosen: np.ndarray | None = None,
    block_rows: int | None = None,
    limits: np.ndarray | None = None,
) -> RowBlocks:
    """Return blocks of standardised features with no target.

    Parameters
    ----------
    X : ndarray of shape (n, p), ColumnRows or SparseRows
        float64 or float32, in any memory layout; read block by block, never copied whole.
    scaling : Scaling
    per_row : RowArguments
        Of the rows that are used.
    chosen : ndarray of shape (n_used,), int, optional
        Numbers of the rows that are used; all of them by default.
    block_rows : int, optional
        Rows per block, if not those of the fixed partition.
    limits : ndarray of shape (2, 1 + p), optional
        Of the standardised features, see `Block`.
    """
    size = rows_of_block(X) if block_rows is None else block_rows
    partition = cut_rows(len(per_row.weight), size, per_row.groups)

    def read_features(at: int) -> Design:
        return scaling.design(take_rows(X, partition[at], chosen))

    bare = [
        Block(
            DenseDesign(np.empty((0, rows.stop - rows.start))),
            per_row.take(rows),
            read_raw=partial(take_rows, X, rows, chosen),
            limits=limits,
        )
        for rows in partition
    ]
    return RowBlocks(read_features, bare)


def mean_of_groups(values: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Return values (..., rows) with the mean of its group in the place of each.

    Parameters
    ----------
    values : ndarray of shape (..., rows)
    starts : ndarray of shape (n_groups,), int, or None
        First row of each group; None leaves values as they are.
    """
    if starts is None:
        return values
    size = np.diff(starts, append=values.shape[-1])
    return np.repeat(np.add.reduceat(values, starts, axis=-1) / size, size, axis=-1)


def sums_of_groups(values: np.ndarray, starts: np.ndarray | None) -> np.ndarray:
    """Return values (..., rows) with the sum of its group in the place of each, if any."""
    if starts is None:
        return values
    size = np.diff(starts, append=values.shape[-1])
    return np.repeat(np.add.reduceat(values, starts, axis=-1), size, axis=-1)
