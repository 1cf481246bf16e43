"""Densities, and their derivatives, wherever linear predictors and y may come to.

The contract: a log density that is above -1e70 is exact, at heads of any size and at the ends of
the support; below, it is some number of at most -1e69. Scores and curvatures are then finite
and have the right sign. No log probability is ever above zero, and nothing is NaN.
"""

import itertools
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from densities import as_float, reference_of
from mpmath import mp, mpf

from mixexp import HMEClassifier, HMERegressor
from mixexp.experts import FAMILIES, Expert
from mixexp.tree import GatingTree

pytestmark = pytest.mark.filterwarnings("error")

LOCATIONS = (-1e75, -1e3, -30.0, 0.7, 20.0, 171.0, 1e3, 1e75)
DISPERSIONS = (-1e75, -1e3, -171.0, -3.0, 0.3, 1e3, 1e75)
# Bounds of the heads of kind "shape" keep them from such extremes.
SHAPES = {
    "burr": (-6.9, -1.0, -0.02),
    "generalized_pareto": (-6.9, -1.0, -0.02),
    "student_t": (0.0, 6.9),
    "skew_normal": (-100.0, -0.3, 0.0, 2.0),
    "ordinal": (-20.0, -8.0, 0.4, 20.0),
    "tweedie": (1.3,),
}
# Log densities below are no more than a direction to leave in.
LOST, AT_MOST = -1e70, -1e69
POSITIVE = [1e-300, 1e-9, 1.0, 2.3, 1e12, 1e300]
COUNTS = [0.0, 1.0, 2.0, 67.0, 1e5, 1e12]
Y = {
    "gaussian": [-1e12, 0.0, 1.0, 1e-300, 1e300],
    "student_t": [-1e12, 0.0, 1.0, 1e-300, 1e300],
    "skew_normal": [-1e12, 0.0, 1.0, 1e-300, 1e300],
    "laplace": [-1e12, 0.0, 1.0, 1e-300, 1e300],
    "lognormal": POSITIVE,
    "gamma": POSITIVE,
    "inverse_gaussian": POSITIVE,
    "weibull": POSITIVE,
    "burr": POSITIVE,
    "generalized_pareto": POSITIVE,
    "tweedie": [0.0, *POSITIVE],
    "beta": [1e-300, 1e-9, 0.3, 1.0 - 2.0**-53],
    "poisson": COUNTS,
    "negative_binomial": COUNTS,
    "generalized_poisson": COUNTS,
    "zero_truncated_poisson": COUNTS[1:],
    "logistic": [0.0, 1.0],
    "point_mass": [0.0, 1.5],
    "uniform": [-1.0, 2.5, 3.0],
}
OPTIONS = {
    "multinomial": [{"n_classes": 2}, {"n_classes": 3}],
    "ordinal": [{"n_classes": 2}, {"n_classes": 4}],
    "point_mass": [{"at": 1.5}],
    "student_t": [{}, {"df": 5.0}],
    "skew_normal": [{}, {"shape": -3.0}],
    "burr": [{}, {"shape": 1.0}],
    "generalized_pareto": [{}, {"shape": 2.0}],
    "tweedie": [{"power": 1.5}, {"power": 1.1}, {"power": "estimate"}],
    "uniform": [{"low": -1.0, "high": 2.5}],
}
TRIALS = [(0.0, 1.0), (1.0, 1.0), (0.0, 1e12), (3.0, 1e12), (1e12, 1e12), (2.0, 5.0)]


def make_families() -> list[Expert]:
    return [
        cls(**options) if link is None else cls(link=link, **options)
        for name, cls in FAMILIES.items()
        for link in cls.links or (None,)
        for options in OPTIONS.get(name, [{}])
    ]


ALL = make_families()
of_all = pytest.mark.parametrize("family", ALL, ids=repr)


def targets_of(family: Expert) -> np.ndarray:
    """Return y at the ends of the support and inside, shape (rows,) or (2, rows)."""
    if family.uses_trials:
        return np.array(TRIALS).T
    if family.target == "classes":
        return np.arange(float(family.n_classes))
    return np.array(Y[family.name])


def grid_of(family: Expert, locations=LOCATIONS, dispersions=DISPERSIONS) -> np.ndarray:
    """Return heads of all sizes in all combinations, shape (n_heads, n)."""
    n_locations = sum(head.kind == "location" for head in family.heads)
    some = locations if n_locations == 1 else (-1e75, -1e3, 0.7, 40.0, 1e3)
    if not family.heads:
        return np.zeros((0, 1))
    values = {"location": some, "dispersion": dispersions, "shape": SHAPES.get(family.name)}
    grid = list(itertools.product(*(values[head.kind] for head in family.heads)))
    return np.array(grid).reshape(-1, len(family.heads)).T


class Point(NamedTuple):
    """One y, a number or successes and trials, and one number per head, exactly."""

    y: object
    heads: tuple[mpf, ...]


