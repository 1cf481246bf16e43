"""Parameters of "auto": what they come to, what is told of the choice, and what is refused."""

import re

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold

from mixexp import EM, HMEClassifier, HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.constraints import Shared
from mixexp.datasets import make_hme
from mixexp.displays import SelectionDisplay
from mixexp.ensemble import BaggedMixture
from mixexp.estimators import _choosing
from mixexp.exceptions import ConvergenceWarning, RoundedTargetWarning
from mixexp.selection import Auto

QUICK = {"n_init": 2, "solver": EM(n_moves=0), "random_state": 0}
FEW = Auto(max_experts=3, cv=3)
KINDS = {
    "regressor": (MoERegressor, "n_experts"),
    "regressor, tree": (HMERegressor, "tree"),
    "classifier": (MoEClassifier, "n_experts"),
    "classifier, tree": (HMEClassifier, "tree"),
}
every_kind = pytest.mark.parametrize(("kind", "parameter"), KINDS.values(), ids=KINDS)


def kinked(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, size=(n, 1))
    return X, np.abs(X[:, 0]) + 0.05 * rng.standard_normal(n)


def data_for(kind):
    X, y = kinked(200)
    if issubclass(kind, MoERegressor | HMERegressor):
        return X, y
    return X, np.where(y + np.random.default_rng(1).normal(scale=0.1, size=len(y)) > 0.5, "a", "b")


@pytest.fixture(scope="module")
def fits():
    """Return a fit of every kind, made when it is asked for."""
    made = {}

    def fit(kind, parameter):
        if kind not in made:
            made[kind] = kind(**{parameter: FEW}, **QUICK).fit(*data_for(kind))
        return made[kind]

    return fit


# The choice.


@every_kind
def test_a_kink_takes_two_experts(fits, kind, parameter):
    model = fits(kind, parameter)
    assert model.tree_.n_leaves == 2
    assert getattr(model, parameter) == FEW or isinstance(getattr(model, parameter), Auto)
    table = model.selection_._table().columns
    assert table["n_experts"][:2] == [1, 2]
    assert sum(table["chosen"]) == 1
    assert table["chosen"][1]


def test_the_fit_is_that_of_the_number_that_was_chosen(fits):
    model = fits(*KINDS["regressor"])
    same = clone(model).set_params(n_experts=2).fit(*data_for(MoERegressor))
    np.testing.assert_array_equal(model.coef_, same.coef_)
    assert same.selection_ is None


def test_a_line_takes_one_expert():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((100, 2))
    y = X @ [1.0, -1.0] + rng.standard_normal(100)
    model = MoERegressor(FEW, **QUICK).fit(X, y)
    assert model.tree_.n_leaves == 1
    assert HMERegressor(FEW, **QUICK).fit(X, y).tree_.n_leaves == 1


@every_kind
def test_summaries_say_what_was_chosen(fits, kind, parameter):
    model = fits(kind, parameter)
    assert "Chosen" in model.summary()
    assert f"{parameter}=" in str(model.selection_)
    assert "held-out log density" in repr(model.selection_)


@every_kind
def test_displays_draw_what_was_tried(fits, kind, parameter):
    selection = fits(kind, parameter).selection_
    display = SelectionDisplay.from_selection(selection)
    np.testing.assert_array_equal(display.values["score"], selection.columns["score"])
    assert display.best["score"] == selection.best_index_
    matplotlib.pyplot.close("all")


@every_kind
def test_files_keep_the_choice(fits, kind, parameter, tmp_path):
    model = fits(kind, parameter)
    path = tmp_path / "auto.json"
    model.to_json(path)
    read = from_json(path)
    assert str(read.selection_) == str(model.selection_)
    assert read.get_params()[f"{parameter}__max_experts"] == 3


