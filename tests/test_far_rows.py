"""Rows far outside of the range of X: who takes it, by how much, and that nothing else changes."""

from copy import copy

import numpy as np
import pytest
from problems import UNPENALIZED
from scipy import sparse
from scipy.integrate import quad
from scipy.stats import norm

from mixexp import HMERegressor, MoEClassifier, MoERegressor, from_json
from mixexp.data import Batches, DenseDesign, Scaling, SparseRows, weighted_scaling
from mixexp.exceptions import ModelFileError, RankDeficientWarning
from mixexp.experts import (
    FAMILIES,
    Gaussian,
    Head,
    Laplace,
    MultivariateGaussian,
    MultivariateStudentT,
    NumericalExpert,
    Product,
    SkewNormal,
    StudentT,
)
from mixexp.files import by_fields

N_ROWS = 240
#: Families that locations move, and how the square of an error shows in their variance.
MOVING = {
    "gaussian": (Gaussian(), 1.0),
    "shared": (Gaussian(dispersion="shared"), 1.0),
    "known": (Gaussian(dispersion=0.04), 1.0),
    "skew_normal": (SkewNormal(), 1.0),
    "skew_known": (SkewNormal(shape=4.0), 1.0),
    "laplace": (Laplace(), 2.0),
    "student_t": (StudentT(df=6.0), 1.5),
}
each_moving = pytest.mark.parametrize("name", MOVING)


class Logistic(NumericalExpert):
    """Logistic errors, by their density and moments alone."""

    name = "logistic_errors"

    @property
    def heads(self):
        return Head("location", "location"), Head("log_scale", "dispersion", lower=-20.0)

    def log_kernel(self, y, heads):
        z = np.abs(y - heads[0]) * np.exp(-heads[1])
        return -heads[1] - z - 2.0 * np.log1p(np.exp(-z))

    def mean(self, heads):
        return heads[0]

    def variance(self, heads):
        return np.exp(2.0 * heads[1]) * np.pi**2 / 3.0


def draw_rows(rng, n=N_ROWS):
    """Return features of a bounded range, a dummy among them, and y of two regimes."""
    X = np.column_stack([rng.uniform(0.0, 1.0, n), rng.uniform(-2.0, 2.0, n), rng.random(n) < 0.3])
    X[:4] = [[0.0, -2.0, 0.0], [1.0, 2.0, 1.0], [0.0, 2.0, 0.0], [1.0, -2.0, 1.0]]
    mean = np.where(X[:, 1] > 0.0, 1.0 + 2.0 * X[:, 0], -X[:, 0]) + 0.3 * X[:, 2] + 0.5 * X[:, 1]
    return X.astype(float), mean + 0.2 * rng.standard_normal(n)


def fitted(family, rng, **options):
    X, y = draw_rows(rng)
    model = MoERegressor(2, expert=family, n_init=1, random_state=0, **options)
    return model.fit(X, y), X, y


def without_ranges(model):
    """Return a fitted estimator that knows of no range, so that no row is far."""
    copied = copy(model)
    state = model.fitted_model_
    scaling = state.scaling._replace(lowest=None, highest=None)
    copied.fitted_model_ = state._replace(scaling=scaling)
    return copied


# Families.


def test_locations_that_move_y_are_those():
    moving = {name for name, family in FAMILIES.items() if family().moving_heads}
    assert moving == {"gaussian", "student_t", "skew_normal", "laplace"}
    assert Gaussian(link="log").moving_heads == ()
    assert Logistic().moving_heads == (0,)
    assert MultivariateGaussian("full", 3).moving_heads == (0, 1, 2)
    assert Product((FAMILIES["poisson"](), Laplace(), Gaussian())).moving_heads == (1, 3)


def draw_heads(family, rng):
    return tuple(0.5 * rng.standard_normal((2, size)) for size in [5, 1, 1][: len(family.heads)])