def points(family: Expert, y: np.ndarray, grid: np.ndarray):
    """Yield where in the results each point stands, and the point."""
    for k in range(grid.shape[1]):
        heads = tuple(mpf(value) for value in grid[:, k].tolist())
        for r, value in enumerate(y.T.tolist()):
            yield (k, r), Point(tuple(map(mpf, value)) if y.ndim == 2 else mpf(value), heads)


def is_known(family: Expert, point: Point) -> bool:
    """Tell whether the reference can be summed, and has the digits that it needs."""
    if not family.has_dispersion:
        return True
    eta, log_dispersion = point.heads[:2]
    if family.name == "tweedie":
        rest = 2 - (family.power if len(point.heads) == 2 else point.heads[2])
        log_peak = rest * mp.log(point.y) - log_dispersion if point.y else mpf(0)
        return (log_peak < 5 or log_peak > 30) and abs(log_dispersion) < 1e4
    if family.name == "beta" and log_dispersion < -900 and abs(eta) > 900:
        return False
    if family.name in ("gamma", "beta", "beta_binomial"):
        return log_dispersion > -(10**4)
    # With a log link a mean below 1e-74 is taken as that: seen by a smaller deviation alone.
    is_small = getattr(family, "link", "") == "log" and abs(point.y) < 1e-70 and eta < -150
    return not (family.name == "gaussian" and is_small and log_dispersion < -200)


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(120):
        yield


def value_at(family: Expert, point: Point) -> mpf:
    # log Gamma of exp(1000) has 437 digits in front of those that matter.
    is_long = family.has_dispersion and -(10**4) < point.heads[1] < -900
    with mp.workdps(500 if is_long else 120):
        return reference_of(family)(point.y, *point.heads)


@of_all
def test_log_density_is_exact_at_heads_and_y_of_any_size(family):
    y, grid = targets_of(family), grid_of(family)
    heads = tuple(head[:, None] for head in grid)
    with np.errstate(all="raise", under="ignore"):
        found = np.broadcast_to(family.log_density(y, heads), (grid.shape[1], y.shape[-1]))
    assert not np.isnan(found).any()
    assert not (family.is_discrete and np.any(found > 0.0))
    for at, point in points(family, y, grid):
        if not is_known(family, point):
            continue
        expected, where = as_float(value_at(family, point)), (found[at], point)
        if expected >= LOST:
            assert found[at] == pytest.approx(expected, rel=1e-9, abs=1e-9), where
        else:
            assert found[at] <= AT_MOST, where


@pytest.mark.parametrize("family", [f for f in ALL if f.is_discrete and f.heads], ids=repr)
def test_no_log_probability_is_above_zero(family, rng):
    # At ordinary heads too, where what is next to 0 is a difference of numbers that round.
    n = 20_000
    sizes = 10.0 ** rng.uniform(-3.0, 3.0, (len(family.heads), n)) * rng.choice([-1.0, 1.0], n)
    bounds = np.array([[head.lower, head.upper] for head in family.heads])
    heads = tuple(np.clip(sizes, bounds[:, :1], bounds[:, 1:])[:, None])
    y = targets_of(family)[..., rng.integers(0, 3, n) % targets_of(family).shape[-1]]
    with np.errstate(under="ignore"):
        found = family.log_density(y, heads)
    assert np.all(found <= 0.0)


def derivatives_at(family: Expert, point: Point) -> tuple[list[mpf], dict[tuple[int, int], mpf]]:
    """Return score and minus the second derivatives, by differences of 120 digits."""
    n, step = len(point.heads), mpf(10) ** -30

    def value(*moves: int) -> mpf:
        moved = [head + move * step for head, move in zip(point.heads, moves, strict=True)]
        return value_at(family, point._replace(heads=tuple(moved)))

    def along(*pairs: tuple[int, int]) -> mpf:
        moves = [0] * n
        for a, sign in pairs:
            moves[a] += sign
        return value(*moves)

    score = [(along((a, 1)) - along((a, -1))) / (2 * step) for a in range(n)]
    bend = {}
    for a in range(n):
        for b in range(a, n):
            rise = along((a, 1), (b, 1)) - along((a, 1), (b, -1))
            rise += along((a, -1), (b, -1)) - along((a, -1), (b, 1))
            bend[a, b] = -rise / (4 * step**2)
    return score, bend


def assert_follows(found: float, expected: mpf, is_lost: bool, where: object) -> None:
    """Check a derivative: exact, or finite and of the right sign."""
    value = as_float(expected)
    assert np.isfinite(found), where
    if is_lost or abs(value) > 1e60:
        assert not abs(value) > 0.0 or np.sign(found) in (0.0, np.sign(value)), where
    else:
        assert found == pytest.approx(value, rel=1e-6, abs=1e-7), where