def test_the_score_is_that_of_folds_that_never_saw_their_rows(fits):
    X, y = data_for(MoERegressor)
    folds = list(KFold(3, shuffle=True, random_state=1).split(X))
    model = MoERegressor(Auto(max_experts=1, cv=folds), **QUICK).fit(X, y)
    held = np.empty(len(y))
    for train, test in folds:
        held[test] = MoERegressor(1, **QUICK).fit(X[train], y[train]).log_density(X[test], y[test])
    (score,), (error,) = (model.selection_.columns[name] for name in ("score", "score_se"))
    assert score == pytest.approx(held.mean(), abs=1e-9)
    assert error == pytest.approx(held.std() / np.sqrt(len(y)), rel=1e-9)


NOISE = np.random.default_rng(7).standard_normal(100)
NOISE = (NOISE - NOISE.mean()) / NOISE.std()
# Gains over the size before, per held-out row: a mean and a standard deviation. One standard error
# of a difference is 0.15 standard deviations (100 rows, five folds).
GAINS = {
    "chance": ([(0.1, 1.0)], 1),
    "beyond chance": ([(0.2, 1.0)], 2),
    "chance among several": ([(1.0, 0.0), (0.1, 1.0)], 3),
    "next to nothing among several": ([(1.0, 0.0), (0.009, 0.0)], 2),
    "less among several": ([(1.0, 0.0), (-0.1, 1.0)], 2),
    "chance in all": ([(0.05, 1.0), (0.05, 1.0)], 1),
}


@pytest.mark.parametrize(("gains", "expected"), GAINS.values(), ids=GAINS)
def test_one_expert_is_given_up_beyond_chance_and_among_several_the_mean_decides(gains, expected):
    X, y = kinked(100)
    model = MoERegressor(Auto(), **QUICK)
    search = _choosing._Search(model, ["n_experts"], Auto(), X, y, None, {})
    held_out = np.zeros(100)
    candidates = [_choosing._Candidate({"n_experts": 1}, held_out, 1, 3, False, [])]
    for k, (mean, deviation) in enumerate(gains, start=2):
        held_out = held_out + mean + deviation * NOISE
        candidates.append(_choosing._Candidate({"n_experts": k}, held_out, k, 4 * k, False, []))
    assert search._select(candidates)[0].chosen == {"n_experts": expected}


def test_moves_lead_on_from_a_tree_that_was_grown():
    X, y, _ = make_hme(600, 3, tree=[[[1, 1], 1], [1, 1]], random_state=110)
    options = {"tree": Auto(max_experts=5, cv=2), "random_state": 0}
    model = HMERegressor(**options).fit(X, y)
    grown = HMERegressor(**options, solver=EM(n_moves=0)).fit(X, y)
    assert [restart.start for restart in grown.restarts_] == ["grown"]
    assert model.selection_.columns == grown.selection_.columns
    assert model.tree_.to_nested() == grown.tree_.to_nested()
    assert model.penalized_log_likelihood_ > grown.penalized_log_likelihood_ + 1.0


@pytest.fixture
def refits(monkeypatch):
    """Return what becomes the list of fits to all rows that begin at those of folds."""
    made, fit = [], _choosing._Search._fit

    def spy(self, settings, weight):
        found = fit(self, settings, weight)
        assert isinstance(found.estimator.init, str)  # no start, as large as the rows, is kept
        if hasattr(settings.get("init"), "fitted_model_"):
            made.append(found)
        return found

    monkeypatch.setattr(_choosing._Search, "_fit", spy)
    return made


def test_shapes_that_folds_found_are_tried_on_all_rows(refits):
    X, y, _ = make_hme(400, 3, tree=[[[1, 1], 1], [1, 1]], random_state=110)
    options = Auto(max_experts=4, cv=3)
    model = HMERegressor(options, solver=EM(n_moves=0), random_state=0).fit(X, y)
    assert len(refits) == 3
    best = max(fit.objective for fit in refits)
    assert model.penalized_log_likelihood_ >= best - 1e-6 * abs(best)
    assert model.tree_.to_nested() == model.selection_.chosen["tree"] == [[1, 1], [1, 1]]
    assert model.selection_.columns["tree"][model.selection_.best_index_] == "[[1,1],[1,1]]"
    # All rows on their own led to [1, [[1, 1], 1]].
    assert "[1,[[1,1],1]]" not in model.selection_.columns["tree"]


