"""Trees: their notation, and the model on them against brute-force path enumeration.

The oracle reads the nested list itself, walks every path from the root to an expert and
multiplies out. It shares no code with the package save the layout of the coefficients, and
is analytic, so that complex steps (Squire & Trapp 1998) give its gradient to rounding.
"""

import numpy as np
import pytest
from problems import (
    FAMILIES,
    GATES,
    TREES,
    make_problem,
    random_params,
    simulate_for,
    simulate_regimes,
)
from scipy.linalg import helmert

from mixexp.data import DenseDesign
from mixexp.experts import Gaussian
from mixexp.gates import SoftmaxGates
from mixexp.model import em_statistics, flat_gradient, posterior_of_block, predict_block
from mixexp.model._e_step import allocate, evaluate_experts, gate_logits, linear_predictors
from mixexp.model._grams import weighted_grams
from mixexp.model._statistics import sum_by_head
from mixexp.model._sums import sum_heads
from mixexp.tree import GatingTree

N_ROWS = 40


# Notation.


@pytest.mark.parametrize(
    ("spec", "nested"),
    [
        ((1,), [1]),
        ((3,), [1, 1, 1]),
        ((2, 2), [[1, 1], [1, 1]]),
        ((1, 2), [[1, 1]]),
        ((np.int64(2), 3), [[1, 1, 1], [1, 1, 1]]),
        ([1], [1]),
        ([[1, 1], 1], [[1, 1], 1]),
        ([1, [1, [1, 1, 1]], [1]], [1, [1, [1, 1, 1]], [1]]),
    ],
)
def test_from_spec_round_trips_through_nested_lists(spec, nested):
    tree = GatingTree.from_spec(spec)
    assert tree.to_nested() == nested
    assert GatingTree.from_spec(tree) is tree
    again = GatingTree.from_nested(tree.to_nested())
    for name in ("parent", "first_child", "n_children", "leaves"):
        assert np.array_equal(getattr(again, name), getattr(tree, name))


@pytest.mark.parametrize(
    "spec",
    [
        (),
        [],
        [[]],
        3,
        1,
        "flat",
        None,
        (0,),
        (2, 0),
        (2, -1),
        (2.0,),
        (True, 2),
        ([1, 1],),
        [2],
        [1, 0],
        [1, "1"],
        [True, 1],
        [1.0, 1],
        [(2,), 1],
        np.array([2, 2]),
        {2: 2},
    ],
    ids=repr,
)
def test_from_spec_refuses_other_forms(spec):
    with pytest.raises(ValueError, match=r"'tree' parameter must be .* Got "):
        GatingTree.from_spec(spec)


def test_flat_and_balanced_are_short_forms():
    assert GatingTree.flat(3).to_nested() == [1, 1, 1]
    assert GatingTree.balanced((2, 3)).to_nested() == [[1, 1, 1], [1, 1, 1]]


def test_nodes_are_numbered_level_by_level():
    #            0
    #       1    2    3
    #      4 5      6 7 8
    #                 9 10
    tree = GatingTree.from_nested([[1, 1], 1, [1, [1, 1], 1]])
    assert tree.parent.tolist() == [-1, 0, 0, 0, 1, 1, 3, 3, 3, 7, 7]
    assert tree.n_children.tolist() == [3, 2, 0, 3, 0, 0, 0, 2, 0, 0, 0]
    assert tree.level.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3]
    assert tree.leaves.tolist() == [4, 5, 2, 6, 9, 10, 8]
    assert tree.inner_nodes.tolist() == [0, 1, 3, 7]
    assert (tree.n_nodes, tree.n_edges, tree.n_leaves, tree.depth) == (11, 10, 7, 3)
    assert list(tree.children(3)) == [6, 7, 8]
    assert tree.edges(3) == slice(5, 8)
    assert [tree.leaf_position(int(leaf)) for leaf in tree.leaves] == list(range(7))


@pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
def test_numbering_agrees_with_the_nested_list(spec):
    tree = GatingTree.from_spec(spec)
    assert np.all(np.diff(tree.level) >= 0)
    for node in tree.inner_nodes:
        assert all(tree.parent[child] == node for child in tree.children(node))
    paths = enumerate_paths(tree.to_nested())
    assert [path[-1][1] + 1 for path in paths] == tree.leaves.tolist()


@pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
def test_sibling_pairs_lists_every_pair_once(spec):
    tree = GatingTree.from_spec(spec)
    first, second = tree.sibling_pairs
    expected = [
        (a, b)
        for a in range(tree.n_edges)
        for b in range(a + 1, tree.n_edges)
        if tree.parent[a + 1] == tree.parent[b + 1]
    ]
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == expected


@pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
def test_covers_marks_the_nodes_on_each_path(spec):
    tree = GatingTree.from_spec(spec)
    expected = np.zeros((tree.n_nodes, tree.n_leaves), dtype=bool)
    expected[0] = True
    for position, path in enumerate(enumerate_paths(tree.to_nested())):
        for _, edge in path:
            expected[edge + 1, position] = True
    assert np.array_equal(tree.covers, expected)


# The model on a tree, against the oracle.


def enumerate_paths(nested):
    """Return per expert, left to right, its path as (edges of all siblings, edge taken)."""
    edges_below, queue, n_edges = {}, [((), nested)], 0
    while queue:
        address, node = queue.pop(0)
        if isinstance(node, list):
            edges_below[address] = list(range(n_edges, n_edges + len(node)))
            n_edges += len(node)
            queue += [((*address, i), child) for i, child in enumerate(node)]
    paths = []

    def walk(address, node, path):
        if not isinstance(node, list):
            paths.append(path)
            return
        siblings = edges_below[address]
        for i, child in enumerate(node):
            walk((*address, i), child, [*path, (siblings, siblings[i])])

    walk((), nested, [])
    return paths


def oracle_log_joint(model, flat, block):
    """Return log priors and log densities of every expert by brute force, (n_leaves, rows)."""
    coefs = [
        flat[at].reshape(shape)
        for at, shape in zip(model.slot_slices, model.slot_shapes, strict=True)
    ]
    logits = np.empty((model.tree.n_edges, len(block.weight)), dtype=flat.dtype)
    for gates, coef in zip(model.gates, coefs, strict=False):
        logits[gates.edges] = coef @ block.features.values[model.designs[gates.design]]
    log_prior = [
        sum(
            logits[taken] - np.log(sum(np.exp(logits[edge]) for edge in siblings))
            for siblings, taken in path
        )
        for path in enumerate_paths(model.tree.to_nested())
    ]
    log_density = [None] * len(log_prior)
    for g, group in enumerate(model.groups):
        for row, leaf in enumerate(group.leaves):
            heads = [
                coefs[model.slot_of[g, h]][row] @ block.features.values[model.designs[d]]
                for h, d in enumerate(group.designs)
            ]
            density = ORACLE_DENSITIES[group.family.name]
            log_density[leaf] = density(block.targets[g], *heads) - np.log(group.scale)
    return np.array(log_prior), np.array(log_density)


def gaussian_log_density(y, eta, log_dispersion):
    return -0.5 * (np.log(2.0 * np.pi) + log_dispersion + (y - eta) ** 2 * np.exp(-log_dispersion))


def logistic_log_density(y, eta):
    return y * eta - np.log(1.0 + np.exp(eta))


def multinomial_log_density(y, *heads):
    logits = helmert(len(heads) + 1).T @ np.array(heads)
    chosen = logits[y.astype(int), np.arange(len(y))]
    return chosen - np.log(np.exp(logits).sum(axis=0))


ORACLE_DENSITIES = {
    "gaussian": gaussian_log_density,
    "logistic": logistic_log_density,
    "multinomial": multinomial_log_density,
}


def oracle_log_likelihood(model, flat, block):
    log_prior, log_density = oracle_log_joint(model, flat, block)
    return block.weight @ np.log(np.exp(log_prior + log_density).sum(axis=0))


def oracle_gradient(model, flat, block):
    """Differentiate the oracle by complex steps; exact to rounding, for nothing cancels."""
    gradient = np.empty(len(flat))
    for j in range(len(flat)):
        moved = flat.astype(complex)
        moved[j] += 1e-100j
        gradient[j] = oracle_log_likelihood(model, moved, block).imag / 1e-100
    return gradient


def random_problem(family, spec, gate, rng):
    data = simulate_for(family, rng, N_ROWS)
    problem = make_problem(data, family, spec, gate, weight=rng.uniform(0.5, 2.0, N_ROWS))
    return problem, random_params(problem.model, rng)


def mixed_problem(rng):
    """Return experts of two families in an unbalanced tree, and designs that differ."""
    shared = Gaussian(dispersion="shared")
    problem = make_problem(
        simulate_regimes(rng, N_ROWS),
        [shared, Gaussian(), Gaussian(), shared],
        [[1, [1, 1]], 1],
        weight=rng.uniform(0.5, 2.0, N_ROWS),
        expert_columns=[1],
        gate_columns=[0],
    )
    return problem, random_params(problem.model, rng)


every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_gate = pytest.mark.parametrize("gate", GATES)


