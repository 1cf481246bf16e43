"""Choice of the number of experts and of the tree: what is compared, and what is reported."""

from itertools import pairwise

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from problems import UNPENALIZED, Data, simulate_classes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold

from mixexp import EM, HMERegressor, MoEClassifier, MoERegressor, select_n_experts
from mixexp.displays import SelectionDisplay
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning, SeparationWarning
from mixexp.experts import Poisson
from mixexp.metrics import log_density_scorer, negative_bic_scorer
from mixexp.selection._growth import duplicate_expert, find_growths
from mixexp.selection._trees import find_splits
from mixexp.tree import GatingTree

N_ROWS = 200
CRITERIA = ("aic", "aicc", "bic", "sabic", "caic", "icl", "icl_bic")
QUICK = {"n_init": 2, "solver": EM(n_moves=0), "random_state": 0}
TREES = [(1,), (2,), [[1, 1], 1], (3,), (2, 2)]
# Sums of n log densities are equal but for rounding, some 1e-13 of their size.
ROUNDING = 1e-10


def ignore_troubles(test):
    """Let a test fit more experts than the data have, or stop fits early."""
    for category in (ConvergenceWarning, DegenerateExpertWarning, SeparationWarning):
        name = f"{category.__module__}.{category.__name__}"
        test = pytest.mark.filterwarnings(f"ignore::{name}")(test)
    return test


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data(request):
    """Return three regimes that any criterion tells apart, and a gate that is no step."""
    rng = np.random.default_rng(request.config.getoption("--seed"))
    X = rng.standard_normal((N_ROWS, 2))
    logits = X[:, :1] * [-2.0, 0.0, 2.0] + rng.gumbel(size=(N_ROWS, 3))
    labels = logits.argmax(axis=1)
    mean = np.array([-5.0, 0.0, 5.0])[labels] + np.array([1.5, -1.5, 1.5])[labels] * X[:, 1]
    return Data(X, mean + 0.5 * rng.standard_normal(N_ROWS), labels)


@pytest.fixture(scope="module")
def selection(data):
    return select_n_experts(MoERegressor(**QUICK), data.X, data.y, range(1, 5))


# Trees that are one split apart.


@pytest.mark.parametrize(
    ("smaller", "larger", "leaves"),
    [
        ((1,), (2,), {0}),
        ((3,), (4,), {0, 1, 2}),
        ((2,), [[1, 1], 1], {0, 1}),
        ([1, [1, 1]], (2, 2), {0}),
        ([[1, 1], 1], [[1, 1, 1], 1], {0, 1}),
        ((2, 2), [[1, 1], [1, [1, 1]]], {0, 1, 2, 3}),
        ((2,), (2, 2), set()),
        ((3,), (2, 2), set()),
        ((3,), (2,), set()),
    ],
)
def test_splits_that_lead_from_tree_to_tree(smaller, larger, leaves):
    small, large = GatingTree.from_spec(smaller), GatingTree.from_spec(larger)
    found = find_splits(small, large)
    assert set(found) == leaves
    for leaf, origin in found.items():
        counts = np.bincount(origin[large.leaves], minlength=small.n_nodes)[small.leaves]
        assert counts[leaf] == 2
        assert counts.sum() == large.n_leaves
        assert (counts >= 1).all()


@ignore_troubles
@pytest.mark.parametrize("gate", ["softmax", "constant"])
@pytest.mark.parametrize(
    ("smaller", "larger"),
    [((1,), (2,)), ((3,), (4,)), ([1, [1, 1]], (2, 2)), ((2, 2), [[1, [1, 1]], [1, 1]])],
)
def test_an_expert_taken_twice_says_the_same(data, smaller, larger, gate):
    model = HMERegressor(smaller, gate=gate, **QUICK).fit(data.X, data.y)
    tree = GatingTree.from_spec(larger)
    growths = find_growths(model, tree, model.experts_[:1] * tree.n_leaves)
    grown = duplicate_expert(model, tree, next(iter(growths.values())))
    again = HMERegressor(larger, gate=gate, init=grown, max_iter=1, **UNPENALIZED)
    again.fit(data.X, data.y)
    assert again.history_[0] == pytest.approx(model.log_likelihood_, rel=ROUNDING)


# The selection.


