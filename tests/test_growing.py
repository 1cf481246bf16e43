"""Experts added to fitted models and taken away: the others stay as they are, to the bit."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mixexp import Frozen, HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Shared

pytestmark = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


def make_rows(rng, n=300):
    """Return rows of two regimes, and as many of a third elsewhere behind them."""
    X = rng.uniform(-1.0, 1.0, (2 * n, 2))
    X[n:, 1] += 4.0
    y = np.where(X[:, 0] > 0.0, 2.0 + X[:, 1], -2.0 - X[:, 1])
    y[n:] = 6.0 - 2.0 * X[n:, 0]
    return X, y + 0.2 * rng.standard_normal(2 * n)


@pytest.fixture(scope="module")
def grown():
    """Return rows, a fit to their first half, and one to all with one expert more."""
    X, y = make_rows(np.random.default_rng(0))
    old = MoERegressor(2, random_state=0, n_init=3).fit(X[:300], y[:300])
    return X, y, old, MoERegressor(3, random_state=0, n_init=3).fit(X, y)


def check_kept(new, old):
    """Check that the experts of a fit are those of another, to the bit."""
    n = old.tree_.n_leaves
    for name in ("coef_", "intercept_", "dispersion_"):
        np.testing.assert_array_equal(getattr(new, name)[:n], getattr(old, name))


@pytest.mark.parametrize("refit", ["new", "gates"])
def test_a_regime_that_appears_gets_an_expert(grown, refit):
    X, y, old, full = grown
    new = old.with_expert(X, y, refit=refit)
    assert new.log_likelihood_ >= full.log_likelihood_ - 5.0
    assert new.log_likelihood_ > old.log_likelihood(X, y)
    assert np.diff(new.history_).min() >= -1e-9 * abs(new.history_[-1])
    assert new.converged_
    check_kept(new, old)
    assert old.tree_.n_leaves == 2
    assert new.n_experts == 3
    np.testing.assert_allclose(new.log_density(X, y).sum(), new.log_likelihood_, rtol=1e-9)
    assert new.predict_expert(X[300:], y[300:]).min() == 2
    assert np.isfinite(new.bic(X, y))


def test_all_may_be_polished_from_there(grown):
    X, y, old, _ = grown
    new = old.with_expert(X, y)
    polished = old.with_expert(X, y, refit="all")
    assert polished.penalized_log_likelihood_ >= new.penalized_log_likelihood_ - 1e-9
    assert not np.array_equal(polished.coef_[:2], old.coef_)


@pytest.mark.parametrize(
    "expert", ["student_t", Ridge(), Frozen("gaussian", [-2.0, 0.0], 6.0)], ids=lambda e: str(e)
)
def test_any_expert_may_be_added(grown, expert):
    X, y, old, full = grown
    new = old.with_expert(X, y, expert=expert)
    assert new.score(X, y) > 0.95
    assert new.log_likelihood_ >= full.log_likelihood_ - 60.0
    check_kept(new, old)
    assert new.expert == ["gaussian", "gaussian", expert]
    assert np.isfinite(new.predict_quantile(X[:5], 0.5)).all()


def test_an_expert_that_nobody_needs_changes_nothing(grown):
    X, y, old, _ = grown
    new = old.with_expert(X[:300], y[:300], sample_weight=np.ones(300))
    assert new.log_likelihood_ >= old.log_likelihood_ - 1e-6


def test_an_expert_may_go_again(grown):
    X, y, old, _ = grown
    new = old.with_expert(X, y).without_expert(2, X[:300], y[:300])
    np.testing.assert_array_equal(new.coef_, old.coef_)
    np.testing.assert_allclose(new.log_likelihood_, old.log_likelihood_, rtol=1e-3)
    polished = new.without_expert(0, X, y, refit="all")
    assert polished.tree_.n_leaves == 1
    assert np.isfinite(polished.predict(X)).all()


def test_trees_and_classifiers_grow_too(rng):
    X, y = make_rows(rng, 150)
    tree = HMERegressor([[1, 1], 1], gate=["softmax", "gaussian"], n_init=2, random_state=0)
    tree.fit(X, y)
    new = tree.with_expert(X, y, at=0)
    assert new.tree_.to_nested() == [[1, 1], 1, 1]
    assert new.log_likelihood_ >= tree.log_likelihood_ - 1e-6
    check_kept(new, tree)
    fewer = new.without_expert(3, X, y)
    assert fewer.tree_.to_nested() == [[1, 1], 1]
    with pytest.raises(ValueError, match=r"below a softmax gate.*node 1"):
        tree.with_expert(X, y, at=1)
    labels = np.where(y > 2.0, "high", "low")
    classes = MoEClassifier(2, n_init=2, random_state=0).fit(X, labels)
    more = classes.with_expert(X, labels)
    assert more.log_likelihood_ >= classes.log_likelihood_ - 1e-6
    assert set(more.predict(X)) <= {"high", "low"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, X, y: model.with_expert(X, y, refit="some"), "refit must be one of"),
        (lambda model, X, y: model.with_expert(X, y, at=7), r"at must be .* one of \[0\]"),
        (lambda model, X, y: model.with_expert(X, y, expert="gausian"), "'expert' parameter"),
        (lambda model, X, y: model.with_expert(X[:, :1], y), "features"),
        (lambda model, X, y: model.without_expert(5, X, y), "k must be the number of an expert"),
        (lambda model, X, y: model.without_expert(0, X, y, refit="new"), "refit must be one of"),
    ],
)
def test_what_cannot_be_is_named(grown, call, words):
    X, y, old, _ = grown
    with pytest.raises(ValueError, match=words):
        call(old, X, y)


def test_parameters_that_were_set_after_the_fit_are_checked(rng):
    X, y = make_rows(rng, 60)
    model = MoERegressor(2, n_init=1, random_state=0).fit(X, y).set_params(solver="quick")
    with pytest.raises(ValueError, match=r"'solver' parameter must be None or an EM\(...\)"):
        model.with_expert(X, y)


def test_experts_that_are_tied_cannot_be_kept_alone(rng):
    X, y = make_rows(rng, 60)
    model = MoERegressor(2, constraints=[Shared(0)], n_init=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="constraints"):
        model.with_expert(X, y)


def make_claims(n=300):
    """Return rows of which a quarter are zero, the others around two lines."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 2))
    y = np.where(rng.random(n) < 0.5, 2.0 + X[:, 1], -1.0) + 0.3 * rng.standard_normal(n)
    return X, np.where(rng.random(n) < 0.25, 0.0, y)


