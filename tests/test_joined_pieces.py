"""Pieces that meet at estimated break points, against direct maximisation and least squares."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp
from scipy.stats import norm
from sklearn.linear_model import Ridge

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.constraints import Bounded
from mixexp.selection import join_pieces

BARE = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0, "random_state": 0, "n_init": 1}
SHARP = {**BARE, "gate_alpha": 0.01}


def _blurred(n=300):
    """Lines that meet at -4, and a border there that is not sharp."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-10.0, 2.0, size=n)
    is_left = rng.uniform(size=n) < expit(-1.5 * (x + 4.0))
    y = 1.0 + np.where(is_left, 1.5, -0.5) * (x + 4.0) + 0.4 * rng.normal(size=n)
    return x, y


X, Y = _blurred()


@pytest.fixture(scope="module")
def joined():
    return join_pieces(MoERegressor(2, **BARE), X[:, None], Y)


def _minus_log_likelihood(theta):
    """Height, slopes left and right, break point, steepness of the gate, log deviations."""
    height, left, right, point, steepness, *log_scale = theta
    away = X - point
    parts = [
        log_expit(-steepness * away) + norm.logpdf(Y, height + left * away, np.exp(log_scale[0])),
        log_expit(steepness * away) + norm.logpdf(Y, height + right * away, np.exp(log_scale[1])),
    ]
    return -float(logsumexp(parts, axis=0).sum())


def test_the_optimum_is_that_over_coefficients_and_break_point_at_once(joined):
    begin = np.array([1.0, 1.5, -0.5, -4.0, 1.5, -1.0, -1.0])
    wanted = minimize(_minus_log_likelihood, begin, options={"gtol": 1e-4})
    assert joined.estimator_.log_likelihood_ == pytest.approx(-wanted.fun, abs=1e-5)
    assert joined.points[0] == pytest.approx(wanted.x[3], abs=1e-4)
    assert joined.n_parameters == 7
    steps, n = 1e-3 * np.eye(7), 7
    hessian = np.array(
        [
            [
                sum(
                    a * b * _minus_log_likelihood(wanted.x + a * steps[i] + b * steps[j])
                    for a in (1, -1)
                    for b in (1, -1)
                )
                / 4e-6
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    error = np.sqrt(np.linalg.inv(hessian)[3, 3])
    assert joined.break_points()["std_error"][0] == pytest.approx(error, rel=0.02)


def test_pieces_meet_where_neighbours_are_equally_probable(joined):
    model, point = joined.estimator_, joined.points[0]
    left, right = model.intercept_ + model.coef_[:, 0] * point
    assert left == pytest.approx(right, abs=1e-8)
    np.testing.assert_allclose(model.gate_proba([[point]]), 0.5, atol=1e-8)
    table = joined.break_points(0.9)
    assert table["lower"][0] < -4.0 < table["upper"][0]
    free = MoERegressor(2, **BARE).fit(X[:, None], Y)
    assert free.log_likelihood_ >= model.log_likelihood_
    own = free.inference(X[:, None], Y).break_points()
    assert list(table.columns) == list(own.columns)
    assert table["width"][0] == pytest.approx(1.0 / abs(np.subtract(*model.gate_coef_[:, 0])))
    assert max(joined.profile["objective"]) == model.penalized_log_likelihood_


def test_sharp_borders_are_segmented_least_squares():
    rng = np.random.default_rng(1)
    x = rng.uniform(0.0, 10.0, size=(150, 2))
    y = np.select([x[:, 0] < 3.0, x[:, 0] < 7.0], [x[:, 0], 6.0 - x[:, 0]], 2.0 * x[:, 0] - 15.0)
    y += 0.5 * x[:, 1] + 0.2 * rng.normal(size=150)
    found = join_pieces(MoERegressor(3, gate_features=[0], **SHARP), x, y)
    grid = np.linspace(2.0, 8.0, 241)

    def squares(first, second):
        hinges = np.maximum(x[:, :1] - [first, second], 0.0)
        design = np.column_stack([np.ones(150), x, hinges])
        return np.sum((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2)

    points = np.array([3.0, 7.0])
    for _ in range(3):
        points[0] = min(grid[grid < points[1]], key=lambda c: squares(c, points[1]))
        points[1] = min(grid[grid > points[0]], key=lambda c: squares(points[0], c))
    errors = found.break_points()["std_error"]
    assert np.all(np.abs(found.points - points) < 0.5 * errors)
    assert np.ptp(found.estimator_.coef_[:, 1]) == 0.0
    assert np.all(errors < 0.1)


def test_constraints_are_kept_and_the_given_estimator_is_as_it_was():
    model = MoERegressor(2, constraints=Bounded(0, upper=1.2), **BARE)
    found = join_pieces(model, X[:, None], Y)
    assert found.estimator_.coef_.max() <= 1.2
    assert model.constraints == Bounded(0, upper=1.2)
    assert not hasattr(model, "coef_")
    assert found.estimator_.init == model.init


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (HMERegressor([[1, 1], 1], gate_features=[0], **SHARP), "one gate"),
        (MoERegressor(1, **SHARP), "one feature"),
        (MoERegressor("auto", **SHARP), "'n_experts' parameter of the estimator is 'auto'"),
        (MoERegressor(2, **SHARP), "one feature"),
        (MoERegressor(2, gate_features=[0], expert_features=[1], **SHARP), "must see the feature"),
    ],
)
def test_what_has_no_pieces_is_refused(estimator, message):
    x = np.column_stack([X, np.cos(X)])
    with pytest.raises(ValueError, match=message):
        join_pieces(estimator, x[:80], Y[:80])


@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RoundedTargetWarning")  # of a constant y
@pytest.mark.parametrize(
    ("estimator", "y", "message"),
    [
        (MoERegressor(2, **SHARP), 2.0 * X, r"'x0' goes from -9\.\d+ to 1\.\d+"),
        (MoERegressor(2, **SHARP), np.full_like(X, 3.0), "'x0' goes from"),
        (MoERegressor(2, **SHARP), np.column_stack([Y, X]), "several targets or classes"),
        (MoEClassifier(2, random_state=0), np.digitize(Y, [-2.0, 0.0]), "multinomial, with one"),
        (
            MoERegressor(2, expert=["point_mass", "gaussian"], **SHARP),
            np.maximum(Y, 0.0),
            "are gaussian and point_mass",
        ),
        (MoERegressor(2, expert=["gaussian", "student_t"], **SHARP), Y, "one family"),
        (MoERegressor(2, expert=Ridge(), n_init=1, max_iter=3), Y, "are Ridge"),
    ],
)
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_fits_without_a_line_for_every_stretch_are_refused(estimator, y, message):
    with pytest.raises(ValueError, match=message):
        join_pieces(estimator, X[:, None], y)
