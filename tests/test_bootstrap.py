"""Resampling, matching of experts, and tests of one fit against another."""

from itertools import permutations

import numpy as np
import pytest
from problems import UNPENALIZED, Data, make_problem
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_family_fits import EVERY_FAMILY
from test_inference import CLASS_FAMILIES, problem_near_pooled

from mixexp import MoEClassifier, MoERegressor
from mixexp.em import reorder
from mixexp.exceptions import ConvergenceWarning, InferenceWarning
from mixexp.experts import Binomial, Gaussian, NegativeBinomial, Poisson
from mixexp.inference import draw_target, match_nodes
from mixexp.model import (
    group_heads,
    linear_predictors,
    mean_of_block,
    posterior_of_block,
    predict_block,
)


def kinked(rng, n=300):
    """Draw two regimes that a gate tells apart, with noise."""
    X = rng.uniform(-1.0, 1.0, (n, 2))
    is_second = X[:, 0] + 0.2 * rng.logistic(size=n) > 0.0
    mean = np.where(is_second, 2.0 + X[:, 0], -1.0 - 3.0 * X[:, 0])
    return Data(X, mean + 0.5 * rng.standard_normal(n), is_second.astype(int))


def fitted_kink(rng, n=300, **options):
    data = kinked(rng, n)
    model = MoERegressor(2, n_init=2, random_state=0, **UNPENALIZED, **options)
    return data, model.fit(data.X, data.y)


# Matching.


@pytest.mark.parametrize("spec", [(4,), (2, 2), [[1, [1, 1]], 1], [[1, 1, 1], [1, 1]]])
def test_permuted_siblings_are_matched_back(spec, rng):
    problem, flat = problem_near_pooled(Gaussian(), rng, spec=spec)
    model, (block,) = problem.model, problem.blocks
    params = model.unflatten(flat)
    leaves = model.tree.leaves
    resp = posterior_of_block(model, params, block).node_resp[leaves]
    shuffled = reorder(model, params, random_order(model.tree, rng))
    other = posterior_of_block(model, shuffled, block).node_resp[leaves]
    order = match_nodes(model, (resp * block.weight) @ other.T)
    again = model.flatten(reorder(model, shuffled, order))
    np.testing.assert_array_equal(again, flat)


def random_order(tree, rng):
    """Permute siblings of like shape at every node."""
    order = np.zeros(tree.n_nodes, dtype=int)
    for place in tree.inner_nodes:
        present = np.array(tree.children(int(order[place])))
        shapes = [repr(tree.to_nested(int(node))) for node in present]
        wanted = [repr(tree.to_nested(int(node))) for node in tree.children(int(place))]
        moved = rng.permutation(len(present))
        for at, shape in zip(tree.children(int(place)), wanted, strict=True):
            free = [i for i in moved if shapes[i] == shape]
            order[at] = present[free[0]]
            moved = moved[moved != free[0]]
    return order


def test_flat_matching_is_the_best_permutation(rng):
    problem, _ = problem_near_pooled(Gaussian(), rng, spec=(4,))
    overlap = rng.random((4, 4))
    order = match_nodes(problem.model, overlap)[1:] - 1
    best = max(permutations(range(4)), key=lambda p: overlap[np.arange(4), list(p)].sum())
    assert tuple(order) == best


def test_experts_of_other_families_are_not_matched(rng):
    data = Data(rng.standard_normal((30, 1)), rng.poisson(2.0, 30).astype(float), None)
    model = make_problem(data, [Poisson(), NegativeBinomial(), NegativeBinomial()], (3,)).model
    overlap = np.array([[0.0, 9.0, 9.0], [9.0, 0.0, 1.0], [9.0, 1.0, 0.0]])
    np.testing.assert_array_equal(match_nodes(model, overlap), [0, 1, 3, 2])


# Draws.


