"""Bags whose size is "auto": several sizes, averaged with weights that out-of-bag rows give."""

import pickle
import re
import warnings

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from joblib import parallel_config
from scipy.optimize import minimize

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import Batches
from mixexp.displays import SelectionDisplay
from mixexp.ensemble import BaggedMixture, BagSelection
from mixexp.ensemble import _bags as bags
from mixexp.ensemble import _stack as stacks
from mixexp.ensemble import _weights as weighing
from mixexp.ensemble._bags import Resamples
from mixexp.ensemble._units import Units
from mixexp.estimators._choosing import _Search
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertError,
    DegenerateExpertWarning,
    RankDeficientWarning,
    RoundedTargetWarning,
)
from mixexp.selection import Auto

RNG = np.random.default_rng(0)
N = 150
X = RNG.uniform(-1.0, 1.0, size=(N, 2))
Y = np.abs(X[:, 0]) + 0.1 * RNG.standard_normal(N)
LABELS = np.where(np.abs(X[:, 0]) + 0.2 * RNG.standard_normal(N) > 0.5, "far", "near")
FEW = Auto(max_experts=4)
KINDS = {
    "regressor": (MoERegressor(FEW), Y, [1, 2, 3, 4]),
    "regressor, tree": (HMERegressor(FEW), Y, [1, 2, 4]),
    "classifier": (MoEClassifier(FEW), LABELS, [1, 2, 3, 4]),
    "classifier, tree": (HMEClassifier(FEW), LABELS, [1, 2, 4]),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def fits():
    return {
        kind: BaggedMixture(estimator, 4, random_state=0).fit(X, y)
        for kind, (estimator, y, _) in KINDS.items()
    }


# The average.


@every_kind
def test_members_are_averaged_with_the_weights_of_their_sizes(kind, fits):
    model, y = fits[kind], KINDS[kind][1]
    weights = np.array(model.selection_.columns["weight"])
    sizes = np.array(model.selection_.columns["n_experts"])[weights > 0.0]
    n_members = np.where(sizes == 1, 1, 4)
    expected = np.repeat(weights[weights > 0.0] / n_members, n_members)
    np.testing.assert_allclose(model.weights_, expected)
    np.testing.assert_allclose(model.weights_.sum(), 1.0, rtol=1e-12)
    assert [m.tree_.n_leaves for m in model.estimators_] == np.repeat(sizes, n_members).tolist()
    members = np.stack([member.log_density(X, y) for member in model.estimators_])
    expected = np.log(model.weights_ @ np.exp(members))
    np.testing.assert_allclose(model.log_density(X, y), expected, rtol=1e-10)


@every_kind
def test_predictions_are_those_of_the_weighted_average(kind, fits):
    model, dist = fits[kind], fits[kind].predict_dist(X)
    if "classifier" in kind:
        np.testing.assert_allclose(model.predict_proba(X), dist.proba(), rtol=1e-10)
        np.testing.assert_array_equal(model.predict(X), model.classes_[dist.proba().argmax(axis=1)])
    else:
        np.testing.assert_allclose(model.predict(X), dist.mean(), rtol=1e-10)
        np.testing.assert_allclose(dist.logpdf(Y), model.log_density(X, Y), rtol=1e-10)
        np.testing.assert_allclose(dist.cdf(model.predict_quantile(X, 0.3)), 0.3, atol=1e-8)


@every_kind
def test_sizes_have_rows_of_a_table(kind, fits):
    selection, sizes = fits[kind].selection_, KINDS[kind][2]
    columns = selection.columns
    assert isinstance(selection, BagSelection)
    assert columns["n_experts"] == sizes[: len(columns["n_experts"])]
    # Those of more than three experts are pooled less.
    alpha = KINDS[kind][0].alpha
    own = np.where(np.array(columns["n_experts"]) > 3, 0.1 * alpha, alpha)
    np.testing.assert_allclose(columns["alpha"], own)
    assert selection.n_folds == 4
    assert selection.best_index_ == int(np.argmax(columns["weight"]))
    assert "weights of" in selection.in_words()
    assert repr(selection).startswith("BagSelection(weights")
    assert min(columns["behind"]) == 0.0


@every_kind
def test_displays_draw_the_weights(kind, fits):
    columns = fits[kind].selection_.columns
    display = SelectionDisplay.from_selection(fits[kind].selection_)
    assert [bar.get_height() for bar in display.weights_] == columns["weight"]
    drawn = [float(text.get_text()) for text in display.ax_.texts]
    np.testing.assert_allclose(drawn, columns["weight"], rtol=0.05)
    # No size was chosen; the one that is best alone is filled.
    assert display.chosen_ is None
    best = int(np.argmax(columns["score"]))
    assert display.bests_["score"].get_xdata()[0] == best
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == [f"score: best {display.labels[best]}", "weight in the average"]
    # Columns are shares of the height, which do not stretch the scale of scores.
    low, high = display.ax_.get_ylim()
    score, error = np.array(columns["score"]), np.array(columns["score_se"])
    assert high - low < 1.2 * np.ptp([score - error, score + error])
    matplotlib.pyplot.close("all")


def test_the_out_of_bag_density_is_that_of_the_average(fits):
    model = fits["regressor"]
    starts = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=(4, 2))
    drawn = [np.random.default_rng(seed).integers(N, size=N) for seed in starts[:, 0]]
    row = int(np.argmax([sum(r not in d for d in drawn) == 2 for r in range(N)]))
    of_bags = [m for m in model.estimators_ if m.tree_.n_leaves > 1]
    weights = model.weights_[[m.tree_.n_leaves > 1 for m in model.estimators_]]
    is_out = np.tile([row not in d for d in drawn], len(of_bags) // 4)
    density = np.exp([m.log_density(X[[row]], Y[[row]])[0] for m in of_bags])
    expected = weights[is_out] @ density[is_out] * 2.0
    # One expert is fitted to all rows, and held out by folds.
    fold = Units.of_rows(np.arange(N), np.ones(N), None).hold_out(10, starts[0, 1])
    rest = fold != fold[row]
    brief = MoERegressor(1, tol=1e-3, max_iter=100)  # as members are fitted
    alone = brief.fit(X[rest], Y[rest]).log_density(X[[row]], Y[[row]])[0]
    expected += (1.0 - weights.sum()) * np.exp(alone)
    np.testing.assert_allclose(model.oob_log_density_[row], np.log(expected), rtol=1e-10)


def test_an_average_of_sizes_is_out_of_bag_as_dense_as_the_best_of_them(fits):
    for model in fits.values():
        # Weights are optimal on these rows, to 1e-5 per row, and those below a hundredth left out.
        assert model.oob_score_ > max(model.selection_.columns["score"]) - 0.02


def test_processes_and_pickles_change_nothing():
    estimator = MoERegressor(Auto(max_experts=2))
    one, two = (
        BaggedMixture(estimator, 2, random_state=3, n_jobs=jobs).fit(X, Y) for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict(X), one.predict(X))
    assert str(again.selection_) == str(one.selection_)


# Weights.


def held_out(n_models, n, seed):
    return np.random.default_rng(seed).normal(size=(n_models, n))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_weights_are_better(seed):
    density, row_weight = held_out(4, 60, seed), np.random.default_rng(seed).uniform(0.5, 2.0, 60)

    def loss(free):
        weights = np.exp(free) / np.exp(free).sum()
        return -row_weight @ weighing.average(density, weights) / row_weight.sum()

    best = minimize(loss, np.zeros(4), tol=1e-12).fun
    weights = weighing.stack_weights(density, row_weight)
    found = -row_weight @ weighing.average(density, weights) / row_weight.sum()
    # EM stops 1e-5 from the optimum; leaving out weights below 0.01 costs at most their share.
    assert found <= best + 1e-5 - np.log(1.0 - 3 * 0.01)
    assert (weights[weights > 0.0] >= 0.01).all()


def test_a_row_of_weight_two_is_two_rows_and_of_zero_none():
    density = held_out(3, 40, 0)
    row_weight = np.resize([0.0, 1.0, 2.0], 40)
    repeated = np.repeat(density, row_weight.astype(int), axis=1)
    expected = weighing.stack_weights(repeated, np.ones(repeated.shape[1]))
    np.testing.assert_allclose(weighing.stack_weights(density, row_weight), expected, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 0.1, 0.5])
