"""Kernels against plain NumPy twins, and the disk cache that must never hurt.

The twins are written for reading: they state what a kernel computes, one line each.
"""

import ast
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from mpmath import mp
from problems import TREES
from scipy import sparse
from scipy.special import logsumexp

import mixexp
from mixexp import kernels
from mixexp.em._linear_systems import solve_semidefinite
from mixexp.kernels import _jit
from mixexp.symmetric import eigh
from mixexp.tree import GatingTree

# The last takes more than one chunk.
ROWS = (1, 2, 37, kernels.CHUNK + 3)
every_tree = pytest.mark.parametrize("spec", TREES.values(), ids=TREES)
every_size = pytest.mark.parametrize("rows", ROWS)


# Twins.


def shift_siblings_twin(tree, logits):
    out = np.empty_like(logits)
    for node in tree.inner_nodes:
        edges = tree.edges(node)
        out[edges] = logits[edges] - logits[edges].max(axis=0)
    return out


def normalize_siblings_twin(tree, gate):
    out, total = np.empty_like(gate), np.empty((len(tree.inner_nodes), gate.shape[1]))
    for i, node in enumerate(tree.inner_nodes):
        total[i] = gate[tree.edges(node)].sum(axis=0)
        out[tree.edges(node)] = gate[tree.edges(node)] / total[i]
    return out, total


def log_paths_twin(tree, log_gate):
    path = np.zeros((tree.n_nodes, log_gate.shape[1]))
    for node in range(1, tree.n_nodes):
        path[node] = path[tree.parent[node]] + log_gate[node - 1]
    return path


def log_gates_twin(tree, logits):
    out = np.empty_like(logits)
    for node in tree.inner_nodes:
        out[tree.edges(node)] = logits[tree.edges(node)] - logsumexp(logits[tree.edges(node)], 0)
    return out


def node_resp_twin(tree, path, joint):
    """Share rows by joint density, or by the prior where no leaf explains the row."""
    with np.errstate(invalid="ignore"):
        resp = np.exp(joint - logsumexp(joint, axis=0))
    lost = np.all(np.isneginf(joint), axis=0)
    resp[:, lost] = np.exp(path[tree.leaves][:, lost])
    return tree.covers @ resp


def random_logits(tree, rows, rng):
    return 2.0 * rng.standard_normal((tree.n_edges, rows))


def run_shift(tree, logits):
    top, out = np.empty(logits.shape[1]), np.full_like(logits, np.nan)
    kernels.shift_siblings(logits, tree.inner_nodes, tree.first_child, tree.n_children, top, out)
    return out


def run_normalize(tree, gate):
    gate, total = gate.copy(), np.full((len(tree.inner_nodes), gate.shape[1]), np.nan)
    nodes = tree.inner_nodes, tree.first_child, tree.n_children
    kernels.normalize_siblings(gate, *nodes, total)
    return gate, total


def run_share(tree, logits, log_density):
    """Return log densities of rows, gates and responsibilities."""
    rows, every_node = logits.shape[1], (tree.parent, tree.inner_nodes, tree.first_child)
    gate, node_resp = np.full_like(logits, np.nan), np.full((tree.n_nodes, rows), np.nan)
    row_log_density, path = np.full(rows, np.nan), np.full((tree.n_nodes, kernels.CHUNK), np.nan)
    nodes = *every_node, tree.n_children, tree.leaves
    kernels.tree_posterior(logits, log_density, *nodes, path, gate, node_resp, row_log_density)
    return row_log_density, gate, node_resp


# On trees.


