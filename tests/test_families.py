"""Contracts that every expert family keeps, for every link, whatever its name.

`SETTINGS` says at which heads a family is tried; the registry says which there are. Sums and
integrals over the support come from `nodes`, which nothing but the family's own quantiles
places and whose accuracy the first test measures.
"""

import pickle
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, expit, gammaln, log_softmax, ndtr, polygamma, wright_bessel
from sklearn.base import clone

from mixexp.contrast import contrast
from mixexp.experts import (
    FAMILIES,
    Binomial,
    Expert,
    Gamma,
    Gaussian,
    Head,
    InverseGaussian,
    Logistic,
    Multinomial,
    NegativeBinomial,
    NumericalExpert,
    Ordinal,
    PointMass,
    Poisson,
    SkewNormal,
    StudentT,
    Tweedie,
    Uniform,
    check_derivatives,
)
from mixexp.experts._special import digamma_gap, log_excess, stirling_error, trigamma_gap
from mixexp.experts.negative_binomial import _usual_terms
from mixexp.links import LINKS, PROBABILITY_LINKS

# Heads at which families are tried, two experts each, by kind of head.
LOCATION = np.array([[-0.4], [0.7]])
POSITIVE = np.array([[0.5], [1.3]])
DISPERSION = np.array([[-1.2], [0.3]])
OPTIONS = {
    "multinomial": [{"n_classes": 2}, {"n_classes": 4}],
    "ordinal": [{"n_classes": 2}, {"n_classes": 4}],
    "point_mass": [{"at": 1.5}],
    "student_t": [{}, {"df": 12.0}],
    "skew_normal": [{}, {"shape": 2.0}],
    "burr": [{}, {"shape": 0.1}],
    "generalized_pareto": [{}, {"shape": 0.1}],
    "tweedie": [
        {"power": 1.5},
        {"power": 1.1},
        {"power": 1.9},
        {"power": "estimate", "dispersion_at": 2.0},
    ],
    "uniform": [{"low": -1.0, "high": 2.5}],
}
# Moments are finite, and what is beyond the last node is next to nothing.
POWER_TAILS, TAILS = ("burr", "generalized_pareto"), np.log([[0.05], [0.08]])
POSITIVE_LINKS = {"inverse", "inverse_squared"}
NEEDS_POSITIVE = {("gamma", "identity")}
# Where the curvature of EM steps is not the expected information: for a reason given there.
APPROXIMATE = {
    "beta_binomial",
    "generalized_poisson",
    "laplace",
    "negative_binomial",
    "tweedie",
}
CONTINUOUS_TAILS = np.array([1e-13, 1e-10, 1e-7, 1e-5, 1e-3, 0.02])


class Case(NamedTuple):
    """A family at the heads of two experts, arrays (2, 1)."""

    family: Expert
    heads: tuple[np.ndarray, ...]

    def expert(self, row: int) -> tuple[np.ndarray, ...]:
        return tuple(head[row : row + 1] for head in self.heads)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw y, half of it from either expert, so that both see likely and unlikely rows."""
        both = np.broadcast_to(self.family.sample_rows(self.heads, rng, n), (2, n))
        return np.where(np.arange(n) % 2 == 0, both[0], both[-1])


def make_cases() -> list[Case]:
    cases = []
    for name, cls in FAMILIES.items():
        for link in cls.links or (None,):
            for options in OPTIONS.get(name, [{}]):
                family = cls(**options) if link is None else cls(link=link, **options)
                cases.append(Case(family, heads_of(family, link)))
    return cases


def heads_of(family: Expert, link: str | None) -> tuple[np.ndarray, ...]:
    is_positive = link in POSITIVE_LINKS or (family.name, link) in NEEDS_POSITIVE
    location = POSITIVE if is_positive else LOCATION
    # 12 and 16 degrees of freedom, or thresholds e**0.2 and e**0.5 apart.
    shapes = {"student_t": np.log([[12.0], [16.0]]), "skew_normal": np.array([[2.0], [-3.0]])}
    shapes["tweedie"] = np.array([[1.3], [1.7]])
    shapes |= dict.fromkeys(POWER_TAILS, TAILS)
    shape = shapes.get(family.name, np.array([[0.2], [0.5]]))
    # Beta densities of little precision have poles at which 1 - y has no digits.
    dispersion = DISPERSION - 2.0 if family.name == "beta" else DISPERSION
    by_kind = {"location": location, "dispersion": dispersion, "shape": shape}
    factor = 0.7 if family.target == "classes" else 1.0  # heads of a kind, but not alike
    return tuple(by_kind[head.kind] * factor**a for a, head in enumerate(family.heads))


CASES = make_cases()
NUMBERS = [case for case in CASES if case.family.target != "classes"]
FITTED = [case for case in CASES if case.heads]


def of(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: repr(case.family))


def nodes(case: Case, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and weights such that sums of weight * density are integrals over y.

    Discrete families: every value but 1e-14 of the mass. Continuous: 60 Gauss-Legendre nodes
    between each two of 15 quantiles, on a log scale where y > 0; 2e-13 of the mass is left aside.
    """
    family, heads = case.family, case.expert(row)
    if family.target == "classes":
        y = np.arange(float(family.n_classes))
        return y, np.ones_like(y)
    if family.name == "point_mass":
        return np.array([1.5]), np.ones(1)
    if family.is_discrete:
        last = family.quantile(np.array([[1.0 - 1e-14]]), heads).item()
        y = np.arange(family.support_limits[0], last + 1.0) if last < np.inf else None
        return y, np.ones_like(y)
    y, weight = continuous_nodes(case, row)
    if family.find_unsupported(np.zeros(1)) | (family.name != "tweedie"):
        return y, weight
    return np.r_[0.0, y], np.r_[1.0, weight]


def edges(case: Case, row: int) -> np.ndarray:
    q = np.r_[CONTINUOUS_TAILS, 0.25, 0.5, 0.75, 1.0 - CONTINUOUS_TAILS[::-1]]
    if case.family.name == "uniform":
        q = np.r_[0.0, 0.25, 1.0]
    if case.family.name == "laplace":
        corners = 0.5 * np.expm1(-1e-4)  # where the kink's parabola ends
        q = np.r_[q[q < 0.5], 0.5 + corners, 0.5 - corners, q[q > 0.5]]
    if case.family.name == "tweedie":
        at_zero = case.family.cdf(np.zeros(1), case.expert(row)).item()
        q = at_zero + (1.0 - at_zero) * q
    return case.family.quantile(q[None], case.expert(row))[0]


