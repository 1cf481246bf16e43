"""What becomes of experts that collapse: a warning, a new place, none, or an error."""

import numpy as np
import pytest
from problems import UNPENALIZED, make_problem, random_params, simulate_regimes
from sklearn.datasets import load_diabetes

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, experts, select_n_experts
from mixexp.constraints import Shared
from mixexp.em import restrict_parameters
from mixexp.exceptions import DegenerateExpertError, DegenerateExpertWarning
from mixexp.gates import SoftmaxGates
from mixexp.model import Model
from mixexp.tree import GatingTree


def collapsing(test):
    """Let a test see experts collapse, with what goes with that in unpenalised fits."""
    for name in ("DegenerateExpertWarning", "SeparationWarning", "RankDeficientWarning"):
        test = pytest.mark.filterwarnings(f"ignore::mixexp.exceptions.{name}")(test)
    return test


SHAPES = [(3,), (2, 2), [[1, 1], 1], [1, [1, 1, [1, 1]]], [[1], [1, 1]]]


def with_points_on_a_line(rng, n=150):
    """Return noisy rows, three of which stand on one line, and responsibilities that say so."""
    x = rng.uniform(-1.0, 1.0, n)
    y = np.abs(x) + 0.3 * rng.standard_normal(n)
    y[:3] = 3.0 + x[:3]
    is_on_line = np.arange(n) < 3
    resp = np.column_stack([~is_on_line & (x < 0.0), ~is_on_line & (x >= 0.0), is_on_line])
    return x[:, None], y, resp.astype(float)


def three_columns_of_diabetes():
    """Return data for which the priors see no need of four experts in a tree."""
    X, y = load_diabetes(return_X_y=True)
    return X[:, [2, 3, 8]], y


@collapsing
@pytest.mark.parametrize(
    ("make", "tree"), [(MoERegressor, 3), (HMERegressor, [[1, 1], 1]), (HMERegressor, [1, [1, 1]])]
)
def test_respawned_experts_live(make, tree, rng):
    X, y, resp = with_points_on_a_line(rng)
    options = {"init": resp, **UNPENALIZED, "dispersion_prior": 1.0}
    collapsed = make(tree, **options).fit(X, y)
    assert collapsed.degenerate_.any()
    model = make(tree, solver=EM(on_collapse="respawn"), **options).fit(X, y)
    assert not model.degenerate_.any()
    assert any("respawned" in restart.start for restart in model.restarts_)
    assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.history_[-1]))


@collapsing
@pytest.mark.parametrize("spec", [(2, 2), [[1, 1], 1, [1, 1, 1]]])
def test_respawning_never_leaves_fewer_experts_alive(spec):
    X, y = three_columns_of_diabetes()
    plain = HMERegressor(spec, random_state=0).fit(X, y)
    assert plain.degenerate_.any()
    model = HMERegressor(spec, solver=EM(on_collapse="respawn"), random_state=0).fit(X, y)
    assert model.degenerate_.sum() <= plain.degenerate_.sum()
    assert model.tree_.to_nested() == plain.tree_.to_nested()


@collapsing
@pytest.mark.parametrize("spec", [(2, 2), [[1, 1], 1, [1, 1, 1]]])
def test_dropped_experts_leave_a_smaller_tree_that_fits_as_well(spec):
    X, y = three_columns_of_diabetes()
    plain = HMERegressor(spec, random_state=0).fit(X, y)
    model = HMERegressor(spec, solver=EM(on_collapse="drop"), random_state=0)
    with pytest.warns(DegenerateExpertWarning, match="collapsed and were dropped"):
        model.fit(X, y)
    n_left = plain.tree_.n_leaves - int(plain.degenerate_.sum())
    assert model.tree_.n_leaves == len(model.coef_) == len(model.experts_) == n_left
    assert not model.degenerate_.any()
    # A gate over an expert that is not used costs its penalty, so that less is not worse.
    slack = 1e-4 * abs(plain.penalized_log_likelihood_)
    assert model.penalized_log_likelihood_ > plain.penalized_log_likelihood_ - slack
    assert model.restarts_[0].start == "survivors"
    assert model.predict_quantile(X, [0.5]).shape == (len(X), 1)


@collapsing
def test_refits_have_the_experts_that_were_left():
    X, y = three_columns_of_diabetes()
    families = ["gaussian", "gaussian", "laplace", "gaussian"]
    model = HMERegressor(
        (2, 2), expert=families, solver=EM(on_collapse="drop"), n_init=3, random_state=0
    )
    model.fit(X, y)
    assert model.tree_.n_leaves < 4
    resampled = model.bootstrap(X, y, n_resamples=3, random_state=0)
    assert len(resampled.coef_table()) == len(model.inference(X, y).coef_table())


@collapsing
def test_exact_fit_drops_all_experts_but_one(rng):
    X = rng.standard_normal((80, 2))
    model = MoERegressor(3, solver=EM(on_collapse="drop"), n_init=2, random_state=0, **UNPENALIZED)
    with pytest.warns(DegenerateExpertWarning, match="2 of 3 experts"):
        model.fit(X, X @ [1.0, -2.0])
    np.testing.assert_allclose(model.coef_, [[1.0, -2.0]], rtol=1e-6)