@ignore_troubles
@pytest.mark.parametrize(
    ("model", "candidates"),
    [
        (MoERegressor(n_init=1, solver=EM(n_moves=0), random_state=0, **UNPENALIZED), range(1, 5)),
        (HMERegressor(n_init=1, solver=EM(n_moves=0), random_state=0, **UNPENALIZED), TREES),
    ],
    ids=["flat", "trees"],
)
def test_log_likelihood_never_falls_where_an_expert_is_split(data, model, candidates):
    found = select_n_experts(model, data.X, data.y, candidates)
    reached = found.columns["log_likelihood"]
    for i, small in enumerate(found.estimators):
        for j, large in enumerate(found.estimators):
            if find_splits(small.tree_, large.tree_):
                assert reached[j] >= reached[i] - ROUNDING * abs(reached[i])


# Lists of families.

FEW = {"n_init": 1, "solver": EM(n_moves=0), "random_state": 0, **UNPENALIZED}


@pytest.fixture
def inflated(rng):
    """Return counts of two rates with excess zeros."""
    X = rng.normal(size=(400, 2))
    rate = np.exp(np.where(X[:, 0] > 0.0, 2.0 + 0.5 * X[:, 1], 0.5 - 0.5 * X[:, 1]))
    return X, rng.poisson(rate) * (rng.random(400) > 0.3)


@ignore_troubles
@pytest.mark.parametrize(
    ("expert", "expected"),
    [
        (["point_mass", "poisson"], ["point_mass", "poisson", "poisson", "poisson"]),
        (["poisson", "point_mass"], ["poisson", "poisson", "poisson", "point_mass"]),
        (("poisson", "negative_binomial"), ["poisson", *["negative_binomial"] * 3]),
        (["point_mass"], ["point_mass"] * 4),
        ([Poisson()], ["poisson"] * 4),
    ],
)
@pytest.mark.parametrize("cls", [MoERegressor, HMERegressor])
def test_last_family_with_coefficients_of_a_list_is_repeated(cls, expert, expected, inflated):
    X, y = inflated
    y = np.zeros(len(y)) if expert == ["point_mass"] else y
    n = len(expert)
    candidates = range(n, 5) if cls is MoERegressor else [(k,) for k in range(n, 4)] + [(2, 2)]
    found = select_n_experts(cls(expert=expert, **FEW), X, y, candidates)
    assert [family.name for family in found.estimators[-1].experts_] == expected
    for small, large in pairwise(found.estimators):
        assert large.tree_.n_leaves == small.tree_.n_leaves + 1
        if cls is MoERegressor:  # the larger one has a start that says the same
            least = small.log_likelihood_ - ROUNDING * abs(small.log_likelihood_)
            assert large.log_likelihood_ >= least
    if cls is MoERegressor and len(found.estimators) > 1:
        assert found.columns["n_starts"][-1] > 1


@ignore_troubles
def test_lists_go_with_scorers_and_find_what_is_there(inflated):
    X, y = inflated
    model = MoERegressor(expert=["point_mass", "poisson"], n_init=2, random_state=0)
    assert select_n_experts(model, X, y, [2, 3, 4]).best_candidate_ == 3
    scored = select_n_experts(model, X, y, [2, 3], criterion=log_density_scorer, cv=2)
    assert scored.best_candidate_ == 3
    assert model.expert == ["point_mass", "poisson"]


@ignore_troubles
@pytest.mark.parametrize("expert", [Ridge(), ["gaussian", Ridge()]], ids=str)
def test_estimators_without_a_number_of_parameters_are_named(expert, data):
    model = MoERegressor(expert=expert, n_init=1, max_iter=3, random_state=0)
    with pytest.raises(ValueError, match="How many parameters Ridge has is not known"):
        select_n_experts(model, data.X, data.y, [2, 3])


@pytest.mark.parametrize(
    ("model", "candidates", "named"),
    [
        (
            MoERegressor(expert=["point_mass", "poisson"]),
            [1, 2],
            "candidates holds 1, of 1 experts",
        ),
        (HMERegressor(expert=["gaussian"] * 3), [(2,)], r"candidates holds \(2,\), of 2 experts"),
    ],
)
def test_fewer_experts_than_families_are_refused(model, candidates, named, inflated):
    with pytest.raises(ValueError, match=f"{named}.*'expert' parameter lists"):
        select_n_experts(model, *inflated, candidates)


@ignore_troubles
def test_fits_are_at_least_as_good_as_those_from_own_starts(data, selection):
    for n_experts, fit in zip(selection.candidates, selection.estimators, strict=True):
        own = MoERegressor(n_experts, **QUICK).fit(data.X, data.y)
        assert fit.penalized_log_likelihood_ >= own.penalized_log_likelihood_


