"""What the tests fit: small registries of families, gates and trees, and simulators of data.

Contracts are parametrised over these registries, so that a case added here is held to all.
"""

from typing import NamedTuple

import numpy as np

from mixexp.data import RowArguments
from mixexp.em import Problem
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.experts import Gaussian, Logistic, Multinomial
from mixexp.model import Parameters, Penalty
from mixexp.tree import GatingTree

FAMILIES = {
    "gaussian": Gaussian(),
    "gaussian_shared": Gaussian(dispersion="shared"),
    "logistic": Logistic(),
    "multinomial": Multinomial(n_classes=3),
}
# The last has gates that see other features from node to node, some of them none.
GATES = ("softmax", "constant", "alternating")
TREES = {
    "one": (1,),
    "flat": (3,),
    "balanced": (2, 2),
    "left": [[1, 1], 1],
    "right": [[1, [1, 1]], 1],
}
NO_PENALTY = Penalty(0.0, 0.0, 0.0)
UNPENALIZED = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
UNPENALIZED_CLASSES = {"alpha": 0.0, "gate_alpha": 0.0}


class Data(NamedTuple):
    """Simulated rows."""

    X: np.ndarray
    y: np.ndarray
    labels: np.ndarray


def simulate_regimes(rng, n, n_regimes=3, p=2, noise=0.5):
    """Draw Gaussian linear regimes that overlap, so that gates have a finite optimum."""
    X = rng.standard_normal((n, p))
    labels = _draw_labels(rng, X, n_regimes)
    coef = _regime_coefs(n_regimes, p)
    mean = coef[labels, 0] + np.einsum("ij,ij->i", coef[labels, 1:], X)
    return Data(X, mean + noise * rng.standard_normal(n), labels)


def simulate_classes(rng, n, n_classes, n_regimes=2, p=2):
    """Draw classes 0, 1, ... whose logits depend on the regime."""
    X = rng.standard_normal((n, p))
    labels = _draw_labels(rng, X, n_regimes)
    slopes = np.stack([np.roll(_regime_coefs(n_regimes, p), c, axis=1) for c in range(n_classes)])
    logits = slopes[:, labels, 0] + np.einsum("cij,ij->ci", slopes[:, labels, 1:], X)
    logits[0] = 0.0
    noisy = logits + rng.gumbel(size=logits.shape)
    return Data(X, noisy.argmax(axis=0).astype(float), labels)


def _draw_labels(rng, X, n_regimes):
    logits = 1.5 * X @ rng.standard_normal((X.shape[1], n_regimes))
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def _regime_coefs(n_regimes, p):
    """Return intercepts and slopes that differ between regimes in size and sign."""
    regime = np.arange(n_regimes)[:, None]
    return 2.0 * np.cos(1.7 * regime + 1.3 * np.arange(p + 1))


def simulate_for(family, rng, n):
    """Draw data that a family can be fitted to."""
    if family.target == "regression":
        return simulate_regimes(rng, n)
    n_classes = family.n_classes if family.target == "classes" else 2
    return simulate_classes(rng, n, n_classes)


def make_problem(
    data,
    families,
    tree,
    gate="softmax",
    *,
    penalty=NO_PENALTY,
    weight=None,
    expert_columns=None,
    gate_columns=None,
    groups=None,
    n_threads=1,
) -> Problem:
    """Lay out a problem without an estimator around it."""
    shape = GatingTree.from_spec(tree)
    listed = families if isinstance(families, list) else [families] * shape.n_leaves
    every = list(range(data.X.shape[1]))
    offered = every if gate_columns is None else gate_columns
    problem, _, _ = build_problem(
        data.X,
        data.y,
        RowArguments(np.ones(len(data.y)) if weight is None else weight, groups=groups),
        tree=shape,
        families=listed,
        node_gates=[
            NodeGate(_seen_by(gate, node, offered)) for node in range(len(shape.inner_nodes))
        ],
        columns=_columns(
            expert=every if expert_columns is None else expert_columns,
            gate=offered,
        ),
        penalty=penalty,
        n_threads=n_threads,
    )
    return problem


def _seen_by(gate, node, offered):
    """Return the columns that a gate of a kind looks at, at the inner node of some number."""
    if gate == "alternating":
        return [] if node % 3 == 1 else offered[node % 2 : 1 + node % 2]
    return offered if gate == "softmax" else []


def gate_options(gate, spec, n_features=2):
    """Return the hyper-parameters of an estimator whose gates are of a kind of `GATES`."""
    if gate != "alternating":
        return {"gate": gate}
    tree, every = GatingTree.from_spec(spec), list(range(n_features))
    number = {node: at for at, node in enumerate(tree.inner_nodes.tolist())}

    def nested(node):
        below = [nested(child) for child in tree.children(node) if child in number]
        return [_seen_by(gate, number[node], every), *below]

    return {"gate_features": nested(0)}


def _columns(**chosen):
    """Return the columns of each part of the model; parts not named get none."""
    return Columns(**{part: chosen.get(part, []) for part in Columns._fields})


def random_params(model, rng) -> Parameters:
    """Draw coefficients that are legal: siblings sum to zero, shared dispersions agree."""
    slots = [rng.standard_normal(shape) for shape in model.slot_shapes]
    for slot, gates in enumerate(model.gates):
        slots[slot] = gates.centered(slots[slot])
    for slot in model.expert_slots:
        if model.slot_facts[slot].kind == "dispersion":
            slots[slot] *= 0.5
        if model.slot_facts[slot].is_shared:
            slots[slot][:] = slots[slot][0]
    return model.from_slots(slots)