def test_interrupted_fits_of_shapes_leave_what_all_rows_led_to(monkeypatch):
    fit = _choosing._Search._fit

    def interrupt(self, settings, weight):
        if hasattr(settings.get("init"), "fitted_model_"):
            raise KeyboardInterrupt
        return fit(self, settings, weight)

    monkeypatch.setattr(_choosing._Search, "_fit", interrupt)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model = HMERegressor(FEW, **QUICK).fit(*kinked())
    assert model.tree_.n_leaves == 2
    assert "interrupted" in str(model.selection_)


# Several parameters, other families.


def test_families_are_those_that_hold_y():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, size=(150, 1))
    counts = rng.poisson(np.exp(1.0 + x[:, 0]))
    model = MoERegressor(1, expert=Auto(cv=3), **QUICK).fit(x, counts)
    assert model.experts_[0].name == "poisson"
    assert {"gaussian", "negative_binomial"} < set(model.selection_.columns["expert"])
    skewed = np.exp(1.0 + x[:, 0] + 0.8 * rng.standard_normal(150))
    model = MoERegressor(1, expert="auto", **QUICK).fit(x, skewed)
    assert model.experts_[0].name == "lognormal"
    rates = rng.poisson(3.0 * np.exp(x[:, 0]))
    model = MoERegressor(1, expert="auto", **QUICK).fit(x, rates, exposure=np.full(150, 3.0))
    assert set(model.selection_.columns["expert"]) == {"poisson", "negative_binomial"}


def test_strengths_are_chosen_too():
    X, y = kinked()
    options = Auto(max_experts=2, cv=3, alphas=[10.0, 1e6], families=["gaussian"])
    model = MoERegressor("auto", alpha=options, expert="auto", **QUICK).fit(X, y)
    assert model.selection_.chosen == {"n_experts": 2, "alpha": 10.0, "expert": "gaussian"}
    assert model.fitted_model_.model.penalty.alpha == pytest.approx(
        MoERegressor(2, alpha=10.0, **QUICK).fit(X, y).fitted_model_.model.penalty.alpha
    )


def test_fitted_estimators_and_labels_are_starts_where_a_strength_is_chosen():
    X, y = kinked()
    fitted = MoERegressor(2, **QUICK).fit(X, y)
    options = {**QUICK, "alpha": Auto(cv=3, alphas=[3.0, 300.0])}
    for init in (fitted, (X[:, 0] > 0.0).astype(int)):
        model = MoERegressor(2, init=init, **options).fit(X, y)
        assert model.selection_.chosen == {"alpha": 3.0}
        assert model.init is init


def test_depth_is_limited():
    X, y = kinked()
    model = HMERegressor(Auto(max_depth=1, cv=2), **QUICK).fit(X, y)
    assert max(model.selection_.columns["n_experts"]) == 2


# Row arguments.


def test_rows_of_weight_zero_are_absent():
    X, y = kinked()
    weight = np.ones(150)
    weight[120:] = 0.0
    padded = np.vstack([X, X[:30]]), np.append(y, 50.0 + y[:30])
    model = MoERegressor(FEW, **QUICK).fit(*padded, sample_weight=weight)
    alone = MoERegressor(FEW, **QUICK).fit(X, y)
    np.testing.assert_allclose(
        model.selection_.columns["score"], alone.selection_.columns["score"], rtol=1e-6
    )
    assert model.tree_.n_leaves == alone.tree_.n_leaves