def test_the_true_number_is_found_and_its_estimator_as_if_fitted_alone(data, selection):
    assert selection.best_candidate_ == 3
    assert selection.best_value_ == selection.values.min()
    best = selection.best_estimator_
    assert best.n_experts == 3
    assert repr(best) == repr(MoERegressor(3, **QUICK))
    assert best.converged_


def test_the_table_holds_what_the_estimators_say(data, selection):
    table = selection.table
    assert list(table["n_experts"]) == [1, 2, 3, 4]
    for row, fit in zip(table.to_dict("records"), selection.estimators, strict=True):
        assert row["log_likelihood"] == pytest.approx(fit.log_likelihood_, rel=ROUNDING)
        assert row["n_parameters"] == fit.n_parameters_
        for name in CRITERIA:
            expected = getattr(fit.criteria(data.X, data.y), name)
            assert row[name] == pytest.approx(expected, rel=ROUNDING)
        assert 1 <= row["n_found"] <= row["n_starts"]
    assert "n_experts=3 has the best bic" in str(selection)
    assert "n_experts=3 by bic" in repr(selection)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_chooses_its_least(data, criterion):
    model = MoERegressor(n_init=1, solver=EM(n_moves=0), random_state=0)
    found = select_n_experts(model, data.X, data.y, [2, 1], criterion=criterion)
    values = found.columns[criterion]
    assert found.best_index_ == int(np.argmin(values))


def test_degenerate_experts_are_counted_and_only_the_chosen_fit_warns(data):
    X = data.X[:, :1]
    y = 2.0 * X[:, 0]
    model = MoERegressor(**QUICK, **UNPENALIZED)
    with pytest.warns(DegenerateExpertWarning, match=r"experts \[0\] fit their rows exactly"):
        found = select_n_experts(model, X, y, [1])
    assert found.columns["n_degenerate"] == [1]
    assert found.columns["warnings"] == ["DegenerateExpertWarning"]


def test_weights_count_as_repeated_rows(data):
    X, y = data.X[:120], data.y[:120]
    times = np.arange(120) % 3
    model = MoERegressor(**QUICK)
    weighted = select_n_experts(model, X, y, [1, 2], times)
    repeated = select_n_experts(model, np.repeat(X, times, axis=0), np.repeat(y, times), [1, 2])
    for name in ("log_likelihood", *CRITERIA):
        # Coefficients agree to the tolerance of the fit, 1e-8 of the objective.
        np.testing.assert_allclose(weighted.columns[name], repeated.columns[name], rtol=1e-6)


def test_results_do_not_depend_on_n_jobs(data):
    model = MoERegressor(**QUICK)
    found = [select_n_experts(model, data.X, data.y, [1, 2], n_jobs=jobs) for jobs in (1, 2)]
    assert found[0].columns == found[1].columns


def test_scores_are_means_over_folds_of_held_out_rows(data):
    seen = []

    def scorer(estimator, X, y, sample_weight):
        seen.append((len(X), float(sample_weight.sum())))
        return log_density_scorer(estimator, X, y, sample_weight)

    weight = np.full(N_ROWS, 2.0)
    found = select_n_experts(
        MoERegressor(**QUICK), data.X, data.y, [1, 3], weight, criterion=scorer, cv=4
    )
    assert seen == [(50, 100.0)] * 8
    assert found.best_candidate_ == 3
    assert found.best_value_ == max(found.columns["score"])
    # One expert is linear regression, the same from whatever start.
    folds = np.array_split(np.arange(N_ROWS), 4)
    scores = []
    for test in folds:
        train = np.setdiff1d(np.arange(N_ROWS), test)
        fit = MoERegressor(1, **QUICK).fit(data.X[train], data.y[train], weight[train])
        scores.append(log_density_scorer(fit, data.X[test], data.y[test]))
    assert found.columns["score"][0] == pytest.approx(np.mean(scores), rel=1e-12)
    assert found.columns["score_se"][0] == pytest.approx(np.std(scores, ddof=1) / 2.0, rel=1e-9)
    # What is said of the fit is said of all rows.
    alone = MoERegressor(1, **QUICK).fit(data.X, data.y, weight)
    assert found.columns["log_likelihood"][0] == pytest.approx(alone.log_likelihood_)


