"""Data drawn from mixtures of experts, flat and in trees, together with what they came from.

    x ~ uniform on [-1, 1]**p,    k | x ~ gates of the tree,    y | x, k ~ family k at its heads

This file holds what users call; gates are laid out in `_gates.py` and experts in `_experts.py`.
"""

from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import MOST_NUMBERS, as_finite, check_choice, check_count
from mixexp.datasets._checks import check_size, make_generator
from mixexp.datasets._experts import draw_experts, read_families
from mixexp.datasets._gates import draw_gates, leaf_proba
from mixexp.experts import Expert
from mixexp.experts._base import MOST_CLASSES
from mixexp.text import shown
from mixexp.tree import GatingTree

_GATES = ("softmax", "constant")


class Truth(NamedTuple):
    """What simulated data came from, named and shaped as the attributes of a fitted estimator.

    Parameters
    ----------
    tree : GatingTree
    experts : list of Expert
        The family of each expert.
    intercept : ndarray of shape (n_experts,) or (n_experts, n_classes)
    coef : ndarray of shape (n_experts, n_features) or (n_experts, n_classes, n_features)
        Zero for experts without a location, such as a point mass.
    gate_intercept : ndarray of shape (n_nodes - 1,)
        One per edge; logits of siblings sum to zero.
    gate_coef : ndarray of shape (n_nodes - 1, n_features)
    dispersion : ndarray of shape (n_experts,)
        1 for families without one.
    shape : list of dict
        Further parameters of each expert by name, such as ``df``.
    labels : ndarray of shape (n,), int
        The expert that each y was drawn from.
    gate_proba : ndarray of shape (n, n_experts)
        Probability of each expert before y is seen.
    responsibilities : ndarray of shape (n, n_experts)
        The same after y is seen: what no estimate can do better than.
    log_density : ndarray of shape (n,)
        Of y given x, natural log; its mean is what no estimate beats on new rows.
    trials : ndarray of shape (n,) or None
        For experts that count successes.
    """

    tree: GatingTree
    experts: list[Expert]
    intercept: np.ndarray
    coef: np.ndarray
    gate_intercept: np.ndarray
    gate_coef: np.ndarray
    dispersion: np.ndarray
    shape: list[dict[str, float]]
    labels: np.ndarray
    gate_proba: np.ndarray
    responsibilities: np.ndarray
    log_density: np.ndarray
    trials: np.ndarray | None


class Simulation(NamedTuple):
    """Simulated data and their truth; unpacks as ``X, y, truth``.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    y : ndarray of shape (n,)
    truth : Truth
    """

    X: np.ndarray
    y: np.ndarray
    truth: Truth


def make_moe(
    n_samples: int = 500,
    n_features: int = 2,
    n_experts: int = 3,
    *,
    expert: Any = "gaussian",
    gate: str = "softmax",
    separation: float = 3.0,
    sharpness: float = 8.0,
    dispersion: Any = None,
    n_classes: int = 3,
    trials: Any = None,
    random_state: Any = None,
) -> Simulation:
    """Simulate a flat mixture of experts of any family.

    Parameters
    ----------
    n_samples : int, default=500
    n_features : int, default=2
        Independent, uniform between -1 and 1.
    n_experts : int, default=3
        Each is expected to get about the same number of rows.
    expert : str, Expert, or list of these, default="gaussian"
        Family of the experts; a list gives one per expert. A uniform expert without limits spans
        what the others draw, or -1 to 1 if there are none.
    gate : {"softmax", "constant"}, default="softmax"
        "constant" gives all experts the same probability everywhere: a mixture of regressions.
    separation : float, default=3.0
        Distance between the intercepts of neighbouring experts, and length of every vector of
        slopes, whose direction is random. 0 makes all experts the same. In units of the noise's
        standard deviation for families with a location and scale; of 0.4 for those with a
        log link or a logarithm of y; of 0.7 for log-odds; for other links that need a
        positive linear predictor of 0.2, around a centre that keeps it positive.
    sharpness : float, default=8.0
        How much the log-odds of neighbouring children of a gate change from the centre of
        one to the centre of the other; the greater, the less do experts overlap.
    dispersion : float or array-like of shape (n_experts,), default=None
        Dispersion of the experts; by default 1 for families with a location and scale, else
        0.3. Families with a known one keep theirs.
    n_classes : int, default=3
        For families of several classes that are given by name.
    trials : int or array-like of shape (n_samples,), default=None
        For binomial experts; 1 if None.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    Simulation
        ``X, y, truth``. Experts are in the order of their intercepts, as in a fitted
        estimator; the truth's arrays are comparable to ``coef_``, ``gate_coef_``, ...

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    Notes
    -----
    Along a random direction u, child j of a gate has its centre c_j at one of the quantiles
    (j + 1/2) / m of u'x, in random order; its logit is ``s * (c_j * u'x - c_j**2 / 2)`` plus a
    constant, so that the nearest centre is the most probable child, and s is ``sharpness`` over
    the squared mean distance of neighbouring centres.

    Examples
    --------
    >>> from mixexp.datasets import make_moe
    >>> X, y, truth = make_moe(expert="poisson", random_state=0)
    >>> X.shape, y.shape, truth.coef.shape
    ((500, 2), (500,), (3, 2))
    """
    tree = GatingTree.flat(check_count("n_experts", n_experts))
    options = _Options(expert, gate, separation, sharpness, dispersion, n_classes, trials)
    return _simulate(n_samples, n_features, tree, options, random_state)