@pytest.mark.parametrize("family", [*(f for f, _ in MOVING.values()), StudentT(), Logistic()])
def test_without_an_error_heads_have_the_same_bits(family, rng):
    heads = draw_heads(family, rng)
    found = family.widened(heads, [np.zeros((2, 5))])
    for own, before in zip(found, heads, strict=True):
        np.testing.assert_array_equal(own, np.broadcast_to(before, own.shape))


@each_moving
def test_variance_grows_by_that_of_the_error_and_means_stay(name, rng):
    (family, factor), error = MOVING[name], np.array([[0.0, 1e-3, 1.0, 30.0, 1e6]] * 2)
    heads = draw_heads(family, rng)
    found = family.widened(heads, [error])
    expected = family.variance(heads) + factor * error**2
    np.testing.assert_allclose(family.variance(found), expected, rtol=1e-12)
    # A location that moves by the size of the error loses the last digits of that.
    moved = np.abs(family.mean(found) - family.mean(heads))
    assert (moved <= 1e-14 * (1.0 + np.abs(family.mean(heads)) + error)).all()


def test_the_scale_of_a_family_of_ones_own_grows(rng):
    family, heads = Logistic(), draw_heads(Logistic(), rng)
    found = family.widened(heads, [np.full((2, 5), 3.0)])
    np.testing.assert_allclose(np.exp(2.0 * found[1]), np.exp(2.0 * heads[1] + np.zeros(5)) + 9.0)


@pytest.mark.parametrize("shape", [-5.0, 0.0, 0.7, 60.0])
def test_a_normal_error_of_skew_normal_y_is_its_convolution(shape):
    heads = tuple(np.full((1, 1), value) for value in (0.4, -0.3, shape))
    family, error, y = SkewNormal(), 0.8, np.linspace(-2.0, 3.0, 6)
    found = np.exp(family.log_density(y, family.widened(heads, [np.full((1, 6), error)])))[0]

    def integrand(u, at):
        own = family.log_density(np.array([u]), heads).item()
        return np.exp(own) * norm.pdf(at - u, scale=error)

    expected = [quad(integrand, -8.0, 9.0, args=(at,), points=[0.4], limit=200)[0] for at in y]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_errors_of_several_targets_are_added_to_the_diagonal(rng):
    for family in (
        MultivariateGaussian("full", 3),
        MultivariateGaussian("shared", 3),
        MultivariateGaussian("diagonal", 3),
        MultivariateStudentT("full", None, 3),
    ):
        heads = tuple(
            0.5 * rng.standard_normal((2, 5 if head.kind == "location" else 1))
            for head in family.heads
        )
        errors = [np.abs(rng.standard_normal((2, 5))) * (np.arange(5) % 2) for _ in range(3)]
        found = family.widened(heads, errors)
        expected = np.array(np.broadcast_to(family.scatter_of(heads), (3, 3, 2, 5)))
        for j in range(3):
            expected[j, j] += errors[j] ** 2
        np.testing.assert_allclose(family.scatter_of(found), expected, rtol=1e-12)
        for own, before in zip(found, heads, strict=True):
            expected = np.broadcast_to(before, (2, 5))[:, ::2]
            np.testing.assert_array_equal(np.broadcast_to(own, (2, 5))[:, ::2], expected)


def test_outputs_of_a_product_are_widened_each_by_its_family(rng):
    family = Product((FAMILIES["poisson"](), Laplace(), Gaussian()))
    heads = tuple(0.5 * rng.standard_normal((2, 5)) for _ in family.heads)
    errors = [np.full((2, 5), 2.0), np.full((2, 5), 3.0)]
    expected = family.variance(heads)
    expected[1] += 2.0 * 2.0**2
    expected[2] += 3.0**2
    np.testing.assert_allclose(family.variance(family.widened(heads, errors)), expected)


# Designs.