def test_classifiers_and_exposures_are_chosen_among(rng):
    data = simulate_classes(rng, N_ROWS, 3)
    found = select_n_experts(MoEClassifier(**QUICK), data.X, data.y, [1, 2])
    assert found.best_estimator_.predict(data.X).shape == (N_ROWS,)
    X = rng.standard_normal((N_ROWS, 1))
    exposure = rng.uniform(0.5, 2.0, N_ROWS)
    y = rng.poisson(exposure * np.exp(0.5 * X[:, 0]))
    model = MoERegressor(expert="poisson", **QUICK)
    found = select_n_experts(model, X, y, [1, 2], exposure=exposure)
    assert found.best_candidate_ == 1


def test_progress_is_printed_per_candidate(data, capsys):
    select_n_experts(MoERegressor(**QUICK), data.X, data.y, [1, 2], verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("select_n_experts: n_experts=2: log-likelihood")


@ignore_troubles
def test_grid_search_chooses_by_bic_of_the_rows_of_the_fit(data, selection):
    every = np.arange(N_ROWS)
    search = GridSearchCV(
        MoERegressor(**QUICK),
        {"n_experts": [1, 2, 3, 4]},
        scoring=negative_bic_scorer,
        cv=[(every, every)],
    ).fit(data.X, data.y)
    assert search.best_params_ == {"n_experts": selection.best_candidate_}


@pytest.mark.parametrize(
    ("candidates", "options", "message"),
    [
        (3, {}, "candidates must be an iterable of values of 'n_experts'. Got 3"),
        ("123", {}, "candidates must be an iterable"),
        ([], {}, "candidates is empty"),
        (range(0, 3), {}, "ints of at least 1. Got 0 among them"),
        ([1, 2.5], {}, "Got 2.5 among them"),
        ([1, True], {}, "Got True among them"),
        ([2, 1, 2], {}, "candidates holds 2 twice"),
        ([1], {"criterion": "BIC"}, "criterion must be one of .* Got 'BIC'"),
        ([1], {"cv": 3}, "cv is for scorers, but criterion is 'bic'"),
        ([N_ROWS + 1], {}, f"fewer than the n_experts={N_ROWS + 1} experts"),
    ],
)
def test_bad_candidates_and_criteria_are_refused(data, candidates, options, message):
    with pytest.raises(ValueError, match=message):
        select_n_experts(MoERegressor(**QUICK), data.X, data.y, candidates, **options)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([(np.arange(9), np.arange(9, N_ROWS + 1))], "Fold 0 of 'cv' must hold numbers of rows"),
        ([(np.arange(0), np.arange(9))], "Fold 0 of 'cv' has no rows of positive weight to fit"),
        ([np.arange(9)], "Fold 0 of 'cv' must be a pair"),
    ],
)
def test_bad_folds_are_named(data, cv, message):
    options = {"criterion": log_density_scorer, "cv": cv}
    with pytest.raises(ValueError, match=message):
        select_n_experts(MoERegressor(**QUICK), data.X, data.y, [1], **options)


def test_estimators_that_cannot_be_chosen_among_are_refused(data):
    with pytest.raises(TypeError, match=r"estimator must be an MoERegressor.* LinearRegression"):
        select_n_experts(LinearRegression(), data.X, data.y, [1])
    model = MoERegressor(2, init=data.labels % 2)
    with pytest.raises(ValueError, match="'init' parameter of the estimator must be a name"):
        select_n_experts(model, data.X, data.y, [1])
    with pytest.raises(ValueError, match="'tree' parameter must be"):
        select_n_experts(HMERegressor(), data.X, data.y, [(2,), "deep"])


def test_a_criterion_that_is_finite_for_no_candidate_is_refused(data):
    model = MoERegressor(**QUICK)
    with pytest.raises(ValueError, match="aicc is finite for no candidate"):
        select_n_experts(model, data.X[:5], data.y[:5], [1], criterion="aicc")


# Rare classes.


def rare_class():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    y = np.where(X[:, 0] > 0.0, "a", "b")
    y[7] = "c"
    return X, y


def test_a_row_that_is_alone_of_its_class_is_fitted_to_and_not_scored():
    X, y = rare_class()
    scored = []

    def score(model, X, y, **given):
        assert model.classes_.tolist() == ["a", "b", "c"]
        scored.extend(y)
        return model.log_density(X, y).mean()

    found = select_n_experts(MoEClassifier(n_init=1), X, y, [1, 2], criterion=score, cv=3)
    assert np.isfinite(found.columns["score"]).all()
    assert sorted(scored) == sorted([*y[y != "c"]] * 2)