def check_one_measure(model, X, y, has_atom):
    """Check that densities, and a probability at zero, add up to one, there and elsewhere."""
    assert model.log_density(X, y).sum() == pytest.approx(model.log_likelihood_, rel=1e-9)
    between = np.linspace(-20.0, 20.0, 40_001) + 1e-5
    for row in X[:3, None]:
        density = np.exp(model.log_density(np.repeat(row, len(between), axis=0), between))
        mass = np.exp(model.log_density(row, [0.0])).item() if has_atom else 0.0
        assert np.trapezoid(density, between) + mass == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("added", ["student_t", Ridge()], ids=repr)
def test_a_density_that_is_added_has_nothing_where_others_have_a_probability(added):
    X, y = make_claims()
    model = MoERegressor(2, expert=["point_mass", "gaussian"], n_init=2, random_state=0).fit(X, y)
    grown = model.with_expert(X, y, expert=added)
    check_one_measure(grown, X, y, has_atom=True)
    shares = grown.responsibilities(X[:1], [0.0])[0]
    assert shares[[family.name == "point_mass" for family in grown.experts_]] == 1.0


def test_a_probability_that_is_added_or_taken_away_changes_the_measure():
    X, y = make_claims()
    model = MoERegressor(2, n_init=2, random_state=0).fit(X, y)
    grown = model.with_expert(X, y, expert="point_mass")
    check_one_measure(grown, X, y, has_atom=True)
    at = [family.name for family in grown.experts_].index("point_mass")
    check_one_measure(grown.without_expert(at, X, y), X, y, has_atom=False)


def test_what_would_be_left_without_a_row_is_refused():
    X, y = make_claims()
    model = MoERegressor(2, expert=["point_mass", "gamma"], n_init=2, random_state=0)
    model.fit(X, np.abs(y))
    at = [family.name for family in model.experts_].index("point_mass")
    with pytest.raises(ValueError, match=r"y must be > 0 for the gamma expert; found 0\.0"):
        model.without_expert(at, X, np.abs(y))


@pytest.mark.parametrize("added", ["point_mass", "poisson"])
def test_rows_of_a_new_region_may_all_be_the_new_experts(added):
    X, y = make_claims()
    model = MoERegressor(2, n_init=2, random_state=0).fit(X, y)
    there = np.random.default_rng(5).standard_normal((60, 2)) + 6.0
    values = np.zeros(60) if added == "point_mass" else np.arange(60.0) % 3
    grown = model.with_expert(there, values, expert=added)
    assert grown.log_density(there, values).min() > -5.0
    check_kept(grown, model)