def test_weights_are_repeated_rows_where_folds_are_the_same():
    X, y = kinked(60)
    weight = np.random.default_rng(0).integers(1, 4, size=60)
    rows = np.repeat(np.arange(60), weight)
    # Folds by row of the short table: a repeated row is then never on both sides.
    labels = np.arange(60) % 3
    short = [(np.flatnonzero(labels != k), np.flatnonzero(labels == k)) for k in range(3)]
    long = [
        (np.flatnonzero(labels[rows] != k), np.flatnonzero(labels[rows] == k)) for k in range(3)
    ]
    one = MoERegressor(Auto(max_experts=2, cv=short), **QUICK).fit(X, y, sample_weight=weight)
    two = MoERegressor(Auto(max_experts=2, cv=long), **QUICK).fit(X[rows], y[rows])
    for name in ("score", "score_se"):
        one_way, other = one.selection_.columns[name][0], two.selection_.columns[name][0]
        assert one_way == pytest.approx(other, rel=1e-7)


def test_groups_stay_whole():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 4)
    X = rng.uniform(-1.0, 1.0, size=(120, 1))
    y = np.where(group % 2, 2.0, -2.0) * X[:, 0] + 0.3 * rng.standard_normal(120)
    model = MoERegressor(Auto(max_experts=2, cv=3), gate="constant", **QUICK)
    model.fit(X, y, groups=group)
    assert model.selection_.counted == "groups"
    assert model.tree_.n_leaves == 2
    model.set_params(n_experts=Auto(max_experts=1, cv=GroupKFold(3))).fit(X, y, groups=group)
    assert model.selection_.n_folds == 3


def test_offsets_reach_the_folds():
    X, y = kinked()
    offset = np.linspace(0.0, 100.0, len(y))
    moved = MoERegressor(FEW, **QUICK).fit(X, y + offset, offset=offset)
    score = moved.selection_.columns["score"]
    plain = MoERegressor(FEW, **QUICK).fit(X, y).selection_.columns["score"]
    # The ridge of a single expert, next to nothing, is in units of y as given, offset included.
    np.testing.assert_allclose(score[:2], plain[:2], rtol=1e-3)


def test_a_class_of_one_row_is_never_held_out():
    X, y = data_for(MoEClassifier)
    y = y.astype("<U4")
    y[7] = "rare"
    model = MoEClassifier(Auto(max_experts=1, cv=3), **QUICK).fit(X, y)
    assert np.isfinite(model.selection_.columns["score"]).all()


# Ensembles.


def test_members_of_an_ensemble_share_the_choice():
    X, y = kinked()
    options = Auto(cv=3, alphas=[3.0, 300.0])
    model = BaggedMixture(MoERegressor(2, alpha=options, **QUICK), n_estimators=2, random_state=0)
    model.fit(X, y)
    assert {member.n_experts for member in model.estimators_} == {2}
    assert {member.alpha for member in model.estimators_} == {3.0}
    assert model.selection_.chosen == {"alpha": 3.0}
    assert BaggedMixture(MoERegressor(1), n_estimators=1).fit(X, y).selection_ is None


def test_sizes_of_an_ensemble_are_averaged():  # more in test_ensemble_sizes
    X, y = kinked()
    model = BaggedMixture(MoERegressor(FEW, **QUICK), n_estimators=2, random_state=0).fit(X, y)
    assert {member.n_experts for member in model.estimators_} <= {1, 2, 3}
    # One line is of no use here: it has the share of the one row that it alone explains, and of
    # all others together that of less than one more.
    of_line = model.weights_[[member.n_experts == 1 for member in model.estimators_]].sum()
    n_told = np.isfinite(model.oob_log_density_).sum()
    assert 1.0 - 1e-4 <= of_line * (n_told + 1) < 2.0
    assert set(model.selection_.chosen) == {"n_experts"}


# Progress and interruption.


def test_every_candidate_has_a_line(capsys):
    MoERegressor(Auto(max_experts=2, cv=2), verbose=1, **QUICK).fit(*kinked())
    printed = capsys.readouterr().out
    assert len(re.findall(r"n_experts=\d: held-out log density", printed)) == 2