def test_a_class_that_given_folds_hold_out_whole_is_named():
    X, y = rare_class()
    with pytest.raises(
        ValueError, match=r"All rows of class 'c' are held out by one fold.* Stratified"
    ):
        select_n_experts(
            MoEClassifier(n_init=1), X, y, [1], criterion=log_density_scorer, cv=KFold(3)
        )


@pytest.mark.parametrize("criterion", ["bic", log_density_scorer])
@pytest.mark.parametrize("is_classifier", [True, False])
@pytest.mark.filterwarnings("ignore:.*not used:mixexp.exceptions.DegenerateExpertWarning")
def test_rows_of_weight_zero_are_as_if_absent(criterion, is_classifier, rng):
    X, y = rare_class()
    weight = rng.integers(0, 3, len(y)).astype(float)
    weight[y == "c"] = 0.0
    model = MoEClassifier(n_init=1, random_state=0)
    if not is_classifier:
        y, model = X[:, 0] + rng.normal(size=len(y)), MoERegressor(n_init=1, random_state=0)
    used = weight > 0.0
    found = select_n_experts(model, X, y, [1, 2], weight, criterion=criterion)
    expected = select_n_experts(model, X[used], y[used], [1, 2], weight[used], criterion=criterion)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    assert found.table["n_degenerate"].tolist() == expected.table["n_degenerate"].tolist()


def test_given_folds_score_no_row_of_weight_zero(rng):
    X, y = rng.normal(size=(60, 1)), rng.normal(size=60)
    weight = np.repeat([1.0, 1.0, 0.0], 20)
    options = {"criterion": log_density_scorer, "candidates": [1]}
    found = select_n_experts(MoERegressor(), X, y, sample_weight=weight, cv=KFold(3), **options)
    used = weight > 0.0
    expected = select_n_experts(MoERegressor(), X[used], y[used], cv=KFold(2), **options)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    only = [(np.arange(40), np.arange(40, 60))]
    with pytest.raises(ValueError, match="no row of positive weight"):
        select_n_experts(MoERegressor(), X, y, sample_weight=weight, cv=only, **options)


# The display.


def test_the_display_shows_the_table_and_the_choice(selection, tmp_path):
    display = SelectionDisplay.from_selection(selection)
    assert list(display.lines_) == ["bic", "aic", "icl"]
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), selection.columns[name])
        assert display.bests_[name].get_xdata()[0] == np.argmin(selection.columns[name])
    assert display.chosen_.get_xdata()[0] == selection.best_index_
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts[0] == "BIC: best 3"
    figure, axes = plt.subplots(1, 2)
    assert display.plot(ax=axes[1]).figure_ is figure
    figure.savefig(tmp_path / "figure.png", dpi=30)


def test_the_display_of_scores_has_bars(data):
    found = select_n_experts(
        MoERegressor(**QUICK), data.X, data.y, [1, 2], criterion=log_density_scorer, cv=2
    )
    display = SelectionDisplay.from_selection(found)
    assert list(display.lines_) == ["score"]
    _, _, (bars,) = display.bars_
    half = np.array([np.ptp(bar[:, 1]) / 2.0 for bar in bars.get_segments()])
    np.testing.assert_allclose(half, found.columns["score_se"], rtol=1e-9)
    with pytest.raises(ValueError, match="cannot be drawn beside a score"):
        SelectionDisplay.from_selection(found, criteria=["aic"])


def test_the_display_refuses_what_it_cannot_draw(selection):
    with pytest.raises(TypeError, match="selection must be what"):
        SelectionDisplay.from_selection(selection.table)
    with pytest.raises(ValueError, match="criteria must be a list of some of"):
        SelectionDisplay.from_selection(selection, criteria=["gini"])


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RoundedTargetWarning")
@ignore_troubles
@pytest.mark.parametrize("criterion", ["bic", log_density_scorer])
def test_spikes_on_rounded_values_are_not_chosen(criterion):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (300, 2))
    y = np.clip(np.round(5.6 + 0.8 * X[:, 0] + 0.7 * rng.standard_normal(300)), 3.0, 8.0)
    model = MoERegressor(**QUICK)
    found = select_n_experts(model, X, y, [1, 4], criterion=criterion, cv=None)
    assert found.table["has_spike"].tolist() == [False, True]
    assert found.best_candidate_ == 1
    sign = 1.0 if found.greater_is_better else -1.0
    assert sign * found.values[1] > sign * found.values[0]  # the spike would have won
    alone = select_n_experts(model, X, y, [4], criterion=criterion)
    assert alone.best_candidate_ == 4