def test_weights_below_one_only_say_how_rows_compare(scale):
    density = held_out(3, 40, 0)
    row_weight = np.resize([0.5, 1.0, 1.5, 1.0], 40)
    found = weighing.stack_weights(density, scale * row_weight, 1.0)
    np.testing.assert_allclose(found, weighing.stack_weights(density, row_weight, 1.0), rtol=1e-9)
    assert found[0] > weighing.stack_weights(density, row_weight)[0]


def test_rows_that_a_model_excludes_count_and_those_that_all_exclude_do_not():
    density = held_out(3, 40, 1)
    density[0] = -np.inf
    weights = weighing.stack_weights(density, np.ones(40))
    assert weights[0] == 0.0
    density[:, 7] = -np.inf
    others = np.delete(density, 7, axis=1)
    expected = weighing.stack_weights(others, np.ones(39))
    np.testing.assert_allclose(weighing.stack_weights(density, np.ones(40)), expected)


def test_rows_for_the_first_model_are_rows_that_it_alone_explains():
    density = held_out(3, 40, 2)
    alone = np.array([[0.0], [-np.inf], [-np.inf]])
    weights = weighing.stack_weights(density, np.ones(40), n_for_first=2.0)
    expected = weighing.stack_weights(np.c_[density, alone, alone], np.ones(42))
    np.testing.assert_allclose(weights, expected, rtol=1e-10)
    # A first model that says nothing of 40 rows has their share of 42, one of 4 000 none.
    density[0] = -np.inf
    assert weighing.stack_weights(density, np.ones(40), n_for_first=2.0)[0] >= 2 / 42 - 1e-3
    density = np.tile(density, 100)
    assert weighing.stack_weights(density, np.ones(4000), n_for_first=2.0)[0] == 0.0


