"""Whether the parts of a fitted model that was read fit together.

Compiled loops look at no bounds, so whatever they index by is looked at here, once.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mixexp.exceptions import ModelFileError
from mixexp.model import (
    EqualityConstraints,
    ExpertGroup,
    FittedModel,
    Model,
    PlacedSubmodel,
)
from mixexp.submodels import GaussianGate, GaussianGateParams, QuadraticGate
from mixexp.tree import GatingTree


def check_state(state: FittedModel, n_features: int) -> None:
    """Check shapes, numbers of columns, nodes and leaves, and that numbers are finite.

    Raises
    ------
    ModelFileError
        Naming the part that does not fit.
    """
    model, params, scaling = state
    p = n_features
    _expect_array(scaling.center, (p,), "scaling.center")
    _expect_array(scaling.scale, (p,), "scaling.scale")
    _expect_array(scaling.is_constant, (p,), "scaling.is_constant", np.bool_)
    _expect(bool((scaling.scale > 0.0).all()), "scaling.scale is not positive")
    for name in ("lowest", "highest"):
        if getattr(scaling, name) is not None:
            _expect_array(getattr(scaling, name), (p,), f"scaling.{name}")
    _check_designs(model, p)
    for g, group in enumerate(model.groups):
        _check_group(model, group, f"groups[{g}]")
    leaves = [leaf for group in model.groups for leaf in group.leaves.tolist()]
    _expect_all(leaves, range(model.tree.n_leaves), "leaves of the groups")
    _check_gates(model)
    _expect(len(params.others) == len(model.others), "params.others has not one part per submodel")
    for at, (other, own) in enumerate(zip(model.others, params.others, strict=True)):
        _check_gate_of_library(model, other, own.item(), f"others[{at}]")
    _expect(len(params.gates) == len(model.gates), "params.gates has not one array per group")
    n_heads = [len(group.designs) for group in model.groups]
    _expect([len(heads) for heads in params.experts] == n_heads, "params.experts has other heads")
    for slot, (coef, shape) in enumerate(zip(model.slots(params), model.slot_shapes, strict=True)):
        _expect_array(coef, shape, f"coefficients of slot {slot}")
    if model.ties is not None:
        _check_ties(model.ties, model.n_flat)


def _check_designs(model: Model, p: int) -> None:
    for at, columns in enumerate(model.designs):
        _expect_vector(columns, f"designs[{at}]")
        is_set = columns[:1].tolist() == [0] and len(set(columns.tolist())) == len(columns)
        _expect(is_set, f"designs[{at}] is no set of columns after the intercept")
        _expect(_are_within(columns.tolist(), p + 1), f"designs[{at}] has columns that X has not")
    _expect(_are_within(model.constant_columns, p + 1), "constant_columns are none of X")


def _check_group(model: Model, group: ExpertGroup, where: str) -> None:
    heads = group.family.heads
    _expect_vector(group.leaves, f"{where}.leaves")
    _expect(len(group.designs) == len(heads) == len(group.units), f"{where} has other heads")
    _expect(_are_within(group.designs, len(model.designs)), f"{where}.designs are none")
    for design, center in zip(group.designs, group.center, strict=False):
        _expect_array(center, (len(model.designs[design]),), f"{where}.center")
    _expect(len(group.center) in (0, len(heads)), f"{where}.center has other heads")
    _expect(bool(np.isfinite([group.shift, group.scale]).all()), f"{where} has no finite unit")


def _check_gates(model: Model) -> None:
    tree = model.tree
    for at, gates in enumerate(model.gates):
        where = f"gates[{at}]"
        _expect(gates.tree.to_nested() == tree.to_nested(), f"{where} are of another tree")
        _expect_vector(gates.nodes, f"{where}.nodes")
        _expect(_are_within([gates.design], len(model.designs)), f"{where}.design is none")
    nodes = [node for gates in model.gates for node in gates.nodes.tolist()]
    for at, other in enumerate(model.others):
        _expect_vector(other.nodes, f"others[{at}].nodes")
        decided = [n for n in tree.inner_nodes.tolist() if _decides(tree, n, other.nodes)]
        _expect(len(decided) == 1, f"others[{at}].nodes are not the children of one node")
        nodes += decided
    _expect_all(nodes, tree.inner_nodes.tolist(), "nodes of the gates")


def _decides(tree: GatingTree, node: int, children: np.ndarray) -> bool:
    return list(tree.children(node)) == children.tolist()


def _check_gate_of_library(model: Model, other: PlacedSubmodel, params: Any, where: str) -> None:
    """Check a gate that is no softmax: its place, and the shapes of its parameters."""
    _expect(other.is_gate and not other.rivals, f"{where} is no gate")
    _expect(_are_within([other.design], len(model.designs)), f"{where}.design is none")
    m, q = len(other.nodes), len(model.designs[other.design]) - 1
    if isinstance(other.submodel, QuadraticGate):
        _expect(isinstance(params, np.ndarray), f"parameters of {where} are no array")
        n_terms = 1 + q + q * (q + 1) // 2
        _expect_array(params, (m, n_terms), f"parameters of {where}")
        return
    _expect(isinstance(other.submodel, GaussianGate), f"{where}.submodel is no gate of the library")
    _expect(isinstance(params, GaussianGateParams), f"parameters of {where} are those of another")
    _expect(params.basis.ndim == 2, f"{where}.basis is no matrix")
    r = params.basis.shape[1]
    shapes = {"weights": (m,), "means": (m, q), "covariances": (m, q, q)}
    for name, shape in {**shapes, "basis": (q, r), "factors": (m, r, r)}.items():
        _expect_array(getattr(params, name), shape, f"{where}.{name}")


def _check_ties(ties: EqualityConstraints, n_flat: int) -> None:
    _expect_array(ties.owner, (n_flat,), "ties.owner", np.int64)
    _expect(_are_within(ties.owner.tolist(), n_flat), "ties.owner are none")
    for name in ("known", "lower", "upper"):  # NaN where nothing is known, infinite bounds
        given = getattr(ties, name)
        is_vector = given is None or (given.dtype == np.float64 and given.shape == (n_flat,))
        _expect(is_vector, f"ties.{name} has another shape")
    for rows, values, ways in (("rows", "values", "repair"), ("least_rows", "least", "lift")):
        parts = [getattr(ties, name) for name in (rows, values, ways)]
        if all(part is None for part in parts):
            continue
        _expect(all(part is not None for part in parts), f"ties.{rows} lacks {values} or {ways}")
        m = parts[1].size
        for name, part, shape in zip(
            (rows, values, ways), parts, ((m, n_flat), (m,), (n_flat, m)), strict=True
        ):
            _expect_array(part, shape, f"ties.{name}")
    if ties.sort_rows is not None:
        _expect_array(ties.sort_rows, (len(ties.sort_rows), n_flat), "ties.sort_rows")


def _are_within(numbers: Iterable[int], end: int) -> bool:
    return all(0 <= number < end for number in numbers)


def _expect_all(found: list[int], expected: Iterable[int], what: str) -> None:
    _expect(sorted(found) == sorted(expected), f"{what} are not all of the tree's, each once")


def _expect_vector(numbers: np.ndarray, what: str) -> None:
    """Check an array of whole numbers in one dimension."""
    _expect_array(numbers, (numbers.size,), what, np.int64)


def _expect_array(
    array: np.ndarray, shape: tuple[int, ...], what: str, dtype: Any = np.float64
) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ModelFileError(
            f"The file is damaged: {what} has dtype {array.dtype} and shape {array.shape}; "
            f"expected {np.dtype(dtype)} and {shape}."
        )
    _expect(bool(np.isfinite(array).all()), f"{what} is not finite")


def _expect(is_met: bool, what: str) -> None:
    if not is_met:
        raise ModelFileError(f"The file is damaged: {what}.")
