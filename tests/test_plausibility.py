"""What is stored is what was fitted, and a fit that makes no sense of its rows says so."""

import copy
import warnings

import numpy as np
import pytest
from densities import as_float, reference_of
from mpmath import mp, mpf

from mixexp import EM, MoEClassifier, MoERegressor
from mixexp.exceptions import ConvergenceWarning, ImplausibleFitWarning, RoundedTargetWarning
from mixexp.experts import FAMILIES, Expert

ML = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
FITTED = [name for name in FAMILIES if name not in ("point_mass", "uniform")]


def of_links():
    settings = [(name, link) for name in FITTED for link in FAMILIES[name].links or (None,)]
    return pytest.mark.parametrize(("name", "link"), settings, ids=lambda value: str(value))


COUNTS = ("poisson", "negative_binomial", "generalized_poisson")


def family_of(name: str, link: str | None) -> Expert:
    return FAMILIES[name]() if link is None else FAMILIES[name](link=link)


def make_target(name: str, location: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise, share = rng.normal(size=len(location)), 1.0 / (1.0 + np.exp(-location))
    if name in ("gaussian", "student_t", "laplace", "skew_normal"):
        return location + 0.5 * noise
    if name == "beta":
        return 1.0 / (1.0 + np.exp(-location - noise))
    if name in (*COUNTS, "zero_truncated_poisson"):
        return rng.poisson(np.exp(location)) + (name == "zero_truncated_poisson") * 1.0
    if name in ("binomial", "beta_binomial", "logistic"):
        return np.r_[0.0, 1.0, rng.random(len(location) - 2) < share[2:]]
    if name in ("multinomial", "ordinal"):
        return np.r_[0, 1, 2, rng.integers(0, 3, len(location) - 3)]
    y = np.exp(location + 0.5 * noise)
    return np.where(rng.random(len(y)) < 0.3, 0.0, y) if name == "tweedie" else y


def make_data(kind: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that are few, equal, or of large y."""
    rng = np.random.default_rng(3)
    n, p = {"wide": (12, 18), "tiny": (4, 1)}.get(kind, (24, 2))
    X = rng.normal(size=(n, p))
    y = make_target(name, 0.5 * X[:, 0], rng)
    if kind == "duplicated":
        X, y = np.repeat(X[:4], 6, axis=0), np.repeat(y[:4], 6)
    shares = ("beta", "binomial", "beta_binomial", "logistic", "multinomial", "ordinal")
    if kind == "large" and name not in shares:
        y = np.round(1e15 * (y + (y >= 0.0)))
    return X, y


def fit(family: Expert, n_experts: int, X: np.ndarray, y: np.ndarray, **options):
    """Fit, and return what was warned of too."""
    cls = MoERegressor if family.target == "regression" else MoEClassifier
    if cls is MoEClassifier:
        options.pop("dispersion_prior", None)
    model = cls(n_experts, expert=family, random_state=0, **options)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert all(issubclass(warning.category, UserWarning) for warning in found)
    return model, [warning.category for warning in found]


def reference_log_likelihood(model, X: np.ndarray, y: np.ndarray) -> float:
    """Return the log-likelihood at the coefficients in raw units, by mpmath."""
    layout, slots, total = model.fitted_model_.model, model.fitted_model_.raw_slots(), mpf(0)
    for row, target in zip(X.tolist(), y.tolist(), strict=True):
        x = [mpf(1), *map(mpf, row)]

        def predictor(coef: np.ndarray, design: int, x: list[mpf] = x) -> mpf:
            columns = layout.designs[design].tolist()
            pairs = zip(coef.tolist(), columns, strict=True)
            return mp.fsum(mpf(value) * x[column] for value, column in pairs)

        logits = [predictor(coef, layout.gates[0].design) for coef in slots[0]] or [mpf(0)]
        (group,) = layout.groups
        density, parts = reference_of(group.family), []
        seen = (mpf(target), mpf(1)) if group.family.uses_trials else mpf(target)
        for k, logit in enumerate(logits):
            coefs = [slots[layout.slot_of[0, h]][k] for h in range(len(group.designs))]
            heads = map(predictor, coefs, group.designs)
            parts.append(mp.exp(logit) * mp.exp(density(seen, *heads)))
        total += mp.log(mp.fsum(parts) / mp.fsum(map(mp.exp, logits)))
    return as_float(total)


@pytest.mark.parametrize(
    ("kind", "n_experts", "options"),
    [("wide", 2, ML), ("duplicated", 2, ML), ("tiny", 2, ML), ("large", 1, {})],
)
@of_links()
def test_what_is_stored_is_what_was_fitted(name, link, kind, n_experts, options):
    X, y = make_data(kind, name)
    n_iter = {"n_init": 1, "solver": EM(n_moves=0), "max_iter": 60}
    model, categories = fit(family_of(name, link), n_experts, X, y, **n_iter, **options)
    stored = model.log_likelihood_
    if not np.isfinite(stored) or abs(stored) > 1e60:  # then it says why
        assert not model.converged_
        assert any(issubclass(category, ConvergenceWarning) for category in categories)
        return
    slack = 1e-9 * (1.0 + abs(stored))
    assert model.log_density(X, y).sum() == pytest.approx(stored, abs=slack)
    target = y if name not in ("logistic", "multinomial", "ordinal") else y.astype(float)
    with mp.workdps(60):
        if name != "tweedie":  # whose series may take too long to sum in mpmath
            expected = reference_log_likelihood(model, X, target)
            assert expected == pytest.approx(stored, abs=slack)


# A fit that makes no sense of its rows.


@pytest.mark.parametrize("size", [1e3, -1e75])
@of_links()
def test_a_start_beyond_all_sense_comes_back_or_says_so(name, link, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1))
    y, family = make_target(name, X[:, 0], rng), family_of(name, link)
    start, _ = fit(family, 2, X, y, n_init=1, solver=EM(n_moves=0))
    single, _ = fit(family, 1, X, y)
    params = start.fitted_model_.params
    absurd = tuple((np.full_like(heads[0], size), *heads[1:]) for heads in params.experts)
    broken = copy.deepcopy(start)
    broken.fitted_model_ = start.fitted_model_._replace(params=params._replace(experts=absurd))
    model, categories = fit(family, 2, X, y, init=broken, max_iter=100)
    assert np.isfinite(model.log_likelihood_)
    if model.converged_:
        assert model.log_likelihood_ > single.log_likelihood_ - 10.0 * len(y)
        assert "predict_proba" in dir(model) or np.abs(model.predict(X)).max() < 1e5
    else:
        assert any(issubclass(category, ConvergenceWarning) for category in categories)


@pytest.mark.parametrize("extreme", ["large y", "small y", "large x"])
@pytest.mark.parametrize(
    ("name", "link"),
    [(n, k) for n in FITTED for k in FAMILIES[n].links if k in ("log", "inverse")],
)
def test_means_beyond_any_range_of_y_are_told(name, link, extreme):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 2))
    y = make_target(name, 0.5 * X[:, 0], rng)
    if extreme == "large y":
        y[7] = 1e12
    elif extreme == "small y" and name not in COUNTS:
        y[7] = 1e-300 if name != "zero_truncated_poisson" else y[7]
    else:
        X[7, 0] = 1e12
    options = {"n_init": 1, "solver": EM(n_moves=0), "max_iter": 60, **ML}
    model, categories = fit(family_of(name, link), 2, X, y, **options)
    mean, width = model.predict(X), y.max() - y.min()
    assert not np.isnan(mean).any()
    is_beyond = (mean > y.max() + 1e3 * width) | (mean < y.min() - 1e3 * width)
    assert (ImplausibleFitWarning in categories) >= is_beyond.any()
    assert not (model.converged_ and is_beyond.any())


def test_a_family_without_a_mean_is_fitted_all_the_same():
    class Triangle(FAMILIES["gaussian"]):
        name = "bare"
        mean = Expert.mean

    X = np.linspace(-1.0, 1.0, 30)[:, None]
    model, categories = fit(Triangle(), 1, X, X[:, 0] ** 2)
    assert model.converged_
    assert categories == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["negative_binomial", "weibull"])
def test_default_fits_of_ordinary_data_end_at_possible_densities(name, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 2))
    eta = np.where(X[:, 0] > 0.0, 1.0 + 0.5 * X[:, 1], -0.3 - 0.4 * X[:, 1])
    y = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, 200)).astype(float)
    if name == "weibull":
        y = np.exp(eta) * rng.weibull(1.5, 200)
    model, _ = fit(FAMILIES[name](), 3, X, y, n_init=3)
    density = model.log_density(X, y)
    assert np.all(density < (0.0 if name == "negative_binomial" else 5.0))
    assert density.sum() == pytest.approx(model.log_likelihood_, rel=1e-9)
    assert model.predict(X).max() < 1e3 * y.max()


@pytest.mark.parametrize("name", COUNTS)
def test_counts_that_are_all_zero_are_named(name):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.warns(ImplausibleFitWarning, match="every y is 0, so that the log means have no"):
        model = MoERegressor(1, expert=name).fit(X, np.zeros(60))
    assert np.all(model.predict(X) < 1e-6)


@pytest.mark.parametrize("name", ["gaussian", "student_t", "laplace", "skew_normal"])
def test_a_constant_y_is_predicted_and_named(name):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.warns(RoundedTargetWarning, match=r"experts \[0\] have shrunk onto single values"):
        model = MoERegressor(1, expert=name).fit(X, np.full(60, 2.5))
    np.testing.assert_allclose(model.predict(X), 2.5, rtol=1e-9)