@every_tree
@every_gate
@every_family
def test_densities_and_posteriors_match_path_enumeration(family, gate, spec, rng):
    problem, params = random_problem(family, spec, gate, rng)
    assert_posterior_matches(problem, params)


def test_densities_and_posteriors_match_path_enumeration_for_mixed_families(rng):
    assert_posterior_matches(*mixed_problem(rng))


def assert_posterior_matches(problem, params):
    model, (block,) = problem.model, problem.blocks
    log_prior, log_density = oracle_log_joint(model, model.flatten(params), block)
    joint = np.exp(log_prior + log_density)
    # Sums of a few dozen numbers of order one: 1e-10 leaves five digits to spare.
    found = posterior_of_block(model, params, block)
    np.testing.assert_allclose(found.log_density, np.log(joint.sum(axis=0)), atol=1e-10)
    resp = joint / joint.sum(axis=0)
    np.testing.assert_allclose(found.node_resp[model.tree.leaves], resp, atol=1e-10)
    np.testing.assert_allclose(found.node_resp, model.tree.covers @ resp, atol=1e-10)
    prediction = predict_block(model, params, block)
    np.testing.assert_allclose(prediction.prior, np.exp(log_prior), atol=1e-10)
    for node in model.tree.inner_nodes:
        siblings = prediction.gate[model.tree.edges(node)]
        np.testing.assert_allclose(siblings.sum(axis=0), 1.0, atol=1e-12)


@every_tree
@every_gate
@every_family
def test_gradient_matches_path_enumeration(family, gate, spec, rng):
    problem, params = random_problem(family, spec, gate, rng)
    assert_gradient_matches(problem, params)


def test_gradient_matches_path_enumeration_for_mixed_families(rng):
    assert_gradient_matches(*mixed_problem(rng))


def assert_gradient_matches(problem, params):
    model, (block,) = problem.model, problem.blocks
    flat = model.flatten(params)
    stats = em_statistics(model, params, block)
    np.testing.assert_allclose(
        stats.log_likelihood, oracle_log_likelihood(model, flat, block), rtol=1e-10
    )
    expected = oracle_gradient(model, flat, block)
    size = 1.0 + np.abs(expected).max()
    np.testing.assert_allclose(flat_gradient(model, stats), expected, atol=1e-10 * size)


@every_tree
@every_family
def test_gradient_matches_central_differences(family, spec, rng):
    problem, params = random_problem(family, spec, "softmax", rng)
    model, (block,) = problem.model, problem.blocks
    flat = model.flatten(params)
    step = 1e-5

    def log_likelihood(at):
        return em_statistics(model, model.unflatten(at), block).log_likelihood

    found = flat_gradient(model, em_statistics(model, params, block))
    expected = central_differences(log_likelihood, flat, step)
    # The error of the differences: step**2 times third derivatives, some 1e-10 * n_rows, and
    # rounding of the sum over step, some 1e-16 * 1e3 / 1e-5.
    np.testing.assert_allclose(found, expected, atol=1e-7 * (1.0 + np.abs(expected).max()))


@every_tree
@every_gate
@every_family
def test_information_matches_central_differences(family, gate, spec, rng):
    problem, params = random_problem(family, spec, gate, rng)
    assert_information_matches(problem, params)


def test_information_matches_central_differences_for_mixed_families(rng):
    assert_information_matches(*mixed_problem(rng))


def assert_information_matches(problem, params):
    model = problem.model

    def gradient(at):
        parts = [em_statistics(model, model.unflatten(at), block) for block in problem.blocks]
        return sum(flat_gradient(model, part) for part in parts)

    found = problem.information(params)
    expected = -central_differences(gradient, model.flatten(params), 1e-5)
    # Relative to the largest entry: the differences are good to 1e-10 + 1e-11 of it.
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(found, found.T)


def central_differences(function, at, step):
    """Return derivatives of a function of a vector, the vector's index first."""
    columns = []
    for j in range(len(at)):
        move = np.zeros(len(at))
        move[j] = step
        columns.append((function(at + move) - function(at - move)) / (2.0 * step))
    return np.array(columns)


@every_family
def test_flat_tree_equals_a_degenerate_deeper_tree(family, rng):
    data = simulate_for(family, rng, N_ROWS)
    flat = make_problem(data, family, [1, 1, 1])
    deeper = make_problem(data, family, [[1, 1, 1]])
    params = random_params(flat.model, rng)
    single_gate = np.zeros((1, params.gates[0].shape[1]))
    lifted = params._replace(gates=(np.concatenate([single_gate, params.gates[0]]),))
    first, second = flat.evaluate(params), deeper.evaluate(lifted)
    np.testing.assert_allclose(second.objective, first.objective, rtol=1e-12)
    q = params.gates[0].shape[1]
    np.testing.assert_allclose(second.gradient[q:], first.gradient, atol=1e-10)
    # An only child is certain: nothing pulls on its logit.
    np.testing.assert_allclose(second.gradient[:q], 0.0, atol=1e-12)
    assert deeper.model.n_parameters == flat.model.n_parameters