def make_hme(
    n_samples: int = 500,
    n_features: int = 2,
    tree: Any = (2, 2),
    *,
    expert: Any = "gaussian",
    gate: str = "softmax",
    separation: float = 3.0,
    sharpness: float = 8.0,
    dispersion: Any = None,
    n_classes: int = 3,
    trials: Any = None,
    random_state: Any = None,
) -> Simulation:
    """Simulate a hierarchical mixture of experts of any family.

    Every gate cuts the rows that reach it along a random direction of its own.

    Parameters
    ----------
    n_samples : int, default=500
    n_features : int, default=2
        Independent, uniform between -1 and 1.
    tree : tuple of int, nested list or GatingTree, default=(2, 2)
        See `HMERegressor`. Experts that are neighbours in the tree have neighbouring intercepts.
    expert : str, Expert, or list of these, default="gaussian"
        As for `make_moe`; a list gives one per leaf, from left to right.
    gate : {"softmax", "constant"}, default="softmax"
    separation : float, default=3.0
        Distance of experts, as for `make_moe`.
    sharpness : float, default=8.0
        Of gates, as for `make_moe`.
    dispersion : float or array-like of shape (n_experts,), default=None
        As for `make_moe`.
    n_classes : int, default=3
        For families of several classes that are given by name.
    trials : int or array-like of shape (n_samples,), default=None
        For binomial experts; 1 if None.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    Simulation
        ``X, y, truth``.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    Examples
    --------
    >>> from mixexp.datasets import make_hme
    >>> X, y, truth = make_hme(tree=[[1, 1], 1], random_state=0)
    >>> truth.gate_coef.shape
    (4, 2)
    """
    options = _Options(expert, gate, separation, sharpness, dispersion, n_classes, trials)
    return _simulate(n_samples, n_features, GatingTree.from_spec(tree), options, random_state)


class _Options(NamedTuple):
    """Arguments that `make_moe` and `make_hme` have in common, as they were given."""

    expert: Any
    gate: Any
    separation: Any
    sharpness: Any
    dispersion: Any
    n_classes: Any
    trials: Any


def _simulate(
    n_samples: Any, n_features: Any, tree: GatingTree, options: _Options, random_state: Any
) -> Simulation:
    n, p = check_count("n_samples", n_samples), check_count("n_features", n_features)
    check_count("n_samples * n_features", n * p)
    check_choice("gate", options.gate, _GATES)
    separation = check_size("separation", options.separation)
    sharpness = check_size("sharpness", options.sharpness) * (options.gate == "softmax")
    n_classes = check_count("n_classes", options.n_classes, 2, MOST_CLASSES)
    families = read_families(options.expert, tree.n_leaves, n_classes)
    counts = _check_trials(options.trials, families, n)
    rng = make_generator(random_state)
    X = rng.uniform(-1.0, 1.0, (n, p))
    gate_coef = draw_gates(tree, X, sharpness, rng)
    proba = leaf_proba(tree, X, gate_coef)
    labels = (rng.random((n, 1)) > np.cumsum(proba, axis=1)[:, :-1]).sum(axis=1)
    drawn = draw_experts(families, X, labels, separation, options.dispersion, counts, rng)
    joint = np.log(np.maximum(proba, np.finfo(float).tiny)) + drawn.log_density
    total = np.logaddexp.reduce(joint, axis=1)
    truth = Truth(
        tree,
        drawn.families,
        drawn.location[..., 0],
        drawn.location[..., 1:],
        gate_coef[:, 0],
        gate_coef[:, 1:],
        drawn.dispersion,
        drawn.shape,
        labels,
        proba,
        np.exp(joint - total[:, None]),
        total,
        counts,
    )
    return Simulation(X, drawn.y, truth)


def _check_trials(trials: Any, families: list[Expert], n: int) -> np.ndarray | None:
    if trials is None:
        return None
    if not any(family.uses_trials for family in families):
        names = sorted({family.name for family in families})
        raise ValueError(f"trials are for binomial experts; the experts here are {names}.")
    counts = as_finite(trials, "trials")
    is_count = (counts >= 1.0) & (counts <= MOST_NUMBERS) & (counts == np.floor(counts))
    if counts.shape not in ((), (n,)) or not is_count.all():
        raise ValueError(
            f"The 'trials' parameter must be a whole number in the range "
            f"[1, {MOST_NUMBERS}], or {n} of them. "
            f"Got {shown(trials)}."
        )
    return np.broadcast_to(counts, (n,)).copy()
