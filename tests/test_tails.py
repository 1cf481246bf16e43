"""What families say of their tails: survival, expected excess, atoms, brackets of quantiles."""

import numpy as np
import pytest
from scipy.integrate import simpson
from test_families import CASES, NUMBERS, density, nodes, of

from mixexp.experts import FAMILIES, Gaussian, NumericalExpert, Poisson

REGRESSION = [
    case
    for case in NUMBERS
    # One power of Tweedie's, whose sums over jumps take long.
    if case.family.target == "regression" and getattr(case.family, "power", 1.5) == 1.5
]
LEVELS = np.array([0.01, 0.3, 0.5, 0.9, 0.999])


def asked_at(case):
    """Return y at quantiles of the first expert and beyond the limits of the support."""
    return np.unique(np.r_[-5.0, -0.5, 0.0, case.family.quantile(LEVELS[None], case.expert(0))[0]])


@of(NUMBERS)
def test_survival_is_what_the_cdf_leaves(case):
    y = asked_at(case)
    total = case.family.cdf(y, case.heads) + case.family.survival(y, case.heads)
    # Either is good to some 1e-14.
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


# Families of a largest y, beside counts of trials.
LIMITED = ("uniform", "point_mass", "beta")


@of(REGRESSION)
def test_survival_keeps_its_digits_in_the_far_tail(case):
    # Where the cdf is 1 to rounding; limits of y aside, where nothing is left.
    y = case.family.quantile(np.array([[1.0 - 1e-14]]), case.expert(0))[0]
    far = case.family.survival(y, case.expert(0))
    farther = case.family.survival(1.1 * y, case.expert(0))
    assert np.all((far >= 0.0) & (far <= 2e-14))
    assert np.all(farther <= far)
    has_limit = case.family.uses_trials or case.family.name in LIMITED
    assert has_limit or np.all((far > 1e-17) & (farther > 0.0))


@of(REGRESSION)
@pytest.mark.parametrize("row", [0, 1])
def test_expected_excess_is_the_mean_of_what_is_beyond(case, row):
    heads = case.expert(row)
    y, weight = nodes(case, row)
    mass = density(case, row, y) * weight
    for at in asked_at(case):
        found = case.family.expected_excess(np.array([at]), heads).item()
        expected = (mass * np.maximum(y - at, 0.0)).sum()
        # A kink between nodes costs them digits, as tails of 1e-13 do.
        scale = np.sqrt(case.family.variance(heads).item()) + abs(at)
        assert found == pytest.approx(expected, abs=1e-4 * scale)
        step = 1e-4 * (scale or 1.0)
        after = case.family.expected_excess(np.array([at + step]), heads).item()
        # Its slope is minus the survival function, which falls.
        tail = case.family.survival(np.array([at, at + step]), heads)[0]
        assert tail[1] - 1e-6 <= (found - after) / step <= tail[0] + 1e-6


@of([case for case in CASES if case.family.has_mean_distance])
def test_mean_distance_is_that_of_two_draws(case, rng):
    first, second = (case.family.sample_rows(case.expert(k), rng, 200_000)[0] for k in (0, 1))
    found = case.family.mean_distance(case.expert(0), case.expert(1)).item()
    draws = np.abs(first - second)
    # Five standard errors: one false alarm in two million.
    assert abs(draws.mean() - found) < 5.0 * draws.std() / np.sqrt(len(draws))


@of([case for case in REGRESSION if case.heads])
def test_quantiles_lie_in_their_bracket(case):
    q = np.array([1e-9, 0.2, 0.5, 0.9, 1.0 - 1e-9])
    lower, upper = case.family.bracket(q, case.heads)
    found = case.family.quantile(q[None], case.heads)
    slack = 1e-12 * np.abs(found)
    assert np.all((lower <= found + slack) & (found <= upper + slack))


@of(REGRESSION)
def test_atoms_are_where_the_cdf_leaps(case):
    for at in case.family.atoms:
        y = np.array([np.nextafter(at, -np.inf), at])
        cdf = case.family.cdf(y, case.heads)
        own = np.exp(case.family.log_density(y[1:], case.heads))
        np.testing.assert_allclose(np.diff(cdf), own, rtol=1e-10)
        assert np.all(own > 0.0)


class LogDensityAndCdf(NumericalExpert):
    """A Gaussian that gives no formula for its tails."""

    name = "plain"
    is_discrete = False

    @property
    def heads(self):
        return Gaussian().heads

    def log_kernel(self, y, heads):
        return Gaussian().log_kernel(y, heads)

    def cdf(self, y, heads):
        return Gaussian().cdf(y, heads)