def test_an_interrupted_choice_fits_the_best_so_far(monkeypatch):
    grow = _choosing._Search._grow

    def interrupt(self, line):
        if len(line.candidates) == 2:
            raise KeyboardInterrupt
        grow(self, line)

    monkeypatch.setattr(_choosing._Search, "_grow", interrupt)
    model = MoERegressor("auto", **QUICK)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(*kinked())
    assert model.tree_.n_leaves == 2


def test_an_interrupt_before_anything_is_known_leaves_the_estimator_as_it_was(monkeypatch):
    def interrupt(self, line):
        raise KeyboardInterrupt

    monkeypatch.setattr(_choosing._Search, "_begin", interrupt)
    model = MoERegressor("auto", **QUICK)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*kinked())
    assert not hasattr(model, "selection_")


# Bad input.

LABELS = np.zeros(120, dtype=int)
REFUSED = {
    "labels": ({"init": LABELS}, {}, "'init' is of type ndarray"),
    "list of experts": ({"expert": ["gaussian"]}, {}, "'expert' is a list"),
    "list of gates": ({"gate": ["softmax"]}, {}, "'gate' is a list"),
    "constraint": ({"constraints": [Shared(0, [0, 1])]}, {}, "'constraints' names experts"),
    "known experts": ({}, {"known_expert": LABELS}, "known_expert names experts"),
    "drop": ({"solver": EM(on_collapse="drop")}, {}, "'on_collapse' of the solver is 'drop'"),
    "folds": ({"n_experts": Auto(cv=121)}, {}, "fewer than the 121 folds"),
    "rows": ({"n_experts": Auto(cv=[([0, 1], [120])])}, {}, "Fold 0 of 'cv' must hold numbers of"),
    "no pairs": ({"n_experts": Auto(cv=[[0], [1]])}, {}, "'cv' parameter of Auto must be"),
    "none to fit": ({"n_experts": Auto(cv=[([], [0])])}, {}, "no rows of positive weight to fit"),
    "none held out": ({"n_experts": Auto(cv=[([0, 1, 2], [])])}, {}, "hold out no row"),
    "groups": ({}, {"groups": LABELS}, "1 groups, fewer than the 5 folds"),
    "two choices": ({"alpha": Auto(cv=3), "n_experts": Auto(cv=4)}, {}, "all are chosen at once"),
    "options": ({"n_experts": Auto(max_experts=0)}, {}, "'max_experts' parameter of Auto must be"),
    "strengths": ({"alpha": Auto(alphas=[-1.0])}, {}, "'alphas' parameter of Auto must be"),
    "no families": ({"expert": Auto(families=[3.0])}, {}, "'families' parameter of Auto must be"),
    "two long lists": (
        {
            "alpha": Auto(alphas=[*range(1, 999), 5]),
            "n_experts": Auto(alphas=[*range(1, 999), 6]),
        },
        {},
        "all are chosen at once",
    ),
    "two lists of folds": (
        {
            "alpha": Auto(cv=[([*range(60)], [*range(60, 120)])]),
            "n_experts": Auto(cv=[([*range(60)], [*range(60, 90), *range(91, 120)])]),
        },
        {},
        "all are chosen at once",
    ),
    "word": ({"n_experts": "many"}, {}, "'n_experts' parameter of MoERegressor must be"),
}