def test_collapse_is_an_error_if_asked_for(rng):
    X, y, resp = with_points_on_a_line(rng)
    model = MoERegressor(3, init=resp, solver=EM(on_collapse="error"), **UNPENALIZED)
    with pytest.raises(DegenerateExpertError, match=r"MoERegressor: experts \[\d\].*on_collapse"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("on_collapse", ["warn", "respawn", "drop", "error"])
def test_regular_fits_do_not_depend_on_what_collapse_would_do(on_collapse, rng):
    X = rng.uniform(-1.0, 1.0, (200, 1))
    y = 5.0 * np.abs(X[:, 0]) + 0.1 * rng.standard_normal(200)
    plain = MoERegressor(2, n_init=2, random_state=0).fit(X, y)
    model = MoERegressor(2, n_init=2, random_state=0, solver=EM(on_collapse=on_collapse)).fit(X, y)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert model.restarts_ == plain.restarts_


@pytest.mark.parametrize("spec", SHAPES)
@pytest.mark.parametrize("seed_of_leaves", range(4))
def test_tree_without_leaves_keeps_the_order_of_the_others(spec, seed_of_leaves):
    tree = GatingTree.from_spec(spec)
    rng = np.random.default_rng(seed_of_leaves)
    gone = rng.permutation(tree.n_leaves)[: rng.integers(1, tree.n_leaves)]
    smaller, origin = tree.without(gone.tolist())
    kept = [leaf for leaf in range(tree.n_leaves) if leaf not in gone]
    assert origin[smaller.leaves].tolist() == tree.leaves[kept].tolist()
    for node in range(smaller.n_nodes):  # each node covers what its origin does, without the gone
        below = np.flatnonzero(tree.covers[origin[node]][kept])
        assert np.flatnonzero(smaller.covers[node]).tolist() == below.tolist()
    inner = smaller.n_children[smaller.inner_nodes]
    assert smaller.n_leaves == 1 or inner.min() > 1


@pytest.mark.parametrize("spec", SHAPES)
def test_survivors_share_what_the_others_had_gate_by_gate(spec, rng):
    problem = make_problem(simulate_regimes(rng, 50), experts.Gaussian(), spec)
    model, params = problem.model, random_params(problem.model, rng)
    tree = model.tree
    smaller_tree, origin = tree.without([1])
    groups = (model.groups[0]._replace(leaves=np.arange(smaller_tree.n_leaves)),)
    gates = SoftmaxGates.everywhere(smaller_tree, model.gates[0].design)
    smaller = Model(smaller_tree, groups, model.designs, gates, model.penalty)
    kept = restrict_parameters(model, params, smaller, origin)
    survivors = [leaf for leaf in range(tree.n_leaves) if leaf != 1]
    for own, whole in zip(kept.experts[0], params.experts[0], strict=True):
        np.testing.assert_array_equal(own, whole[survivors])
    row = np.array([1.0, *rng.standard_normal(params.gates[0].shape[1] - 1)])
    whole = conditional_gates(tree, params.gates[0] @ row)
    for node in range(1, smaller_tree.n_nodes):
        siblings = [origin[s] for s in smaller_tree.children(smaller_tree.parent[node])]
        edges = [edge_below(tree, origin[smaller_tree.parent[node]], s) for s in siblings]
        expected = whole[edge_below(tree, origin[smaller_tree.parent[node]], origin[node])]
        found = conditional_gates(smaller_tree, kept.gates[0] @ row)[node]
        np.testing.assert_allclose(found, expected / whole[edges].sum(), rtol=1e-12)


def conditional_gates(tree, logits):
    """Return the probability of every node given its parent."""
    proba = np.ones(tree.n_nodes)
    for node in tree.inner_nodes:
        odds = np.exp(logits[tree.edges(node)])
        proba[list(tree.children(node))] = odds / odds.sum()
    return proba


def edge_below(tree, ancestor, node):
    """Return the child of an ancestor on the way down to a node."""
    while tree.parent[node] != ancestor:
        node = tree.parent[node]
    return node


def test_dropping_is_refused_where_experts_have_numbers(rng):
    X, y, _ = with_points_on_a_line(rng)
    model = MoERegressor(2, solver=EM(on_collapse="drop"), constraints=[Shared([0])])
    with pytest.raises(ValueError, match=r"on_collapse.*constraints"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="on_collapse"):
        select_n_experts(MoERegressor(solver=EM(on_collapse="drop")), X, y, [1, 2])


@collapsing
def test_classifiers_drop_too(rng):
    X = rng.standard_normal((60, 1))
    y = (X[:, 0] > 0.0).astype(int)
    resp = np.column_stack([np.ones(60), np.zeros(60)])
    model = MoEClassifier(
        2, init=resp, solver=EM(on_collapse="drop"), gate_alpha=0.0, gate="constant"
    )
    model.fit(X, y)
    assert model.tree_.n_leaves == len(model.coef_)
    assert np.isfinite(model.predict_proba(X)).all()