def continuous_nodes(case: Case, row: int) -> tuple[np.ndarray, np.ndarray]:
    at, weight = np.polynomial.legendre.leggauss(60)
    is_positive = case.family.support_limits == (0.0, np.inf)
    ends = np.log(edges(case, row)) if is_positive else edges(case, row)
    half = 0.5 * np.diff(ends)[:, None]
    y, weights = (ends[:-1, None] + half * (1.0 + at)).ravel(), (half * weight).ravel()
    return (np.exp(y), weights * np.exp(y)) if is_positive else (y, weights)


def density(case: Case, row: int, y: np.ndarray) -> np.ndarray:
    return np.exp(case.family.log_density(y, case.expert(row)))[0]


# Nodes leave 2e-13 of the mass aside, and the Laplace cdf that places them is 2e-9 off.
TOTAL_TOL = 1e-8


@of(CASES)
@pytest.mark.parametrize("row", [0, 1])
def test_density_adds_up_to_one(case, row):
    y, weight = nodes(case, row)
    assert (density(case, row, y) * weight).sum() == pytest.approx(1.0, abs=TOTAL_TOL)


@of(NUMBERS)
@pytest.mark.parametrize("row", [0, 1])
def test_mean_and_variance_are_those_of_the_density(case, row):
    y, weight = nodes(case, row)
    mass = density(case, row, y) * weight
    heads = case.expert(row)
    mean = (mass * y).sum()
    variance = (mass * (y - mean) ** 2).sum()
    # Tails of 1e-13 hold up to 1e-6 of the variance of a t with 12 degrees of freedom.
    np.testing.assert_allclose(case.family.mean(heads), mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(case.family.variance(heads), variance, rtol=1e-5, atol=1e-12)


@of([case for case in CASES if case.family.target == "classes"])
def test_mean_of_classes_are_their_probabilities(case):
    for c, mean in enumerate(case.family.mean(case.heads)):
        expected = np.exp(case.family.log_density(np.array([float(c)]), case.heads))
        np.testing.assert_allclose(mean, expected, rtol=1e-12)


DISCRETE = [case for case in FITTED if case.family.is_discrete]


@of(DISCRETE)
def test_discrete_cdf_sums_and_quantile_is_least(case):
    for row in range(2):
        y, _ = nodes(case, row)
        heads = case.expert(row)
        cdf = case.family.cdf(y, heads)[0]
        # Incomplete gamma and beta functions are good to some 1e-14.
        np.testing.assert_allclose(cdf, np.cumsum(density(case, row, y)), atol=1e-12)
        np.testing.assert_allclose(case.family.cdf(y + 0.5, heads)[0], cdf)
        assert case.family.cdf(y[:1] - 1.0, heads).item() == 0.0
        q = np.array([[1e-6, 0.1, 0.3, 0.5, 0.8, 0.99]])
        found = case.family.quantile(q, heads)[0]
        np.testing.assert_array_equal(found, y[np.argmax(cdf >= q.T, axis=1)])
        reached = case.family.quantile(cdf[None, :3], heads)[0]
        np.testing.assert_array_equal(reached, y[:3][: len(reached)])


CONTINUOUS = [case for case in NUMBERS if not case.family.is_discrete]


@of(CONTINUOUS)
def test_continuous_cdf_is_the_integral_and_quantile_its_inverse(case):
    for row in range(2):
        y, weight = continuous_nodes(case, row)
        ends, heads = edges(case, row), case.expert(row)
        parts = (density(case, row, y) * weight).reshape(len(ends) - 1, -1).sum(axis=1)
        cdf = case.family.cdf(ends, heads)[0]
        np.testing.assert_allclose(np.diff(cdf), parts, atol=TOTAL_TOL)
        q = np.array([[1e-8, 1e-3, 0.2, 0.5, 0.9, 0.9999]])
        reached = case.family.cdf(case.family.quantile(q, heads)[0], heads)
        at_zero = case.family.cdf(np.zeros(1), heads).item() if case.family.name == "tweedie" else 0
        # A quantile near -1, the end of a uniform, is itself rounded by 1e-16.
        np.testing.assert_allclose(reached, np.maximum(q, at_zero), rtol=1e-10, atol=1e-15)


@of(CONTINUOUS)
def test_quantiles_at_the_ends_are_the_limits(case):
    heads = case.expert(0)
    found = case.family.quantile(np.array([[0.0, 1.0]]), heads)[0]
    limits = (-1.0, 2.5) if case.family.name == "uniform" else case.family.support_limits
    np.testing.assert_array_equal(found, limits)


# Derivatives.


@of(FITTED)
def test_derivatives_agree_with_differences(case, rng):
    y = case.draw(rng, 40)
    if case.family.name == "laplace":  # differences across the ends of the parabola are no use
        t = (y - case.heads[0]) * np.exp(-0.5 * case.heads[1])
        y = np.r_[y[np.all(np.abs(np.abs(t) - 1e-4) > 5e-5, axis=0)], case.heads[0][:, 0]]
    assert check_derivatives(case.family, y, case.heads) < 1e-5


@of(FITTED)
def test_density_and_derivatives_in_one_go_are_those_one_by_one(case, rng):
    y = case.draw(rng, 40)
    log_kernel, found = case.family.evaluate(y, case.heads)
    np.testing.assert_allclose(log_kernel, case.family.log_kernel(y, case.heads), rtol=1e-12)
    expected = case.family.derivatives(y, case.heads)
    for one, other in zip(found.score, expected.score, strict=True):
        # A score near zero is what is left of numbers of the size of the others.
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13 * np.abs(other).max())
    assert found.curvature.keys() == expected.curvature.keys()
    for pair, curvature in expected.curvature.items():
        np.testing.assert_allclose(found.curvature[pair], curvature, rtol=1e-12)


