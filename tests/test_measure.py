"""One measure: densities by length, and probabilities of single values, add up to one."""

import numpy as np
import pytest
from mixtures import LISTS, MIXTURES, N_ROWS

from mixexp import EM, MoERegressor
from mixexp.experts import Gamma, PointMass, Uniform

N = 200
OFF = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}


def simulate(rng, share=0.3):
    """Draw positive y, a share of which is exactly zero."""
    X = rng.uniform(-1.0, 1.0, (N, 1))
    y = np.exp(0.5 * X[:, 0] + 0.4 * rng.standard_normal(N))
    return X, np.where(rng.random(N) < share, 0.0, y)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("row", [0, N_ROWS - 1])
def test_densities_and_probabilities_add_up_to_one(name, row):
    """Of lists of families: quadrature between atoms, and the atoms themselves."""
    block = MIXTURES[name].block

    def density(y):
        return np.exp(block.take(np.full(len(y), row)).log_density(y))

    integers = np.arange(0.0, 500.0) if block.has_integers else ()
    total = density(np.array(sorted({*block.atoms, *integers}))).sum() if block.atoms else 0.0
    if block.is_smooth:
        # Linear about zero and logarithmic far out; no node is an atom.
        at = np.linspace(np.arcsinh(-3e3), np.arcsinh(3e3), 8001) + 1e-7
        total += np.trapezoid(density(np.sinh(at)) * np.cosh(at), at)
    # Uniform densities end in the middle of a step of quadrature; Student's tails go on.
    np.testing.assert_allclose(total, 1.0, atol=3e-3)


@pytest.mark.parametrize("factor", [1e-6, 1e3])
@pytest.mark.parametrize(
    "expert",
    [
        ["point_mass", "gaussian"],
        ["point_mass", "uniform"],
        ["point_mass", "gaussian", "uniform"],
        ["tweedie", "gaussian"],
        [PointMass(), Gamma(link="inverse")],
        ["tweedie", "lognormal"],
    ],
    ids=str,
)
@pytest.mark.parametrize("penalty", [{}, OFF], ids=["default", "ml"])
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
def test_lists_with_atoms_know_no_unit(expert, penalty, factor, rng):
    X, y = simulate(rng)
    options = {
        "random_state": 0,
        "n_init": 2,
        "solver": EM(n_moves=0),
        "tol": 1e-10,
        "expert": expert,
    }
    first = MoERegressor(len(expert), **options, **penalty).fit(X, y)
    second = MoERegressor(len(expert), **options, **penalty).fit(X, factor * y)
    expected = first.log_likelihood_ - np.sum(y > 0.0) * np.log(factor)
    np.testing.assert_allclose(second.log_likelihood_, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(second.predict(X) / factor, first.predict(X), rtol=1e-6)
    with_atom = [k for k, family in enumerate(first.experts_) if 0.0 in family.atoms]
    at_zero = first.responsibilities(X, y)[y == 0.0]
    np.testing.assert_allclose(at_zero[:, with_atom].sum(axis=1), 1.0)
    elsewhere = first.responsibilities(X, y)[y > 0.0]
    if expert[0] != "tweedie":
        assert not elsewhere[:, with_atom].any()
    np.testing.assert_allclose(first.log_density(X, y).sum(), first.log_likelihood_, rtol=1e-9)


@pytest.mark.parametrize("other", ["gaussian", "uniform", "gamma"])
def test_a_density_has_no_part_in_counts(other, rng):
    X, y = rng.uniform(size=(N, 1)), rng.poisson(4.0, N) + 1.0
    with pytest.raises(ValueError, match=f"No row is left to the {other} expert.*poisson"):
        MoERegressor(2, expert=["poisson", other]).fit(X, y)


def test_counts_beside_a_density_of_what_is_no_integer(rng):
    X, y = simulate(rng, share=0.0)
    is_count = rng.random(N) < 0.5
    y[is_count] = rng.poisson(4.0, is_count.sum())
    model = MoERegressor(2, expert=["poisson", "gamma"], random_state=0).fit(X, y)
    at = [family.name for family in model.experts_].index("poisson")
    resp = model.responsibilities(X, y)[:, at]
    np.testing.assert_array_equal(resp, (y == np.floor(y)).astype(float))


def test_an_expert_without_a_row_is_named(rng):
    X = rng.uniform(size=(N, 1))
    with pytest.raises(ValueError, match=r"No row is left to the gaussian expert.*point_mass"):
        MoERegressor(2, expert=["point_mass", "gaussian"]).fit(X, np.zeros(N))
    with pytest.raises(ValueError, match="tweedie expert has no mean"):
        MoERegressor(2, expert="tweedie").fit(X, np.zeros(N))


def test_noise_has_the_range_of_rows_that_are_its_own(rng):
    X, y = simulate(rng)
    model = MoERegressor(2, expert=["point_mass", "uniform"], random_state=0).fit(X, y + 0.0)
    noise = next(family for family in model.experts_ if isinstance(family, Uniform))
    assert noise.low == y[y > 0.0].min()


# Weights.


def test_weights_that_sum_to_one_warn_of_nothing_that_rows_do_not(rng, recwarn):
    X, y = simulate(rng, share=0.0)
    options = {"random_state": 0, "n_init": 3, **OFF}
    first = MoERegressor(2, **options).fit(X, y)
    n_warned = len(recwarn)
    second = MoERegressor(2, **options).fit(X, y, np.full(N, 1.0 / N))
    assert len(recwarn) == 2 * n_warned
    np.testing.assert_allclose(N * second.log_likelihood_, first.log_likelihood_, rtol=1e-7)


# Anchors.


def _zero_inflated_counts(rng):
    y = rng.negative_binomial(10, 0.5, 100)
    y[rng.random(100) < 0.5] = 0
    return np.arange(100.0)[:, None], y


@pytest.mark.parametrize("number", range(4))
def test_zeros_have_no_part_in_the_anchor_of_a_dispersion(number):
    X, y = _zero_inflated_counts(np.random.default_rng(number))
    expert = ["point_mass", "negative_binomial"]
    options = {"expert": expert, "expert_features": [], "gate": "constant", "random_state": 0}
    found = MoERegressor(2, **options).fit(X, y)
    likely = MoERegressor(2, **options, **OFF).fit(X, y)
    at = [family.name for family in found.experts_].index("negative_binomial")
    # The truth is 0.1; one expert of all rows has 2.
    assert found.dispersion_[at] < 0.2
    np.testing.assert_allclose(found.dispersion_[at], likely.dispersion_[at], rtol=0.05, atol=1e-6)


def test_noise_has_no_part_in_the_anchor_of_a_dispersion(rng):
    X = rng.uniform(-1.0, 1.0, (N, 1))
    y = 2.0 * X[:, 0] + 0.1 * rng.standard_normal(N)
    is_noise = rng.random(N) < 0.2
    y[is_noise] = rng.uniform(-10.0, 10.0, is_noise.sum())
    model = MoERegressor(2, expert=["gaussian", "uniform"], gate="constant", random_state=0)
    model.fit(X, y)
    at = [family.name for family in model.experts_].index("gaussian")
    # Standard error of the log of a dispersion from 160 rows: sqrt(2 / 160) = 0.11; four of them.
    assert abs(np.log(model.dispersion_[at] / 0.01)) < 0.45