@pytest.mark.parametrize("density", [0.05, 0.6])
def test_excess_is_what_lies_beyond_the_limits(density, rng):
    X = sparse.random_array((60, 7), density=density, rng=rng, format="csr")
    X.data -= 0.3
    scaling = weighted_scaling(X.toarray(), np.ones(60))
    other = 4.0 * sparse.random_array((90, 7), density=density, rng=rng, format="csr")
    limits, expected = scaling.limits, scaling.standardize(other.toarray())
    away = expected - np.clip(expected, limits[0][:, None], limits[1][:, None])
    assert (away != 0.0).any()
    for rows in (other.toarray(), SparseRows(other)):
        excess = scaling.design(rows).find_excess(limits)
        found = np.zeros_like(away)
        found[excess.feature, excess.row] = excess.value
        np.testing.assert_allclose(found, away, atol=1e-12)
        assert scaling.design(X.toarray()).find_excess(limits) is None


def test_a_missing_value_is_not_beyond():
    limits = np.array([[-np.inf, -1.0], [np.inf, 1.0]])
    values = np.array([[1.0, 1.0, 1.0], [np.nan, 0.5, 3.0]])
    excess = DenseDesign(values).find_excess(limits)
    assert (excess.feature.tolist(), excess.row.tolist(), excess.value.tolist()) == (
        [1],
        [2],
        [2.0],
    )
    assert DenseDesign(values[:, :2]).find_excess(limits) is None


def test_limits_are_a_width_from_the_range_and_know_no_unit(rng):
    X = np.column_stack([rng.uniform(2.0, 3.0, 50), np.full(50, 4.0)])
    scaling = weighted_scaling(X, np.ones(50))
    low, high = X[:, 0].min(), X[:, 0].max()
    for value, is_far in ((2 * low - high + 1e-9, False), (2 * low - high - 1e-9, True)):
        design = scaling.design(np.array([[value, 99.0]]))
        assert (design.find_excess(scaling.limits) is not None) == is_far
    moved = weighted_scaling(1e5 + 1e-3 * X, np.ones(50))
    np.testing.assert_allclose(moved.limits, scaling.limits, rtol=1e-6)


def test_a_mistyped_row_of_the_fit_does_not_make_others_near(rng):
    X = np.append(rng.normal(size=2000), 50.0)[:, None]
    scaling = weighted_scaling(X, np.ones(2001))
    last = 50.0 + 4.0 * X.std()
    assert scaling.design(np.array([[last - 1e-6]])).find_excess(scaling.limits) is None
    assert scaling.design(np.array([[last + 1e-6]])).find_excess(scaling.limits) is not None
    assert scaling.design(X).find_excess(scaling.limits) is None


# Fits.

FAR = np.array([[11.0, 0.5, 0.0], [0.5, -90.0, 1.0], [0.5, 0.5, 3.0], [-7.0, 30.0, 0.0]])
# Beyond 0 - 1 and 1 + 1, -2 - 4 and 2 + 4, and -1 and 2.
EXCESS = np.array([[9.0, 0.0, 0.0], [0.0, -84.0, 0.0], [0.0, 0.0, 1.0], [-6.0, 24.0, 0.0]])


@each_moving
def test_rows_within_the_limits_have_the_bits_they_had(name, rng):
    model, X, y = fitted(MOVING[name][0], rng)
    bare, inside = without_ranges(model), np.vstack([X, [[-1.0, 6.0, 2.0]]])
    targets = np.append(y, 0.7)
    np.testing.assert_array_equal(
        model.log_density(inside, targets), bare.log_density(inside, targets)
    )
    beside = np.vstack([FAR, inside]), np.append(np.zeros(4), targets)
    np.testing.assert_array_equal(model.log_density(*beside)[4:], bare.log_density(*beside)[4:])
    assert model.log_density(X, y).sum() == pytest.approx(model.log_likelihood_, rel=1e-12)
    for function in (lambda m: m.predict_variance(beside[0]), lambda m: m.predict_interval(inside)):
        for own, before in zip(function(model), function(bare), strict=True):
            np.testing.assert_array_equal(own[4:], before[4:])
    np.testing.assert_array_equal(model.predict(beside[0]), bare.predict(beside[0]))