@pytest.mark.parametrize("density", [-3000.0, -1.0])
def test_a_model_is_kept_that_alone_explains_a_row(density):
    # Of 400 rows the first model excludes one, or finds it absurd, which the second does not.
    log_density = np.stack([np.full(400, 2.0), np.full(400, -5.0), np.full(400, -6.0)])
    for worst in (-np.inf, density - 50.0):
        log_density[:, 7] = worst, density, worst
        weights = weighing.stack_weights(log_density, np.ones(400))
        # A share w costs the others 399 * log(1 - w): the best is one in 400.
        np.testing.assert_allclose(weights, [399 / 400, 1 / 400, 0.0], atol=2e-4)
        assert np.isfinite(weighing.average(log_density, weights)).all()


def test_small_weights_that_say_nothing_are_zero():
    rng = np.random.default_rng(0)
    log_density = rng.normal(size=(1, 400)) + np.array([[0.0], [-0.02], [-3.0]])
    log_density += 0.05 * rng.normal(size=(3, 400))
    weights = weighing.stack_weights(log_density, np.ones(400))
    assert weights[2] == 0.0
    assert (weights[weights > 0.0] >= 0.01).all()


# What is tried.


def test_noise_ends_the_search_early():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(N)
    model = BaggedMixture(MoERegressor("auto"), 10, random_state=0).fit(X, noise)
    assert model.selection_.columns["n_experts"] == [1, 2, 3]
    assert "2 sizes more brought nothing" in str(model.selection_)


def test_a_row_that_all_sizes_exclude_does_not_end_the_search(monkeypatch):
    out_of_bag = Resamples.out_of_bag

    def excluding(self, members):
        log_density = out_of_bag(self, members)
        log_density[np.flatnonzero(~np.isnan(log_density))[0]] = -np.inf
        return log_density

    monkeypatch.setattr(Resamples, "out_of_bag", excluding)
    model = BaggedMixture(KINDS["regressor"][0], 4, random_state=0).fit(X, Y)
    assert model.selection_.columns["n_experts"] == [1, 2, 3, 4]


def test_rows_no_longer_excluded_are_a_gain_and_those_that_still_are_none():
    before = np.array([-np.inf, 1.0, 2.0])
    assert weighing.total_gain(np.array([-np.inf, 1.5, 2.0]), before) == 0.5
    assert weighing.total_gain(np.array([-9.0, 1.0, 0.0]), before) == np.inf
    assert weighing.total_gain(before, np.array([-9.0, 1.0, 0.0])) == -np.inf


def test_one_expert_is_fitted_to_all_rows():
    model = BaggedMixture(MoERegressor(Auto(max_experts=1)), 3, random_state=0).fit(X, Y)
    assert model.weights_.tolist() == [1.0]
    # Members end where a step gains less than 1e-3, which one expert's Newton step is far below.
    alone = MoERegressor(1).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), alone.predict(X), rtol=1e-6)
    assert np.isfinite(model.oob_score_)


