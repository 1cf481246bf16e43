"""Searches of many parameters: coarse gates, rough races, and what remains of both in a fit."""

from types import SimpleNamespace

import numpy as np
import pytest
from problems import make_problem, random_params, simulate_regimes

from mixexp import Checkpoint, MoERegressor, kernels
from mixexp.em import Options
from mixexp.em._effort import effort_for, for_race, lay_course
from mixexp.em._iteration import run_em
from mixexp.em._m_step import em_step
from mixexp.em._monitor import Monitor
from mixexp.em._multistart import compete, search
from mixexp.estimators import _checkpoint
from mixexp.experts import Gaussian
from mixexp.model import Penalty
from mixexp.model._e_step import allocate, evaluate_experts, gate_logits, linear_predictors
from mixexp.model._statistics import sum_by_head
from mixexp.model._sums import sum_heads
from mixexp.tree import MOST_PAIRED, GatingTree

PENALTY = Penalty(alpha=100.0, gate_alpha=3.0, dispersion_prior=30.0)
OPTIONS = Options(max_iter=300, tol=1e-8, acceleration="auto")
# A gate of 18 children, one of which is a gate of two.
NESTED = [[1, 1], *[1] * 17]
N_FEATURES = 11


def many_regimes(rng, n):
    """Return many features, and a target with kinks in two of them."""
    X = rng.standard_normal((n, N_FEATURES))
    y = np.abs(X[:, 0]) + np.maximum(X[:, 1], 0.0) * X[:, 2] + 0.2 * rng.standard_normal(n)
    return SimpleNamespace(X=X, y=y)


def crowded_problem(data, k=9):
    return make_problem(data, Gaussian(), [1] * k, "softmax", penalty=PENALTY)


@pytest.fixture(scope="module")
def crowded():
    """Return problems of nine experts with few rows per parameter, and with more."""
    rng = np.random.default_rng(5)
    return {n: crowded_problem(many_regimes(rng, n)) for n in (300, 600)}


# Coarse gates.


def test_a_coarse_tree_has_pairs_of_small_gates_and_children_of_large_ones():
    tree = GatingTree.from_spec(NESTED)
    first, second = tree.coarse().sibling_pairs
    root, below = tree.edges(0), tree.edges(1)
    np.testing.assert_array_equal(first, [*range(root.start, root.stop), below.start])
    np.testing.assert_array_equal(second, [*range(root.start, root.stop), below.stop - 1])
    small = GatingTree.flat(MOST_PAIRED)
    np.testing.assert_array_equal(small.coarse().sibling_pairs, small.sibling_pairs)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("m", [2, 3, 20])
def test_twice_the_diagonal_bounds_the_hessian_of_a_gate(m, scale, rng):
    for logits in scale * rng.standard_normal((50, m)):
        gate = np.exp(logits - logits.max())
        gate /= gate.sum()
        hessian = np.diag(gate) - np.outer(gate, gate)
        diagonal = gate * np.minimum(1.0, 2.0 * (1.0 - gate))
        assert np.linalg.eigvalsh(2.0 * np.diag(diagonal) - hessian).min() >= -1e-15


def test_weights_of_single_children_are_their_formula(rng):
    tree, rows = GatingTree.flat(20), 700
    gate = rng.dirichlet(np.full(20, 0.3), rows).T.copy()
    node_weight, weight = rng.random((tree.n_nodes, rows)), rng.random(rows)
    above = node_weight[0] * weight
    first, second = tree.coarse().sibling_pairs
    residual, found = np.empty_like(gate), np.empty_like(gate)
    kernels.gate_weights(gate, node_weight, weight, tree.parent, first, second, residual, found)
    np.testing.assert_allclose(found, above * gate * np.minimum(1.0, 2.0 * (1.0 - gate)), 1e-14)


@pytest.mark.parametrize("n_starts", [0, 2])
def test_coarse_sums_are_the_same_piece_by_piece_and_of_all_rows(n_starts, rng):
    exact = make_problem(simulate_regimes(rng, 400), Gaussian(), NESTED, "softmax")
    problem, _ = for_race(exact, OPTIONS)
    model, block = problem.model, problem.blocks[0]
    params = random_params(model, rng)
    if n_starts:
        flat = [model.flatten(random_params(model, rng)) for _ in range(n_starts)]
        params = model.unflatten(np.stack(flat))
    eta = linear_predictors(model, params, block)
    log_density, derivatives = evaluate_experts(model, params, eta, block)
    found = allocate(model.tree, gate_logits(model, params, eta, block), log_density)
    resp = found.node_resp
    sums = sum_heads(model, block, found.gate, resp, derivatives, resp @ block.weight)
    expected = sum_by_head(model, block, found.gate, resp.copy(), derivatives, None)
    assert sums is not None
    assert sums.gate_pairs[0].shape[-3] == 18 + 1
    np.testing.assert_allclose(sums.gate_pairs, expected.gate_pairs, 1e-10, 1e-10)
    coarse, own = problem.evaluate(params), exact.evaluate(params)
    np.testing.assert_array_equal(coarse.objective, own.objective)
    np.testing.assert_allclose(coarse.gradient, own.gradient, 1e-10, 1e-10)


