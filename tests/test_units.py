"""Fits know no unit of y or X: the same in any, for every family, link and tree."""

import re

import numpy as np
import pytest
from problems import UNPENALIZED
from repository import needed

from mixexp import EM, HMERegressor, MoERegressor
from mixexp.constraints import Fixed
from mixexp.datasets import make_hme, make_moe
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertWarning,
    InferenceWarning,
    RankDeficientWarning,
    SeparationWarning,
)
from mixexp.experts import (
    FAMILIES,
    Expert,
    Gamma,
    Gaussian,
    Head,
    InverseGaussian,
    NumericalExpert,
    Unit,
    check_derivatives,
)
from mixexp.experts._units import changes_with_y

PAGE = needed("docs/extending.md").read_text()
NONE = Unit()
TREE = [[1, 1], 1]
# Fits end where they end: what is tested is that it is the same place in another unit.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (
        ConvergenceWarning,
        DegenerateExpertWarning,
        InferenceWarning,
        RankDeficientWarning,
        SeparationWarning,
    )
]


def _run(block: str) -> dict:
    names: dict = {}
    exec(compile(block, "docs/extending.md", "exec"), names)
    return names


Gumbel = _run(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])["Gumbel"]


class SquaredLogistic(NumericalExpert):
    """Logistic density of a squared scale, which says nothing of units."""

    name = "squared_logistic"

    @property
    def heads(self):
        return Head("location", "location"), Head("log_dispersion", "dispersion", lower=-25.0)

    def log_kernel(self, y, heads):
        z = np.abs(y - heads[0]) * np.exp(-0.5 * heads[1])
        return -z - 2.0 * np.log1p(np.exp(-z)) - 0.5 * heads[1]

    def mean(self, heads):
        return heads[0]


class Exponential(NumericalExpert):
    """Exponential density with a log link."""

    name = "exponential"
    support = "> 0"

    @property
    def heads(self):
        return (Head("location", "location"),)

    def find_unsupported(self, y):
        return ~(y > 0.0)

    def log_kernel(self, y, heads):
        return -heads[0] - y * np.exp(-np.clip(heads[0], -700.0, 700.0))

    def mean(self, heads):
        return np.exp(heads[0])


class Kumaraswamy(NumericalExpert):
    """A density between 0 and 1, which y cannot leave: it has no unit."""

    name = "kumaraswamy"

    @property
    def heads(self):
        return Head("location", "location"), Head("log_shape", "shape", lower=-5.0, upper=5.0)

    def find_unsupported(self, y):
        return ~((y > 0.0) & (y < 1.0))

    def log_kernel(self, y, heads):
        a, b = np.exp(heads[0]), np.exp(heads[1])
        return heads[0] + heads[1] + (a - 1.0) * np.log(y) + (b - 1.0) * np.log1p(-(y**a))


def _families() -> dict[str, Expert]:
    found = {}
    for cls in FAMILIES.values():
        if cls.target != "regression":
            continue
        for link in cls.links or (None,):
            family = cls() if link is None else cls(link=link)
            if any(unit != NONE for unit in family.units):
                found[repr(family)] = family
    return found


BUILT_IN = _families()
OWN = {"gumbel": Gumbel(), "squared_logistic": SquaredLogistic(), "exponential": Exponential()}
WITH_UNIT = {**BUILT_IN, **OWN}
# Of which pieces of the search may depend on the last digit of y, for they have kinks.
SMOOTH = {name: family for name, family in WITH_UNIT.items() if family.is_smooth}


def simulate(family, tree):
    """Draw rows of a mixture of the family, or of one that has the same support."""
    is_own = family.name not in FAMILIES
    spec = ("gamma" if family.support == "> 0" else "gaussian") if is_own else family
    n = 50 if family.name == "tweedie" else 130  # whose density takes long
    if tree is None:
        return make_moe(n, 1, 2, expert=spec, random_state=0)[:2]
    return make_hme(n, 1, tree, expert=spec, random_state=0)[:2]