@pytest.mark.parametrize("family", EVERY_FAMILY, ids=repr)
def test_draws_follow_the_distribution_of_the_model(family, rng):
    # The mixture's own cdf makes them uniform, if jumps are spread evenly. Alarm: one in 1e5.
    problem, flat = problem_near_pooled(family, rng)
    model, params = problem.model, problem.model.unflatten(flat)
    block = problem.blocks[0].take(np.arange(1500) % 60)
    y = draw_target(model, params, block, rng)
    (group,), prior = model.groups, predict_block(model, params, block).prior
    (heads,) = group_heads(model, linear_predictors(model, params, block))
    seen = (y - group.shift) / group.scale
    slightly_less = seen - 1e-9 * np.maximum(1.0, np.abs(seen))
    upper, lower = (
        (prior * group.family.cdf(at, heads)).sum(axis=0) for at in (seen, slightly_less)
    )
    uniform = lower + rng.random(1500) * (upper - lower)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-5


@pytest.mark.parametrize("family", CLASS_FAMILIES, ids=repr)
def test_drawn_classes_have_their_probabilities(family, rng):
    problem, flat = problem_near_pooled(family, rng)
    model, params = problem.model, problem.model.unflatten(flat)
    block = problem.blocks[0].take(np.arange(3000) % 60)
    y = draw_target(model, params, block, rng).astype(int)
    probability = mean_of_block(model, params, block)
    for label, expected in enumerate(probability):
        spread = np.sqrt((expected * (1.0 - expected)).sum())
        assert abs((y == label).sum() - expected.sum()) < 4.5 * spread  # alarm: one in 1e5


def test_draws_of_binomial_counts_use_their_trials(rng):
    X = rng.standard_normal((300, 1))
    trials = rng.integers(1, 30, 300).astype(float)
    y = rng.binomial(trials.astype(int), 0.4).astype(float)
    model = MoERegressor(1, expert=Binomial()).fit(X, y, trials=trials)
    found = model.bootstrap(X, y, kind="parametric", trials=trials, n_resamples=60, random_state=0)
    errors = model.inference(X, y, trials=trials).std_errors
    # Of 60 draws, a standard deviation is known to 1 / sqrt(120) = 9 %; five times that.
    np.testing.assert_allclose(found.std_errors, errors, rtol=0.46)


# The bootstrap.


