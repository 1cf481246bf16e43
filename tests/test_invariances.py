"""What a fit must not depend on: order, repetition and units of the data."""

import numpy as np
import pytest
from fitted import ESTIMATORS, N_ROWS, assert_same_outputs, data_for, outputs
from problems import UNPENALIZED, UNPENALIZED_CLASSES, simulate_classes, simulate_regimes
from sklearn.base import clone

from mixexp import MoEClassifier, MoERegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::mixexp.exceptions.DegenerateExpertWarning",
    # Of a class that an expert has no row of, the intercept is not determined.
    "ignore::mixexp.exceptions.RankDeficientWarning",
    "ignore::mixexp.exceptions.SeparationWarning",
)

every_estimator = pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)

# Refitted to the same optimum from the same start: what tol leaves open is then far below 1e-7.
TIGHT = {"tol": 1e-13, "max_iter": 5000}


def assert_close_fits(first, second, X, y, rtol=1e-7):
    """Check that two fits say the same of rows, in units of what they say."""
    expected = outputs(first, X, y)
    for name, value in outputs(second, X, y).items():
        scale = max(1.0, np.abs(expected[name]).max()) if value.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(value, expected[name], atol=rtol * scale, err_msg=name)


# Order.


def test_flipped_classes_flip_probabilities(rng):
    data = simulate_classes(rng, N_ROWS, 2)
    init = (data.X[:, 0] > 0).astype(int)
    model = MoEClassifier(2, init=init, **TIGHT)
    first = clone(model).fit(data.X, data.y)
    second = clone(model).fit(data.X, 1.0 - data.y)
    np.testing.assert_allclose(
        second.predict_proba(data.X)[:, ::-1], first.predict_proba(data.X), atol=1e-7
    )


