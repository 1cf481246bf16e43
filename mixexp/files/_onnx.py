"""A fitted model as an ONNX graph, in double precision and standard operators alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixexp.files._formulas import mean_of_group, quantile_of_group
from mixexp.files._operations import Operations, is_number
from mixexp.model import ExpertGroup, FittedModel

#: Version of the operators; every runtime since 2022 has them.
OPSET = 17
_IR_VERSION = 8
_BINARY = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}
_UNARY = {"exp": "Exp", "log": "Log", "sqrt": "Sqrt"}


class Tensor(NamedTuple):
    """The name of a value in the graph."""

    name: str


class OnnxOptions(NamedTuple):
    """What a graph is given, and what it gives beside means and gates.

    Parameters
    ----------
    quantiles : sequence of float
        Levels.
    has_offset, has_trials : bool
        Whether these are inputs.
    """

    quantiles: Sequence[float] = ()
    has_offset: bool = False
    has_trials: bool = False


class _Graph(Operations):
    """Nodes and constants, in the order in which they are made."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, value: Any) -> Tensor:
        """Return numbers as a value of the graph."""
        name = f"c{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return Tensor(name)

    def call(self, operator: str, *arguments: Any, **attributes: Any) -> Tensor:
        """Return what an operator makes of values; numbers become constants."""
        names = [
            (self.constant(np.float64(value)) if is_number(value) else value).name
            for value in arguments
        ]
        out = Tensor(f"v{len(self.nodes)}")
        node = self._onnx.helper.make_node(operator, names, [out.name], **attributes)
        self.nodes.append(node)
        return out

    def integers(self, *values: int) -> Tensor:
        """Return whole numbers, such as axes."""
        return self.constant(np.array(values, dtype=np.int64))

    def take(self, x: Tensor, columns: Sequence[int]) -> Tensor:
        """Return some columns."""
        return self.call("Gather", x, self.integers(*columns), axis=1)

    def sum_over(self, x: Tensor, axis: int) -> Tensor:
        """Return sums along an axis, which is left out."""
        return self.call("ReduceSum", x, self.integers(axis), keepdims=0)

    def stack(self, values: Sequence[Tensor]) -> Tensor:
        """Return values of shape (n, m) as (n, m, number of values)."""
        lifted = [self.call("Unsqueeze", value, self.integers(2)) for value in values]
        return self.call("Concat", *lifted, axis=2)

    def input(self, name: str, width: int) -> Tensor:
        """Return a new input of shape (n, width)."""
        kind = self._onnx.TensorProto.DOUBLE
        info = self._onnx.helper.make_tensor_value_info(name, kind, ["n", width])
        self.inputs.append(info)
        return Tensor(name)

    def output(
        self, name: str, value: Tensor, shape: Sequence[Any], kind: int | None = None
    ) -> None:
        """Name a value as a result."""
        self.nodes.append(self._onnx.helper.make_node("Identity", [value.name], [name]))
        kind = self._onnx.TensorProto.DOUBLE if kind is None else kind
        self.outputs.append(self._onnx.helper.make_tensor_value_info(name, kind, shape))

    def _binary(self, symbol: str, a: Any, b: Any) -> Tensor:
        return self.call(_BINARY[symbol], a, b)

    def _unary(self, name: str, x: Any) -> Tensor:
        return self.call(_UNARY[name], x)

    def choose_below(self, x: Any, bound: float, below: Any, above: Any) -> Tensor:
        return self.call("Where", self.call("Less", x, bound), below, above)


class _Rows(NamedTuple):
    """Inputs of the graph: standardised features, and what else is known of rows."""

    features: Tensor
    offset: Tensor | None
    trials: Tensor | None


def onnx_of(
    onnx: Any,
    state: FittedModel,
    options: OnnxOptions,
    classes: np.ndarray | None,
    metadata: Mapping[str, str],
) -> bytes:
    """Return the serialized graph of a fitted model.

    Parameters
    ----------
    onnx : module
    state : FittedModel
    options : OnnxOptions
    classes : ndarray of shape (n_classes,) or None
        Labels, for classifiers.
    metadata : mapping of str to str
        Stored beside the graph.

    Raises
    ------
    ExportError
        If the model has no formula for what is asked.
    """
    graph, n_leaves = _Graph(onnx), state.model.tree.n_leaves
    p = len(state.scaling.center)
    X = graph.input("X", p)
    apart = graph.subtract(X, state.scaling.center[None])
    rows = _Rows(
        graph.divide(apart, state.scaling.scale[None]),
        graph.input("offset", 1) if options.has_offset else None,
        graph.input("trials", 1) if options.has_trials else None,
    )
    gate = _prior(graph, state, rows)
    heads = [_heads(graph, state, g, rows) for g in range(len(state.model.groups))]
    means = [
        mean_of_group(group, own, graph, rows.offset, rows.trials)
        for group, own in zip(state.model.groups, heads, strict=True)
    ]
    by_value = [_in_order(graph, state, rows, list(same)) for same in zip(*means, strict=True)]
    if classes is None:
        mean = graph.sum_over(graph.multiply(gate, by_value[0]), 1)
        graph.output("mean", mean, ["n"])
        graph.output("gate", gate, ["n", n_leaves])
        graph.output("expert_mean", by_value[0], ["n", n_leaves])
    else:
        by_expert = graph.stack(by_value)
        weighted = graph.multiply(graph.call("Unsqueeze", gate, graph.integers(2)), by_expert)
        _give_classes(graph, graph.sum_over(weighted, 1), classes)
        graph.output("gate", gate, ["n", n_leaves])
        graph.output("expert_proba", by_expert, ["n", n_leaves, len(classes)])
    if options.quantiles:
        _give_quantiles(graph, state, heads, rows, options.quantiles)
    return _serialized(onnx, graph, metadata)