@pytest.mark.parametrize("kind", ["nonparametric", "parametric", "cluster"])
def test_bootstrap_errors_are_near_those_by_information(kind, rng):
    data, model = fitted_kink(rng)
    options = {"cluster": np.arange(300) // 2} if kind == "cluster" else {"kind": kind}
    found = model.bootstrap(data.X, data.y, n_resamples=60, random_state=0, **options)
    errors = model.inference(data.X, data.y).std_errors
    assert found.n_failed == 0
    assert found.replicates.shape == (60, len(errors))
    # To 9 % for 60 resamples, and the difference between the methods at 300 rows.
    ratio = found.std_errors / errors
    assert 0.5 < ratio.min() < ratio.max() < 2.0
    assert 0.8 < np.median(ratio) < 1.25
    table = found.coef_table(level=0.9)
    lower, upper = np.quantile(found.replicates, [0.05, 0.95], axis=0)
    is_log = table["term"] == "dispersion"
    np.testing.assert_allclose(table["lower"], np.where(is_log, np.exp(lower), lower), rtol=1e-2)
    np.testing.assert_allclose(table["upper"], np.where(is_log, np.exp(upper), upper), rtol=1e-2)
    np.testing.assert_allclose(
        table["estimate"], model.coef_table(data.X, data.y)["estimate"], rtol=1e-10
    )


@pytest.mark.slow
def test_bootstrap_is_the_same_for_any_number_of_processes(rng):
    data, model = fitted_kink(rng, 150)
    one, two = (
        model.bootstrap(data.X, data.y, n_resamples=4, random_state=3, n_jobs=n) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.replicates, two.replicates)
    assert one.labels == two.labels


def test_bootstrap_weights_are_numbers_of_rows(rng):
    # Rows of weight zero are never drawn: were they, this y would show.
    data, _ = fitted_kink(rng)
    y, weight = data.y.copy(), np.ones(300)
    y[:20], weight[:20] = 1e6, 0.0
    model = MoERegressor(2, n_init=2, random_state=0).fit(data.X, y, weight)
    for options in ({}, {"cluster": np.arange(300) // 5}):
        found = model.bootstrap(data.X, y, weight, n_resamples=5, random_state=0, **options)
        assert np.abs(found.replicates).max() < 100.0
    with pytest.raises(ValueError, match="sample_weight must be 1"):
        model.bootstrap(data.X, y, weight, kind="parametric")


def test_bootstrap_of_classifiers_keeps_the_classes(rng):
    X = rng.standard_normal((200, 2))
    y = np.array(["no", "yes"])[(X[:, 0] + rng.logistic(size=200) > 0.0).astype(int)]
    model = MoEClassifier(1).fit(X, y)
    for kind in ("nonparametric", "parametric"):
        found = model.bootstrap(X, y, kind=kind, n_resamples=30, random_state=0)
        errors = model.inference(X, y).std_errors
        np.testing.assert_allclose(found.std_errors, errors, rtol=0.65)  # 13 % for 30, five times


def test_resamples_that_cannot_be_fitted_are_told_of(rng):
    # One row of three has the class "yes": 30 % of resamples are without it.
    X = rng.standard_normal((40, 1))
    y = np.array(["no"] * 39 + ["yes"])
    model = MoEClassifier(1).fit(X, y)
    with pytest.warns(InferenceWarning, match="no row of class 'yes' was drawn"):
        found = model.bootstrap(X, y, n_resamples=20, random_state=0)
    assert 0 < found.n_failed < 20
    assert len(found.replicates) == 20 - found.n_failed
    with pytest.raises(ValueError, match="resamples failed"):
        model.bootstrap(X, y, cluster=np.arange(40) == 39, n_resamples=2, random_state=0)


# Tests of one fit against another.


def test_likelihood_ratio_of_nested_fits(rng):
    data, full = fitted_kink(rng)
    options = {"n_init": 2, "random_state": 0, **UNPENALIZED}
    restricted = MoERegressor(2, gate_features=[0], **options).fit(data.X, data.y)
    result = full.likelihood_ratio_test(restricted, data.X, data.y)
    gain = full.log_likelihood_ - restricted.log_likelihood_
    np.testing.assert_allclose(result.statistic, 2.0 * gain, rtol=1e-6)
    assert result.df == 1
    np.testing.assert_allclose(result.p_value, stats.chi2.sf(2.0 * gain, 1), rtol=1e-5)
    half = data.X[::2], data.y[::2]
    with pytest.raises(ValueError, match=r"X and y are not the rows that .* with weights of 1"):
        full.likelihood_ratio_test(restricted, *half)
    with pytest.raises(ValueError, match=r"X and y are not the rows that .* with these weights"):
        full.likelihood_ratio_test(restricted, data.X, data.y, np.arange(len(data.y)) % 2)


def test_bootstrap_ratio_test_finds_a_second_expert(rng):
    data, full = fitted_kink(rng, 150)
    restricted = MoERegressor(1, **UNPENALIZED).fit(data.X, data.y)
    result = full.bootstrap_ratio_test(restricted, data.X, data.y, n_resamples=9, random_state=0)
    assert result.p_value == 0.1  # as small as 9 draws can say
    np.testing.assert_allclose(
        result.statistic, 2.0 * (full.log_likelihood_ - restricted.log_likelihood_)
    )
    assert "p = 0.100" in str(result)


# Bad input.


def test_bad_input_is_refused_by_name(rng):
    data, model = fitted_kink(rng, 100)
    rows = data.X, data.y
    for options, name in (
        ({"kind": "jackknife"}, "kind"),
        ({"kind": "parametric", "cluster": np.arange(100)}, "cluster"),
        ({"cluster": np.arange(99)}, "cluster"),
        ({"n_resamples": 1}, "n_resamples"),
        ({"n_resamples": 10.0}, "n_resamples"),
        ({"reference": 4}, "reference"),
        ({"sample_weight": -np.ones(100)}, "sample_weight"),
    ):
        with pytest.raises(ValueError, match=name):
            model.bootstrap(*rows, **options)
    unfitted = clone(model)
    for method in ("bootstrap",):
        with pytest.raises(NotFittedError):
            getattr(unfitted, method)(*rows)
    for method in ("likelihood_ratio_test", "bootstrap_ratio_test"):
        with pytest.raises(NotFittedError):
            getattr(model, method)(unfitted, *rows)
        with pytest.raises(ValueError, match="fewer"):
            getattr(model, method)(model, *rows)
    one = MoERegressor(1, **UNPENALIZED).fit(*rows)
    with pytest.raises(ValueError, match="bootstrap_ratio_test"):
        model.likelihood_ratio_test(one, *rows)
    with pytest.raises(ValueError, match="not the rows"):
        model.bootstrap_ratio_test(one, data.X, data.y + 1.0)
    with pytest.raises(ValueError, match="penalised"):
        model.likelihood_ratio_test(MoERegressor(2, random_state=0).fit(*rows), *rows)
    options = {"n_init": 2, "random_state": 0, **UNPENALIZED}
    restricted = MoERegressor(2, gate_features=[0], **options).fit(*rows)
    start = rng.integers(0, 2, 100)
    with pytest.warns(ConvergenceWarning):
        poor = MoERegressor(2, init=start, max_iter=1, **UNPENALIZED).fit(*rows)
    with pytest.raises(ValueError, match="poor optimum"):
        poor.likelihood_ratio_test(restricted, *rows)


# Studies. Each prints its table: pytest -m slow -s -n 0.

SLOPES = np.array([[-1.0, -3.0, 0.5], [2.0, 1.0, -0.5]])
VARIANCES = np.array([0.25, 0.5])
GATE = np.array([0.3, 2.0, -1.0])


def separated(rng, n):
    """Draw two regimes from known coefficients."""
    X = rng.standard_normal((n, 2))
    labels = (GATE[0] + X @ GATE[1:] + rng.logistic(size=n) > 0.0).astype(int)
    mean = SLOPES[labels, 0] + np.einsum("ij,ij->i", SLOPES[labels, 1:], X)
    return Data(X, mean + np.sqrt(VARIANCES[labels]) * rng.standard_normal(n), labels)


def true_coefficients(table):
    """Return the truth in the order of a table; the gate's reference is the second expert."""
    experts = np.column_stack([SLOPES, VARIANCES]).ravel()
    truth = np.concatenate([experts, -GATE])
    assert len(truth) == len(table)
    return truth


@pytest.mark.slow
def test_intervals_cover_at_their_level(rng, capsys):
    # The share of 300 draws has a standard deviation of 0.0126, that of all 11 coefficients
    # together 0.004.
    truth, n_draws = None, 300
    inside = []
    for draw in range(n_draws):
        data = separated(rng, 2000)
        model = MoERegressor(2, init=data.labels, **UNPENALIZED).fit(data.X, data.y)
        table = model.coef_table(data.X, data.y, reference=-1)
        truth = true_coefficients(table) if draw == 0 else truth
        inside.append((table["lower"] <= truth) & (truth <= table["upper"]))
    share = np.mean(inside, axis=0)
    with capsys.disabled():
        print("\n" + table[["unit", "term"]].assign(truth=truth, covered=share).to_string())
    assert 0.93 <= share.mean() <= 0.97
    assert share.min() > 0.90  # four standard errors below 0.95


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_bootstrap_ratio_test_rejects_at_its_level(rng, capsys):
    # One true expert: p-values of 9 draws are at most 0.1 in a tenth of the tests, three of 30; in
    # ten or more once in 2 200 runs.
    p_values = []
    for _ in range(30):
        X = rng.standard_normal((80, 1))
        y = 1.0 + X[:, 0] + rng.standard_normal(80)
        full = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
        one = MoERegressor(1).fit(X, y)
        result = full.bootstrap_ratio_test(one, X, y, n_resamples=9, random_state=0)
        p_values.append(result.p_value)
    counts = np.bincount(np.round(10 * np.array(p_values)).astype(int), minlength=11)[1:]
    with capsys.disabled():
        print("\np-values of 0.1, ..., 1.0 in 30 tests of a true hypothesis:", counts)
    assert counts[0] <= 9