def test_order_of_columns_permutes_coefficients(rng):
    data = simulate_regimes(rng, N_ROWS, p=4)
    order = np.array([2, 0, 3, 1])
    init = (data.X[:, 0] > 0).astype(int)
    first = MoERegressor(2, init=init, **TIGHT).fit(data.X, data.y)
    second = MoERegressor(2, init=init, **TIGHT).fit(data.X[:, order], data.y)
    np.testing.assert_allclose(second.coef_, first.coef_[:, order], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(second.gate_coef_, first.gate_coef_[:, order], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(second.predict(data.X[:, order]), first.predict(data.X), rtol=1e-7)


def select(part, columns):
    """Return the parameter that selects the columns of a part."""
    if part == "dispersion_features":
        return {"expert_features": {"dispersion": columns}}
    return {part: columns}


@pytest.mark.parametrize("part", ["expert_features", "gate_features", "dispersion_features"])
def test_order_of_a_selection_permutes_coefficients(part, rng):
    data = simulate_regimes(rng, N_ROWS, p=3)
    X, order = data.X * [1.0, 50.0, 0.1] + [0.0, 1e3, 0.0], [2, 0, 1]
    init = (data.X[:, 0] > 0).astype(int)
    first, second = (
        MoERegressor(2, init=init, **TIGHT, **select(part, chosen)).fit(X, data.y)
        for chosen in ([0, 1, 2], order)
    )
    for name, own in (
        ("coef_", "expert_features"),
        ("gate_coef_", "gate_features"),
        ("dispersion_coef_", "dispersion_features"),
    ):
        expected = getattr(first, name)[:, order if own == part else slice(None)]
        np.testing.assert_allclose(getattr(second, name), expected, rtol=1e-5, atol=1e-6)
    for routing in ("soft", "hard", 1):
        found, expected = (model.predict(X, routing=routing) for model in (second, first))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


@every_estimator
def test_order_of_rows_does_not_matter_to_the_fit(model, rng):
    data = data_for(model, rng)
    order = rng.permutation(len(data.y))
    tight = clone(model).set_params(**TIGHT)
    first = clone(tight).fit(data.X, data.y)
    second = clone(tight).fit(data.X[order], data.y[order])
    assert_close_fits(first, second, data.X, data.y)


# Weights.


@every_estimator
def test_integer_weights_are_repeated_rows(model, rng):
    data = data_for(model, rng)
    weight = rng.integers(0, 4, N_ROWS)
    rows = rng.permutation(np.repeat(np.arange(N_ROWS), weight))
    tight = clone(model).set_params(**TIGHT)
    weighted = clone(tight).fit(data.X, data.y, weight)
    repeated = clone(tight).fit(data.X[rows], data.y[rows])
    np.testing.assert_allclose(
        weighted.penalized_log_likelihood_, repeated.penalized_log_likelihood_, rtol=1e-9
    )
    assert_close_fits(weighted, repeated, data.X, data.y, rtol=1e-6)
    np.testing.assert_allclose(
        weighted.bic(data.X, data.y, weight), repeated.bic(data.X[rows], data.y[rows]), rtol=1e-9
    )


@every_estimator
def test_zero_weight_is_an_absent_row(model, rng):
    data = data_for(model, rng)
    kept = rng.random(N_ROWS) > 0.3
    X, y = data.X.copy(), data.y.copy()
    if not hasattr(model, "predict_proba"):
        X[~kept], y[~kept] = 1e6, -1e6
    weighted = clone(model).fit(X, y, kept.astype(float))
    absent = clone(model).fit(data.X[kept], data.y[kept])
    assert_same_outputs(outputs(weighted, data.X, data.y), outputs(absent, data.X, data.y))


def test_absent_rows_need_not_have_a_known_class(rng):
    data = simulate_classes(rng, N_ROWS, 2)
    names = np.array(["no", "yes"])[data.y.astype(int)].astype(object)
    names[:5] = "unknown"
    weight = (np.arange(N_ROWS) >= 5).astype(float)
    model = MoEClassifier(2, n_init=1, random_state=0, max_iter=2000).fit(data.X, names, weight)
    assert list(model.classes_) == ["no", "yes"]


@pytest.mark.parametrize("factor", [1e-300, 1e-3, 7.0, 1e6])
def test_scale_of_weights_does_not_matter_without_penalty(factor, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    weight = rng.uniform(0.5, 2.0, N_ROWS)
    init = data.labels
    model = MoERegressor(2, init=init, **TIGHT, **UNPENALIZED)
    first = clone(model).fit(data.X, data.y, weight)
    second = clone(model).fit(data.X, data.y, factor * weight)
    np.testing.assert_allclose(second.log_likelihood_, factor * first.log_likelihood_, rtol=1e-9)
    assert_close_fits(first, second, data.X, data.y)


# Units.


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED], ids=["penalized", "unpenalized"])
@pytest.mark.parametrize(("slope", "shift"), [(-3.0, 10.0), (1e-6, 0.0), (1e100, 0.0), (1.0, 1e6)])
def test_units_of_the_target_do_not_matter(slope, shift, penalty, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(2, init=data.labels, **TIGHT, **penalty)
    first = clone(model).fit(data.X, data.y)
    second = clone(model).fit(data.X, slope * data.y + shift)
    # Of a shift by 1e6, 1e-10 of each number is rounding before the fit has begun.
    unit = np.abs(slope) * np.std(data.y)
    np.testing.assert_allclose(
        second.predict(data.X) / unit, (slope * first.predict(data.X) + shift) / unit, atol=1e-7
    )
    expected = first.log_likelihood_ - N_ROWS * np.log(np.abs(slope))
    np.testing.assert_allclose(second.log_likelihood_, expected, rtol=1e-8)
    order = slice(None, None, -1) if slope < 0.0 else slice(None)
    np.testing.assert_allclose(second.coef_[order] / slope, first.coef_, rtol=1e-6)
    np.testing.assert_allclose(second.dispersion_[order] / slope**2, first.dispersion_, rtol=1e-6)


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED_CLASSES], ids=["penalized", "unpenalized"])
@pytest.mark.parametrize(
    ("scale", "shift"),
    [
        ([2.0, -3.0], [1.0, -5.0]),
        ([1e6, -1e-6], [0.0, 0.0]),
        ([1e-150, 1e150], [0.0, 0.0]),
        ([1.0, 1.0], [1e9, -1e9]),
    ],
    ids=["mild", "strong", "extreme", "far"],
)
@pytest.mark.parametrize("cls", [MoERegressor, MoEClassifier])
def test_units_of_the_features_do_not_matter(cls, scale, shift, penalty, rng):
    if cls is MoERegressor:
        data = simulate_regimes(rng, N_ROWS, n_regimes=2)
        penalty = penalty | ({"dispersion_prior": 0.0} if penalty else {})
    else:
        data = simulate_classes(rng, 2 * N_ROWS, 2)
    # On a grid of 2**-10, so that a shift by 1e9 is exact.
    X = np.round(data.X * 1024.0) / 1024.0
    model = cls(2, init=data.labels, **TIGHT, **penalty)
    first = clone(model).fit(X, data.y)
    moved = X * scale + shift
    second = clone(model).fit(moved, data.y)
    np.testing.assert_allclose(second.log_likelihood_, first.log_likelihood_, rtol=1e-9)
    name = "predict" if cls is MoERegressor else "predict_proba"
    found, expected = getattr(second, name)(moved), getattr(first, name)(X)
    # tol leaves 1e-13 * 300 = 3e-11 of log-likelihood, about half the sum of
    # (error / deviation)**2 over rows: no probability can be off by more than
    # sqrt(2 * 3e-11) / 2 = 4e-6, and experts that overlap as these classes do come close to it.
    within = 1e-7 * np.abs(expected).max() if cls is MoERegressor else 4e-6
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=within)