@pytest.mark.parametrize(("options", "given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_numbers_is_refused(options, given, message):
    model = MoERegressor(**{"n_experts": "auto", **QUICK, **options})
    with pytest.raises(ValueError, match=message):
        model.fit(*kinked(), **given)


def test_what_a_fit_refuses_is_refused_as_ever():
    X, y = kinked()
    with pytest.raises(ValueError, match="NaN"):
        MoERegressor("auto").fit(X, np.where(y > 0.9, np.nan, y))
    with pytest.raises(ValueError, match="requires y"):
        MoERegressor("auto").fit(X, None)
    with pytest.raises(ValueError, match="only one class"):
        MoEClassifier("auto").fit(X, np.ones(len(y)))


def test_classes_in_groups_of_one_fold_are_refused():
    X, y = data_for(MoEClassifier)
    order = np.argsort(y, kind="stable")
    groups = np.arange(200) // 40
    with pytest.raises(ValueError, match="too rare for a parameter of 'auto'"):
        MoEClassifier(Auto(cv=2), **QUICK).fit(
            X, np.where(groups == 0, "c", y[order]), groups=groups
        )


def test_classes_that_given_folds_hold_out_whole_are_refused():
    X, y = data_for(MoEClassifier)
    y = np.where(np.arange(200) < 10, "c", y)
    folds = KFold(5)  # in the order of the rows
    with pytest.raises(ValueError, match="All rows of class 'c' are held out by one fold"):
        MoEClassifier(Auto(cv=folds), **QUICK).fit(X, y)


def test_a_class_of_rows_of_weight_zero_is_as_if_absent():
    X, y = data_for(MoEClassifier)
    weight = (np.arange(200) >= 10) * 1.0
    model = MoEClassifier(FEW, **QUICK).fit(X, y, weight)
    kept = model.selection_.columns
    model.fit(X, np.where(weight > 0.0, y, "c"), weight)
    assert model.classes_.tolist() == ["a", "b"]
    assert model.selection_.columns == kept


def test_constraints_on_all_experts_hold():
    X, y = kinked()
    X = np.column_stack([X, np.random.default_rng(3).standard_normal(len(y))])
    model = MoERegressor(FEW, constraints=[Shared(1)], **QUICK).fit(X, y)
    assert model.tree_.n_leaves == 2
    assert model.coef_[0, 1] == model.coef_[1, 1]


@pytest.mark.parametrize("n_regimes", [2, 3])
def test_a_tree_of_few_regimes_has_no_leaf_that_is_not_used(n_regimes):
    # The least stable cut of one expert need not part two regimes; one leaf more then did.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    regime = np.digitize(X[:, 0], [0.0] if n_regimes == 2 else [-0.5, 0.5])
    eta = np.choose(regime, [X[:, 1], -2.0 * X[:, 2], 1.0 + X[:, 2] - X[:, 1]])
    model = HMERegressor("auto", random_state=0).fit(X, eta + 0.3 * rng.normal(size=400))
    assert model.tree_.n_leaves == n_regimes
    assert model.gate_proba(X).mean(axis=0).min() > 0.2


@pytest.mark.parametrize("value", [0.0, 7.3])
def test_of_densities_that_say_nothing_the_simplest_is_taken(value):
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = MoERegressor(FEW, **QUICK)
    with pytest.warns(RoundedTargetWarning, match="shrunk onto single values"):
        model.fit(X, np.full(60, value))
    assert model.tree_.n_leaves == 1
    assert all(model.selection_.columns["has_spike"])
    np.testing.assert_allclose(model.predict(X), value, rtol=1e-12)


def test_sizes_of_each_strength_have_a_curve_of_their_own():
    X, y = kinked()
    options = Auto(max_experts=2, cv=3, alphas=[10.0, 100.0])
    model = MoERegressor(options, alpha="auto", **QUICK).fit(X, y)
    display = SelectionDisplay.from_selection(model.selection_)
    assert display.labels == ["1, 10", "2, 10", "1, 100", "2, 100"]
    assert display.xlabel == "number of experts, alpha"
    drawn = display.lines_["score"].get_xydata()
    np.testing.assert_array_equal(np.isnan(drawn).any(axis=1), [False, False, True, False, False])
    np.testing.assert_array_equal(drawn[[0, 1, 3, 4], 1], model.selection_.columns["score"])
    matplotlib.pyplot.close("all")