def derivative_points(family: Expert, y: np.ndarray, grid: np.ndarray):
    """Yield points where the reference has derivatives to compare with."""
    link = getattr(family, "link", "")
    for at, point in points(family, y, grid):
        # At the edge of the domain the score leaps.
        is_outside = link in ("inverse", "inverse_squared") or family.name == "gamma"
        is_outside = is_outside and link != "log" and point.heads[0] <= 0
        if is_known(family, point) and not is_outside:
            yield at, point


@pytest.mark.parametrize("family", [f for f in ALL if f.heads], ids=repr)
def test_derivatives_are_exact_or_finite_and_of_the_right_sign(family):
    y = targets_of(family)
    # Differences of larger y have not the digits of second derivatives.
    y = y[:, y[1] < 1e7] if y.ndim == 2 else y[np.abs(y) < 1e7]
    grid = grid_of(family, (-1e3, -30.0, 0.7, 1e3), (-20.0, 0.3, 1e3))
    grid = grid[:, np.max(np.abs(grid), axis=0) < 1e4]
    if family.name == "ordinal":  # not at the bounds of thresholds, where curvatures cancel
        grid = grid[:, np.all(np.abs(grid[1:]) < 15.0, axis=0)]
    heads = tuple(head[:, None] for head in grid)
    with np.errstate(all="raise", under="ignore"):
        found, bend = family.derivatives(y, heads), family.observed_curvature(y, heads)
    shape = (grid.shape[1], y.shape[-1])
    for (a, b), values in found.curvature.items():
        assert np.isfinite(values).all()
        assert a != b or np.all(values >= 0.0)
    score = [np.broadcast_to(values, shape) for values in found.score]
    bend = {pair: np.broadcast_to(values, shape) for pair, values in bend.items()}
    assert all(np.isfinite(values).all() for values in (*score, *bend.values()))
    for at, point in derivative_points(family, y, grid):
        is_lost = value_at(family, point) < LOST
        slopes, bends = derivatives_at(family, point)
        for a, expected in enumerate(slopes):
            assert_follows(score[a][at], expected, is_lost, ("score", a, score[a][at], point))
        for pair, expected in bends.items():
            if not is_lost:
                got = bend[pair][at] if pair in bend else 0.0
                assert_follows(got, expected, False, ("bend", pair, got, expected, point))


@pytest.mark.parametrize("family", [f for f in ALL if f.heads], ids=repr)
def test_what_is_predicted_is_a_number_at_heads_of_any_size(family):
    grid = grid_of(family, (-1e75, -1e3, 0.7, 1e3, 1e75), (-1e75, -1e3, 0.3, 1e3, 1e75))
    heads = tuple(head[:, None] for head in grid)
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(family.predict(heads)).all()
        if family.target != "classes":
            variance = family.variance(heads)
            assert not np.isnan(variance).any()
            assert np.all(variance >= 0.0)
        if family.name == "multinomial":
            return
        y = targets_of(family)
        below, above = family.cdf(y, heads), family.survival(y, heads)
        for values in (below, above):
            assert np.all((values >= 0.0) & (values <= 1.0))
        np.testing.assert_allclose(below + above, 1.0, atol=1e-9)
        if not family.uses_trials and family.target != "classes":
            order = np.argsort(y)
            assert np.all(np.diff(below[:, order], axis=1) >= -1e-12)
        median = family.quantile(np.full((grid.shape[1], 1), 0.5), heads)
        assert not np.isnan(median).any()


def _certain_of(kind, tree, X, y, side):
    """Return a fit that is next to certain of most rows, y, and what is known of rows."""
    known = {"y_resolution": 1e3} if kind == "rounded" else {}
    given = {"groups": np.arange(400) // 4} if kind == "groups" else {}
    n = GatingTree.from_spec(tree).n_leaves
    options = {
        "classes": {},
        "zeros": {"expert": ["point_mass"] * (n - 1) + ["poisson"]},
        "counts": {"expert": "poisson"},
        "rounded": {},
        "groups": {"expert": "poisson", "gate_features": []},
    }[kind]
    make = HMEClassifier if kind == "classes" else HMERegressor
    y = side if kind == "classes" else y
    model = make(tree, n_init=1, random_state=0, alpha=0.01, max_iter=20, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, **given)
    return model, y, {**known, **given}


@pytest.mark.parametrize("kind", ["counts", "classes", "zeros", "rounded", "groups"])
@pytest.mark.parametrize("tree", [(3,), (2, 2), [[1, [1, 1]], 1]], ids=str)
def test_probabilities_of_mixtures_are_never_above_one(kind, tree, rng):
    X = rng.normal(size=(400, 2))
    side = X[:, 0] + X[:, 1] > 0.0
    y = np.where(side, 0.0, rng.poisson(3.0, 400))
    model, y, known = _certain_of(kind, tree, X, y, side)
    for scale in (1.0, 10.0, 100.0):
        assert model.log_density(scale * X, y, **known).max() <= 0.0
        if kind in ("counts", "zeros"):
            assert model.predict_dist(scale * X).logpdf(y).max() <= 0.0