def test_one_expert_is_weighed_by_fits_to_nine_tenths_of_the_rows():
    model = BaggedMixture(MoERegressor(Auto(max_experts=1)), 3, random_state=0).fit(X, Y)
    starts = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=(3, 2))
    fold = Units.of_rows(np.arange(N), np.ones(N), None).hold_out(10, starts[0, 1])
    held = np.full(N, np.nan)
    for number in range(10):
        test = fold == number
        assert test.sum() == N // 10
        fit = MoERegressor(1).fit(X[~test], Y[~test])
        held[test] = fit.log_density(X[test], Y[test])
    seen = ~np.isnan(model.oob_log_density_)
    drawn = [np.random.default_rng(seed).integers(N, size=N) for seed in starts[:, 0]]
    np.testing.assert_array_equal(seen, [any(r not in d for d in drawn) for r in range(N)])
    np.testing.assert_allclose(model.oob_log_density_[seen], held[seen], rtol=1e-5)


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 3, 5]), (12, [1, 2, 3, 6, 12])]
)
def test_sizes_double_up_to_the_most(most, expected):
    assert stacks._list_sizes(most) == expected


def test_trees_are_no_deeper_than_is_asked():
    model = BaggedMixture(HMERegressor(Auto(max_depth=1)), 2, random_state=0).fit(X, Y)
    assert model.selection_.columns["tree"] == ["(1,)", "(2,)"]


def test_spikes_on_rounded_values_have_no_weight():
    rng = np.random.default_rng(0)
    features = rng.uniform(-1.0, 1.0, (300, 2))
    y = np.clip(np.round(5.6 + 0.8 * features[:, 0] + 0.7 * rng.standard_normal(300)), 3.0, 8.0)
    estimator = MoERegressor(FEW, alpha=0.0, gate_alpha=0.0, dispersion_prior=0.0)
    model = BaggedMixture(estimator, 3, random_state=0).fit(features, y)
    columns = model.selection_.columns
    has_spike, score = np.array(columns["has_spike"]), np.array(columns["score"])
    assert has_spike.any()
    assert score[has_spike].max() > score[~has_spike].max()  # they would have had it
    assert not np.array(columns["weight"])[has_spike].any()


def test_family_and_pooling_are_chosen_before():
    estimator = MoERegressor(
        Auto(max_experts=2, cv=2, families=["gaussian", "laplace"]), expert="auto", n_init=1
    )
    model = BaggedMixture(estimator, 2, random_state=0).fit(X, Y)
    chosen = model.selection_.chosen
    assert set(chosen) == {"n_experts", "expert"}
    assert {member.expert for member in model.estimators_} == {chosen["expert"]}


def test_every_size_has_a_line(capsys):
    BaggedMixture(MoERegressor(Auto(max_experts=2), verbose=1), 2, random_state=0).fit(X, Y)
    printed = capsys.readouterr().out
    assert len(re.findall(r"BaggedMixture: n_experts=\d.*: weights of sizes", printed)) == 2


# Rows.