@each_moving
def test_variance_of_far_rows_grows_by_what_is_extrapolated(name, rng):
    model, _, _ = fitted(MOVING[name][0], rng)
    dist, bare = model.predict_dist(FAR), without_ranges(model).predict_dist(FAR)
    # Each slope's part is an error of its own: squares are added.
    error = np.sqrt(((EXCESS[:, None] * model.coef_) ** 2).sum(axis=2))
    for k, (own, before) in enumerate(zip(dist.experts(), bare.experts(), strict=True)):
        expected = before.var() + MOVING[name][1] * error[:, k] ** 2
        np.testing.assert_allclose(own.var(), expected, rtol=1e-9)
    np.testing.assert_allclose(dist.mean(), model.predict(FAR), rtol=1e-9)


@each_moving
def test_all_that_is_said_of_a_far_row_agrees(name, rng):
    model, _, _ = fitted(MOVING[name][0], rng)
    dist, y = model.predict_dist(FAR), np.array([1.0, -3.0, 0.5, 2.0])
    np.testing.assert_allclose(model.log_density(FAR, y), dist.logpdf(y), rtol=1e-12)
    assert (model.log_density(FAR, model.predict(FAR)) > -12.0).all()
    q = np.array([0.001, 0.3, 0.9])
    quantiles = model.predict_quantile(FAR, q)
    for column, level in zip(quantiles.T, q, strict=True):
        np.testing.assert_allclose(dist.cdf(column), level, rtol=1e-9)
    for row, (low, high) in enumerate(dist.ppf([1e-7, 1.0 - 1e-7])):
        one = model.predict_dist(FAR[row : row + 1])
        points = dist.ppf([0.05, 0.5, 0.95])[row]
        total, _ = quad(lambda u, one=one: one.pdf(u).item(), low, high, points=points, limit=300)
        assert total == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(dist.crps(y)).all()
    draws, expert = model.sample(FAR, 40_000, random_state=0)
    assert expert.shape == draws.shape
    # Student t with 6 degrees of freedom has a kurtosis of 6: errors of 1.5 % of a variance.
    np.testing.assert_allclose(draws.var(axis=1), dist.var(), rtol=0.08)
    resp = model.responsibilities(FAR, y)
    np.testing.assert_allclose(resp.sum(axis=1), 1.0)


@pytest.mark.parametrize("name", ["gamma", "lognormal", "poisson", "weibull", "uniform", "tweedie"])
def test_families_that_locations_do_not_move_stay_as_they_are(name, rng):
    X, y = draw_rows(rng)
    y = np.round(np.exp(0.3 * y)) + 1.0 if name == "poisson" else np.exp(0.3 * y)
    family = ["gamma", "uniform"] if name == "uniform" else name
    model = MoERegressor(2, expert=family, n_init=1, random_state=0).fit(X, y)
    targets = np.ones(len(FAR))
    np.testing.assert_array_equal(
        model.log_density(FAR, targets), without_ranges(model).log_density(FAR, targets)
    )


def test_several_targets_are_widened_each_by_its_own_slopes(rng):
    X, y = draw_rows(rng)
    Y = np.column_stack([y, 3.0 * X[:, 0] - y + 0.1 * rng.standard_normal(len(y))])
    model = MoERegressor(2, expert="gaussian", n_init=1, random_state=0).fit(X, Y)
    dist, bare = model.predict_dist(FAR), without_ranges(model).predict_dist(FAR)
    square = ((EXCESS[:, None, None] * model.coef_) ** 2).sum(axis=-1)  # rows, experts, targets
    weight = model.gate_proba(FAR)
    np.testing.assert_allclose(dist.var() - bare.var(), np.einsum("nk,nkd->nd", weight, square))
    np.testing.assert_allclose(dist.mean(), bare.mean())
    np.testing.assert_allclose(model.log_density(FAR, FAR[:, :2]), dist.logpdf(FAR[:, :2]))