@of(FITTED)
def test_one_dispersion_per_expert_and_one_per_row_are_evaluated_alike(case, rng):
    # Columns, as experts without dispersion features have, take shorter ways in some families.
    y, kinds = case.draw(rng, 300), [head.kind for head in case.family.heads]
    away = 0.2 * rng.standard_normal((2, 300))
    columns = tuple(
        head * np.exp(away) if kind == "location" else head
        for head, kind in zip(case.heads, kinds, strict=True)
    )
    rows = tuple(np.broadcast_to(head, (2, 300)).copy() for head in columns)
    (log_kernel, found), (expected_kernel, expected) = (
        case.family.evaluate(y, heads) for heads in (columns, rows)
    )
    np.testing.assert_allclose(log_kernel, expected_kernel, rtol=1e-11, atol=1e-12)
    for one, other in zip(found.score, expected.score, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13 * np.abs(other).max())
    observed = (case.family.observed_curvature(y, heads) for heads in (columns, rows))
    for few, many in ((found.curvature, expected.curvature), tuple(observed)):
        assert few.keys() == many.keys()
        for pair, curvature in many.items():
            together = np.broadcast_arrays(few[pair], curvature)
            np.testing.assert_allclose(*together, rtol=1e-9, atol=1e-12 * np.abs(curvature).max())


@of(FITTED)
def test_families_that_say_so_step_by_their_observed_curvature(case, rng):
    y = case.draw(rng, 40)
    observed = case.family.observed_curvature(y, case.heads)
    found = case.family.evaluate(y, case.heads)[1].curvature
    is_same = found.keys() == observed.keys() and all(
        np.allclose(found[pair], observed[pair], rtol=1e-12) for pair in found
    )
    assert is_same or not case.family.has_observed_curvature


@pytest.mark.parametrize("name", ["log_kernel", "derivatives", "mean", "observed_curvature"])
def test_shortcuts_are_not_inherited_with_another_density(name):
    redefined = type("Redefined", (Poisson,), {name: getattr(Poisson, name)})
    assert Poisson.has_observed_curvature
    assert not redefined.has_observed_curvature
    assert (redefined.evaluate is Poisson.evaluate) == (name == "observed_curvature")


def test_logistic_keeps_its_digits_in_both_tails():
    eta = np.array([[-800.0, -300.0, -40.0, -1e-9, 0.0, 40.0, 300.0, 800.0]])
    log_kernel, found = Logistic().evaluate(np.zeros(8), (eta,))
    np.testing.assert_allclose(log_kernel, -np.logaddexp(0.0, eta), rtol=1e-14, atol=1e-300)
    decay = np.exp(-np.abs(eta))
    np.testing.assert_allclose(found.curvature[0, 0], decay / (1.0 + decay) ** 2, 1e-14, 1e-300)
    mean = np.where(eta < 0.0, decay, 1.0) / (1.0 + decay)
    np.testing.assert_allclose(found.score[0], -mean, rtol=1e-14, atol=1e-300)


@of(FITTED)
def test_several_starts_are_evaluated_as_each_alone(case, rng):
    y = case.draw(rng, 30)
    shifts = (0.0, 0.05, -0.05)
    together = tuple(np.stack([head + s for s in shifts], axis=1) for head in case.heads)
    log_kernel, found = case.family.evaluate(y, together)
    observed = case.family.observed_curvature(y, together)
    for at, s in enumerate(shifts):
        alone = tuple(head + s for head in case.heads)
        expected_kernel, expected = case.family.evaluate(y, alone)
        np.testing.assert_allclose(log_kernel[:, at], expected_kernel, rtol=1e-12)
        for one, other in zip(found.score, expected.score, strict=True):
            assert_same_row(one, other, at)
        for several, single in (
            (found.curvature, expected.curvature),
            (observed, case.family.observed_curvature(y, alone)),
        ):
            assert several.keys() == single.keys()
            for pair, curvature in single.items():
                assert_same_row(several[pair], curvature, at)


def assert_same_row(several, single, at):
    """Compare one start of (experts, starts, rows) with (experts, rows); both may be constant."""
    one = several[:, at] if several.ndim == 3 else several
    np.testing.assert_allclose(*np.broadcast_arrays(one, single), rtol=1e-9, atol=1e-12)


def test_a_subclass_with_another_density_loses_the_shortcut():
    class Halved(Gaussian):
        def log_kernel(self, y, heads):
            return 0.5 * super().log_kernel(y, heads)

    y, heads = np.array([1.0, 2.0]), (np.zeros((1, 2)), np.zeros((1, 1)))
    np.testing.assert_array_equal(Halved().evaluate(y, heads)[0], -0.25 * y[None] ** 2)