def test_groups_and_weights_go_to_members_and_weights_of_sizes():
    groups = np.repeat(np.arange(N // 3), 3)
    weight = np.repeat(np.resize([0.0, 1.0, 2.0], N // 3), 3)
    estimator = MoERegressor(Auto(max_experts=2), gate_features=[])
    model = BaggedMixture(estimator, 3, random_state=0)
    kept = model.fit(X, Y, weight, groups=groups).predict(X)
    density = model.log_density(X, Y, groups=groups)
    of_groups = np.stack(
        [m.log_density(X, Y, groups=groups).reshape(-1, 3).sum(axis=1) for m in model.estimators_]
    )
    expected = np.log(model.weights_ @ np.exp(of_groups))
    np.testing.assert_allclose(density.reshape(-1, 3).sum(axis=1), expected, rtol=1e-10)
    assert "groups" in model.selection_.in_words()
    far = np.where(weight > 0.0, Y, 1e6)
    np.testing.assert_array_equal(model.fit(X, far, weight, groups=groups).predict(X), kept)


@pytest.mark.parametrize("estimator", [MoERegressor(FEW), HMERegressor(FEW)])
def test_no_more_is_tried_than_few_rows_of_positive_weight_allow(estimator):
    model = BaggedMixture(estimator, 10, random_state=0)
    with pytest.raises(ValueError, match="no row is left out"):
        model.fit(X, Y, (np.arange(N) < 1) * 1.0)
    model.fit(X, Y, (np.arange(N) < 12) * 1.0)
    # Resamples of 12 rows have fewer distinct ones.
    assert max(model.selection_.columns["n_experts"]) <= 8


def test_sampling_weights_have_no_scale():
    estimator = MoERegressor("auto", weight_type="sampling")
    one, small = (
        BaggedMixture(estimator, 3, random_state=0).fit(X, Y, np.full(N, scale))
        for scale in (1.0, 1e-4)
    )
    assert len(one.selection_.columns["n_experts"]) > 3
    for name, column in one.selection_.columns.items():
        np.testing.assert_allclose(small.selection_.columns[name], column, rtol=1e-8)


def test_row_arguments_go_to_members():
    rng = np.random.default_rng(4)
    exposure = rng.uniform(1.0, 5.0, N)
    counts = rng.poisson(exposure * np.exp(X[:, 0]))
    estimator = MoERegressor(Auto(max_experts=2), expert="poisson")
    model = BaggedMixture(estimator, 2, random_state=0).fit(X, counts, exposure=exposure)
    members = [member.predict(X, exposure=exposure) for member in model.estimators_]
    expected = np.average(members, axis=0, weights=model.weights_)
    np.testing.assert_allclose(model.predict(X, exposure=exposure), expected)


# What users are told.


def warnings_of(estimator, features, y, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BaggedMixture(estimator, 2, random_state=0, **options).fit(features, y)
    return [(own.category, str(own.message)) for own in caught]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_members_warn_once(n_jobs):
    collinear = np.c_[X, X[:, 0]]
    ((_, of_one),) = set(warnings_of(MoERegressor(1, alpha=0.0), collinear, Y))
    found = warnings_of(MoERegressor(Auto(max_experts=2), alpha=0.0), collinear, Y, n_jobs=n_jobs)
    assert [category for category, _ in found] == [RankDeficientWarning]
    counted, message = found[0][1].rsplit(" members: ", 1)
    assert re.fullmatch(r"BaggedMixture: (2 of 2|3 of 3)", counted)  # with or without the line
    assert of_one == f"BaggedMixture: 2 of 2 members: {message}"


def test_few_iterations_are_told_where_they_are_the_users():
    found = warnings_of(MoERegressor(Auto(max_experts=2), max_iter=1), X, Y)
    assert [category for category, _ in found] == [ConvergenceWarning]
    assert "max_iter=1" in found[0][1]
    few = MoERegressor(FEW, tol=1e-9, n_init=1)
    assert not warnings_of(few.set_params(max_iter=stacks._MOST_ITERATIONS), X, Y)


def test_experts_to_spare_are_not_told_and_exact_ones_are(monkeypatch):
    y = np.abs(X[:, 0])
    estimator = MoERegressor(Auto(max_experts=2), alpha=0.0, dispersion_prior=0.0)
    found = warnings_of(estimator, X, y)
    assert {category for category, _ in found} == {DegenerateExpertWarning}
    assert all("exactly" in message for _, message in found)
    weighed = []
    fit = bags.fit_member

    def noted(*arguments):
        member, fit_warnings = fit(*arguments)
        weighed.extend(own.category for own in fit_warnings)
        return member, fit_warnings

    monkeypatch.setattr(bags, "fit_member", noted)
    assert not warnings_of(MoERegressor("auto"), X, Y)
    assert DegenerateExpertWarning in weighed


def test_spikes_are_told_where_all_sizes_have_one():
    ends = np.resize([0.0, 1.0], N)
    estimator = MoERegressor(Auto(max_experts=1), alpha=0.0, dispersion_prior=0.0)
    found = warnings_of(estimator, ends[:, None], ends)
    assert RoundedTargetWarning in {category for category, _ in found}


def test_spikes_are_found_in_threads():
    rng = np.random.default_rng(0)
    features = rng.uniform(-1.0, 1.0, (300, 2))
    y = np.clip(np.round(5.6 + 0.8 * features[:, 0] + 0.7 * rng.standard_normal(300)), 3.0, 8.0)
    estimator = MoERegressor(FEW, alpha=0.0, gate_alpha=0.0, dispersion_prior=0.0)
    one = BaggedMixture(estimator, 3, random_state=0).fit(features, y)
    with parallel_config("threading"):
        two = BaggedMixture(estimator, 3, random_state=0, n_jobs=2).fit(features, y)
    assert two.selection_.columns == one.selection_.columns


# What is refused, and what ends early.


class Parts(list):
    """Batches that can be visited again."""


def test_sources_are_refused():
    with pytest.raises(ValueError, match="'n_experts' parameter is 'auto', which needs all rows"):
        BaggedMixture(MoERegressor("auto"), 2).fit(Batches(Parts([(X, Y)])), None)


def test_what_is_for_one_number_of_experts_is_refused():
    with pytest.raises(ValueError, match="'expert' is a list"):
        BaggedMixture(MoERegressor("auto", expert=["gaussian", "laplace"]), 2).fit(X, Y)


def test_bad_options_of_the_estimator_are_named():
    with pytest.raises(ValueError, match="alpha"):
        BaggedMixture(MoERegressor("auto", alpha=-1.0), 2).fit(X, Y)


def test_a_row_must_be_left_out():
    groups = np.zeros(N)
    with pytest.raises(ValueError, match=r"no row is left out .*raise n_estimators"):
        BaggedMixture(MoERegressor("auto", gate_features=[]), 2).fit(X, Y, groups=groups)


def interrupt_at(monkeypatch, n_bags):
    add = stacks.Stack._add

    def interrupted(self, settings):
        if len(self.bags) == n_bags:
            raise KeyboardInterrupt
        add(self, settings)

    monkeypatch.setattr(stacks.Stack, "_add", interrupted)


def test_an_interrupted_search_averages_the_sizes_so_far(monkeypatch):
    interrupt_at(monkeypatch, 2)
    model = BaggedMixture(MoERegressor("auto"), 2, random_state=0)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, Y)
    assert model.selection_.columns["n_experts"] == [1, 2]
    np.testing.assert_allclose(model.weights_.sum(), 1.0, rtol=1e-12)


def test_an_interrupt_before_the_first_size_ends_the_fit(monkeypatch):
    interrupt_at(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        BaggedMixture(MoERegressor("auto"), 2, random_state=0).fit(X, Y)


@pytest.mark.parametrize("n_weighed", [0, 1])
def test_an_interrupt_of_the_weighing_leaves_the_sizes_weighed_before(monkeypatch, n_weighed):
    weigh, calls = weighing.stack_weights, []

    def interrupted(*arguments):
        if len(calls) == n_weighed:
            raise KeyboardInterrupt
        calls.append(arguments)
        return weigh(*arguments)

    monkeypatch.setattr(stacks, "stack_weights", interrupted)
    model = BaggedMixture(MoERegressor("auto"), 2, random_state=0)
    if n_weighed == 0:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y)
        return
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, Y)
    assert model.selection_.columns["n_experts"] == [1]
    assert model.weights_.tolist() == [1.0]


@pytest.mark.parametrize("n_experts", [2, "auto"])
def test_an_interrupt_of_the_choice_of_a_family_ends_the_fit(monkeypatch, n_experts):
    leave = _Search._leave

    def interrupted(self, lines):
        leave(self, lines)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Search, "_leave", interrupted)
    monkeypatch.setattr(bags, "fit_member", lambda *_: pytest.fail("members were fitted"))
    families = Auto(max_experts=2, cv=2, families=["gaussian", "laplace"])
    model = BaggedMixture(MoERegressor(n_experts, expert=families, n_init=1), 2, random_state=0)
    with pytest.raises(KeyboardInterrupt, match="before any member"):
        model.fit(X, Y)
    assert not hasattr(model, "selection_")


def test_experts_that_collapse_end_the_search_where_that_is_an_error():
    # One of two experts fits all rows of one half exactly; one alone fits none so.
    y = np.where(X[:, 0] > 0.0, 1.0, Y)
    estimator = MoERegressor("auto", solver=EM(on_collapse="error"))
    model = BaggedMixture(estimator, 2, random_state=0).fit(X, y)
    assert "no more experts could be fitted" in model.selection_.reason
    assert "fit their rows exactly" in model.selection_.reason
    assert model.selection_.columns["n_experts"] == [1]
    assert [member.tree_.n_leaves for member in model.estimators_] == [1]
    model.set_params(estimator__alpha=0.0, estimator__dispersion_prior=0.0)
    with pytest.raises(DegenerateExpertError, match="fit their rows exactly"):
        model.fit(X, X[:, 0])  # so does one alone