# Laplace's density has kinks: where Newton's method finds nothing to gain depends on which side of
# them rounding puts a row.
@pytest.mark.parametrize(("expert", "rtol"), [("student_t", 1e-8), ("laplace", 1e-5)])
def test_units_of_the_target_do_not_matter_to_heavy_tails(expert, rtol, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    model = MoERegressor(2, expert=expert, init=data.labels, tol=1e-12, max_iter=2000)
    first = clone(model).fit(data.X, data.y)
    second = clone(model).fit(data.X, 1e-30 * data.y)
    expected = first.penalized_log_likelihood_ + N_ROWS * 30.0 * np.log(10.0)
    np.testing.assert_allclose(second.penalized_log_likelihood_, expected, rtol=rtol)
    if expert == "student_t":
        found = 1e30 * second.predict(data.X)
        # tol leaves 1e-12 |l|, the square of the distance: 1e-5 of coefficients.
        np.testing.assert_allclose(found, first.predict(data.X), atol=1e-5)


@pytest.mark.parametrize("expert", ["gamma", "lognormal", "weibull", "inverse_gaussian"])
def test_units_of_positive_targets_do_not_matter(expert, rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2)
    y = np.exp(0.3 * data.y)
    model = MoERegressor(2, expert=expert, init=data.labels, **TIGHT)
    first, second = clone(model).fit(data.X, y), clone(model).fit(data.X, 1e6 * y)
    np.testing.assert_allclose(second.predict(data.X), 1e6 * first.predict(data.X), rtol=1e-6)
    expected = first.log_likelihood_ - N_ROWS * 6.0 * np.log(10.0)
    np.testing.assert_allclose(second.log_likelihood_, expected, rtol=1e-9)


def test_rotation_of_the_features_does_not_matter_without_penalty(rng):
    data = simulate_regimes(rng, N_ROWS, n_regimes=2, p=3)
    turned = data.X @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    model = MoERegressor(2, init=data.labels, **TIGHT, **UNPENALIZED)
    first, second = clone(model).fit(data.X, data.y), clone(model).fit(turned, data.y)
    np.testing.assert_allclose(second.log_likelihood_, first.log_likelihood_, rtol=1e-9)
    np.testing.assert_allclose(second.predict(turned), first.predict(data.X), atol=1e-6)


def test_data_far_from_zero_keep_their_digits(rng):
    x = 1e9 + rng.uniform(-1.0, 1.0, (N_ROWS, 1))
    y = 1e9 + np.abs(x[:, 0] - 1e9) + 0.1 * rng.standard_normal(N_ROWS)
    model = MoERegressor(2, n_init=3, random_state=0).fit(x, y)
    near = MoERegressor(2, n_init=3, random_state=0).fit(x - 1e9, y - 1e9)
    # Numbers near 1e9 have 1e-7 as their last digit, of a target that spans 1: six digits are left.
    np.testing.assert_allclose(model.predict(x) - 1e9, near.predict(x - 1e9), atol=1e-6)
    np.testing.assert_allclose(model.dispersion_, near.dispersion_, rtol=1e-5)