def _give_classes(graph: _Graph, proba: Tensor, classes: np.ndarray) -> None:
    graph.output("proba", proba, ["n", len(classes)])
    best = graph.call("ArgMax", proba, axis=1, keepdims=0)
    kind = graph._onnx.helper.np_dtype_to_tensor_dtype(classes.dtype)
    graph.output("label", graph.call("Gather", graph.constant(classes), best), ["n"], kind)


def _give_quantiles(
    graph: _Graph,
    state: FittedModel,
    heads: list[list[Any]],
    rows: _Rows,
    levels: Sequence[float],
) -> None:
    """Add the quantiles: of y where there is one expert, else of each expert alone."""
    groups, n_leaves = state.model.groups, state.model.tree.n_leaves
    by_level = []
    for q in levels:
        pairs = zip(groups, heads, strict=True)
        found = [quantile_of_group(group, own, graph, rows.offset, q) for group, own in pairs]
        by_level.append(_in_order(graph, state, rows, found))
    by_expert = graph.stack(by_level)
    if n_leaves == 1:
        graph.output("quantile", graph.sum_over(by_expert, 1), ["n", len(levels)])
    else:
        graph.output("expert_quantile", by_expert, ["n", n_leaves, len(levels)])


def _prior(graph: _Graph, state: FittedModel, rows: _Rows) -> Tensor:
    """Return the probability of every expert, (n, n_leaves): sums of logs along paths."""
    model, tree = state.model, state.model.tree
    coef = np.zeros((tree.n_edges, 1 + len(state.scaling.center)))
    for gates, own in zip(model.gates, state.params.gates, strict=True):
        coef[np.ix_(gates.edges, model.designs[gates.design])] = own
    logits = _predictor(graph, rows, coef)
    found = []
    for node in tree.inner_nodes.tolist():
        edges = tree.edges(node)
        siblings = graph.take(logits, range(edges.start, edges.stop))
        found.append(graph.call("LogSoftmax", siblings, axis=1))
    log_gate = found[0] if len(found) == 1 else graph.call("Concat", *found, axis=1)
    # A leaf lies below each edge of its path, and edge v - 1 leads to node v.
    paths = tree.covers[1:].astype(np.float64)
    return graph.exp(graph.call("MatMul", log_gate, graph.constant(paths)))


def _heads(graph: _Graph, state: FittedModel, g: int, rows: _Rows) -> list[Any]:
    """Return the heads of all experts of a group, numbers where they see no feature."""
    model, found = state.model, []
    for own, design in zip(state.params.experts[g], model.groups[g].designs, strict=True):
        coef = np.zeros((len(own), 1 + len(state.scaling.center)))
        coef[:, model.designs[design]] = own
        sees_none = model.is_narrow[design]
        found.append(own.T if sees_none else _predictor(graph, rows, coef))
    return found


def _predictor(graph: _Graph, rows: _Rows, coef: np.ndarray) -> Tensor:
    slopes = graph.constant(np.ascontiguousarray(coef[:, 1:].T))
    return graph.add(graph.call("MatMul", rows.features, slopes), coef[:, 0][None])


def _in_order(graph: _Graph, state: FittedModel, rows: _Rows, by_group: list[Any]) -> Tensor:
    """Return what groups say side by side, (n, n_leaves), leaves from left to right."""
    groups: Sequence[ExpertGroup] = state.model.groups
    full = [
        _over_rows(graph, rows, value, len(group.leaves))
        for value, group in zip(by_group, groups, strict=True)
    ]
    side_by_side = graph.call("Concat", *full, axis=1)
    order = np.argsort(np.concatenate([group.leaves for group in groups]))
    return graph.take(side_by_side, order.tolist())


def _over_rows(graph: _Graph, rows: _Rows, value: Any, width: int) -> Tensor:
    """Return a value as (n, width), repeated where it is the same for all rows or experts."""
    if is_number(value):
        value = graph.constant(np.asarray(value, dtype=np.float64).reshape(1, -1))
    n_rows = graph.call("Gather", graph.call("Shape", rows.features), graph.integers(0), axis=0)
    return graph.call("Expand", value, graph.call("Concat", n_rows, graph.integers(width), axis=0))


def _serialized(onnx: Any, graph: _Graph, metadata: Mapping[str, str]) -> bytes:
    made = onnx.helper.make_graph(
        graph.nodes, "mixture_of_experts", graph.inputs, graph.outputs, graph.constants
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(made, opset_imports=opsets, producer_name="mixexp")
    model.ir_version = _IR_VERSION
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
