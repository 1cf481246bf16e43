"""Submodels in an estimator: from what users ask for to what is fitted."""

from collections.abc import Sequence
from typing import Any

from sklearn.frozen import FrozenEstimator

from mixexp.estimators._gates import NodeGate
from mixexp.submodel import Setting, Submodel
from mixexp.submodels import EstimatorExpert, Frozen, is_estimator
from mixexp.tree import GatingTree


def as_expert(entry: Any) -> Any:
    """Return an expert for an estimator of scikit-learn's, anything else as it is."""
    if isinstance(entry, Submodel) or hasattr(entry, "log_kernel") or not is_estimator(entry):
        return entry
    if isinstance(entry, FrozenEstimator):
        return Frozen(entry.estimator)
    return EstimatorExpert(entry)


def bind_submodels(
    estimator: Any,
    families: Sequence[Any],
    node_gates: Sequence[NodeGate],
    tree: GatingTree,
    expert_columns: list[int],
) -> tuple[list[Any], list[NodeGate]]:
    """Return experts and gates, of which submodels know where they stand in the fit.

    Raises
    ------
    ValueError
        If one cannot be fitted there.
    """
    own = [*families, *(gate.submodel for gate in node_gates)]
    if not any(isinstance(part, Submodel) for part in own):
        return list(families), list(node_gates)
    names, penalty = getattr(estimator, "feature_names_in_", None), estimator._penalty()

    def setting(where: str, columns: Sequence[int]) -> Setting:
        return Setting(
            where,
            None if names is None else [str(names[column]) for column in columns],
            len(columns),
            getattr(estimator, "classes_", None),
            penalty.dispersion_prior,
            penalty.gate_alpha,
        )

    experts = [
        family.bind(setting(f"expert {number}", expert_columns))
        if isinstance(family, Submodel)
        else family
        for number, family in enumerate(families)
    ]
    gates = [
        gate
        if gate.submodel is None
        else NodeGate(
            gate.columns, gate.submodel.bind(setting(f"the gate at node {node}", gate.columns))
        )
        for node, gate in zip(tree.inner_nodes.tolist(), node_gates, strict=False)
    ]
    return experts, gates