def make_model(family, tree, **options):
    options = {
        "random_state": 0,
        "n_init": 2 if tree is None else 1,
        "solver": EM(n_moves=0),
        "tol": 1e-10,
        **options,
    }
    if tree is None:
        return MoERegressor(2, expert=family, **options)
    return HMERegressor(tree, expert=family, **options)


def slack(family):
    """Return by how much objectives may differ between units.

    A kink stops a fit where rounding puts rows: Laplace's, and where the predictor of a positive
    mean leaves the domain of its link.
    """
    if not family.is_smooth:
        return 1e-2
    has_limits = np.isfinite(getattr(family, "mean_limits", (-np.inf, np.inf))).all()
    return 1e-4 if has_limits and family.link != "log" else 1e-6


def assert_same_in_units(first, second, X, y, factor):
    """Check a fit to y against one to factor * y."""
    n_dense = float(np.sum(y != 0.0))
    # At the optimum the objective is flat; the log-likelihood, one of two terms of it, is not.
    least = slack(first.experts_[0])
    for name, within in (("penalized_log_likelihood_", least), ("log_likelihood_", 10.0 * least)):
        expected = getattr(first, name) - n_dense * np.log(factor)
        found = getattr(second, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=within, err_msg=name)
    found, expected = second.predict(X) / factor, first.predict(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    density = second.log_density(X, factor * y).sum()
    np.testing.assert_allclose(density, second.log_likelihood_, rtol=1e-8)


# What families say of themselves.


@pytest.mark.parametrize("family", BUILT_IN.values(), ids=BUILT_IN)
def test_declared_units_are_those_of_the_density(family):
    assert changes_with_y(family, family.units)


@pytest.mark.parametrize("name", FAMILIES)
def test_only_counts_and_shares_have_no_unit(name):
    family = FAMILIES[name]
    if family.target == "regression" and name not in ("point_mass", "uniform"):
        has_none = all(unit == NONE for unit in family().units)
        assert has_none == (family.is_discrete or family().support_limits == (0.0, 1.0))


@pytest.mark.parametrize(
    ("family", "units"),
    [
        (Gumbel(), (Unit(1.0, moves=True), Unit(log_power=1.0))),
        (SquaredLogistic(), (Unit(1.0, moves=True), Unit(log_power=2.0))),
        (Exponential(), (Unit(log_power=1.0),)),
        (Kumaraswamy(), (NONE, NONE)),
        (FAMILIES["poisson"](), (NONE,)),
        (FAMILIES["beta"](), (NONE, NONE)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_units_that_are_not_declared_are_found(family, units):
    assert family.units == units


def test_a_wrong_unit_is_seen_by_the_check_of_derivatives():
    class Wrong(SquaredLogistic):
        @property
        def heads(self):
            location, dispersion = super().heads
            return location._replace(unit=Unit(1.0, moves=True)), dispersion

    with pytest.raises(AssertionError, match="unit"):
        check_derivatives(Wrong(), np.array([0.3, 1.4]), (np.zeros((1, 2)), np.zeros((1, 2))))


# Fits.


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED], ids=["default", "ml"])
@pytest.mark.parametrize("tree", [None, TREE], ids=["flat", "tree"])
@pytest.mark.parametrize("name", SMOOTH)
def test_unit_of_y_does_not_matter(name, tree, penalty):
    family = SMOOTH[name]
    X, y = simulate(family, tree)
    model = make_model(family, tree, **penalty)
    first = model.fit(X, y)
    for factor in (1e-6, 1e6) if tree is None else (1e3,):
        second = make_model(family, tree, **penalty).fit(X, factor * y)
        assert_same_in_units(first, second, X, y, factor)


@pytest.mark.parametrize("name", ["Gaussian()", "Gamma(link='inverse')", "Weibull()", "gumbel"])
def test_unit_of_features_does_not_matter(name):
    family = SMOOTH[name]
    X, y = simulate(family, None)
    first = make_model(family, None).fit(X, y)
    for factor in (1e-6, 1e6):
        second = make_model(family, None).fit(factor * X, y)
        np.testing.assert_allclose(
            second.penalized_log_likelihood_, first.penalized_log_likelihood_, rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(second.predict(factor * X), first.predict(X), rtol=1e-6)


@pytest.mark.parametrize("penalty", [{}, UNPENALIZED], ids=["default", "ml"])
@pytest.mark.parametrize(
    "name", [name for name, f in SMOOTH.items() if any(unit.moves for unit in f.units)]
)
def test_shift_of_y_does_not_matter_to_locations(name, penalty):
    family = SMOOTH[name]
    X, y = simulate(family, None)
    y = np.round(y * 2.0**20) / 2.0**20  # so that the shift is exact
    first = make_model(family, None, **penalty).fit(X, y)
    second = make_model(family, None, **penalty).fit(X, y + 1024.0)
    np.testing.assert_allclose(second.log_likelihood_, first.log_likelihood_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(second.predict(X) - 1024.0, first.predict(X), atol=1e-6)


@pytest.mark.parametrize(
    ("expert", "power"),
    [
        (Gaussian(), 1.0),
        (Gamma(link="identity"), 1.0),
        (Gamma(link="inverse"), -1.0),
        (InverseGaussian(link="inverse_squared"), -2.0),
        (Gaussian(link="log"), 0.0),
        (Gumbel(), 1.0),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_offsets_and_fixed_slopes_are_in_the_unit_of_the_linear_predictor(expert, power):
    X, y = simulate(expert, None)
    size = float(np.abs(y).mean()) ** power
    offset, slope = 0.05 * size * X[:, 0], 0.1 * size
    fits = []
    for factor in (1.0, 1e-6, 1e3):
        unit = factor**power
        model = make_model(expert, None, constraints=[Fixed(0, unit * slope)])
        fits.append(model.fit(X, factor * y, offset=unit * offset))
        np.testing.assert_allclose(fits[-1].coef_[:, 0], unit * slope, rtol=1e-12)
        expected = fits[0].log_likelihood_ - len(y) * np.log(factor)
        np.testing.assert_allclose(fits[-1].log_likelihood_, expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            fits[-1].predict(X, offset=unit * offset) / factor,
            fits[0].predict(X, offset=offset),
            rtol=1e-6,
        )


@pytest.mark.parametrize("name", [name for name, f in BUILT_IN.items() if f.has_dispersion])
def test_known_dispersions_are_in_the_unit_of_y(name):
    family = BUILT_IN[name]
    at = [head.kind for head in family.heads].index("dispersion")
    X, y = simulate(family, None)
    typical = float(make_model(family, None, n_init=1).fit(X, y).dispersion_[0])
    fits = []
    for factor in (1.0, 1e-6, 1e3):
        known = typical * factor ** family.units[at].log_power
        expert = type(family)(link=family.link, dispersion=known)
        fits.append(make_model(expert, None, n_init=1).fit(X, factor * y))
        np.testing.assert_allclose(fits[-1].dispersion_, known, rtol=1e-12)
        expected = fits[0].penalized_log_likelihood_ - np.sum(y != 0.0) * np.log(factor)
        found = fits[-1].penalized_log_likelihood_
        np.testing.assert_allclose(found, expected, rtol=0, atol=slack(family))


@pytest.mark.parametrize("name", SMOOTH)
def test_coefficients_and_tables_are_in_the_unit_of_y(name):
    family = SMOOTH[name]
    X, y = simulate(family, None)
    first, second = (make_model(family, None).fit(X, factor * y) for factor in (1.0, 1e3))
    at = [head.kind for head in family.heads].index("location")
    factor, summand = family.units[at].change(1e3)
    np.testing.assert_allclose(second.coef_, factor * first.coef_, rtol=1e-6)
    moved = factor * first.intercept_ + summand
    np.testing.assert_allclose(second.intercept_, moved, rtol=1e-6, atol=1e-6 * factor)
    table = second.coef_table(X, 1e3 * y)
    own = table[table["unit"] == "expert 0"]
    np.testing.assert_allclose(own["estimate"].iloc[:2], [second.intercept_[0], *second.coef_[0]])
    if family.has_dispersion:
        np.testing.assert_allclose(own["estimate"].iloc[2], second.dispersion_[0])
