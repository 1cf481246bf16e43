"""Groups of rows that share their expert: fits, derivatives, standard errors, criteria, starts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from problems import (
    FAMILIES,
    NO_PENALTY,
    TREES,
    UNPENALIZED,
    make_problem,
    random_params,
    simulate_classes,
    simulate_for,
)
from scipy.optimize import linear_sum_assignment
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from test_family_fits import every_family, few_rows_may_be_warned_of, simulate
from test_inference import ALL_FAMILIES, SMOOTH, assert_close_to_1e6, central_difference
from test_submodels import CASES as SUBMODELS

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, select_n_experts
from mixexp.data import RowArguments
from mixexp.displays import ExpertFitDisplay, TrajectoryDisplay, TreeDisplay
from mixexp.ensemble import BaggedMixture
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.inference import cluster_products, row_scores
from mixexp.metrics import LogDensityScorer
from mixexp.model import Penalty
from mixexp.tree import GatingTree

REFERENCE = Path(__file__).parent / "reference"
# X, y and the experts' and the gate's columns of each reference set.
REFERENCES = {
    "panel_npreg_gaussian": ("panel_npreg", "gaussian", "yn", 2, ["x", "x^2"], []),
    "panel_npreg_poisson": ("panel_npreg", "poisson", "yp", 2, ["x"], []),
    "panel_gaussian": ("panel_gaussian", "gaussian", "y", 3, ["x1", "x2"], ["z1"]),
    "panel_poisson": ("panel_poisson", "poisson", "y", 3, ["x1", "x2"], ["z1"]),
}


def panel(rng, n_groups=60, n_classes=2, noise=0.5):
    """Draw X, y, groups of unequal size and the class of each row; x2 is constant in groups."""
    size = rng.integers(1, 9, n_groups)
    groups = np.repeat(np.arange(n_groups), size)
    of_group = rng.standard_normal(n_groups)
    odds = 1.5 * of_group[:, None] * np.linspace(-1.0, 1.0, n_classes)
    label = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)[groups]
    X = np.column_stack([rng.standard_normal((len(groups), 2)), of_group[groups]])
    slopes = np.linspace(-2.0, 2.0, n_classes)
    y = slopes[label] * (1.0 + X[:, 0]) + noise * rng.standard_normal(len(groups))
    return X, y, groups, label


def model_of(n_experts=2, **options):
    return MoERegressor(n_experts, gate_features=[2], random_state=0, n_init=2, **options)


# Known answers.


def load_reference(name):
    """Return columns by name, and the known answer."""
    path = REFERENCE / f"{REFERENCES[name][0]}.csv.gz"
    rows = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="ascii")
    columns = {column: rows[column] for column in rows.dtype.names}
    if "id2" in columns:
        columns |= {"group": columns["id2"], "x^2": columns["x"] ** 2}
    return columns, json.loads((REFERENCE / f"{name}.json").read_text())


@pytest.mark.parametrize("name", REFERENCES)
def test_fit_reaches_the_known_optimum_with_its_standard_errors(name):
    (columns, answer), (_, family, target, k, experts, gate) = (
        load_reference(name),
        REFERENCES[name],
    )
    names = [*experts, *gate]
    X, y = np.column_stack([columns[column] for column in names]), columns[target].astype(float)
    given = {"groups": columns["group"]}
    if "exposure" in columns:
        given["exposure"] = columns["exposure"]
    model = MoERegressor(
        k,
        expert=family,
        expert_features=[names.index(column) for column in experts],
        gate_features=[names.index(column) for column in gate],
        random_state=0,
        **UNPENALIZED,
    ).fit(X, y, **given)
    assert model.log_likelihood_ >= answer["loglik"] - 1e-9 * abs(answer["loglik"])
    location = np.column_stack([model.intercept_, model.coef_])
    theirs = np.array(answer["params"]["coef"]).T
    order = linear_sum_assignment(np.abs(location[:, None] - theirs[None]).max(axis=2))[1]
    np.testing.assert_allclose(location, theirs[order], rtol=1e-5, atol=1e-6)
    if "disp" in answer["params"]:
        deviation = np.array(answer["params"]["disp"])[order]
        np.testing.assert_allclose(np.sqrt(model.dispersion_), deviation, rtol=1e-5)
    expected = answer["standard_errors"]
    is_coef = [entry.startswith("coef") for entry in expected["order"]]
    for kind in ("model", "robust"):
        table = model.inference(X, y, **given, kind=kind).coef_table()
        is_location = (table["part"] == "expert") & (table["term"] != "dispersion")
        ours = np.asarray(table["std_error"])[is_location].reshape(k, -1)
        right = np.array(expected[kind])[is_coef].reshape(-1, k).T[order]
        np.testing.assert_allclose(ours, right, rtol=1e-5)
    criteria = model.criteria(X, y, **given)
    assert criteria.n_rows == answer["groups"]
    assert criteria.n_parameters == answer["n_params"]
    bic = -2.0 * answer["loglik"] + answer["n_params"] * np.log(answer["groups"])
    np.testing.assert_allclose(criteria.bic, bic, rtol=1e-9)


# What groups mean.


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tree", TREES)
def test_groups_of_one_row_are_no_groups(family, tree, rng):
    data = simulate_for(FAMILIES[family], rng, 80)
    weight = rng.integers(1, 4, 80).astype(float)
    alone, grouped = (
        make_problem(data, FAMILIES[family], TREES[tree], weight=weight, groups=groups)
        for groups in (None, np.arange(80))
    )
    params = random_params(alone.model, rng)
    first, second = alone.evaluate(params), grouped.evaluate(params)
    assert first.objective == second.objective
    np.testing.assert_allclose(second.gradient, first.gradient, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        grouped.information(params), alone.information(params), rtol=1e-9, atol=1e-9
    )


def test_labels_of_single_rows_change_no_bit_of_a_fit(rng):
    X, y, _, _ = panel(rng)
    plain = model_of().fit(X, y)
    for groups in (np.arange(len(y)), [f"row {i}" for i in range(len(y))]):
        model = model_of().fit(X, y, groups=groups)
        np.testing.assert_array_equal(model.coef_, plain.coef_)
        np.testing.assert_array_equal(
            model.log_density(X, y, groups=groups), plain.log_density(X, y)
        )
        assert model.bic(X, y, groups=groups) == plain.bic(X, y)


def test_neither_order_of_rows_nor_names_of_groups_matter(rng):
    X, y, groups, _ = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    order = rng.permutation(len(y))
    for names in (
        groups[order],
        1000.5 - groups[order],
        [f"site {i:03d}" for i in groups[order]],
        np.array([2**60 + int(i) for i in groups[order]], dtype=object),
    ):
        other = model_of().fit(X[order], y[order], groups=names)
        np.testing.assert_allclose(other.log_likelihood_, model.log_likelihood_, rtol=1e-10)
        np.testing.assert_allclose(other.coef_, model.coef_, atol=1e-6)
        given = {"groups": names}
        np.testing.assert_allclose(
            other.responsibilities(X[order], y[order], **given),
            model.responsibilities(X, y, groups=groups)[order],
            atol=1e-6,
        )
        np.testing.assert_allclose(
            other.inference(X[order], y[order], **given, kind="robust").std_errors,
            model.inference(X, y, groups=groups, kind="robust").std_errors,
            rtol=1e-5,
        )


def test_rows_of_a_group_share_responsibilities_and_log_density(rng):
    X, y, groups, label = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    resp, density = (
        model.responsibilities(X, y, groups=groups),
        model.log_density(X, y, groups=groups),
    )
    first = np.unique(groups, return_index=True)[1]
    np.testing.assert_array_equal(resp, resp[first][groups])
    np.testing.assert_array_equal(density, density[first][groups])
    # By the formula: the gate once, the densities of all rows.
    by_expert = np.stack([expert.logpdf(y) for expert in model.predict_dist(X).experts()], axis=1)
    total = np.stack([np.bincount(groups, own) for own in by_expert.T], axis=1)
    joint = np.log(model.gate_proba(X[first])) + total
    of_group = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(np.bincount(groups, density), of_group, rtol=1e-10)
    np.testing.assert_allclose(resp[first], np.exp(joint - of_group[:, None]), atol=1e-10)
    np.testing.assert_allclose(density.sum(), model.log_likelihood_, rtol=1e-10)
    agreement = np.mean(resp.argmax(axis=1) == label)
    assert max(agreement, 1.0 - agreement) > 0.95
    assert "Groups" in str(model.summary(X, y, groups=groups))


@few_rows_may_be_warned_of
@every_family
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
def test_every_iteration_rises(family, tree, rng):
    X, y = simulate(family, rng, 200)
    groups = np.sort(rng.integers(0, 50, 200))
    X[:, 1] = X[np.searchsorted(groups, groups), 1]
    model = HMERegressor(
        tree,
        expert=family,
        gate_features=[1],
        n_init=1,
        max_iter=25,
        random_state=0,
        solver=EM(balance=3.0),
    ).fit(X, y, groups=groups)
    assert np.diff(model.history_).min() >= -1e-9 * (1.0 + abs(model.history_[-1]))
    np.testing.assert_allclose(
        model.log_likelihood(X, y, groups=groups), model.log_likelihood_, rtol=1e-10
    )


# Derivatives.


def panel_problem(family, rng, n=60):
    """Return a problem with groups of unequal size in a tree, and parameters that are legal."""
    if family.target == "regression":
        X, y = simulate(family, rng, n)
    else:
        X, y, _ = simulate_classes(rng, n, getattr(family, "n_classes", 2))
    groups = np.sort(rng.integers(0, 20, n))
    first = np.searchsorted(groups, groups)
    X = np.column_stack([X, X[first, 1], rng.standard_normal(n)[first]])
    tree = GatingTree.from_spec([[1, [1, 1]], 1])
    problem, pooled, _ = build_problem(
        X,
        y,
        RowArguments(rng.integers(1, 4, n).astype(float)[first], groups=groups),
        tree=tree,
        families=[family] * tree.n_leaves,
        node_gates=[NodeGate(columns) for columns in ([2, 3], [3], [])],
        columns=Columns([0, 1], [2, 3]),
        penalty=Penalty(balance=7.0),
        n_threads=1,
    )
    model = problem.model
    slots = [slot.copy() for slot in model.slots(pooled)]
    for slot in model.expert_slots:
        slots[slot][:, 1:] *= 0.5  # so that inverse links stay off their pole
    moved = 0.05 * rng.standard_normal(model.n_parameters)
    return problem, model.flatten(model.from_slots(slots)) + model.free_basis @ moved


@pytest.mark.parametrize("family", SMOOTH, ids=repr)
def test_gradient_and_information_of_a_tree_match_differences(family, rng):
    problem, flat = panel_problem(family, rng)
    unflatten = problem.model.unflatten
    assert problem.blocks.has_groups

    def of_rows(at):
        """Return the objective without the penalty, and its gradient."""
        found = problem.evaluate(unflatten(at))
        return np.r_[found.objective - found.penalty.value, found.gradient - found.penalty.gradient]

    differences = central_difference(of_rows, flat)
    assert_close_to_1e6(of_rows(flat)[1:], differences[:, 0])
    assert_close_to_1e6(problem.information(unflatten(flat)), -differences[:, 1:])


@pytest.mark.parametrize("family", ALL_FAMILIES, ids=repr)
def test_scores_of_rows_add_up_to_those_of_groups(family, rng):
    problem, flat = panel_problem(family, rng)
    params, (block,) = problem.model.unflatten(flat), problem.blocks
    plain = replace(problem, model=replace(problem.model, penalty=NO_PENALTY))
    scores = row_scores(plain.model, params, block)
    np.testing.assert_allclose(
        scores @ block.weight, plain.evaluate(params).gradient, rtol=1e-9, atol=1e-9
    )
    # Weights are the same within a group, and count groups: not squared.
    totals = np.stack([scores[:, own].sum(axis=1) for own in groups_of(block)])
    weight = block.weight[block.group_starts]
    found = cluster_products(plain, params, problem.class_numbers, are_counts=True)
    np.testing.assert_allclose(found, (totals.T * weight) @ totals, rtol=1e-10, atol=1e-10)


def groups_of(block):
    return [np.flatnonzero(block.known.groups == g) for g in np.unique(block.known.groups)]


# Weights count groups.


@pytest.mark.parametrize(
    "model",
    [
        MoERegressor(2, gate_features=[2]),
        MoERegressor(
            2, gate_features=[2], solver=EM(balance=4.0), expert=["gaussian", "student_t"]
        ),
        HMERegressor((2, 2), gate_features=[[2], [], [2]]),
        MoEClassifier(2, gate_features=[2]),
    ],
    ids=["flat", "mixed", "tree", "classes"],
)
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.InferenceWarning")
def test_a_group_of_weight_two_is_the_group_twice(model, rng):
    X, y, groups, _ = panel(rng)
    y = y if isinstance(model, MoERegressor | HMERegressor) else (y > 0.0).astype(int)
    count = rng.integers(0, 4, groups[-1] + 1)
    rows = np.concatenate([np.flatnonzero(count[groups] > times) for times in range(3)])
    copies = np.concatenate([groups[count[groups] > times] + 1000 * times for times in range(3)])
    model = clone(model).set_params(n_init=2, random_state=0, tol=1e-13)
    weighted = clone(model).fit(X, y, count[groups], groups=groups)
    repeated = clone(model).fit(X[rows], y[rows], groups=copies)
    np.testing.assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-5)
    once, again = (
        (weighted, (X, y, count[groups]), groups),
        (repeated, (X[rows], y[rows]), copies),
    )
    for name in ("aic", "bic", "icl", "entropy", "total_weight"):
        first, second = (getattr(m.criteria(*d, groups=g), name) for m, d, g in (once, again))
        np.testing.assert_allclose(first, second, rtol=1e-6)
    for kind in ("model", "robust"):
        first, second = (
            m.inference(*d, groups=g, kind=kind).std_errors for m, d, g in (once, again)
        )
        np.testing.assert_allclose(first, second, rtol=1e-4)


def test_weights_are_scaled_as_if_there_were_as_many_groups(rng):
    X, y, groups, _ = panel(rng)
    sampled = model_of(weight_type="sampling")
    weight = rng.gamma(2.0, 300.0, groups[-1] + 1)[groups]
    found = clone(sampled).fit(X, y, weight, groups=groups)
    again = clone(sampled).fit(X, y, 1e-3 * weight, groups=groups)
    np.testing.assert_allclose(found.coef_, again.coef_, atol=1e-6)
    np.testing.assert_allclose(
        found.inference(X, y, weight, groups=groups).std_errors,
        again.inference(X, y, 1e-3 * weight, groups=groups).std_errors,
        rtol=1e-4,
    )


# Many rows.


def test_a_group_may_be_larger_than_a_block(rng):
    size = [4095, 40, 4097, 9000, *[20] * 20, 1]
    groups = np.repeat(np.arange(25), size)
    label = groups % 2
    X = rng.standard_normal((len(groups), 1))
    y = np.where(label, 2.0, -2.0) * (1.0 + X[:, 0]) + rng.standard_normal(len(groups))
    order = rng.permutation(len(groups))
    model = MoERegressor(2, gate="constant", random_state=0, n_init=4, **UNPENALIZED)
    model.set_params(tol=1e-13).fit(X[order], y[order], groups=groups[order])
    design = np.column_stack([np.ones(len(y)), X])
    for own, intercept, slope in zip(
        model.responsibilities(X, y, groups=groups).T, model.intercept_, model.coef_, strict=True
    ):
        right = np.linalg.lstsq(np.sqrt(own)[:, None] * design, np.sqrt(own) * y)[0]
        np.testing.assert_allclose([intercept, *slope], right, rtol=1e-6)
    resp = model.responsibilities(X, y, groups=groups)
    np.testing.assert_array_equal(resp, resp[np.searchsorted(groups, groups)])
    table = model.inference(X, y, groups=groups).coef_table()
    assert np.isfinite(table["std_error"][table["part"] == "expert"]).all()


@pytest.mark.slow
def test_starts_on_a_sample_draw_whole_groups(rng):
    n_groups = 30_000
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 10, n_groups))
    assert len(groups) > 125_000
    label = rng.integers(0, 3, n_groups)[groups]
    X = rng.standard_normal((len(groups), 2))
    slopes = np.array([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])[label]
    y = (slopes * X).sum(axis=1) + rng.standard_normal(len(groups))
    order = rng.permutation(len(groups))
    model = MoERegressor(3, gate="constant", random_state=0, n_init=2)
    model.fit(X[order], y[order], groups=groups[order])
    distance = np.abs(model.coef_[:, None] - np.unique(slopes, axis=0)[None]).max(axis=2)
    assert distance.min(axis=0).max() < 0.05
    np.testing.assert_allclose(
        model.log_likelihood(X, y, groups=groups), model.log_likelihood_, rtol=1e-9
    )


# Starts, selection, resampling.


def test_regimes_that_cross_are_found_without_gate_features(rng):
    # Levels are alike: only slopes, over the rows of a group, tell classes apart.
    groups = np.repeat(np.arange(100), 6)
    label = (np.arange(100) % 3)[groups]
    X = rng.standard_normal((600, 1))
    y = np.array([-1.0, 0.3, 1.5])[label] * X[:, 0] + 0.7 * rng.standard_normal(600)
    true = MoERegressor(3, gate="constant", init=label, **UNPENALIZED).fit(X, y, groups=groups)
    found = MoERegressor(3, gate="constant", random_state=0, **UNPENALIZED)
    found.fit(X, y, groups=groups)
    assert found.log_likelihood_ >= true.log_likelihood_ - 1e-6


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_number_of_experts_is_chosen_by_groups(rng):
    X, y, groups, _ = panel(rng, 80)
    for options in ({}, {"criterion": LogDensityScorer(), "cv": 3}):
        found = select_n_experts(model_of(), X, y, [1, 2], groups=groups, **options)
        assert found.best_candidate_ == 2
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model_of().set_fit_request(groups=True),
            {"n_experts": [1, 2]},
            cv=GroupKFold(3),
            scoring=LogDensityScorer().set_score_request(groups=True),
        ).fit(X, y, groups=groups)
    assert search.best_params_ == {"n_experts": 2}
    (train, test), *_ = GroupKFold(3).split(X, y, groups)
    model = model_of(2).fit(X[train], y[train], groups=groups[train])
    np.testing.assert_allclose(
        search.cv_results_["split0_test_score"][1],
        model.log_density(X[test], y[test], groups=groups[test]).mean(),
        rtol=1e-9,
    )


def test_bootstrap_draws_groups_or_their_y(rng):
    X, y, groups, _ = panel(rng, 120)
    model = model_of().fit(X, y, groups=groups)
    by_theory = model.inference(X, y, groups=groups, kind="robust")
    for kind in ("nonparametric", "parametric"):
        found = model.bootstrap(X, y, groups=groups, n_resamples=15, random_state=0, kind=kind)
        assert found.n_failed == 0
        # 15 draws know a standard error to 18 %, their median over 14 better than that.
        ratio = found.std_errors / by_theory.std_errors
        ratio = ratio[np.isfinite(ratio)]
        assert 0.5 < np.median(ratio) < 2.0


# Inference.


def test_clusters_hold_groups(rng):
    X, y, groups, _ = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    by_group = model.inference(X, y, groups=groups, kind="robust").covariance
    same = model.inference(X, y, groups=groups, cluster=groups).covariance
    np.testing.assert_allclose(same, by_group, rtol=1e-9, atol=1e-14)
    coarse = model.inference(X, y, groups=groups, cluster=groups // 3)
    assert np.isfinite(coarse.std_errors).all()
    with pytest.raises(ValueError, match="cluster parts rows of one group"):
        model.inference(X, y, groups=groups, cluster=np.arange(len(y)))
    weight = (groups >= 7).astype(float)  # groups of weight zero leave gaps in the numbers
    model.fit(X, y, weight, groups=groups)
    dropped = model.inference(X, y, weight, groups=groups, cluster=groups // 3)
    kept = weight > 0.0
    alone = model.inference(X[kept], y[kept], groups=groups[kept], cluster=groups[kept] // 3)
    np.testing.assert_allclose(dropped.std_errors, alone.std_errors, rtol=1e-6)


@pytest.mark.slow
def test_intervals_cover_in_a_panel_of_200_groups(seed):
    """95 % intervals of experts' and gates' coefficients, model and robust, and those by rows.

    200 draws of 8 coefficients, nearly independent: the binomial error is 0.6 %, so that 93 to
    97 % is more than three of it. Rows taken by themselves, the same intervals are far too short
    for the gate, which then counts each row as a decision of its own.
    """
    rng, covered = np.random.default_rng(seed), []
    coef, gate = np.array([[-0.5, 1.0, 0.0], [0.5, 0.2, 0.6]]), np.array([-0.3, 1.0])
    truth = np.concatenate([coef.ravel(), gate])
    naive = []
    for _ in range(200):
        groups = np.repeat(np.arange(200), rng.integers(2, 8, 200))
        of_group = rng.standard_normal(200)
        label = (rng.random(200) < 1.0 / (1.0 + np.exp(-gate[0] - gate[1] * of_group)))[groups]
        X = np.column_stack([rng.standard_normal((len(groups), 2)), of_group[groups]])
        mean = np.column_stack([np.ones(len(groups)), X[:, :2]]) @ coef.T
        y = mean[np.arange(len(groups)), label * 1] + rng.standard_normal(len(groups))
        model = MoERegressor(
            2, expert_features=[0, 1], gate_features=[2], init=label * 1, **UNPENALIZED
        )
        model.fit(X, y, groups=groups)
        reaches = [
            reach_of(model.inference(X, y, groups=groups, kind=kind, reference=0))
            for kind in ("model", "robust")
        ]
        covered.append([(low <= truth) & (truth <= high) for low, high in reaches])
        low, high = reach_of(clone(model).fit(X, y).inference(X, y, reference=0))
        naive.append((low <= truth) & (truth <= high))
    share = np.mean(covered, axis=(0, 2))
    assert (share > 0.93).all()
    assert (share < 0.97).all()
    assert np.mean(naive) < share.min()


def reach_of(inference):
    """Return ends of the intervals of the coefficients of experts and then of the gate."""
    table = inference.coef_table()
    is_coef = np.asarray(table["term"] != "dispersion") & np.isfinite(table["std_error"])
    return np.asarray(table["lower"])[is_coef], np.asarray(table["upper"])[is_coef]


def test_effects_and_tests_are_those_of_rows(rng):
    X, y, groups, _ = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    inference = model.inference(X, y, groups=groups)
    effects = inference.marginal_effects()
    assert np.isfinite(np.asarray(effects["estimate"])).all()
    assert np.isfinite(np.asarray(effects["std_error"])).all()
    order = rng.permutation(len(y))  # of the user's rows, whatever it is within
    shuffled = model.inference(X[order], y[order], groups=groups[order])
    np.testing.assert_allclose(
        shuffled.predict_mean()["mean"], model.predict(X)[order], rtol=1e-9, atol=1e-12
    )
    with pytest.raises(ValueError, match="history is for an estimator's predict"):
        inference.predict_mean(X, groups=groups, history=(X, y, groups))
    table = inference.coef_table()
    assert list(table.columns)[:4] == ["part", "unit", "term", "estimate"]
    assert inference.equality_test("x0").p_value < 1e-6
    restricted = MoERegressor(1, random_state=0).fit(X, y, groups=groups)
    options = {"groups": groups, "n_resamples": 4, "random_state": 0}
    assert model.bootstrap_ratio_test(restricted, X, y, **options).p_value == 0.2


# Other models.


@pytest.mark.parametrize("kind", ["regressor", "classifier", "bag"])
def test_scores_of_rows_of_groups_are_those_of_the_gate(kind, rng):
    X, y, groups, _ = panel(rng, 40)
    model = MoERegressor(2, gate_features=[2], random_state=0, n_init=1)
    if kind == "classifier":
        y = (y > 0.0).astype(int)
        model = MoEClassifier(2, gate_features=[2], random_state=0, n_init=1)
    elif kind == "bag":
        model = BaggedMixture(model, 2, random_state=0)
    model.fit(X, y, groups=groups)
    measure = accuracy_score if kind == "classifier" else r2_score
    expected = measure(y, model.predict(X))
    assert model.score(X, y, groups=groups) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="one label per row"):
        model.score(X, y, groups=groups[1:])
    with config_context(enable_metadata_routing=True):
        routed = clone(model).set_fit_request(groups=True).set_score_request(groups=True)
        scores = cross_val_score(
            routed, X, y, params={"groups": groups}, cv=GroupKFold(2), error_score="raise"
        )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("expert", ["logistic", "multinomial", "ordinal"])
def test_classifiers_have_groups(expert, rng):
    X, y, groups, _ = panel(rng, 100)
    y = np.digitize(y, [0.0] if expert == "logistic" else [-1.0, 1.0])
    model = MoEClassifier(2, expert=expert, gate_features=[2], random_state=0, n_init=2)
    model.fit(X, y, groups=groups)
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    np.testing.assert_allclose(
        model.log_likelihood(X, y, groups=groups), model.log_likelihood_, rtol=1e-10
    )
    history = (X, y, groups)
    known = model.predict_proba(X, groups=groups, history=history)
    np.testing.assert_allclose(known.sum(axis=1), 1.0, rtol=1e-12)
    log_loss = -np.log(known[np.arange(len(y)), y]).mean()
    assert log_loss < -np.log(model.predict_proba(X)[np.arange(len(y)), y]).mean()
    labels = model.predict(X, groups=groups, history=history)
    np.testing.assert_array_equal(labels, model.classes_[known.argmax(axis=1)])
    drawn = model.sample(X, random_state=0, groups=groups, history=history)[0]
    assert np.isin(drawn, model.classes_).all()
    assert model.score(X, y, groups=groups, history=history) > model.score(X, y)
    assert np.isfinite(model.inference(X, y, groups=groups, kind="robust").std_errors).all()


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.parametrize("name", SUBMODELS)
def test_submodels_of_ones_own_have_groups(name, rng):
    size = rng.integers(1, 7, 60)
    groups = np.repeat(np.arange(60), size)
    label = rng.integers(0, 2, 60)
    X = (rng.standard_normal((60, 2)) + np.where(label, 1.5, -1.5)[:, None])[groups]
    y = np.where(label[groups], 2.0, -1.0) * X[:, 0] + 0.3 * rng.standard_normal(len(groups))
    model = clone(SUBMODELS[name]).set_params(n_init=2, random_state=0).fit(X, y, groups=groups)
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    density = model.log_density(X, y, groups=groups)
    if "gaussian gate" not in name:  # which adds the density of features
        np.testing.assert_allclose(density.sum(), model.log_likelihood_, rtol=1e-10)
    resp = model.responsibilities(X, y, groups=groups)
    np.testing.assert_array_equal(resp, resp[np.searchsorted(groups, groups)])
    if "gate" not in name:  # experts see rows as ever; gates see one of each group
        return
    weight = rng.integers(1, 3, 60)[groups]
    rows = np.concatenate([np.arange(len(y)), np.flatnonzero(weight == 2)])
    copies = np.concatenate([groups, groups[weight == 2] + 1000])
    same = clone(model).set_params(n_init=1, tol=1e-13, max_iter=3000)
    weighted = clone(same).fit(X, y, weight, groups=groups)
    repeated = clone(same).fit(X[rows], y[rows], groups=copies)
    np.testing.assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-9)


def test_displays_take_groups(closed_figures, rng):
    X, y, groups, _ = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    resp = model.responsibilities(X, y, groups=groups)
    display = ExpertFitDisplay.from_estimator(model, X, y, groups=groups, features=[0])
    np.testing.assert_array_equal(display.points.proba.argmax(axis=1), resp.argmax(axis=1))
    TreeDisplay.from_estimator(model, X, y, groups=groups)


def test_trajectories_are_groups_in_the_colour_of_their_expert(closed_figures, rng):
    X, y, groups, _ = panel(rng)
    model = model_of().fit(X, y, groups=groups)
    order = rng.permutation(len(y))
    names = np.array([f"site {i:02d}" for i in groups])
    weight = (groups != 5).astype(float)
    display = TrajectoryDisplay.from_estimator(
        model, X[order], y[order], groups=names[order], sample_weight=weight[order]
    )
    assert display.line.feature == 0  # used by experts, and no constant of groups
    size = np.bincount(groups[weight > 0.0], minlength=60)
    resp = model.responsibilities(X, y, groups=groups)
    for k, lines in enumerate(display.trajectories_):
        segments, colors = lines.get_segments(), lines.get_colors()
        own = [g for g in np.flatnonzero(size > 1) if resp[groups == g][0].argmax() == k]
        assert len(segments) == len(own)
        for g, segment, color in zip(own, segments, colors, strict=True):
            rows = np.flatnonzero(groups == g)
            rows = rows[np.argsort(X[rows, 0])]
            np.testing.assert_allclose(segment, np.column_stack([X[rows, 0], y[rows]]))
            sure = 2.0 * resp[rows[0]].max() - 1.0
            np.testing.assert_allclose(color[3], 0.12 + 0.58 * sure, rtol=1e-6)
    assert sum(len(marks.get_offsets()) for marks in display.scatter_) == np.sum(size == 1)
    rows = display.line.rows
    np.testing.assert_allclose(display.curves.experts, model.predict_experts(rows))
    by_expert = model.predict_dist(rows).experts()
    for band, expert in zip(display.bands, by_expert, strict=True):
        np.testing.assert_allclose(band.T, expert.ppf([0.1, 0.9]), rtol=1e-6)
    plain = TrajectoryDisplay.from_estimator(model, X, y, coverage=None)
    assert plain.trajectories_ == plain.bands_ == []


# What is refused.

REFUSED = {
    "length": ({"groups": [1, 2]}, r"groups has shape \(2,\); expected \(60,\)"),
    "two columns": ({"groups": np.ones((60, 2))}, "one label per row"),
    "NaN": ({"groups": np.where(np.arange(60) == 8, np.nan, 1.0)}, "groups is NaN at row 8"),
    "None": ({"groups": ["a"] * 59 + [None]}, "groups .* NaN, None .* at row 59"),
    "NaN among strings": ({"groups": np.array(["a"] * 59 + [np.nan], object)}, "NaN at row 59"),
    "unhashable": ({"groups": [{}] * 60}, "groups must hold numbers or strings; found {}"),
    "weights": ({"sample_weight": np.arange(1.0, 61.0)}, "same in all rows of a group"),
    "misspelt": ({"group": np.arange(60)}, "'group'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_groups_are_named(name, rng):
    given, message = REFUSED[name]
    X, y = rng.standard_normal((60, 2)), rng.standard_normal(60)
    model = MoERegressor(2, gate="constant", n_init=1, random_state=0)
    groups = np.arange(60) // 5
    with pytest.raises((ValueError, TypeError), match=message):
        clone(model).fit(X, y, **{"groups": groups, **given})
    model.fit(X, y, groups=groups)
    for method in (model.log_likelihood, model.criteria, model.inference):
        with pytest.raises((ValueError, TypeError), match=message):
            method(X, y, **{"groups": groups, **given})


def test_a_gate_feature_that_varies_within_a_group_is_named(rng):
    X, y, groups, _ = panel(rng)
    names = np.array([f"site {i}" for i in groups])
    order = rng.permutation(len(y))
    with pytest.raises(ValueError, match=r"column 'x0' varies within group 'site \d+'.*row \d"):
        MoERegressor(2, random_state=0).fit(X[order], y[order], groups=names[order])
    model = model_of().fit(X, y, groups=groups)
    moved = X.copy()
    row = int(np.flatnonzero(np.bincount(groups)[groups] > 1)[1])
    moved[row, 2] += 1.0
    for method in (model.responsibilities, model.log_likelihood, model.inference):
        with pytest.raises(ValueError, match="column 'x2' varies within group"):
            method(moved, y, groups=groups)
    alone = np.arange(len(y))  # groups of one row have nothing to vary within
    assert np.isfinite(model.log_likelihood(moved, y, groups=alone))


def test_an_initial_guess_has_a_row_for_every_row(rng):
    X, y, groups, label = panel(rng)
    guess = model_of(init=label).fit(X, y, groups=groups)
    assert guess.converged_
    for wrong in (label[:-1], np.r_[label, 0]):
        with pytest.raises(ValueError, match="one label or one row"):
            model_of(init=wrong).fit(X, y, groups=groups)