@every_size
@every_tree
def test_shift_siblings_subtracts_the_largest(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    logits = random_logits(tree, rows, rng)
    np.testing.assert_array_equal(run_shift(tree, logits), shift_siblings_twin(tree, logits))


@every_size
@every_tree
def test_normalize_siblings_divides_by_the_sum(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    gate = np.exp(random_logits(tree, rows, rng))
    found, total = run_normalize(tree, gate)
    expected, expected_total = normalize_siblings_twin(tree, gate)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    np.testing.assert_allclose(total, expected_total, rtol=1e-15)


def joint_parts(tree, rows, rng, lost=()):
    """Return logits and log densities, some of them -inf, with whole rows lost on request."""
    logits = random_logits(tree, rows, rng)
    log_density = 3.0 * rng.standard_normal((tree.n_leaves, rows))
    log_density[rng.random(log_density.shape) < 0.2] = -np.inf
    log_density[:, list(lost)] = -np.inf
    return logits, log_density


@every_size
@every_tree
def test_rows_are_shared_by_bayes_rule(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    logits, log_density = joint_parts(tree, rows, rng, lost=[0])
    row_log_density, gate, node_resp = run_share(tree, logits, log_density)
    log_gate = log_gates_twin(tree, logits)
    path = log_paths_twin(tree, log_gate)
    joint = path[tree.leaves] + log_density
    assert np.isneginf(row_log_density[0])
    np.testing.assert_allclose(row_log_density, logsumexp(joint, axis=0), atol=1e-13)
    np.testing.assert_allclose(gate, np.exp(log_gate), rtol=1e-13)
    np.testing.assert_allclose(node_resp, node_resp_twin(tree, path, joint), atol=1e-13)
    np.testing.assert_allclose(node_resp[0], 1.0, atol=1e-13)


@every_tree
def test_infinite_densities_of_all_rows_leave_the_prior(spec, rng):
    tree = GatingTree.from_spec(spec)
    logits, log_density = joint_parts(tree, 5, rng, lost=range(5))
    row_log_density, _gate, node_resp = run_share(tree, logits, log_density)
    np.testing.assert_array_equal(row_log_density, -np.inf)
    expected = np.exp(log_paths_twin(tree, log_gates_twin(tree, logits)))
    np.testing.assert_allclose(node_resp, expected, atol=1e-13)


def test_densities_far_apart_do_not_underflow():
    tree = GatingTree.flat(2)
    log_density = np.array([[-2000.0, -1e5, 800.0], [-2001.0, -1e308, 0.0]])
    row_log_density, _, node_resp = run_share(tree, np.zeros((2, 3)), log_density)
    expected = 1.0 / (1.0 + np.exp(-1.0))
    np.testing.assert_allclose(node_resp[1], [expected, 1.0, 1.0], rtol=1e-12)
    np.testing.assert_array_equal(node_resp[2, 1:], 0.0)
    np.testing.assert_allclose(row_log_density, logsumexp(log_density, axis=0) - np.log(2.0), 1e-15)


@every_tree
def test_nan_in_a_density_reaches_the_row_and_no_other(spec, rng):
    tree = GatingTree.from_spec(spec)
    logits, log_density = joint_parts(tree, 5, rng)
    log_density[:, 2] = np.nan
    row_log_density, _, node_resp = run_share(tree, logits, log_density)
    expected = [False, False, True, False, False]
    np.testing.assert_array_equal(np.isnan(row_log_density), expected)
    np.testing.assert_array_equal(np.isnan(node_resp[tree.leaves]).any(axis=0), expected)


@pytest.mark.parametrize("size", [1, 3, 8, 50])
@every_tree
def test_bits_of_responsibilities_do_not_depend_on_the_batch(spec, size, rng):
    tree = GatingTree.from_spec(spec)
    logits, log_density = joint_parts(tree, 101, rng, lost=[7])
    whole = run_share(tree, logits, log_density)
    for start in range(0, 101, size):
        part = slice(start, start + size)
        alone = run_share(tree, logits[:, part].copy(), log_density[:, part].copy())
        for found, expected in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(found, expected[..., part])


@every_tree
def test_a_constant_in_all_logits_changes_nothing(spec, rng):
    # Powers of two, so that differences of logits keep their bits.
    tree = GatingTree.from_spec(spec)
    logits = np.round(random_logits(tree, 9, rng) * 8.0) / 8.0
    log_density = 3.0 * rng.standard_normal((tree.n_leaves, 9))
    expected = run_share(tree, logits, log_density)
    for found, same in zip(run_share(tree, logits + 2.0**48, log_density), expected, strict=True):
        np.testing.assert_array_equal(found, same)


def test_exponentials_and_logarithms_are_those_of_numpy(rng):
    # A flat pair of which one has density 1: its odds are an exponential, their sum a logarithm.
    tree = GatingTree.flat(2)
    gap = np.concatenate([-rng.exponential(1.0, 2000), -rng.uniform(0.0, 700.0, 2000), [-0.0]])
    _, gate, _ = run_share(tree, np.stack([np.zeros_like(gap), gap]), np.zeros((2, len(gap))))
    np.testing.assert_allclose(gate[1] / gate[0], np.exp(gap), rtol=4e-16)  # two ulp
    row_log_density, _, _ = run_share(tree, np.zeros((2, len(gap))), np.stack([0.0 * gap, gap]))
    expected = np.log1p(np.exp(gap)) - np.log(2.0)
    np.testing.assert_allclose(row_log_density, expected, atol=4e-16)


@every_size
@every_tree
def test_leaf_prior_multiplies_along_the_path(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    gate, _ = normalize_siblings_twin(tree, np.exp(random_logits(tree, rows, rng)))
    path, out = np.empty((tree.n_nodes, rows)), np.empty((tree.n_leaves, rows))
    kernels.leaf_prior(gate, tree.parent, tree.leaves, path, out)
    expected = np.exp(log_paths_twin(tree, np.log(gate)))
    np.testing.assert_allclose(path, expected, rtol=1e-13)
    np.testing.assert_allclose(out, expected[tree.leaves], rtol=1e-13)


@pytest.mark.parametrize("n_starts", [1, 3])
@every_size
@every_tree
def test_gate_weights_follow_their_formulas(spec, rows, n_starts, rng):
    tree = GatingTree.from_spec(spec)
    every_row = rows * n_starts
    gate, _ = normalize_siblings_twin(tree, np.exp(random_logits(tree, every_row, rng)))
    node_resp, weight = rng.random((tree.n_nodes, every_row)), rng.random(rows)
    first, second = tree.sibling_pairs
    residual, pair_weight = np.empty_like(gate), np.empty((len(first), every_row))
    node_weight = node_resp.copy()
    edges = tree.parent, first, second
    kernels.gate_weights(gate, node_weight, weight, *edges, residual, pair_weight)
    np.testing.assert_allclose(node_weight, node_resp * np.tile(weight, n_starts), rtol=1e-15)
    parent_weight = node_weight[tree.parent[1:]]
    np.testing.assert_allclose(residual, node_weight[1:] - parent_weight * gate, atol=1e-15)
    expected = parent_weight[first] * gate[first] * gate[second]
    np.testing.assert_allclose(pair_weight, expected, rtol=1e-14)


# On small systems.


@pytest.mark.parametrize("p", [1, 2, 11])
def test_systems_are_solved_each(p, rng):
    factors = rng.standard_normal((4, p, p + 2)) * np.geomspace(1e-6, 1e6, p)[:, None]
    matrices, right = factors @ factors.swapaxes(1, 2), rng.standard_normal((4, p))
    found, pivot = right.copy(), np.empty(4)
    kernels.solve_definite_each(matrices.copy(), found, np.empty(p), pivot)
    np.testing.assert_allclose(found, np.linalg.solve(matrices, right[..., None])[..., 0], 1e-6)
    assert np.all((pivot > 0.0) & (pivot <= 1.0))


@pytest.mark.parametrize("fault", [0.0, -1.0, np.nan])
def test_singular_systems_have_no_pivot(fault):
    matrices = np.stack([np.eye(3), np.diag([1.0, fault, 1.0]), np.ones((3, 3))])
    right, pivot = np.ones((3, 3)), np.empty(3)
    kernels.solve_definite_each(matrices, right, np.empty(3), pivot)
    np.testing.assert_array_equal(right[0], 1.0)
    assert pivot[0] == 1.0
    assert not np.any(pivot[1:] > 1e-15)


# On features and scores.


@every_size
@pytest.mark.parametrize("p", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 16])
def test_packed_grams_are_weighted_products_of_features(p, rows, size, rng):
    features, weights = rng.standard_normal((p, rows)), rng.standard_normal((3, rows))
    n_products = p * (p + 1) // 2
    out, part = np.zeros((3, n_products)), np.full((3, n_products), np.nan)
    scratch = np.ones((3, size)), np.full((n_products, size), np.nan), part
    kernels.packed_grams(features, weights, *scratch, out)
    first, second = np.triu_indices(p)
    expected = weights @ (features[first] * features[second]).T
    np.testing.assert_allclose(out, expected, atol=1e-12 * rows)


def packed_sums(features, weights):
    first, second = np.triu_indices(len(features))
    return np.einsum("ksr,tr->skt", weights, features[first] * features[second])


@pytest.mark.parametrize("n_starts", [1, 3])
@every_size
@every_tree
def test_head_sums_are_sums_over_rows(spec, rows, n_starts, rng):
    tree, p = GatingTree.from_spec(spec), 3
    features, weight = rng.standard_normal((p, rows)), rng.random(rows)
    gate, _ = normalize_siblings_twin(tree, rng.random((tree.n_edges, n_starts * rows)))
    gate = gate.reshape(tree.n_edges, n_starts, rows)
    node_resp = rng.random((tree.n_nodes, n_starts, rows))
    values = rng.standard_normal((2 * tree.n_leaves, n_starts, rows))
    curvature = rng.random((tree.n_leaves, n_starts, rows))
    first, second = tree.sibling_pairs
    two = np.concatenate([tree.leaves, tree.leaves])
    n_grams = n_starts * (len(first) + len(two))
    n_sums, n_products, size = n_starts * (tree.n_edges + len(values)), p * (p + 1) // 2, 16
    grams, sums = np.zeros((n_grams, n_products)), np.zeros((n_sums, p))
    n_rows = tree.n_nodes, tree.n_edges, n_grams, n_sums, p, n_products
    pieces = [np.ones((m, size)) for m in n_rows]
    kernels.head_sums(
        features, gate, node_resp, values, curvature, weight, np.empty(0), tree.parent, first,
        second, two, two, *pieces, grams.copy(), sums.copy(), grams, sums,
    )  # fmt: skip
    node_weight = node_resp * weight
    above = node_weight[tree.parent[1:]]
    by_row = np.concatenate([node_weight[1:] - above * gate, node_weight[two] * values])
    expected = np.einsum("ksr,pr->skp", by_row, features)
    np.testing.assert_allclose(sums.reshape(expected.shape), expected, atol=1e-12 * rows)
    pairs = above[first] * gate[first] * gate[second]
    leaf_weight = node_weight[tree.leaves]
    expected = packed_sums(features, np.concatenate([pairs, leaf_weight * curvature, leaf_weight]))
    np.testing.assert_allclose(grams.reshape(expected.shape), expected, atol=1e-12 * rows)


@pytest.mark.parametrize("m", [1, 3])
@every_size
def test_terms_of_densities_are_their_formulas(rows, m, rng):
    y, eta = rng.standard_normal(rows), 3.0 * rng.standard_normal((m, rows))
    shift = rng.standard_normal(m)
    value, score, rest = (np.full((m, rows), np.nan) for _ in range(3))
    kernels.square_terms(y, eta, shift, np.exp(-shift), value, score, rest)
    square = (y - eta) ** 2 * np.exp(-shift)[:, None]
    np.testing.assert_allclose(value, -0.5 * (square + shift[:, None]), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(score, (y - eta) * np.exp(-shift)[:, None], rtol=1e-13)
    np.testing.assert_allclose(rest, 0.5 * (square - 1.0), rtol=1e-13, atol=1e-13)
    kernels.exponential_terms(y, eta, 4.0, np.empty((3, 64)), value, score, rest)
    mean = np.exp(np.clip(eta, -4.0, 4.0))
    np.testing.assert_allclose(rest, mean, rtol=1e-15)
    tangent = mean * (1.0 + np.maximum(eta - 4.0, 0.0))
    np.testing.assert_allclose(value, y * eta - tangent, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(score, y - mean, rtol=1e-12, atol=1e-13)
    kernels.logistic_terms(y, eta, np.empty((5, 64)), value, score, rest)
    mean = 1.0 / (1.0 + np.exp(-eta))
    np.testing.assert_allclose(value, y * eta - np.logaddexp(0.0, eta), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(score, y - mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(rest, mean * (1.0 - mean), rtol=1e-12)


def test_excesses_of_exponentials_keep_their_digits(rng):
    x = rng.standard_normal(2000) * 10.0 ** rng.uniform(-9.0, 2.3, 2000)
    half_log_2 = 0.5 * np.log(2.0)
    x = np.r_[x, 0.0, -708.0, 650.0, np.nextafter(half_log_2, [0.0, 1.0]), -half_log_2]
    found = np.full((3, len(x)), np.nan)
    kernels.exponential_excesses(x, *found)
    with mp.workdps(60):
        exact = [(mp.exp(v), mp.expm1(v), mp.expm1(v) - v) for v in map(mp.mpf, x.tolist())]
    np.testing.assert_allclose(found.T, np.array(exact, dtype=float), rtol=3e-15)
    far = np.full((3, 1), np.nan)
    kernels.exponential_excesses(np.array([-1e300]), *far)
    np.testing.assert_array_equal(far[:, 0], [0.0, -1.0, 1e300])


def test_what_stirlings_series_leave_of_gamma_functions(rng):
    a = np.r_[10.0 ** rng.uniform(-12.0, 12.0, 300), rng.uniform(0.5, 25.0, 300)]
    a = np.r_[a, 1e-140, np.nextafter(10.0, [0.0, 20.0]), 10.0]
    ratio, rise, stirling, first, second = np.full((5, len(a)), np.nan)
    kernels.gamma_remainders(a, ratio, rise, stirling, first, second)
    stirling += (np.minimum(a, 10.0) - 0.5) * np.log(ratio) + np.log(rise)
    first -= np.log(ratio)
    with mp.workdps(40):
        exact = [
            (
                mp.loggamma(v) - (v - 0.5) * mp.log(v) + v - mp.log(2 * mp.pi) / 2,
                mp.log(v) - mp.digamma(v),
                v * mp.psi(1, v) - 1,
            )
            for v in map(mp.mpf, a.tolist())
        ]
    exact = np.array(exact, dtype=float).T
    np.testing.assert_allclose(stirling, exact[0], rtol=2e-15, atol=1e-14)
    np.testing.assert_allclose(first, exact[1], rtol=3e-14)
    np.testing.assert_allclose(second, exact[2], rtol=1e-13)
    far = np.full((5, 2), np.nan)
    kernels.gamma_remainders(np.array([np.inf, np.nan]), *far)
    np.testing.assert_array_equal(far[2:, 0], 0.0)
    assert np.isnan(far[2:, 1]).all()


def test_sums_over_jumps_are_those_of_all_terms():
    j = np.arange(1.0, 90.0)
    log_peak, per_jump = np.log([1e-9, 0.4, 3.0, 41.0]), 1.5
    values, others = np.r_[0.0, np.sqrt(j)], np.r_[0.0, 1.0 / j]
    log_terms = per_jump * (j - j * (np.log(j) - log_peak[:, None]))
    center = np.maximum(np.round(np.exp(log_peak)), 1.0).astype(np.int64)
    at, rises = np.arange(4), np.diff(log_terms)
    bend = np.r_[0.0, 0.0, np.exp(np.diff(rises[0])), 0.0, 0.0]
    up, down = np.exp(rises[at, center - 1]), np.exp(-rises[at, np.maximum(center, 2) - 2])
    found = np.full((7, 4), np.nan)
    down[center == 1] = 0.0
    kernels.jump_sums(center, up, down, bend, log_peak, values, others, found)
    terms = np.exp(log_terms - log_terms[at, center - 1][:, None])
    away, v = j - center[:, None], values[1:] - log_peak[:, None] * j
    v -= v[at, center - 1][:, None]
    factors = (1.0, away, away**2, v, v**2, away * v, others[1:])
    expected = [(terms * factor).sum(axis=1) for factor in factors]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@every_size
def test_derivatives_of_a_softmax_are_those_of_its_logits(rows, n_classes, rng):
    m, n_heads = 2, n_classes - 1
    basis, pairs = rng.standard_normal((n_classes, n_heads)), np.triu_indices(n_classes, 1)
    a, b = np.triu_indices(n_heads)
    apart = basis[pairs[0]] - basis[pairs[1]]
    at_class = rng.integers(0, n_classes, rows)
    odds = np.exp(3.0 * rng.standard_normal((n_classes, m, rows)))
    score, curvature = np.full((n_heads, m, rows), np.nan), np.full((len(a), m, rows), np.nan)
    products = np.ascontiguousarray((apart[:, a] * apart[:, b]).T)
    scratch = np.empty((n_classes, 64)), np.empty((2, 64))
    total = odds.sum(axis=0)
    kernels.softmax_derivatives(at_class, odds, total, basis, products, *scratch, score, curvature)
    proba = odds / total
    is_own = at_class == np.arange(n_classes)[:, None, None]
    np.testing.assert_allclose(score, np.tensordot(basis.T, is_own - proba, 1), atol=1e-13)
    mean = np.tensordot(basis.T, proba, 1)
    expected = np.tensordot((basis[:, a] * basis[:, b]).T, proba, 1) - mean[a] * mean[b]
    np.testing.assert_allclose(curvature, expected, atol=1e-13)


@every_size
@pytest.mark.parametrize("p", [1, 2, 7])
@pytest.mark.parametrize("n_heads", [1, 3])
def test_linear_predictor_is_a_matrix_product(n_heads, p, rows, rng):
    coef, features = rng.standard_normal((n_heads, p)), rng.standard_normal((p, rows))
    out = np.empty((n_heads, rows))
    kernels.linear_predictor(coef, features, out)
    np.testing.assert_allclose(out, coef @ features, atol=1e-13)


@pytest.mark.parametrize("p", [2, 11, 64])
def test_bits_of_linear_predictor_do_not_depend_on_the_batch(p, rng):
    coef, features = rng.standard_normal((3, p)), rng.standard_normal((p, 101))
    whole = np.empty((3, 101))
    kernels.linear_predictor(coef, features, whole)
    for size in (1, 2, 3, 4, 7, 8, 16, 50):
        for start in range(0, 101, size):
            part = np.ascontiguousarray(features[:, start : start + size])
            out = np.empty((3, part.shape[1]))
            kernels.linear_predictor(coef, part, out)
            np.testing.assert_array_equal(out, whole[:, start : start + size])


def louis_twin(tree, gate, node_resp, score, head_nodes, curvature):
    """Return complete curvature less covariance of complete scores, shape (heads, heads, rows)."""
    n_heads, rows = tree.n_edges + len(score), gate.shape[1]
    complete = np.zeros((n_heads, tree.n_leaves, rows))
    out = np.zeros((n_heads, n_heads, rows))
    for edge in range(tree.n_edges):
        above = tree.parent[edge + 1]
        is_below = tree.covers[edge + 1][:, None], tree.covers[above][:, None]
        complete[edge] = is_below[0] - is_below[1] * gate[edge]
        for other in range(tree.n_edges):
            if tree.parent[other + 1] == above:
                out[edge, other] = node_resp[above] * gate[edge] * ((edge == other) - gate[other])
    for h, node in enumerate(head_nodes, start=tree.n_edges):
        complete[h, tree.leaf_position(node)] = score[h - tree.n_edges]
    for (a, b), values in curvature.items():
        out[tree.n_edges + a, tree.n_edges + b] += values * node_resp[head_nodes[a]]
    resp = node_resp[tree.leaves]
    centred = complete - np.einsum("hkr,kr->hr", complete, resp)[:, None]
    return out - np.einsum("akr,bkr,kr->abr", centred, centred, resp)


def pair_codes(tree, head_nodes):
    """Return the pairs of all edges and heads, as the docstring of the kernel has them."""
    below = [
        [
            tree.covers[v] @ tree.covers[w] > 0 and tree.level[v] >= tree.level[w]
            for w in range(tree.n_nodes)
        ]
        for v in range(tree.n_nodes)
    ]
    heads = [*range(1, tree.n_nodes), *head_nodes]
    pairs, n_own = [], 0
    for a, v in enumerate(heads):
        for b, w in enumerate(heads[a:], start=a):
            codes = [a, b, 0, 0, 0, -1]
            end = tree.parent[w] if b < tree.n_edges else w
            if a == b < tree.n_edges:
                codes[2:4] = 2, -1
            elif a < tree.n_edges and b < tree.n_edges and end == tree.parent[v]:
                codes[2], codes[4] = 1, 1
            elif a < tree.n_edges and below[end][v]:
                codes[2:4] = 1, -1
            elif a < tree.n_edges and below[end][tree.parent[v]]:
                codes[2] = 1
            elif a >= tree.n_edges and v == w:
                codes[2], codes[5], n_own = 1, n_own, n_own + 1
            pairs.append(codes)
    return np.array(pairs), n_own


@every_size
@every_tree
def test_observed_weights_are_those_of_louis(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    logits, log_density = joint_parts(tree, rows, rng, lost=[0])
    _, gate, node_resp = run_share(tree, logits, log_density)
    head_nodes = np.repeat(tree.leaves, 2)
    score = rng.standard_normal((len(head_nodes), rows))
    pairs, n_own = pair_codes(tree, head_nodes)
    curvature, weight = rng.standard_normal((n_own, rows)), rng.random(rows)
    by_heads = {
        (a - tree.n_edges, b - tree.n_edges): curvature[own] for a, b, *_, own in pairs if own >= 0
    }
    out = np.full((len(pairs), rows), np.nan)
    scratch = [np.full((tree.n_edges + len(score), 64), np.nan) for _ in range(3)]
    kernels.louis_weights(
        gate, node_resp, score, curvature, weight, tree.parent, np.arange(tree.n_edges),
        head_nodes, pairs, *scratch, out
    )  # fmt: skip
    expected = louis_twin(tree, gate, node_resp, score, head_nodes, by_heads)
    np.testing.assert_allclose(out, weight * expected[pairs[:, 0], pairs[:, 1]], atol=1e-13)


# Prediction: standardising, mixing, routing.


@every_size
def test_rows_are_standardised_as_they_lie_and_turned(rows, rng):
    values, center, inverse_scale = rng.standard_normal((rows, 3)), np.arange(3.0), np.full(3, 0.3)
    expected = (values - center) * inverse_scale
    turned, scaled = np.empty((3, rows)), np.empty((rows, 4))
    kernels.standardize_transposed(values, center, inverse_scale, turned)
    kernels.standardize_rows(values, center, inverse_scale, scaled)
    np.testing.assert_array_equal(turned, expected.T)
    np.testing.assert_array_equal(scaled, np.column_stack([np.ones(rows), expected]))


@every_size
def test_values_outside_of_limits_are_counted(rows, rng):
    values, limits = rng.standard_normal((4, rows)), np.array([[-0.5, -1.0, -np.inf, 0.3]] * 2)
    limits[1] = [0.5, -1.0, np.inf, 0.4]
    values[0, ::3] = np.nan
    found = np.empty(4, dtype=np.int64)
    kernels.count_outside(values, *limits, found)
    low, high = limits[:, :, None]
    expected = (values < low).sum(axis=1) + (values > high).sum(axis=1)
    np.testing.assert_array_equal(found, expected)


def paths_twin(tree, logits):
    return np.exp(log_paths_twin(tree, log_gates_twin(tree, logits)))


@every_size
@pytest.mark.parametrize("n_values", [1, 3])
@every_tree
def test_average_up_is_the_mean_over_leaves(spec, n_values, rows, rng):
    tree = GatingTree.from_spec(spec)
    logits = random_logits(tree, rows, rng)
    leaf_mean = rng.standard_normal((tree.n_leaves, n_values, rows))
    expected = np.einsum("kr,ktr->tr", paths_twin(tree, logits)[tree.leaves], leaf_mean)
    nodes = tree.inner_nodes, tree.first_child, tree.n_children, tree.inner_row, tree.first_leaf
    chunk = kernels.CHUNK
    scratch = np.full(chunk, np.nan), np.full((len(tree.inner_nodes), n_values, chunk), np.nan)
    out = np.full((n_values, rows), np.nan)
    kernels.tree_mixture_mean(np.exp(logits), leaf_mean, *nodes, *scratch, out)
    np.testing.assert_allclose(out, expected, atol=1e-13)  # sums of some ten terms near 1


# Deep enough for a search to leave most of it alone; the second is lopsided.
ROUTED = TREES | {"deep": (2,) * 5, "lopsided": [[[[[1, 1], 1], 1], 1], [1, 1, 1]]}
every_routed_tree = pytest.mark.parametrize("spec", ROUTED.values(), ids=ROUTED)


def random_gates(tree, rows, rng):
    """Return features, coefficients and logits; some siblings, and some rows, are tied."""
    features = np.round(rng.standard_normal((rows, 3)))
    coef = np.round(2.0 * rng.standard_normal((tree.n_edges, 3)))
    features[: rows // 4] = 0.0
    return features, coef, np.ascontiguousarray((features @ coef.T).T)


def greedy_twin(tree, logits):
    """Walk down row by row; returns nodes and the probabilities of what lies beside the way."""
    gate, nodes, dropped = np.exp(log_gates_twin(tree, logits)), [], []
    for r in range(logits.shape[1]):
        node, share, beside = 0, 1.0, 0.0
        while tree.n_children[node] > 0:
            own = list(tree.children(node))
            best = own[int(np.argmax([logits[child - 1, r] for child in own]))]
            beside += share * sum(gate[child - 1, r] for child in own if child != best)
            node, share = best, share * gate[best - 1, r]
        nodes.append(node)
        dropped.append(beside)
    return np.array(nodes), np.array(dropped)


@every_size
@every_routed_tree
def test_descend_follows_the_most_probable_child(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    features, coef, logits = random_gates(tree, rows, rng)
    node, dropped = np.full(rows, -1), np.full(rows, np.nan)
    kernels.greedy_leaf(features, coef, tree.first_child, tree.n_children, node)
    nodes = tree.parent, tree.first_child, tree.n_children
    kernels.greedy_dropped_mass(features, coef, *nodes, node, dropped)
    expected_node, expected_dropped = greedy_twin(tree, logits)
    np.testing.assert_array_equal(node, expected_node)
    # A few roundings per level: relative, for small numbers are no differences of large ones.
    np.testing.assert_allclose(dropped, expected_dropped, rtol=1e-13)


def top_twin(prior, k):
    order = np.argsort(-prior, axis=1, kind="stable")
    share = np.take_along_axis(prior, order, axis=1)
    return order[:, :k], share[:, :k], share[:, k:].sum(axis=1)


def run_search(tree, features, coef, k, budget):
    rows = len(features)
    heap, prior = np.empty(tree.n_nodes, dtype=np.int64), np.empty(tree.n_nodes)
    leaf, share, dropped = np.full((rows, k), -7), np.empty((rows, k)), np.empty(rows)
    nodes = tree.first_child, tree.n_children, tree.first_leaf
    kernels.find_top_leaves(features, coef, *nodes, budget, heap, prior, leaf, share, dropped)
    return leaf, share, dropped


@every_size
@every_routed_tree
def test_search_finds_the_most_probable_leaves(spec, rows, rng):
    tree = GatingTree.from_spec(spec)
    features, coef, logits = random_gates(tree, rows, rng)
    prior = paths_twin(tree, logits)[tree.leaves].T
    for k in {1, min(2, tree.n_leaves), tree.n_leaves}:
        leaf, share, dropped = run_search(tree, features, coef, k, tree.n_nodes)
        # Leaves whose probabilities differ by rounding alone may change places.
        np.testing.assert_allclose(
            np.take_along_axis(prior, leaf, axis=1), top_twin(prior, k)[1], rtol=1e-13
        )
        assert all(len(set(row)) == k for row in leaf)
        np.testing.assert_allclose(share, np.take_along_axis(prior, leaf, axis=1), rtol=1e-13)
        np.testing.assert_allclose(share.sum(axis=1) + dropped, 1.0, atol=1e-13)


@every_routed_tree
def test_search_prefers_leaves_further_left_among_equals(spec):
    tree = GatingTree.from_spec(spec)
    # All siblings are equal where the power of two is: probabilities have no rounding.
    is_exact = np.all(np.isin(tree.n_children[tree.inner_nodes], [1, 2]))
    prior = paths_twin(tree, np.zeros((tree.n_edges, 1)))[tree.leaves].T.round(12)
    for k in range(1, tree.n_leaves + 1):
        leaf, _, _ = run_search(tree, np.ones((1, 1)), np.zeros((tree.n_edges, 1)), k, 99)
        if is_exact:
            np.testing.assert_array_equal(leaf, top_twin(prior, k)[0])
    # Where one leaf has it all, no gate is opened but those on the way to the leftmost others.
    coef = np.zeros((tree.n_edges, 1))
    coef[tree.first_child[tree.inner_nodes] - 1] = 2000.0
    leaf, share, dropped = run_search(tree, np.ones((1, 1)), coef, tree.n_leaves, tree.n_nodes)
    np.testing.assert_array_equal(leaf[0], np.arange(tree.n_leaves))
    np.testing.assert_array_equal(share[0], np.eye(tree.n_leaves)[0])
    assert dropped[0] == 0.0


def test_search_gives_up_at_its_budget(rng):
    tree = GatingTree.from_spec((2,) * 5)
    features, coef, _ = random_gates(tree, 50, rng)
    full, _, _ = run_search(tree, features, coef, 2, tree.n_nodes)
    n_lost = []
    for budget in (4, 5, 8, len(tree.inner_nodes)):
        leaf, _, _ = run_search(tree, features, coef, 2, budget)
        is_lost = leaf[:, 0] < 0
        np.testing.assert_array_equal(leaf[~is_lost], full[~is_lost])
        n_lost.append(is_lost.sum())
    assert n_lost[0] == 50  # four gates do not reach the fifth level
    assert n_lost == sorted(n_lost, reverse=True)
    assert n_lost[-1] == 0


@every_size
@pytest.mark.parametrize("n_leaves", [1, 2, 9])
def test_select_top_sorts_as_a_stable_sort_does(n_leaves, rows, rng):
    prior = rng.integers(0, 4, (rows, n_leaves)) / 8.0  # many ties, and sums without rounding
    for k in range(1, n_leaves + 1):
        leaf, share = np.full((rows, k), -1), np.full((rows, k), np.nan)
        dropped = np.full(rows, np.nan)
        kernels.select_top(prior, leaf, share, dropped)
        for found, expected in zip((leaf, share, dropped), top_twin(prior, k), strict=True):
            np.testing.assert_array_equal(found, expected)


@every_size
def test_row_predictors_have_the_bits_of_linear_predictors(rows, rng):
    features, coef = rng.standard_normal((rows, 11)), rng.standard_normal((4, 11))
    every = np.empty((4, rows))
    kernels.linear_predictor(coef, np.ascontiguousarray(features.T), every)
    row, head = np.repeat(np.arange(rows), 2), rng.integers(0, 4, 2 * rows)
    out = np.empty(2 * rows)
    kernels.row_predictors(features, coef, row, head, out)
    np.testing.assert_array_equal(out, every[head, row])


# Sparse rows.


@pytest.fixture
def stored(rng):
    """Return sparse rows (n, p) with what kernels see of them, and dense columns among the p."""
    X = sparse.random_array((40, 7), density=0.3, format="csr", rng=rng)
    X = sparse.csr_array(X * np.isin(np.arange(7), [1, 3, 4, 6]))  # 0, 2 and 5 are dense
    X.eliminate_zeros()
    parts = X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data
    dense = np.concatenate([np.ones((1, 40)), rng.standard_normal((2, 40))])
    return X, parts, dense, np.array([0, 2, 5])


def test_sparse_products_are_those_of_arrays(stored, rng):
    X, parts, _, _ = stored
    slope, residual = rng.standard_normal((7, 2)), rng.standard_normal((40, 2))
    predicted, sums, squares = np.zeros((40, 2)), np.zeros((7, 2)), np.zeros(7)
    weight = rng.random(40)
    kernels.sparse_predictor(*parts, slope, predicted)
    kernels.sparse_adjoint(*parts, residual, sums)
    kernels.sparse_squares(*parts, weight, squares)
    array = X.toarray()
    np.testing.assert_allclose(predicted, array @ slope, atol=1e-13)
    np.testing.assert_allclose(sums, array.T @ residual, atol=1e-13)
    np.testing.assert_allclose(squares, weight @ array**2, atol=1e-13)


@pytest.mark.parametrize("power", [1, 2])
def test_moments_of_sparse_rows_are_those_of_what_is_stored(stored, power, rng):
    X, parts, _, _ = stored
    share, center, unit = rng.random(40), rng.standard_normal(7), 0.5 + rng.random(7)
    out = np.zeros(7)
    kernels.sparse_moments(*parts, share, center, unit, power, out)
    moved = np.where(X.toarray() != 0.0, ((X.toarray() - center) / unit) ** power, 0.0)
    np.testing.assert_allclose(out, share @ moved, atol=1e-13)


def test_frequent_columns_are_parted_from_the_rest(stored):
    X, (begin, feature, value), _, _ = stored
    slot = np.array([-1, 1, -1, -1, 0, -1, -1])
    wide, is_rest = np.zeros((40, 2)), slot[feature] < 0
    n_rest = int(is_rest.sum())
    rest = np.empty_like(begin), np.empty(n_rest, dtype=np.int32), np.empty(n_rest)
    kernels.split_frequent(begin, feature, value, slot, wide, *rest)
    np.testing.assert_array_equal(wide, X.toarray()[:, [4, 1]])
    found = sparse.csr_array((rest[2], rest[1], rest[0]), shape=X.shape).toarray()
    np.testing.assert_array_equal(found, X.toarray() * (slot < 0))


def test_grams_of_sparse_rows_are_those_of_standardised_arrays(stored, rng):
    X, parts, dense, dense_at = stored
    weights, out = rng.random((3, 40)), np.zeros((3, 7, 7))
    out[np.ix_(range(3), dense_at, dense_at)] = np.einsum("kr,ar,br->kab", weights, dense, dense)
    wide = np.ascontiguousarray(dense.T)
    kernels.sparse_grams(*parts, wide, dense_at, weights, np.empty((7, 3)), out)
    center, inverse_scale = rng.standard_normal(7), 0.5 + rng.random(7)
    center[dense_at], inverse_scale[dense_at] = 0.0, 1.0
    is_stored = np.ones(7, dtype=np.int64)
    is_stored[dense_at] = 0
    kernels.standardize_grams(center, inverse_scale, is_stored, out)
    features = X.toarray().T
    features[dense_at] = dense
    features = (features - center[:, None]) * inverse_scale[:, None]
    expected = np.einsum("kr,ar,br->kab", weights, features, features)
    np.testing.assert_allclose(out, expected, atol=1e-12)


def test_lasso_meets_its_conditions(rng):
    root = rng.standard_normal((4, 9, 6))
    matrices, slopes = root.swapaxes(1, 2) @ root, 4.0 * rng.standard_normal((4, 6))
    l1 = np.full((4, 6), 3.0)
    l1[:, 0] = 0.0
    wide = np.full((4, 6), np.inf)
    coef = np.zeros((4, 6))
    kernels.lasso_each(matrices, slopes.copy(), l1, -wide, wide, coef)
    left = slopes - np.einsum("sij,sj->si", matrices, coef)
    is_zero = coef == 0.0
    assert is_zero.any()
    assert not is_zero[:, 0].any()
    assert (np.abs(left[is_zero]) <= l1[is_zero] + 1e-8).all()
    expected = l1 * np.sign(coef)
    np.testing.assert_allclose(left[~is_zero], expected[~is_zero], atol=1e-7)


def test_group_lasso_meets_its_conditions_over_blocks(rng):
    root = rng.standard_normal((3, 2, 7, 4))
    matrices, slopes = root.swapaxes(-2, -1) @ root, 4.0 * rng.standard_normal((3, 2, 4))
    # Intercepts alone, then a column of both blocks each, whose part of the matrix is diagonal.
    members = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2], [0, 3], [1, 3]])
    starts, strengths = np.array([0, 1, 2, 4, 6, 8]), np.array([0.0, 0.0, 5.0, 9.0, 5.0])
    bends, axes = np.zeros((3, 5, 2)), np.tile(np.eye(2), (3, 5, 1, 1))
    diagonal = np.einsum("sbii->sib", matrices)
    bends[:, :2, 0], bends[:, 2:] = diagonal[:, 0], diagonal[:, 1:]
    wide, coef = np.full((2, 4), np.inf), np.zeros((3, 2, 4))
    rest = (members, starts, strengths, bends, axes, -wide, wide, np.empty((2, 2)))
    kernels.group_lasso_each(matrices, slopes.copy(), *rest, coef)
    left = slopes - np.einsum("sbij,sbj->sbi", matrices, coef)
    np.testing.assert_allclose(left[..., 0], 0.0, atol=1e-8)
    norm, size = np.linalg.norm(coef, axis=1)[:, 1:], np.linalg.norm(left, axis=1)[:, 1:]
    most = np.broadcast_to(strengths[2:], norm.shape)
    assert (norm == 0.0).any()
    assert (size[norm == 0.0] <= most[norm == 0.0]).all()
    np.testing.assert_allclose(size[norm > 0.0], most[norm > 0.0], rtol=1e-8)


def test_every_kernel_has_its_test():
    source = Path(__file__).read_text()
    for name in kernels.__all__:
        assert f"kernels.{name}(" in source, name


# The disk cache.

FIT = """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from mixexp import MoERegressor
    x = np.linspace(-1.0, 1.0, 60)[:, None]
    y = np.abs(x[:, 0]) + 0.1 * np.sin(30.0 * x[:, 0])
    model = MoERegressor(2, n_init=1, random_state=0).fit(x, y)
    model.predict(x)
for warning in caught:
    print(warning.category.__name__)
print("log-likelihood", model.log_likelihood_.hex())
"""


def run_fit(package, **environment):
    """Fit in a fresh process; return the names of its warnings and the log-likelihood."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    result = subprocess.run(
        [sys.executable, "-P", "-c", FIT],
        env=kept
        | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    *categories, answer = result.stdout.split("\n")[:-1]
    return categories, answer


@pytest.fixture(scope="module")
def package():
    return Path(mixexp.__file__).parent


def double(values):
    out = 2.0 * values
    return out


def test_kernel_without_a_place_to_cache_is_still_compiled(monkeypatch):
    original = numba.njit

    def njit(*arguments, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(*arguments, **options)

    monkeypatch.setattr(_jit.numba, "njit", njit)
    compiled = _jit.kernel(double)
    np.testing.assert_array_equal(compiled(np.ones(3)), 2.0 * np.ones(3))


def test_faults_of_the_cache_become_one_warning(monkeypatch):
    class Cache:
        cache_path = "somewhere"
        is_flushed = False

        def flush(self):
            self.is_flushed = True

    for fault in (OSError(28, "No space left on device"), EOFError(), ValueError("bad header")):
        monkeypatch.setattr(_jit, "_failed", set())
        cache = Cache()
        with pytest.warns(RuntimeWarning, match="somewhere"), _jit._tolerate_faults(cache):
            raise fault
        assert cache.is_flushed
        with _jit._tolerate_faults(cache):  # warnings are errors here
            raise fault
    with pytest.raises(KeyboardInterrupt), _jit._tolerate_faults(Cache()):
        raise KeyboardInterrupt


def deny_writing(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def allow_writing(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


@pytest.mark.slow
def test_fit_works_where_nothing_is_writable(package, tmp_path):
    copied = tmp_path / "site" / "mixexp"
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__"))
    # Even the superuser cannot make a directory below a file.
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    (copied / "kernels" / "__pycache__").write_text("")
    deny_writing(copied)
    nowhere = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "IPYTHONDIR": str(blocked)}
    try:
        categories, answer = run_fit(copied, **nowhere)
    finally:
        allow_writing(copied)
    assert set(categories) <= {"RuntimeWarning", "DegenerateExpertWarning"}
    assert answer.startswith("log-likelihood")


@pytest.mark.slow
def test_a_filled_cache_compiles_nothing_and_garbage_in_it_does_no_harm(package, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    _, expected = run_fit(package, **cache)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    categories, answer = run_fit(package, **cache)
    assert answer == expected
    assert "RuntimeWarning" not in categories
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    for suffix in (".nbi", ".nbc"):
        files = sorted(tmp_path.rglob(f"*{suffix}"))
        assert files
        for number, path in enumerate(files):
            content = path.read_bytes()
            spoilt = [b"", content[: len(content) // 2], b"garbage" * 50, content[:-1]][number % 4]
            path.write_bytes(spoilt)
        for _ in range(2):
            categories, answer = run_fit(package, **cache)
            assert answer == expected
            assert set(categories) <= {"RuntimeWarning", "DegenerateExpertWarning"}


def test_processes_that_compile_at_once_do_not_share_a_file(tmp_path, monkeypatch):
    place, name, stamp = str(tmp_path), "loop", (1.0, 100)
    first, second, later = (_jit.SafeCacheFile(place, name, stamp) for _ in range(3))
    # Both have read an index without entries before either has written one.
    monkeypatch.setattr(first, "_load_index", dict)
    monkeypatch.setattr(second, "_load_index", dict)
    first.save(("float64", "C"), "code for C")
    second.save(("float64", "A"), "code for A")
    assert later.load(("float64", "A")) == "code for A"
    assert later.load(("float64", "C")) in {None, "code for C"}
    first.save(("float64", "C"), "code for C")
    assert later.load(("float64", "C")) == "code for C"
    assert later.load(("float64", "A")) in {None, "code for A"}


def test_kernels_are_cached_by_content():
    assert isinstance(_jit.kernel(double)._cache._cache_file, _jit.SafeCacheFile)


def test_parts_of_kernels_are_called_by_kernels_alone():
    # Without a way in from Python, such a call would end the process.
    parts, called_by = set(), {}
    for file in Path(mixexp.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        for place in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
            marks = {ast.unparse(mark) for mark in place.decorator_list}
            if marks & {"part_of_kernels", "part_of_fused_kernels"}:
                parts.add(place.name)
            if file.parent.name == "kernels" and any("kernel" in mark for mark in marks):
                tree.body.remove(place)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                called_by.setdefault(node.id, set()).add(file.stem)
    assert {"form_products", "add_exponentials"} <= parts
    # `multiply` is a name of other things, too, where it is not imported.
    assert not {name: called_by[name] for name in parts & called_by.keys()}
    assert not parts & set(kernels.__all__)
    assert not parts & set(vars(kernels))


def test_eigenvalues_are_found_where_divide_and_conquer_gives_up(monkeypatch):
    def give_up(_):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    matrix = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    monkeypatch.setattr(np.linalg, "eigh", give_up)
    solution = solve_semidefinite(matrix, np.array([3.0, 3.0, 0.0]))
    np.testing.assert_allclose(solution.x, [1.0, 1.0, 0.0], atol=1e-14)
    assert solution.is_deficient
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        eigh(np.full((2, 2), np.nan))