def test_a_dispersion_that_falls_outside_is_held(rng):
    X, y = draw_rows(rng)
    y = 2.0 * X[:, 0] + np.exp(1.0 - 2.0 * X[:, 0]) * rng.standard_normal(len(y))
    model = MoERegressor(1, expert_features={"dispersion": [0]}, **UNPENALIZED).fit(X[:, :1], y)
    slope = model.dispersion_coef_[0, 0]
    assert slope < -1.0
    rows = np.array([[2.0], [60.0], [-1.0], [-40.0]])
    bare = without_ranges(model).predict_variance(rows).total
    found = model.predict_variance(rows).total
    error = (model.coef_[0, 0] * np.array([0.0, 58.0, 0.0, -39.0])) ** 2
    expected = [bare[0], bare[0] + error[1], bare[2], bare[3] + error[3]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_truncated_y_of_a_far_row_has_a_density_in_its_window(rng):
    X, y = draw_rows(rng)
    kept = y > -0.5
    model = MoERegressor(2, n_init=1, random_state=0)
    model.fit(X[kept], y[kept], truncation=-0.5)
    row, grid = FAR[:1], np.linspace(-0.5, 150.0, 200_001)[1:]
    n = len(grid)
    log_density = model.log_density(np.repeat(row, n, axis=0), grid, truncation=-0.5)
    total = np.exp(log_density).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("tree", [(2,), [1, [1, 1]]])
def test_trees_and_columns_of_experts_of_their_own(tree, rng):
    X, y = draw_rows(rng, 600)
    model = HMERegressor(tree, expert_features=[1], gate_features=[0], n_init=1, random_state=0)
    model.fit(X, y)
    variance = (
        model.predict_variance(FAR).within - without_ranges(model).predict_variance(FAR).within
    )
    square = (EXCESS[:, None, 1:2] * model.coef_)[..., 0] ** 2
    np.testing.assert_allclose(
        variance, (model.gate_proba(FAR) * square).sum(axis=1), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("value", [1e6, -1e30])
def test_however_far_densities_are_numbers(value, rng):
    model, _, _ = fitted("gaussian", rng)
    rows = np.array([[value, 0.0, 0.0]])
    dist = model.predict_dist(rows)
    # One deviation of what is extrapolated away, or less: the log of its size is left.
    assert model.log_density(rows, [0.0]) > -2.0 - np.log(10.0 * abs(value))
    assert np.isfinite(model.log_density([[-1e300, 0.0, 0.0]], [0.0])).all()
    assert np.isfinite([dist.mean(), dist.var(), dist.ppf(0.9), dist.crps([0.0])]).all()


def test_units_of_columns_and_y_change_nothing(rng):
    X, y = draw_rows(rng)
    options = {"n_init": 1, "random_state": 0}
    model = MoERegressor(2, **options).fit(X, y)
    move = np.array([1e4, 3.0, 1e-3]), np.array([50.0, -7.0, 1.0])
    other = MoERegressor(2, **options).fit(X * move[0] + move[1], 100.0 * y - 3.0)
    targets = np.array([1.0, -3.0, 0.5, 2.0])
    np.testing.assert_allclose(
        other.log_density(FAR * move[0] + move[1], 100.0 * targets - 3.0),
        model.log_density(FAR, targets) - np.log(100.0),
        rtol=1e-5,
    )


# Where ranges come from, and where they go.


def test_rows_of_weight_zero_have_no_part_in_the_range(rng):
    X, y = draw_rows(rng)
    rows = np.vstack([X, [[50.0, 0.0, 0.0]]]), np.append(y, 0.0)
    weight = np.append(np.ones(len(X)), 0.0)
    scaling = MoERegressor(1).fit(*rows, sample_weight=weight).fitted_model_.scaling
    np.testing.assert_array_equal(scaling.highest, X.max(axis=0))


def test_sparse_rows_and_sources_have_the_ranges_of_arrays(rng):
    X, y = draw_rows(rng)
    options = {"n_experts": 2, "n_init": 1, "random_state": 0}
    model, targets = MoERegressor(**options).fit(X, y), np.zeros(len(FAR))
    expected = model.log_density(FAR, targets)
    others = {
        "sparse": MoERegressor(**options).fit(sparse.csr_array(X), y),
        "source": MoERegressor(**options).fit(
            Batches([(X[i : i + 50], y[i : i + 50]) for i in range(0, len(X), 50)])
        ),
    }
    for other in others.values():
        scaling = other.fitted_model_.scaling
        np.testing.assert_array_equal(scaling.lowest, X.min(axis=0))
        np.testing.assert_array_equal(scaling.highest, X.max(axis=0))
        for rows in (FAR, sparse.csr_array(FAR)):
            np.testing.assert_allclose(other.log_density(rows, targets), expected, rtol=1e-6)


def test_ranges_grow_with_rows_that_are_learned_later(rng):
    X, y = draw_rows(rng)
    model = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
    far = X + np.array([30.0, 0.0, 0.0])
    assert model.find_extrapolated(far)[:, 0].all()
    model.partial_fit(far, y)
    assert not model.find_extrapolated(far).any()
    np.testing.assert_array_equal(model.fitted_model_.scaling.highest, far.max(axis=0))
    np.testing.assert_array_equal(model.fitted_model_.scaling.lowest, X.min(axis=0))


def test_an_added_expert_brings_the_range_of_its_rows(rng):
    X, y = draw_rows(rng)
    model = MoERegressor(1, random_state=0).fit(X, y)
    far = X + np.array([30.0, 0.0, 0.0])
    grown = model.with_expert(far, y)
    assert not grown.find_extrapolated(np.vstack([X, far])).any()
    assert model.find_extrapolated(far)[:, 0].all()
    assert grown.log_density(far, y).sum() == pytest.approx(grown.log_likelihood_, rel=1e-9)


def test_files_keep_ranges_and_those_without_are_read(tmp_path, rng):
    model, _, _ = fitted("gaussian", rng)
    path, targets = tmp_path / "model.json", np.zeros(len(FAR))
    model.to_json(path)
    expected = model.log_density(FAR, targets)
    np.testing.assert_array_equal(from_json(path).log_density(FAR, targets), expected)
    bare = without_ranges(model)
    bare.to_json(path)
    read = from_json(path)
    assert read.fitted_model_.scaling.limits is None
    assert not read.find_extrapolated(FAR).any()
    assert (read.log_density(FAR, targets)[:2] < expected[:2] - 100.0).all()


def test_a_scaling_may_lack_its_ranges_and_nothing_else():
    record = by_fields(Scaling, optional=("lowest", "highest"))
    fields = record.write(weighted_scaling(np.eye(3), np.ones(3)))
    assert record.read(fields).limits is not None
    del fields["lowest"], fields["highest"]
    assert record.read(fields).limits is None
    del fields["center"]
    with pytest.raises(ModelFileError, match="fields are missing"):
        record.read(fields)


def test_what_is_extrapolated_can_be_asked(rng):
    X, y = draw_rows(rng)
    X = np.column_stack([X, np.full(len(X), 5.0)])
    with pytest.warns(RankDeficientWarning):
        model = MoERegressor(1).fit(X, y)
    rows = np.column_stack([FAR, [5.0, 5.0, -300.0, 5.0]])
    expected = np.column_stack([EXCESS != 0.0, np.zeros(4, dtype=bool)])
    np.testing.assert_array_equal(model.find_extrapolated(rows), expected)
    np.testing.assert_array_equal(model.find_extrapolated(sparse.csr_array(rows)), expected)
    assert not model.find_extrapolated(X).any()
    parts = model.find_extrapolated(Batches([(part, np.zeros(2)) for part in (rows[:2], rows[2:])]))
    np.testing.assert_array_equal(np.concatenate(list(parts)), expected)
    with pytest.warns(RankDeficientWarning):
        classes = MoEClassifier(1).fit(X, y > 0.5)
    np.testing.assert_array_equal(classes.find_extrapolated(rows), expected)