@pytest.mark.parametrize(
    ("base", "part"),
    [
        (Gamma, "log_mean"),
        (Gamma, "log_ratio"),
        (InverseGaussian, "log_mean"),
        (InverseGaussian, "log_ratio"),
        (Gamma, "dispersion_terms"),
        (Multinomial, "class_logits"),
    ],
)
def test_a_subclass_with_another_part_of_the_density_is_evaluated_by_it(base, part, rng):
    def changed(self, *arguments):
        found = getattr(base, part)(self, *arguments)
        return tuple(2.0 * term for term in found) if isinstance(found, tuple) else 1.5 * found

    family, plain = type("Changed", (base,), {part: changed})(), base()
    y = np.array([1.0, 0.0, 1.0]) if base is Multinomial else rng.gamma(2.0, size=3)
    heads = tuple(np.full((2, 1), 0.3) + 0.1 * rng.standard_normal((2, 3)) for _ in plain.heads)
    heads = heads if base is Multinomial else (heads[0], heads[1][:, :1])
    log_kernel, found = family.evaluate(y, heads)
    np.testing.assert_allclose(log_kernel, family.log_kernel(y, heads), rtol=1e-12)
    for one, other in zip(found.score, family.derivatives(y, heads).score, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    terms, others = ((family, plain)[i].observed_curvature(y, heads)[0, 0] for i in (0, 1))
    assert np.allclose(terms, others) == (part == "dispersion_terms")


def test_usual_numbers_have_the_short_form(rng):
    y = rng.gamma(2.0, size=50)
    heads = 0.3 * rng.standard_normal((2, 50)), DISPERSION
    for base in (Gamma, InverseGaussian):
        assert base().usual_excesses(base, y, heads) is not None
        assert base().usual_excesses(base, y, (heads[0] + 100.0, DISPERSION)) is None
    counts = np.floor(y)
    assert _usual_terms(counts, heads) is not None
    assert _usual_terms(counts + 1e6, heads) is None


def test_sums_of_negative_binomial_densities_have_no_error_that_all_rows_share(rng):
    # EM takes what is more for a fall of the objective.
    for mean, log_dispersion in (
        (3.0, -0.5),
        (150.0, -2.0),
        (190.0, 1.0),
        (190.0, -6.0),
        (300.0, -5.0),
    ):
        size = np.exp(-log_dispersion)
        y = np.minimum(rng.negative_binomial(size, size / (size + mean), 4000), 4000.0)
        heads = np.full((1, 4000), np.log(mean)), np.full((1, 1), log_dispersion)
        found = NegativeBinomial().evaluate(y, heads)[0].sum()
        expected = NegativeBinomial().log_kernel(y, heads).sum()
        assert abs(found - expected) <= 1e-13 * (4000 + abs(expected))


def test_binomial_derivatives_with_trials_agree_with_differences(rng):
    trials = rng.integers(0, 30, 50).astype(float)
    y = np.stack([rng.binomial(trials.astype(int), 0.4), trials]).astype(float)
    for link in Binomial.links:
        assert check_derivatives(Binomial(link=link), y, (LOCATION,)) < 1e-5


@of(FITTED)
@pytest.mark.parametrize("row", [0, 1])
def test_scores_average_to_zero_and_their_squares_to_the_information(case, row):
    y, weight = nodes(case, row)
    mass, heads = density(case, row, y) * weight, case.expert(row)
    found, observed = case.family.derivatives(y, heads), case.family.observed_curvature(y, heads)
    for a in range(len(heads)):
        assert (mass * found.score[a]).sum() == pytest.approx(0.0, abs=2e-5)
        for b in range(a, len(heads)):
            squares = (mass * found.score[a] * found.score[b]).sum()
            information = (mass * observed.get((a, b), 0.0)).sum()
            # Scores grow towards the ends of the support, of which 1e-13 is left aside.
            np.testing.assert_allclose(squares, information, rtol=1e-4, atol=2e-5)
            in_steps = found.curvature.get((a, b))
            if in_steps is not None and case.family.name not in APPROXIMATE:
                np.testing.assert_allclose(
                    (mass * in_steps).sum(), information, rtol=1e-4, atol=2e-5
                )


@pytest.mark.parametrize("family", [NegativeBinomial(), Tweedie(1.1), Tweedie(), Tweedie(1.9)])
def test_approximate_information_never_overshoots(family):
    # Steps of score / curvature converge while the curvature is above half of the information.
    for log_mean in (-2.0, 2.0):
        for log_dispersion in (-3.0, 0.0, 2.0):
            heads = np.full((1, 1), log_mean), np.full((1, 1), log_dispersion)
            case = Case(family, heads)
            y, weight = nodes(case, 0)
            mass = density(case, 0, y) * weight
            information = (mass * family.observed_curvature(y, heads)[1, 1]).sum()
            curvature = (mass * family.derivatives(y, heads).curvature[1, 1]).sum()
            assert 0.5 * information < curvature < 4.0 * information, (heads, information)


@of(FITTED)
def test_curvature_of_steps_is_complete_and_not_negative(case, rng):
    y, kinds = case.draw(rng, 60), [head.kind for head in case.family.heads]
    found = case.family.derivatives(y, case.heads)
    assert len(found.score) == len(kinds)
    for a in range(len(kinds)):
        assert np.all(np.asarray(found.curvature[a, a]) >= 0.0)
    for a, b in found.curvature:
        assert kinds[a] == kinds[b]
        assert a <= b


@of(FITTED)
def test_shapes_do_not_matter_to_elements(case, rng):
    y = case.draw(rng, 5)
    wide = tuple(np.repeat(head, 5, axis=1) for head in case.heads)
    kept = [head.copy() for head in wide], y.copy()
    narrow = case.family.derivatives(y, case.heads)
    spread = case.family.derivatives(y, wide)
    for a in range(len(wide)):
        assert narrow.score[a].shape == (2, 5)
        # Vectorised and scalar loops of NumPy may differ in the last bits.
        np.testing.assert_allclose(narrow.score[a], spread.score[a], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        case.family.log_kernel(y, case.heads) + case.family.log_base(y),
        case.family.log_density(y, wide),
        rtol=1e-12,
    )
    for a, b in case.family.observed_curvature(y, case.heads):
        assert np.broadcast_shapes((2, 5), case.family.observed_curvature(y, wide)[a, b].shape) == (
            2,
            5,
        )
    for before, after in zip(kept[0], wide, strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(kept[1], y)


EXTREMES = np.array([-700.0, -100.0, -30.0, 0.0, 30.0, 100.0, 700.0])


@of(FITTED)
def test_extreme_heads_give_no_nan(case, rng):
    y = case.draw(rng, 6)
    grids = np.meshgrid(*[EXTREMES] * len(case.heads), indexing="ij")
    heads = tuple(grid.reshape(-1, 1) for grid in grids)
    log_density = case.family.log_density(y, heads)
    assert not np.isnan(log_density).any()
    assert not np.isposinf(log_density).any()
    found = case.family.derivatives(y, heads)
    for values in (*found.score, *found.curvature.values()):
        assert np.isfinite(values).all()
    for values in case.family.observed_curvature(y, heads).values():
        assert np.isfinite(values).all()
    if case.family.name != "multinomial":
        assert not np.isnan(case.family.mean(heads)).any()
    if case.family.target != "classes":
        assert not np.isnan(case.family.variance(heads)).any()


# Sampling: 5 standard errors, a false alarm in one of 1.7 million draws.
N_DRAWS = 20_000


@of(NUMBERS)
def test_sampled_mean_and_variance(case, rng):
    draws = np.broadcast_to(case.family.sample_rows(case.heads, rng, N_DRAWS), (2, N_DRAWS))
    assert not case.family.find_unsupported(draws.ravel()).any()
    mean = np.broadcast_to(case.family.mean(case.heads), (2, 1))
    variance = np.broadcast_to(case.family.variance(case.heads), (2, 1))
    squares = (draws - mean) ** 2
    error = 5.0 * np.sqrt(variance[:, 0] / N_DRAWS)
    assert np.all(np.abs(draws.mean(axis=1) - mean[:, 0]) <= error)
    error = 5.0 * squares.std(axis=1) / np.sqrt(N_DRAWS)
    assert np.all(np.abs(squares.mean(axis=1) - variance[:, 0]) <= error + 1e-12)


@of([case for case in CASES if case.family.target == "classes"])
def test_sampled_classes(case, rng):
    draws = case.family.sample_rows(case.heads, rng, N_DRAWS)
    for c, mean in enumerate(case.family.mean(case.heads)):
        share = (draws == c).mean(axis=1)
        error = 5.0 * np.sqrt(mean * (1.0 - mean) / N_DRAWS)[:, 0]
        assert np.all(np.abs(share - mean[:, 0]) <= error)


# Starts.


@of(CASES)
def test_start_is_finite_and_weights_are_repeated_rows(case, rng):
    y = case.draw(rng, 200)
    weight = rng.integers(0, 4, 200).astype(float)
    start = case.family.start(y, weight)
    assert len(start) == len(case.family.heads)
    assert np.isfinite(start).all()
    repeated = np.repeat(y, weight.astype(int))
    other = case.family.start(repeated, np.ones_like(repeated))
    np.testing.assert_allclose(start, other, rtol=1e-9)
    for head, value in zip(case.family.heads, start, strict=True):
        assert head.lower <= value <= head.upper


@of([case for case in NUMBERS if case.heads])
def test_start_is_close_to_the_truth(case, rng):
    heads = case.expert(0)
    y = case.family.sample_rows(heads, rng, 4000)[0]
    found = case.family.start(y, np.ones_like(y))
    # Moments, medians and a guess of the degrees of freedom: starts, not estimates.
    np.testing.assert_allclose(found[0], heads[0].item(), atol=0.3)
    if len(found) > 1:
        np.testing.assert_allclose(found[1], heads[1].item(), atol=0.6)


@of(FITTED)
def test_start_of_constant_y_is_finite(case):
    y = np.ones(10)
    if not case.family.find_unsupported(y).any():
        assert np.isfinite(case.family.start(y, np.ones(10))).all()
    if not case.family.find_unsupported(0.0 * y).any():
        assert np.isfinite(case.family.start(0.0 * y, np.ones(10))).all()


# Reference densities.


def reference(case: Case, y: np.ndarray) -> np.ndarray:
    """Return log densities from SciPy's distributions."""
    family, heads = case.family, case.heads
    if not heads:
        if family.name == "uniform":
            return stats.uniform.logpdf(y, -1.0, 3.5)[None]
        return np.where(y == 1.5, 0.0, -np.inf)[None]
    inverse = {
        "identity": lambda eta: eta,
        "log": np.exp,
        "inverse": lambda eta: 1.0 / eta,
        "inverse_squared": lambda eta: eta**-0.5,
        "logit": expit,
        "probit": stats.norm.cdf,
        "cloglog": lambda eta: 1.0 - np.exp(-np.exp(eta)),
    }[getattr(family, "link", "logit")]
    mean = inverse(heads[0])
    dispersion = np.exp(heads[1]) if family.has_dispersion else np.ones_like(mean)
    if family.name == "tweedie":
        power = family.power_of(heads)
        dispersion = dispersion * (family.dispersion_at or 1.0) ** (2.0 - power)
        return tweedie_reference(power, y, mean, dispersion)
    return REFERENCES[family.name](family, y, mean, dispersion)


def multinomial_reference(family, y, heads):
    logits = np.stack([contrast(family.n_classes) @ row for row in np.hstack(heads)])
    return log_softmax(logits, axis=1)[:, y.astype(int)]


def ordinal_reference(family, y, heads):
    cdf = expit if family.link == "logit" else ndtr
    steps = [np.zeros((2, 1)), *(np.exp(head) for head in heads[1:])]
    reached = cdf(np.cumsum(np.hstack(steps), axis=1) - heads[0])
    ends = np.hstack([np.zeros((2, 1)), reached, np.ones((2, 1))])
    return np.log(np.diff(ends, axis=1))[:, y.astype(int)]


def tweedie_reference(p, y, mean, dispersion):
    """Series by Wright's Bessel function: Dunn & Smyth (2005), eq. 9."""
    index = (2.0 - p) / (p - 1.0)
    power = mean ** (1.0 - p) / (1.0 - p) * y - mean ** (2.0 - p) / (2.0 - p)
    inside = np.where(y > 0.0, y, 1.0)
    log_z = index * np.log(inside / (p - 1.0)) - (1.0 + index) * np.log(dispersion)
    series = wright_bessel(index, 0.0, np.exp(log_z) / (2.0 - p))
    return np.where(y > 0.0, np.log(series) - np.log(inside), 0.0) + power / dispersion


def student_reference(family, y, mean, dispersion, df):
    return stats.t.logpdf(y, df, mean, np.sqrt(dispersion))


def power_tail_reference(family, y, heads):
    shape = family.shape or np.exp(heads[-1])
    if family.name == "generalized_pareto":
        return stats.genpareto.logpdf(y, shape, scale=np.exp(heads[0]))
    dispersion = np.exp(heads[1])
    scale = np.exp(heads[0]) * shape**-dispersion
    return stats.burr12.logpdf(y, 1.0 / dispersion, 1.0 / shape, scale=scale)


def generalized_poisson_reference(y, mean, dispersion):
    theta, share = mean / (1.0 + dispersion), dispersion / (1.0 + dispersion)
    rate = theta + share * y
    return np.log(theta) + (y - 1.0) * np.log(rate) - rate - gammaln(y + 1.0)


REFERENCES = {
    "gaussian": lambda f, y, m, d: stats.norm.logpdf(y, m, np.sqrt(d)),
    "beta_binomial": lambda f, y, m, d: stats.betabinom.logpmf(y, 1, m / d, (1.0 - m) / d),
    "laplace": lambda f, y, m, d: stats.laplace.logpdf(y, m, np.sqrt(d)),
    "lognormal": lambda f, y, m, d: stats.lognorm.logpdf(y, np.sqrt(d), scale=np.exp(m)),
    "gamma": lambda f, y, m, d: stats.gamma.logpdf(y, 1.0 / d, scale=m * d),
    "inverse_gaussian": lambda f, y, m, d: stats.invgauss.logpdf(y, m * d, scale=1.0 / d),
    "weibull": lambda f, y, m, d: stats.weibull_min.logpdf(y, 1.0 / d, scale=m),
    "beta": lambda f, y, m, d: stats.beta.logpdf(y, m / d, (1.0 - m) / d),
    "poisson": lambda f, y, m, d: stats.poisson.logpmf(y, m),
    "negative_binomial": lambda f, y, m, d: stats.nbinom.logpmf(y, 1.0 / d, 1.0 / (1.0 + d * m)),
    "generalized_poisson": lambda f, y, m, d: generalized_poisson_reference(y, m, d),
    "zero_truncated_poisson": lambda f, y, m, d: (
        stats.poisson.logpmf(y, m) - np.log(1.0 - np.exp(-m))
    ),
    "binomial": lambda f, y, m, d: stats.binom.logpmf(y, 1, m),
    "logistic": lambda f, y, m, d: stats.bernoulli.logpmf(y, m),
}


@of(CASES)
def test_log_density_equals_the_reference(case, rng):
    y = case.draw(rng, 50)
    name, found = case.family.name, case.family.log_density(y, case.heads)
    if name == "multinomial":
        expected = multinomial_reference(case.family, y, case.heads)
    elif name == "ordinal":
        expected = ordinal_reference(case.family, y, case.heads)
    elif name == "student_t":
        df = case.family.df or np.exp(case.heads[2])
        expected = student_reference(case.family, y, case.heads[0], np.exp(case.heads[1]), df)
    elif name == "skew_normal":
        shape = case.family.shape or case.heads[2]
        scale = np.exp(0.5 * case.heads[1])
        expected = stats.skewnorm.logpdf(y, shape, case.heads[0], scale)
    elif name in POWER_TAILS:
        expected = power_tail_reference(case.family, y, case.heads)
    else:
        expected = reference(case, y)
    # The rounded kink of the Laplace density is within 4e-9 away from the kink.
    tol = 1e-8 if name == "laplace" else 1e-10
    np.testing.assert_allclose(found, expected, rtol=tol, atol=tol)


def test_binomial_with_trials_equals_the_reference():
    trials = np.array([0.0, 1.0, 5.0, 40.0])
    y = np.stack([[0.0, 1.0, 2.0, 37.0], trials])
    heads = (np.array([[-0.4], [0.7]]),)
    for link in Binomial.links:
        family = Binomial(link=link)
        mean = family.mean(heads)
        expected = stats.binom.logpmf(y[0], trials.astype(int), mean)
        np.testing.assert_allclose(family.log_density(y, heads), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            family.cdf(y, heads), stats.binom.cdf(y[0], trials.astype(int), mean), rtol=1e-12
        )
        q = np.array([[0.05, 0.4, 0.5, 0.9]])
        np.testing.assert_array_equal(
            family.quantile(q, heads, trials=trials),
            np.maximum(stats.binom.ppf(q, trials.astype(int), mean), 0.0),
        )
        np.testing.assert_allclose(
            family.variance(heads, trials=trials), trials * mean * (1.0 - mean)
        )
        draws = family.sample(heads, np.random.default_rng(0), trials=trials)
        assert np.all(draws <= trials)


@of(FITTED)
def test_reflections_are_experts_of_the_same_mean_and_variance(case):
    family, n_made = case.family, 0
    for reflected in family.reflections(case.heads):
        assert [own.shape for own in reflected] == [own.shape for own in case.heads]
        np.testing.assert_allclose(family.mean(reflected), family.mean(case.heads), rtol=1e-12)
        variance = family.variance(case.heads)
        np.testing.assert_allclose(family.variance(reflected), variance, rtol=1e-12)
        n_made += 1
    is_skewed = isinstance(family, SkewNormal) and family.shape is None
    assert n_made == (2 if is_skewed else 0)


# Limits of families, where naive formulas cancel.


def test_special_functions_equal_scipys_where_those_are_exact():
    # SciPy's lose a factor of 100 by cancellation; from 10 on series take over: both sides agree.
    a = np.r_[1e-8, 1e-3, 0.1, 0.5, 1.0, 3.0, 9.999, 10.0, 11.9, 19.999, 20.0, 25.0, 40.0]
    stirling = gammaln(a) - (a - 0.5) * np.log(a) + a - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(stirling_error(a), stirling, rtol=1e-10)
    np.testing.assert_allclose(digamma_gap(a), np.log(a) - digamma(a), rtol=1e-12)
    np.testing.assert_allclose(trigamma_gap(a), a * polygamma(1, a) - 1.0, rtol=1e-12)
    np.testing.assert_allclose(stirling_error(np.array([1e9])), 1.0 / 12e9, rtol=1e-15)
    excess = np.array([-0.9, -0.01, -1e-3, 1e-12, 0.00999, 0.01, 3.0])
    exact = np.log1p(excess) - excess
    np.testing.assert_allclose(log_excess(excess, 1.0 + excess), exact, rtol=1e-10, atol=1e-18)
    assert log_excess(np.array([1e-12]), np.array([1.0])).item() == pytest.approx(-5e-25, rel=1e-10)


def test_negative_binomial_is_poisson_at_its_least_dispersion():
    y, heads = np.array([0.0, 1.0, 7.0, 30.0]), (np.array([[-3.0], [0.0], [2.5]]),)
    floor = np.full((3, 1), NegativeBinomial().heads[1].lower)
    found = NegativeBinomial().log_density(y, (*heads, floor))
    # They differ by ((y - mean)**2 - y) / 2 times the dispersion of 1e-10.
    expected = Poisson().log_density(y, heads)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-10 * 500.0)
    score = NegativeBinomial().derivatives(y, (*heads, floor)).score[1]
    mean = np.exp(heads[0])
    first_order = 0.5e-10 * ((y - mean) ** 2 - y)
    np.testing.assert_allclose(score, first_order, rtol=1e-5, atol=1e-17)


@pytest.mark.parametrize("name", ["gamma", "beta"])
def test_small_dispersions_are_gaussian_to_ten_digits(name):
    # With dispersion 1e-8, log f(mean) = -log(2 pi variance) / 2 - O(dispersion).
    heads = np.array([[0.3]]), np.array([[np.log(1e-8)]])
    family = FAMILIES[name]()
    found = family.log_density(family.mean(heads)[0], heads).item()
    expected = -0.5 * np.log(2.0 * np.pi * family.variance(heads).item())
    assert found == pytest.approx(expected, abs=3e-8)
    shifted = family.mean(heads)[0] + 2.0 * np.sqrt(family.variance(heads)[0])
    # The skewness of 2e-4 enters with (z**3 - 3 z) / 6 = 1/3.
    assert family.log_density(shifted, heads).item() == pytest.approx(expected - 2.0, abs=1e-4)


def test_tweedie_coarse_nodes_agree_with_every_integer():
    # Up to 1 000 jumps Wright's function still has finite values to compare with.
    for power in (1.05, 1.3, 1.5, 1.8, 1.95):
        for log_dispersion in np.linspace(-3.0, 2.0, 11):
            case = Case(Tweedie(power), (LOCATION, np.full((2, 1), log_dispersion)))
            y = np.array([1e-3, 0.1, 0.9, 1.0, 3.0, 12.0])
            with np.errstate(all="ignore"):
                expected = reference(case, y)
            known = np.isfinite(expected)
            assert known.any()
            np.testing.assert_allclose(
                case.family.log_density(y, case.heads)[known], expected[known], rtol=1e-8, atol=1e-8
            )


def test_zero_truncated_poisson_is_stable_for_small_rates():
    family, rate = FAMILIES["zero_truncated_poisson"](), 1e-9
    heads = (np.array([[np.log(rate)]]),)
    assert family.log_density(np.array([1.0]), heads).item() == pytest.approx(-rate / 2, rel=1e-6)
    assert family.variance(heads).item() == pytest.approx(rate / 2, rel=1e-8)
    assert family.mean(heads).item() == pytest.approx(1.0 + rate / 2, rel=1e-14)


def test_student_t_with_many_degrees_is_gaussian():
    y, heads = np.linspace(-3.0, 3.0, 9), (np.zeros((1, 1)), np.zeros((1, 1)))
    found = StudentT(df=1e12).log_density(y, heads)
    # gammaln(df / 2) is 1e13, good to 1e-3 at best; this says how far df may be pushed.
    np.testing.assert_allclose(
        StudentT(df=1e5).log_density(y, heads), stats.norm.logpdf(y)[None], atol=1e-3
    )
    assert np.isfinite(found).all()


# Options, support, copies.

OUTSIDE = {
    "gaussian": [np.nan, np.inf],
    "student_t": [np.nan, -np.inf],
    "skew_normal": [np.nan, np.inf],
    "laplace": [np.nan],
    "lognormal": [0.0, -1.0, np.inf],
    "gamma": [0.0, -1.0, np.nan],
    "inverse_gaussian": [0.0, -1.0],
    "weibull": [0.0, -1.0],
    "burr": [0.0, -1.0],
    "generalized_pareto": [0.0, -1e-9, np.nan],
    "tweedie": [-1e-9, np.nan],
    "beta": [0.0, 1.0, -0.1, np.nan],
    "poisson": [-1.0, 0.5, np.nan, np.inf],
    "negative_binomial": [-1.0, 0.5],
    "generalized_poisson": [-1.0, 0.5, np.nan],
    "zero_truncated_poisson": [0.0, 1.5, -1.0],
    "binomial": [0.5, 2.0, -1.0, np.nan],
    "beta_binomial": [0.5, 2.0, -1.0, np.nan],
    "point_mass": [np.nan],
    "uniform": [np.inf],
    "logistic": [0.5, 2.0],
    "multinomial": [0.5, 2.0, -1.0],
    "ordinal": [0.5, 2.0, -1.0],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_values_outside_of_the_support_are_found(name):
    family = FAMILIES[name]()
    inside = np.array([0.5]) if name == "beta" else np.array([1.0])
    y = np.r_[inside, OUTSIDE[name]]
    np.testing.assert_array_equal(family.find_unsupported(y), np.arange(len(y)) > 0)
    assert family.support


def test_more_successes_than_trials_are_found():
    y = np.array([[1.0, 3.0, 0.0, 1.0], [2.0, 2.0, 0.0, 1.5]])
    np.testing.assert_array_equal(Binomial().find_unsupported(y), [False, True, False, True])


@of(CASES)
def test_clone_pickle_and_repr(case):
    family = case.family
    for copy in (
        clone(family),
        pickle.loads(pickle.dumps(family)),
        eval(repr(family), namespace()),
    ):
        assert type(copy) is type(family)
        assert copy.get_params() == family.get_params()
        assert copy.heads == family.heads
    family.check_options()


def namespace():
    return {cls.__name__: cls for cls in FAMILIES.values()}


@pytest.mark.parametrize("name", FAMILIES)
def test_family_stands_by_its_name_and_its_defaults_are_valid(name):
    family = FAMILIES[name]()
    assert family.name == name
    family.check_options()
    assert family.target in {"regression", "binary", "classes"}
    assert [head.kind for head in family.heads] == sorted(
        (head.kind for head in family.heads), key=["location", "dispersion", "shape"].index
    )
    if family.links:
        assert family.link == family.links[0]
        with pytest.raises(ValueError, match=r"'link'.*must be one of.*cube"):
            clone(family).set_params(link="cube").check_options()


@pytest.mark.parametrize(
    ("family", "option"),
    [
        (Tweedie(power=1.0), "power"),
        (Tweedie(power=2.5), "power"),
        (Tweedie(power="guess"), "power"),
        (StudentT(df=0.0), "df"),
        (StudentT(df=np.inf), "df"),
        (Gaussian(dispersion="mine"), "dispersion"),
        (Ordinal(n_classes=1), "n_classes"),
        (PointMass(at=np.nan), "at"),
        (Uniform(low=np.inf), "low"),
        (Uniform(low=1.0, high=1.0), "high"),
    ],
    ids=repr,
)
def test_invalid_options_are_refused(family, option):
    with pytest.raises(ValueError, match=f"'{option}' option"):
        family.check_options()


def test_uniform_takes_its_range_from_rows_with_weight():
    y, weight = np.array([5.0, -1.0, 2.0, 90.0]), np.array([1.0, 1.0, 2.0, 0.0])
    assert Uniform().fixed_to(y, weight).get_params() == {"low": -1.0, "high": 5.0}
    assert Uniform(low=0.0).fixed_to(y, weight).get_params() == {"low": 0.0, "high": 5.0}
    assert Gaussian().fixed_to(y, weight).get_params() == Gaussian().get_params()
    with pytest.raises(ValueError, match="needs a range"):
        Uniform().fixed_to(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="fixed_to"):
        Uniform().log_density(y, ())


@of([case for case in CASES if case.family.is_location_scale])
def test_location_scale_families_scale(case, rng):
    y, (location, log_dispersion, *shape) = case.draw(rng, 20), case.heads
    scaled = 2.0 + 10.0 * location, log_dispersion + 2.0 * np.log(10.0), *shape
    np.testing.assert_allclose(
        case.family.log_density(2.0 + 10.0 * y, scaled),
        case.family.log_density(y, case.heads) - np.log(10.0),
        rtol=1e-10,
    )


@of([case for case in CASES if case.family.has_mean_deviance_dispersion])
def test_best_dispersion_is_the_mean_deviance(case, rng):
    y, heads = case.draw(rng, 50), case.expert(0)
    score = case.family.derivatives(y, heads).score[1]
    best = heads[1] + np.log(np.mean(2.0 * score + 1.0))
    assert case.family.derivatives(y, (heads[0], best)).score[1].sum() == pytest.approx(
        0, abs=1e-10
    )


# Links.


@pytest.mark.parametrize("name", LINKS)
def test_links_invert_and_differentiate(name):
    link, eta = LINKS[name], np.linspace(0.2, 2.0, 7)
    mean = link.mean(eta)
    np.testing.assert_allclose(link.predictor(mean), eta, rtol=1e-12)
    step = 1e-5
    slope = (link.mean(eta + step) - link.mean(eta - step)) / (2.0 * step)
    np.testing.assert_allclose(link.mean_derivative(eta, mean), slope, rtol=1e-7)
    above, below = eta + step, eta - step
    bend = link.mean_derivative(above, link.mean(above))
    bend = (bend - link.mean_derivative(below, link.mean(below))) / (2.0 * step)
    np.testing.assert_allclose(link.mean_second_derivative(eta, mean), bend, rtol=1e-6, atol=1e-8)
    assert link.name == name
    for values in (link.mean(EXTREMES), link.mean_derivative(EXTREMES, link.mean(EXTREMES))):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", PROBABILITY_LINKS)
def test_probability_links_keep_their_tails(name):
    link, eta = PROBABILITY_LINKS[name], np.linspace(-3.0, 2.0, 9)
    np.testing.assert_allclose(link.log_mean(eta), np.log(link.mean(eta)), rtol=1e-12)
    np.testing.assert_allclose(link.log_complement(eta), np.log1p(-link.mean(eta)), rtol=1e-11)
    slope = link.mean_derivative(eta, link.mean(eta))
    gain, loss = link.rates(eta)
    np.testing.assert_allclose(gain, slope / link.mean(eta), rtol=1e-11)
    np.testing.assert_allclose(loss, slope / (1.0 - link.mean(eta)), rtol=1e-11)
    for values in (*link.rates(EXTREMES), *link.rate_derivatives(EXTREMES)):
        assert np.isfinite(values).all()
    assert np.isfinite(link.log_mean(EXTREMES)).all()


# Families of the user's own.


class Gumbel(NumericalExpert):
    """Extreme values: log f = -z - exp(-z) - log_scale with z = (y - location) / scale."""

    name = "gumbel"

    @property
    def heads(self):
        return Head("location", "location"), Head("log_scale", "dispersion", lower=-20.0)

    def log_kernel(self, y, heads):
        z = (y - heads[0]) * np.exp(-heads[1])
        return -z - np.exp(np.minimum(-z, 700.0)) - heads[1]

    def mean(self, heads):
        return heads[0] + np.euler_gamma * np.exp(heads[1])

    def cdf(self, y, heads):
        return np.exp(-np.exp(-(y - heads[0]) * np.exp(-heads[1])))


def test_a_family_of_ones_own_in_a_few_lines(rng):
    y, heads = rng.gumbel(2.0, 3.0, 500), (np.array([[2.0], [1.0]]), np.array([[0.5], [1.0]]))
    np.testing.assert_allclose(
        Gumbel().log_density(y, heads), stats.gumbel_r.logpdf(y, heads[0], np.exp(heads[1]))
    )
    z = (y - heads[0]) * np.exp(-heads[1])
    found = Gumbel().derivatives(y, heads)
    np.testing.assert_allclose(found.score[0], (1 - np.exp(-z)) * np.exp(-heads[1]), atol=1e-7)
    np.testing.assert_allclose(found.score[1], z * (1 - np.exp(-z)) - 1, rtol=1e-7, atol=1e-7)
    assert all(np.all(c > 0.0) for c in found.curvature.values())
    mixed = (1 - np.exp(-z) + z * np.exp(-z)) * np.exp(-heads[1])
    observed = Gumbel().observed_curvature(y, heads)
    np.testing.assert_allclose(observed[0, 1], mixed, rtol=1e-5, atol=1e-5)
    q = np.array([[0.01, 0.5, 0.99]])
    expected = stats.gumbel_r.ppf(q, heads[0], np.exp(heads[1]))
    np.testing.assert_allclose(Gumbel().quantile(q, heads), expected, rtol=1e-12)
    # Maximum likelihood: two parameters at 4 standard errors of 3 / sqrt(500) and 0.8 / sqrt(500).
    start = Gumbel().start(y, np.ones(500))
    np.testing.assert_allclose(start, [2.0, np.log(3.0)], atol=0.6)
    assert check_derivatives(Gumbel(), y, heads, tol=1e-4) < 1e-4


class WrongScore(Poisson):
    """A Poisson family that forgot to subtract the mean."""

    def derivatives(self, y, heads):
        found = super().derivatives(y, heads)
        return found._replace(score=(y + 0.0 * heads[0],))


class WrongCurvature(Poisson):
    """A Poisson family whose observed curvature is twice what it is."""

    def observed_curvature(self, y, heads):
        return {(0, 0): 2.0 * np.exp(heads[0])}


class NegativeCurvature(Poisson):
    """A Poisson family whose EM steps would go downhill."""

    def derivatives(self, y, heads):
        found = super().derivatives(y, heads)
        return found._replace(curvature={(0, 0): -np.exp(heads[0])})


@pytest.mark.parametrize(
    ("family", "text"),
    [
        (WrongScore(), "score of head 'location'"),
        (WrongCurvature(), "observed curvature of heads 0 and 0"),
        (NegativeCurvature(), "missing or negative"),
    ],
)
def test_wrong_derivatives_are_found(family, text):
    with pytest.raises(AssertionError, match=text):
        check_derivatives(family, np.array([0.0, 1.0, 4.0]), (LOCATION,))


def test_poisson_log_base_is_the_factorial():
    np.testing.assert_allclose(Poisson().log_base(np.array([4.0])), -gammaln(5.0))
