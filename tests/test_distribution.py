"""Contracts of the distribution at some rows, for every family and for lists of them.

Sums and integrals are taken over `nodes`, which experts' own quantiles place.
"""

import pickle

import numpy as np
import pytest
from mixtures import MIXTURES, N_ROWS, SLOW, Mixture
from scipy import stats


def _params(chosen: dict[str, Mixture]):
    return [
        pytest.param(mixture, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, mixture in chosen.items()
    ]


every_mixture = pytest.mark.parametrize("mixture", MIXTURES.values(), ids=MIXTURES)
# With Tweedie's only among the slow tests, for what takes thousands of nodes.
by_nodes = pytest.mark.parametrize("mixture", _params(MIXTURES))
LEVELS = np.array([1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0 - 1e-6])
_TAILS = np.array([1e-13, 1e-10, 1e-7, 1e-5, 1e-3, 0.02, 0.1, 0.25])
_INSIDE = np.r_[_TAILS, 0.5, 1.0 - _TAILS[::-1]]


def of(**chosen: bool):
    """Parametrise over mixtures with given properties of their block."""
    some = {
        name: mixture
        for name, mixture in MIXTURES.items()
        if all(bool(getattr(mixture.block, key)) == value for key, value in chosen.items())
    }
    return pytest.mark.parametrize("mixture", _params(some))


def kept(function):
    """Keep what a function says of the rows of mixtures, which do not change."""
    found = {}

    def keeping(mixture: Mixture, row: int):
        key = id(mixture.block), row
        if key not in found:
            found[key] = function(mixture, row)
        return found[key]

    return keeping


@kept
def edges_of(mixture: Mixture, row: int) -> np.ndarray:
    """Return quantiles of the experts that have a density, one after another."""
    block = mixture.block.take(np.array([row]))
    found = []
    for family in block.families:
        if not family.is_smooth:
            continue
        q = _INSIDE
        if family.family.name == "uniform":
            q = np.array([0.0, 0.5, 1.0])
        if family.family.name == "laplace":
            corners = 0.5 * np.expm1(-1e-4)
            q = np.r_[q[q < 0.5], 0.5 + corners, 0.5 - corners, q[q > 0.5]]
        if family.family.atoms:
            zero = family.cdf(np.zeros(1)).max()
            q = zero + (1.0 - zero) * q
        quantiles = family.family.quantile(q[None], family.heads)
        found.append(family.group.shift + family.group.scale * quantiles.ravel())
    found += [np.array([at]) for at in block.atoms if found]
    return np.unique(np.concatenate(found)) if found else np.empty(0)


@kept
def nodes(mixture: Mixture, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and weights whose sums with density or probability are integrals over y."""
    block = mixture.block.take(np.array([row]))
    singles = np.array(block.atoms)
    if block.has_integers:
        q = np.array([1.0 - 1e-15])
        last = max(family.bracket(q)[1].max() for family in block.families if family.has_integers)
        singles = np.union1d(singles, np.arange(0.0, last + 2.0))
    ends, at = edges_of(mixture, row), np.polynomial.legendre.leggauss(40)
    if len(ends) == 0:
        return singles, np.ones_like(singles)
    is_log = bool(ends[0] > 0.0)
    ends = np.log(ends) if is_log else ends
    half = 0.5 * np.diff(ends)[:, None]
    y, weight = (ends[:-1, None] + half * (1.0 + at[0])).ravel(), (half * at[1]).ravel()
    if is_log:
        y, weight = np.exp(y), weight * np.exp(y)
    return np.r_[y, singles], np.r_[weight, np.ones_like(singles)]


@kept
def mass_of(mixture: Mixture, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and the probability that each stands for."""
    y, weight = nodes(mixture, row)
    block = mixture.block.take(np.full(len(y), row))
    singles = block.mass(y)
    return y, np.where(singles > 0.0, singles, weight * block.density(y))


# Densities and moments.


@by_nodes
def test_density_and_probabilities_add_up_to_one(mixture):
    for row in range(N_ROWS):
        assert mass_of(mixture, row)[1].sum() == pytest.approx(1.0, abs=1e-8)


@by_nodes
def test_moments_are_those_of_the_density(mixture):
    within, between = mixture.dist.variance()[1:]
    np.testing.assert_allclose(mixture.dist.var(), within + between)
    np.testing.assert_allclose(mixture.dist.std() ** 2, mixture.dist.var())
    for row in range(N_ROWS):
        y, mass = mass_of(mixture, row)
        mean = (y * mass).sum()
        # As for families alone: tails that are left aside hold up to 1e-6 of a t's variance.
        assert mixture.dist.mean()[row] == pytest.approx(mean, rel=1e-6, abs=1e-6)
        variance = (mass * (y - mean) ** 2).sum()
        assert mixture.dist.var()[row] == pytest.approx(variance, rel=1e-5)


@every_mixture
def test_experts_alone_make_up_the_mixture_in_their_order(mixture):
    experts = mixture.dist.experts()
    heads = {int(leaf): one for one in mixture.block.families for leaf in one.group.leaves}
    weight = mixture.block.weight
    for k, expert in enumerate(experts):
        assert expert._blocks[0].families[0].family is heads[k].family
    for method, at in (("cdf", np.array([0.3, 1.0, 1.5, 2.0])), ("pdf", np.full(4, 1.0))):
        parts = np.array([getattr(expert, method)(at) for expert in experts])
        whole = getattr(mixture.dist, method)(at)
        np.testing.assert_allclose((weight * parts).sum(axis=0), whole, rtol=1e-12)


@by_nodes
def test_cdf_and_sf_are_sums_of_the_density(mixture):
    at = mixture.dist.ppf(LEVELS)
    cdf, sf = mixture.dist.cdf(at), mixture.dist.sf(at)
    np.testing.assert_allclose(cdf + sf, 1.0, atol=1e-12)
    for row in range(N_ROWS):
        y, mass = mass_of(mixture, row)
        singles = mixture.block.take(np.full(len(y), row)).mass(y) > 0.0
        jumps = mass[singles] @ (y[singles, None] <= at[row])
        if not singles.all():
            continue
        np.testing.assert_allclose(cdf[row], jumps, atol=1e-12)


@every_mixture
def test_pdf_is_that_of_density_and_probability(mixture):
    y = mixture.dist.ppf([0.2, 0.5, 0.8])
    for at in y.T:
        mass = mixture.block.mass(at)
        found = mixture.dist.pdf(at)
        # Values with a probability have no length, so that densities give them nothing.
        expected = np.where(mass > 0.0, mass, mixture.block.density(at))
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        np.testing.assert_allclose(np.log(found), mixture.dist.logpdf(at), rtol=1e-12, atol=1e-12)


# Quantiles.


@every_mixture
def test_quantile_is_the_least_y_that_reaches_the_level(mixture):
    found = mixture.dist.ppf(LEVELS)
    for q, y in zip(LEVELS, found.T, strict=True):
        mass = mixture.block.mass(y)
        reached = mixture.dist.cdf(y)
        is_single = mass > 0.0
        # Where y has a probability of its own, the level lies in what the cdf leaps over.
        assert np.all(reached >= q - 1e-10)
        assert np.all(reached - mass <= q + 1e-10)
        np.testing.assert_allclose(reached[~is_single], q, rtol=0.0, atol=1e-10)
        if mixture.block.has_integers and not mixture.block.is_smooth:
            assert np.all(reached >= q)
            assert np.all(mixture.dist.cdf(y - 0.5) < q)


@every_mixture
def test_small_tails_have_their_digits(mixture):
    small = np.array([1e-14, 1e-30, 1e-100, 1e-250])
    y = mixture.dist.ppf(small)
    assert np.all(np.diff(y, axis=1) <= 0.0)
    lower = mixture.block.bracket(np.zeros(N_ROWS)).lower
    assert np.all(np.isfinite(y) & (y >= lower[:, None]))
    for q, at in zip(small, y.T, strict=True):
        # Between its neighbours, for a y next to a limit has few digits of its own; families'
        # distribution functions are good to some 1e-13 of a small tail.
        below, above = np.nextafter(at, -np.inf), np.nextafter(at, np.inf)
        assert np.all(mixture.dist.cdf(above) >= q * (1.0 - 1e-9))
        assert np.all((mixture.dist.cdf(below) <= q * (1.0 + 1e-9)) | (at == lower))


@every_mixture
def test_quantiles_are_ordered_and_end_at_the_limits(mixture, rng):
    q = np.sort(np.r_[0.0, rng.uniform(size=20), 1e-300, 1.0 - 1e-16, 1.0])
    found = mixture.dist.ppf(q)
    assert np.all(np.diff(found, axis=1) >= 0.0)
    assert not np.isnan(found).any()
    shuffled = rng.permutation(len(q))
    np.testing.assert_array_equal(mixture.dist.ppf(q[shuffled]), found[:, shuffled])
    bracket = mixture.block.bracket(np.zeros(N_ROWS)), mixture.block.bracket(np.ones(N_ROWS))
    np.testing.assert_array_equal(found[:, 0], bracket[0].lower)
    np.testing.assert_array_equal(found[:, -1], bracket[1].upper)


# Scores.


def crps_by_definition(mixture: Mixture, row: int, y: float) -> float:
    """Integrate the squared distance of the cdf from a step at y, between all leaps and edges."""
    singles = nodes(mixture, row)[0]
    singles = singles[mixture.block.take(np.full(len(singles), row)).mass(singles) > 0.0]
    ends = np.unique(np.r_[edges_of(mixture, row), singles, y])
    at, weight = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for left, right in (
        (ends[:-1][ends[1:] <= y], ends[1:][ends[1:] <= y]),
        (ends[:-1][ends[1:] > y], ends[1:][ends[1:] > y]),
    ):
        half = 0.5 * (right - left)[:, None]
        t = (left[:, None] + half * (1.0 + at)).ravel()
        block = mixture.block.take(np.full(len(t), row))
        tail = block.cdf(t) if len(right) and right[-1] <= y else block.survival(t)
        total += np.sum((half * weight).ravel() * tail**2)
    return total


@by_nodes
def test_crps_is_the_integral_of_its_definition(mixture):
    at = mixture.dist.ppf([0.001, 0.4, 0.95])
    found, scale = mixture.dist.crps(at), mixture.dist.std()
    for row in (0, N_ROWS - 1):
        for j in range(at.shape[1]):
            expected = crps_by_definition(mixture, row, at[row, j])
            assert found[row, j] == pytest.approx(expected, abs=1e-8 * scale[row])


# Tails.


@by_nodes
def test_tail_expectation_and_limited_values_are_integrals(mixture):
    q = np.array([0.0, 0.25, 0.9, 0.995])
    at = mixture.dist.ppf(q[1:])
    tail = mixture.dist.tail_expectation(q)
    limited = mixture.dist.limited_expected_value(at)
    excess = mixture.dist.expected_excess(at)
    mean_excess = mixture.dist.mean_excess(at)
    np.testing.assert_allclose(tail[:, 0], mixture.dist.mean(), rtol=1e-12)
    for row in range(N_ROWS):
        y, mass = mass_of(mixture, row)
        for j, limit in enumerate(at[row]):
            # Nodes do not end at the limit: kinks cost them some digits.
            expected = (mass * np.maximum(y - limit, 0.0)).sum()
            scale = mixture.dist.std()[row]
            assert excess[row, j] == pytest.approx(expected, abs=2e-4 * scale)
            assert tail[row, j + 1] == pytest.approx(limit + excess[row, j] / (1.0 - q[j + 1]))
            assert limited[row, j] + excess[row, j] == pytest.approx(mixture.dist.mean()[row])
            beyond = mixture.dist.sf(at)[row, j]
            assert mean_excess[row, j] * beyond == pytest.approx(excess[row, j], rel=1e-12)


@every_mixture
def test_conformal_regions_reach_as_far_as_the_tails_can_be_told(mixture):
    lower, upper = mixture.dist.conformal_interval(60.0, "central").T
    level = np.exp(-60.0)
    # Both tails, y included, hold that much at the ends, and less beyond them.
    after, before = mixture.dist.cdf(lower), mixture.dist.sf(upper) + mixture.block.mass(upper)
    limits = (mixture.block.bracket(np.full(N_ROWS, q)) for q in (0.0, 1.0))
    least, largest = next(limits).lower, next(limits).upper
    # Next to a limit of y its digits end before so small a tail does.
    is_least = np.isfinite(least) & (lower - least <= 4e-16 * np.abs(least))
    is_largest = np.isfinite(largest) & (largest - upper <= 4e-16 * np.abs(largest))
    assert np.all((after >= level * (1.0 - 1e-6)) | is_least)
    assert np.all((before >= level * (1.0 - 1e-6)) | is_largest)
    assert np.all(mixture.dist.sf(upper) <= level)


# Draws.


@every_mixture
def test_draws_follow_the_cdf(mixture, seed):
    n = 4000
    y, expert = mixture.dist.sample(n, seed)
    again = mixture.dist.sample(n, seed)
    np.testing.assert_array_equal(y, again[0])
    pit = mixture.dist.pit(y, seed + 1)
    for row in range(N_ROWS):
        # One false alarm in 1e6 per mixture and row.
        assert stats.kstest(pit[row], "uniform").pvalue > 1e-6
        share = np.bincount(expert[row], minlength=len(mixture.block.weight)) / n
        weight = mixture.block.weight[:, row]
        noise = np.sqrt(weight * (1.0 - weight) / n)
        assert np.all(np.abs(share - weight) <= 5.5 * noise + 1e-12)


# Regions and modes.


@of(has_integers=False, is_smooth=True)
@pytest.mark.parametrize("coverage", [0.5, 0.99])
def test_densest_region_has_its_coverage_and_no_denser_point_outside(mixture, coverage):
    found = mixture.dist.interval(coverage, kind="hdr")
    atoms = mixture.block.atoms
    for row in range(N_ROWS):
        part = mixture.block.take(np.array([row]))
        ends = found[row][np.isfinite(found[row, :, 0])]
        assert np.all(ends[:, 0] <= ends[:, 1])
        assert np.all(ends[1:, 0] > ends[:-1, 1])
        before = np.array([part.cdf(e[:1]).item() - part.mass(e[:1]).item() for e in ends])
        inside = np.array([part.cdf(e[1:]).item() for e in ends]) - before
        flat = "Uniform" in repr(mixture.families)
        sure = sum(part.mass(np.array([at])).item() for at in atoms)
        if sure >= coverage or flat:
            assert inside.sum() >= coverage - 1e-9
        else:
            assert inside.sum() == pytest.approx(coverage, abs=1e-8)
        y = np.setdiff1d(nodes(mixture, row)[0], atoms)
        many = part.take(np.zeros(len(y), dtype=int))
        is_inside = np.any((y >= ends[:, :1]) & (y <= ends[:, 1:]), axis=0)
        density = many.density(y)
        if is_inside.any() and (~is_inside).any() and (density * is_inside).any():
            smooth = density > 0.0
            least = density[is_inside & smooth].min(initial=np.inf)
            assert density[~is_inside & smooth].max(initial=0.0) <= least * (1.0 + 1e-6)


@of(has_integers=True, is_smooth=False)
def test_densest_counts_are_the_fewest(mixture):
    found = mixture.dist.interval(0.9, kind="hdr")
    for row in range(N_ROWS):
        y, mass = mass_of(mixture, row)
        ends = found[row][np.isfinite(found[row, :, 0])]
        is_inside = np.any((y >= ends[:, :1]) & (y <= ends[:, 1:]), axis=0)
        # An atom between integers is inside of a run of them only as a set of reals.
        ordered = np.sort(mass)[::-1]
        fewest = 1 + np.searchsorted(np.cumsum(ordered), 0.9 - 1e-10)
        assert mass[is_inside].sum() >= 0.9 - 1e-9
        assert fewest <= is_inside.sum() <= fewest + len(mixture.block.atoms)


@of(has_integers=False, is_smooth=True)
def test_modes_are_local_maxima_and_none_is_missing(mixture):
    modes = mixture.dist.modes()
    np.testing.assert_array_equal(mixture.dist.mode(), modes[:, 0])
    for row in range(N_ROWS):
        own = np.setdiff1d(modes[row][np.isfinite(modes[row])], mixture.block.atoms)
        y = np.setdiff1d(np.r_[nodes(mixture, row)[0], own], mixture.block.atoms)
        height = mixture.block.take(np.full(len(y), row)).density(y)
        # Higher than anything within reach; flat tops and rounding aside.
        is_top = (height[1:-1] > height[:-2] * (1.0 + 1e-9)) & (
            height[1:-1] > height[2:] * (1.0 + 1e-9)
        )
        for peak in y[1:-1][is_top]:
            near = np.abs(own - peak).min(initial=np.inf)
            assert near <= 1e-6 * mixture.dist.std()[row], (peak, own)
        for at in own:
            block = mixture.block.take(np.array([row]))
            around = at + 1e-3 * mixture.dist.std()[row] * np.array([-1.0, 1.0])
            beside = [block.density(np.array([y])).item() for y in around]
            lies_at_limit = at == block.bracket(np.zeros(1)).lower
            assert lies_at_limit or block.density(np.array([at])).item() >= max(beside) * (1 - 1e-9)


def test_counts_mixed_with_densities_have_no_densest_region():
    for ask in (lambda d: d.interval(0.9, kind="hdr"), lambda d: d.modes()):
        with pytest.raises(ValueError, match="kind='central'"):
            ask(MIXTURES["counts_and_noise"].dist)


# Shapes.


@every_mixture
def test_values_and_levels_may_be_numbers_vectors_and_matrices(mixture):
    dist, y = mixture.dist, mixture.dist.ppf(0.7)
    assert len(dist) == N_ROWS
    np.testing.assert_array_equal(dist.cdf(y), dist.cdf(y[:, None])[:, 0])
    grid = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(dist.sf(grid)[:, 1], dist.sf(2.0))
    np.testing.assert_array_equal(dist.ppf([0.7])[:, 0], y)
    np.testing.assert_array_equal(dist.ppf(np.full((N_ROWS, 1), 0.7))[:, 0], y)


@every_mixture
def test_pickle_keeps_every_bit(mixture):
    again = pickle.loads(pickle.dumps(mixture.dist))
    np.testing.assert_array_equal(again.ppf(LEVELS), mixture.dist.ppf(LEVELS))
