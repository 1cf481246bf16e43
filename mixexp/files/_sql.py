"""A fitted model as one SELECT statement of standard SQL.

The statement is a chain of common table expressions. The first reads the columns as they are, each
further one adds columns that are made of those before it. What it asks of the database is
CAST, CASE, EXP, LN and SQRT, on double precision.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.exceptions import ExportError
from mixexp.files._formulas import mean_of_group
from mixexp.files._operations import Operations
from mixexp.model import FittedModel

_FUNCTIONS = {"exp": "EXP", "log": "LN", "sqrt": "SQRT"}


class _Column(NamedTuple):
    """An expression, and the number of the last table that it needs columns of."""

    text: str
    level: int


class SqlSource(NamedTuple):
    """Where a statement reads from.

    Parameters
    ----------
    table : str
        As it stands after FROM.
    features : sequence of str
        Names of the columns of X.
    keep : sequence of str
        Names of further columns that the result is to have.
    offset, exposure, trials : str or None
        Names of columns.
    """

    table: str
    features: Sequence[str]
    keep: Sequence[str] = ()
    offset: str | None = None
    exposure: str | None = None
    trials: str | None = None


class _Statement(Operations):
    """Columns that are named as they are needed."""

    def __init__(self) -> None:
        self.tables: list[list[tuple[str, str]]] = [[]]
        self._counts: dict[str, int] = {}

    def read(self, name: str, hint: str) -> _Column:
        """Return a column of the source, as a double."""
        column = self._new_name(hint)
        self.tables[0].append((f"CAST({quoted(name)} AS DOUBLE PRECISION)", column))
        return _Column(column, 0)

    def let(self, x: Any, name: str) -> Any:
        if not isinstance(x, _Column) or x.text.isidentifier():
            return x
        level = x.level + 1
        while len(self.tables) <= level:
            self.tables.append([])
        column = self._new_name(name)
        self.tables[level].append((x.text, column))
        return _Column(column, level)

    def _new_name(self, hint: str) -> str:
        count = self._counts[hint] = self._counts.get(hint, -1) + 1
        return f"{hint}_{count}"

    def _binary(self, symbol: str, a: Any, b: Any) -> Any:
        left, right = _column(a), _column(b)
        return _Column(f"({left.text} {symbol} {right.text})", max(left.level, right.level))

    def _unary(self, name: str, x: Any) -> Any:
        return _Column(f"{_FUNCTIONS[name]}({x.text})", x.level)

    def choose_below(self, x: Any, bound: float, below: Any, above: Any) -> Any:
        low, high = _column(below), _column(above)
        text = f"CASE WHEN {x.text} < {literal(bound)} THEN {low.text} ELSE {high.text} END"
        return _Column(f"({text})", max(x.level, low.level, high.level))


def literal(value: Any) -> str:
    """Return a number as an approximate numeric literal, which no database takes for a decimal."""
    text = repr(float(np.asarray(value).reshape(())))
    text = text if "e" in text else f"{text}e0"
    return f"({text})" if text.startswith("-") else text


def quoted(name: str) -> str:
    """Return a name as a delimited identifier."""
    return '"' + name.replace('"', '""') + '"'


def _column(value: Any) -> _Column:
    return value if isinstance(value, _Column) else _Column(literal(value), 0)


def sql_of(
    state: FittedModel,
    source: SqlSource,
    experts: Sequence[str],
    classes: Sequence[str] | None,
) -> str:
    """Return the SELECT statement of gate probabilities, means of experts and their mean.

    Parameters
    ----------
    state : FittedModel
    source : SqlSource
    experts : sequence of str
        Suffixes of columns, per expert.
    classes : sequence of str or None
        The same per class, for classifiers.

    Raises
    ------
    ExportError
        If two columns of the result would have one name, or the model has no formula.
    """
    statement = _Statement()
    features = [_standardized(statement, state, source, j) for j in range(len(source.features))]
    gates = _gates(statement, state, features)
    means = _means(statement, state, features, source)
    results = [(name, _Column(f"k_{number}", 0)) for number, name in enumerate(source.keep)]
    for number, name in enumerate(source.keep):
        statement.tables[0].append((quoted(name), f"k_{number}"))
    n_values = len(means[0])
    labels = ["mean"] if classes is None else [f"proba_{name}" for name in classes]
    for at in range(n_values):
        shares = [statement.multiply(gate, own[at]) for gate, own in zip(gates, means, strict=True)]
        results.append((labels[at], statement.sum(shares)))
    results += [(f"gate_{name}", gate) for name, gate in zip(experts, gates, strict=True)]
    for name, own in zip(experts, means, strict=True):
        for at, value in enumerate(own):
            label = f"mean_{name}" if classes is None else f"proba_{name}_{classes[at]}"
            results.append((label, value))
    return _written(statement, source.table, results)


def _standardized(statement: _Statement, state: FittedModel, source: SqlSource, j: int) -> Any:
    """Return a feature less its mean; slopes are per unit of the feature."""
    scaling = state.scaling
    if scaling.is_constant[j] or not _is_seen(state, j):
        return None
    return statement.subtract(statement.read(source.features[j], "x"), float(scaling.center[j]))


def _is_seen(state: FittedModel, j: int) -> bool:
    return any(1 + j in state.model.designs[design] for design in state.model.slot_designs)


def _predictor(
    statement: _Statement, state: FittedModel, features: list[Any], coef: np.ndarray, design: int
) -> Any:
    """Return a linear predictor: coefficients for standardised features, the intercept first."""
    total: Any = float(coef[0])
    columns = state.model.designs[design][1:] - 1
    for value, j in zip(coef[1:], columns.tolist(), strict=True):
        if features[j] is not None and value != 0.0:
            slope = float(value / state.scaling.scale[j])
            total = statement.add(total, statement.multiply(slope, features[j]))
    return total


def _gates(statement: _Statement, state: FittedModel, features: list[Any]) -> list[Any]:
    """Return the probability of every expert."""
    model, params = state.model, state.params
    tree = model.tree
    logits: list[Any] = [0.0] * tree.n_edges
    for gates, coefs in zip(model.gates, params.gates, strict=True):
        for edge, coef in zip(gates.edges.tolist(), coefs, strict=True):
            eta = _predictor(statement, state, features, coef, gates.design)
            logits[edge] = statement.let(eta, "logit")
    reached: list[Any] = [1.0] * tree.n_nodes
    for node in tree.inner_nodes.tolist():
        children = tree.children(node)
        own = statement.softmax(logits[children.start - 1 : children.stop - 1], f"gate_{node}")
        for child, gate in zip(children, own, strict=True):
            path = gate if node == 0 else statement.multiply(reached[node], gate)
            reached[child] = statement.let(path, "reached")
    return [reached[leaf] for leaf in tree.leaves.tolist()]


def _means(
    statement: _Statement, state: FittedModel, features: list[Any], source: SqlSource
) -> list[list[Any]]:
    """Return the mean, or the probability of every class, per expert."""
    model, params = state.model, state.params
    offset = None if source.offset is None else statement.read(source.offset, "offset")
    if source.exposure is not None:
        log_exposure = statement.log(statement.read(source.exposure, "exposure"))
        offset = log_exposure if offset is None else statement.add(offset, log_exposure)
    trials = None if source.trials is None else statement.read(source.trials, "trials")
    found: list[list[Any]] = [[] for _ in range(model.tree.n_leaves)]
    for group, coefs in zip(model.groups, params.experts, strict=True):
        for row, leaf in enumerate(group.leaves.tolist()):
            heads = [
                statement.let(_predictor(statement, state, features, coef[row], design), "eta")
                for coef, design in zip(coefs, group.designs, strict=True)
            ]
            values = mean_of_group(group, heads, statement, offset, trials)
            found[leaf] = [statement.let(value, "mean") for value in values]
    return found


def _written(statement: _Statement, table: str, results: list[tuple[str, Any]]) -> str:
    names = [name for name, _ in results]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ExportError(f"Columns of the result would have the same name: {repeated}.")
    parts = []
    for level, columns in enumerate(statement.tables):
        before = f"step_{level - 1}"
        lines = [f"{text} AS {name}" for text, name in columns]
        # A model may look at no column at all.
        lines = [*([f"{before}.*"] if level else []), *lines] or ["1 AS nothing"]
        origin = before if level else table
        body = ",\n    ".join(lines)
        parts.append(f"step_{level} AS (\n  SELECT\n    {body}\n  FROM {origin}\n)")
    chosen = ",\n  ".join(f"{_column(value).text} AS {quoted(name)}" for name, value in results)
    last = f"step_{len(statement.tables) - 1}"
    return f"WITH {', '.join(parts)}\nSELECT\n  {chosen}\nFROM {last}\n"