def test_tails_without_formulas_are_integrated():
    heads = np.array([[-0.4], [0.7]]), np.array([[-1.2], [0.3]])
    y = np.array([-9.0, -1.0, 0.0, 2.0])
    plain, exact = LogDensityAndCdf(), Gaussian()
    np.testing.assert_allclose(plain.survival(y, heads), exact.survival(y, heads), atol=1e-15)
    # What lies beyond the quantile of 1 - 1e-12 is left out.
    found, expected = plain.expected_excess(y, heads), exact.expected_excess(y, heads)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


def test_counts_without_formulas_say_what_to_write():
    class Counts(Poisson):
        name = "counts"
        expected_excess = NumericalExpert.expected_excess

    with pytest.raises(NotImplementedError, match=r"counts.*'expected_excess'"):
        Counts().expected_excess(np.zeros(1), (np.zeros((1, 1)),))


def test_student_t_has_quantiles_at_any_level():
    heads = np.array([[0.0]]), np.array([[0.0]])
    for df in (1.5, 5.0, 12.0, 100.0):
        family = FAMILIES["student_t"](df=df)
        q = np.array([[1e-299, 1e-200, 1e-20, 0.3]])
        found = family.quantile(q, heads)
        assert np.all(np.isfinite(found) & (np.diff(found, append=0.0) > 0.0))
        np.testing.assert_allclose(family.quantile(1.0 - q[:, 2:], heads)[:, 1], -found[:, 3])


@of([case for case in REGRESSION if case.heads and not case.family.uses_trials])
@pytest.mark.parametrize("dispersion", [-5.0, -2.2, -1.4, 0.0])
def test_quantiles_at_the_least_levels_are_numbers_that_the_cdf_reaches(case, dispersion):
    asked = {"location": np.array([[0.5], [0.9], [1.2], [2.5], [3.8]]), "dispersion": dispersion}
    heads = tuple(
        np.reshape(asked.get(head.kind, values), (-1, 1))
        for head, values in zip(case.family.heads, case.expert(0), strict=True)
    )
    q = np.array([[1e-299, 1e-100, 1e-50, 1e-20, 1e-12, 1e-3]])
    found = case.family.quantile(q, heads)
    assert not np.isnan(found).any()
    assert np.all(np.diff(found, axis=1) >= 0.0)
    reached = case.family.cdf(found, heads)
    # Where quantiles have all digits of their distance from the end of the support.
    is_exact = ~case.family.has_mass(found) & (np.abs(found) > 1e-290) & (q > 1e-290)
    assert np.all(reached >= q * (1.0 - 1e-6))
    np.testing.assert_allclose(np.where(is_exact, reached, 1.0), np.where(is_exact, q, 1.0), 1e-6)


def integral_up_to(family, heads, y):
    """Return the integral of the survival function from 0 to y, on a log scale, by Simpson."""
    log_share = np.linspace(-45.0, 0.0, 20_001)
    share = np.exp(log_share)
    return y * simpson(family.survival(y * share, heads)[0] * share, x=log_share)


@of([case for case in REGRESSION if case.family.support_limits[0] == 0.0])
@pytest.mark.parametrize("dispersion", [-1.0, 2.0, 5.0])
@pytest.mark.parametrize("log_shape", [-2.0, -0.02])
def test_limited_means_are_integrals_however_far_the_mean_is(case, dispersion, log_shape):
    family = case.family
    if family.is_discrete or family.uses_trials:
        return
    asked = {"location": 0.9, "dispersion": dispersion, "shape": log_shape}
    if family.name == "tweedie":
        asked["shape"] = 1.5
    heads = tuple(np.array([[asked[head.kind]]]) for head in family.heads)
    for y in (1e-6, 0.1, 0.9) if family.name == "beta" else (1e-6, 1.0, 50.0):
        found = family.limited_mean(np.array([y]), heads).item()
        assert found == pytest.approx(integral_up_to(family, heads, y), rel=1e-6)
    below = family.limited_mean(np.array([-2.0, 0.0]), heads)
    np.testing.assert_array_equal(below, [[-2.0, 0.0]])


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_limited_mean_of_a_pareto_is_its_formula(shape):
    y = np.array([0.01, 1.0, 1e3])
    found = FAMILIES["generalized_pareto"](shape=shape).limited_mean(y, (np.array([[0.7]]),))
    scale, log_growth = np.exp(0.7), np.log1p(shape * y / np.exp(0.7))
    power = 1.0 - 1.0 / shape
    rest = log_growth if shape == 1.0 else np.expm1(power * log_growth) / power
    np.testing.assert_allclose(found[0], scale * rest / shape, rtol=1e-10)