def test_coarse_steps_raise_the_objective(rng):
    exact = make_problem(simulate_regimes(rng, 400), Gaussian(), NESTED, "softmax")
    problem, _ = for_race(exact, OPTIONS)
    found = run_em(problem, random_params(problem.model, rng), OPTIONS._replace(max_iter=60))
    assert np.diff(found.history).min() >= -1e-8 * abs(found.objective)
    # Gates alone: rows keep their experts.
    params = problem.model.unflatten(problem.model.flatten(found.evaluation.params)[None])
    step = em_step(problem, problem.evaluate(params), 0, False).params
    moved = params._replace(gates=step.gates)
    assert problem.evaluate(moved).objective[0] >= problem.evaluate(params).objective[0] - 1e-9


# What a search spends.


def test_few_experts_are_searched_for_as_ever(rng):
    data = many_regimes(rng, 300)
    for k in (3, 6):
        effort = effort_for(crowded_problem(data, k), OPTIONS)
        assert not effort.is_rough
        assert effort.weak_rows is None
        assert effort.n_rivals == 2


def test_searches_of_many_parameters_are_cut(crowded):
    few, more = (effort_for(crowded[n], OPTIONS) for n in (300, 600))
    assert few.is_rough
    assert few.weak is None
    assert more.weak is not None
    asked = effort_for(crowded[300], OPTIONS._replace(acceleration="newton"))
    assert not asked.is_rough


@pytest.mark.parametrize("n", [300, 600])
def test_a_rough_race_ends_in_an_optimum_of_the_problem(n, crowded, rng):
    problem = crowded[n]
    starts = [(f"start {i}", random_params(problem.model, rng)) for i in range(3)]
    course = lay_course(problem, rng, OPTIONS)
    found = search(problem, course, starts, OPTIONS, Monitor(), 1)
    best, model = found.best, problem.model
    assert best.is_converged
    assert np.diff(best.history).min() >= -1e-8 * abs(best.objective)
    again = problem.evaluate(best.evaluation.params)
    np.testing.assert_allclose(best.objective, again.objective, 1e-13)
    assert best.evaluation.stats.gate_pairs[0].shape[-3] == 36
    # What Newton's step promises there, in free directions.
    basis = model.free_basis
    information = problem.information(best.evaluation.params) + again.penalty.information()
    gradient = basis.T @ again.gradient
    step = np.linalg.lstsq(basis.T @ information @ basis, gradient, rcond=1e-9)[0]
    assert abs(0.5 * gradient @ step) <= 1e-6 * (1.0 + abs(best.objective))
    # Cutting the race may cost the best of the starts, but never all of them.
    ends = [run_em(problem, start, OPTIONS).objective for _, start in starts]
    assert best.objective >= min(ends) - 1e-6 * (1.0 + abs(best.objective))


def test_finalists_without_hope_are_dropped(crowded, rng):
    problem, way = for_race(crowded[300], OPTIONS)
    starts = [(f"start {i}", random_params(problem.model, rng)) for i in range(5)]
    effort = effort_for(crowded[300], OPTIONS)
    found = compete(problem, starts, way, Monitor(), effort=effort)
    assert len(found.restarts) == 5
    dropped = [restart for restart in found.restarts if "dropped" in restart.reason]
    assert len(dropped) >= 2
    assert all(restart.objective <= found.best.objective for restart in dropped)


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_resumed_searches_of_many_parameters_have_the_same_bits(tmp_path, monkeypatch):
    data = many_regimes(np.random.default_rng(7), 300)
    X, y = data.X, data.y
    whole = MoERegressor(9, n_init=2, tol=1e-6, random_state=0).fit(X, y)
    path, original, writes = tmp_path / "fit.json", _checkpoint.write_whole, []

    def write(at, content):
        original(at, content)
        writes.append(len(content))
        if len(writes) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "write_whole", write)
        with pytest.raises(KeyboardInterrupt):
            MoERegressor(9, n_init=2, tol=1e-6, random_state=0).set_callbacks(
                Checkpoint(path, iterations=5)
            ).fit(X, y)
    resumed = MoERegressor(9, n_init=2, tol=1e-6, random_state=0).fit(X, y, resume=path)
    assert resumed.penalized_log_likelihood_ == whole.penalized_log_likelihood_
    np.testing.assert_array_equal(resumed.coef_, whole.coef_)