@every_tree
@every_family
def test_relabelling_changes_nothing_but_labels(family, spec, rng):
    nested = GatingTree.from_spec(spec).to_nested()
    problem, params = random_problem(family, nested, "softmax", rng)
    block, tree = problem.blocks[0], problem.model.tree
    other_tree = GatingTree.from_nested(mirror(nested))
    other_model = type(problem.model)(
        other_tree,
        problem.model.groups,
        problem.model.designs,
        SoftmaxGates.everywhere(other_tree, problem.model.gates[0].design),
        problem.model.penalty,
    )
    other = params._replace(
        gates=(params.gates[0][mirrored_edges(tree, other_tree)],),
        experts=tuple(tuple(coef[::-1] for coef in heads) for heads in params.experts),
    )
    first = posterior_of_block(problem.model, params, block)
    second = posterior_of_block(other_model, other, block)
    np.testing.assert_allclose(second.log_density, first.log_density, atol=1e-12)
    np.testing.assert_allclose(
        second.node_resp[other_tree.leaves],
        first.node_resp[tree.leaves][::-1],
        atol=1e-12,
    )


def mirror(nested):
    return [mirror(child) for child in reversed(nested)] if isinstance(nested, list) else nested


def mirrored_edges(tree, other):
    """Return for each edge of the mirrored tree the edge of the tree that it is."""
    source = {0: 0}
    for node in other.inner_nodes:
        originals = list(tree.children(source[int(node)]))
        for child, original in zip(other.children(node), reversed(originals), strict=True):
            source[child] = original
    return [source[edge + 1] - 1 for edge in range(other.n_edges)]


@pytest.mark.parametrize("p", [1, 5, 24, 40])
@pytest.mark.parametrize("n_weights", [1, 6])
@pytest.mark.parametrize("least", [0.0, -1.0], ids=["weights", "signed weights"])
def test_weighted_grams_are_the_same_by_any_method(p, n_weights, least, rng):
    features = [rng.standard_normal((p, 50)), rng.standard_normal((2, 50))]
    designs = [DenseDesign(values) for values in features]
    weights = rng.uniform(least, 1.0, (n_weights, 50))
    both, alone = weighted_grams(designs, [(0, 1, weights), (0, 0, weights)])
    np.testing.assert_allclose(
        both, np.einsum("ir,kr,jr->kij", features[0], weights, features[1]), atol=1e-12
    )
    np.testing.assert_allclose(
        alone, np.einsum("ir,kr,jr->kij", features[0], weights, features[0]), atol=1e-12
    )


@pytest.mark.parametrize("n_starts", [0, 3], ids=["one set", "several sets"])
@pytest.mark.parametrize("gate", ["softmax", "constant"])
@every_tree
@every_family
def test_sums_piece_by_piece_are_those_of_all_rows(family, spec, gate, n_starts, rng):
    problem, params = random_problem(family, spec, gate, rng)
    model, block = problem.model, problem.blocks[0]
    if n_starts:
        flat = [model.flatten(random_params(model, rng)) for _ in range(n_starts)]
        params = model.unflatten(np.stack(flat))
    eta = linear_predictors(model, params, block)
    log_density, derivatives = evaluate_experts(model, params, eta, block)
    found = allocate(model.tree, gate_logits(model, params, eta, block), log_density)
    resp, mass = found.node_resp, found.node_resp @ block.weight
    sums = sum_heads(model, block, found.gate, resp, derivatives, mass)
    expected = sum_by_head(model, block, found.gate, resp.copy(), derivatives, None)
    assert sums is not None
    tolerance = 1e-12 * len(block.weight)
    np.testing.assert_allclose(sums.gate_gradient, expected.gate_gradient, 1e-10, tolerance)
    np.testing.assert_allclose(sums.gate_pairs, expected.gate_pairs, 1e-10, tolerance)
    for own, other in zip(sums.groups, expected.groups, strict=True):
        for one, two in zip(own.gradient, other.gradient, strict=True):
            np.testing.assert_allclose(one, two, 1e-10, tolerance)
        assert own.curvature.keys() == other.curvature.keys()
        for pair, curvature in own.curvature.items():
            np.testing.assert_allclose(curvature, other.curvature[pair], 1e-10, tolerance)
