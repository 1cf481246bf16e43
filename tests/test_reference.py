"""Fits against answers from elsewhere: other programs' optima and NIST's certified values."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from problems import UNPENALIZED, UNPENALIZED_CLASSES
from scipy.optimize import linear_sum_assignment

from mixexp import MoEClassifier, MoERegressor
from mixexp.exceptions import DegenerateExpertWarning, RankDeficientWarning

REFERENCE = Path(__file__).parent / "reference"
NIST = json.loads((REFERENCE / "nist" / "certified.json").read_text())


def load_reference(name):
    """Return features, target, labels from 0, and the known answer."""
    rows = np.loadtxt(REFERENCE / f"{name}.csv.gz", delimiter=",", skiprows=1)
    answer = json.loads((REFERENCE / f"{name}.json").read_text())
    return rows[:, 1:-1], rows[:, 0], rows[:, -1].astype(int) - 1, answer


def fit_from_labels(name):
    X, y, labels, answer = load_reference(name)
    options = {"init": labels, "tol": 1e-12, "max_iter": 2000}
    models = {
        "G1": lambda: MoERegressor(3, **UNPENALIZED, **options),
        "C1": lambda: MoERegressor(3, expert_features=[], **UNPENALIZED, **options),
        "B1": lambda: MoEClassifier(3, **UNPENALIZED_CLASSES, **options),
    }
    return models[name]().fit(X, y), answer


@pytest.mark.parametrize("name", ["G1", "C1", "B1"])
def test_fit_from_known_labels_reaches_the_known_optimum(name):
    model, answer = fit_from_labels(name)
    assert model.converged_
    assert model.n_parameters_ == answer["n_params"]
    assert model.log_likelihood_ >= answer["loglik"] - 1e-6 * abs(answer["loglik"])
    params = answer["params"]
    location = np.column_stack([model.intercept_, model.coef_])
    theirs = np.array(params["coef"]).T
    distance = np.abs(location[:, None] - theirs[None]).max(axis=2)
    order = linear_sum_assignment(distance)[1]
    # tol leaves 1e-12 of the log-likelihood to gain; the least eigenvalue of the information
    # is 3.8 (B1): coefficients are within sqrt(2 * 1e-12 * 8700 / 3.8) = 7e-5, and with Newton's
    # last step, which squares what is left, far within 1e-5.
    np.testing.assert_allclose(location, theirs[order], atol=1e-5)
    # Ours sum to zero over experts, theirs are zero for the first.
    gate = np.array(params["gate"])
    gate = (gate - gate.mean(axis=1, keepdims=True)).T[order]
    found = np.column_stack([model.gate_intercept_, model.gate_coef_])
    np.testing.assert_allclose(found, gate, atol=1e-5)
    if "disp" in params:
        deviation = np.array(params["disp"])[order]
        np.testing.assert_allclose(np.sqrt(model.dispersion_), deviation, atol=1e-5)


def load_nist(name):
    """Return features, target and the answer; polynomials as powers of x."""
    rows = np.loadtxt(REFERENCE / "nist" / f"{name}.csv", delimiter=",", skiprows=1)
    y, X = rows[:, 0], rows[:, 1:]
    answer = NIST[name]
    if answer["model"].startswith("poly"):
        X = X ** np.arange(1, int(answer["model"].removeprefix("poly")) + 1)
    return X, y, answer


def fit_nist(name):
    X, y, answer = load_nist(name)
    return MoERegressor(1, **UNPENALIZED).fit(X, y), answer


def correct_digits(model, answer):
    """Return the least number of correct significant digits, by exact arithmetic."""
    found = [*model.intercept_, *model.coef_[0]]
    digits = [
        17.0 if value == exact else float(-np.log10(float(abs(value - exact) / abs(exact))))
        for value, exact in zip(map(Fraction, found), map(Fraction, answer["params"]), strict=True)
    ]
    return min(digits)


@pytest.mark.parametrize("name", ["norris", "pontius", "longley", "wampler3"])
def test_one_expert_has_nists_certified_coefficients(name):
    model, answer = fit_nist(name)
    assert correct_digits(model, answer) >= 9
    np.testing.assert_allclose(model.log_likelihood_, answer["gaussian_ml_loglik"], rtol=1e-9)
    n = answer["n"]
    np.testing.assert_allclose(model.dispersion_, float(answer["rss"]) / n, rtol=1e-8)


@pytest.mark.parametrize("name", ["wampler1", "wampler2"])
def test_one_expert_fits_exact_polynomials(name):
    # No residual is left: the dispersion is at its floor, and said to be.
    with pytest.warns(DegenerateExpertWarning):
        model, answer = fit_nist(name)
    assert correct_digits(model, answer) >= 9
    assert 0.0 < model.dispersion_[0] < 1e-9 * np.var(load_nist(name)[1])
    assert np.isfinite(model.log_likelihood_)


@pytest.mark.parametrize(("name", "digits"), [("wampler4", 7), ("wampler5", 5)])
def test_one_expert_keeps_the_digits_that_large_noise_leaves(name, digits):
    # Residuals are 1e2 and 1e4 times those of wampler3, so that coefficients of 1 are differences
    # of numbers that much larger. A QR decomposition of the raw columns gets 7.8 and 5.8 digits,
    # this fit 7.7 and 5.7.
    model, answer = fit_nist(name)
    assert correct_digits(model, answer) >= digits
    np.testing.assert_allclose(model.log_likelihood_, answer["gaussian_ml_loglik"], rtol=1e-9)


def test_one_expert_gives_up_honestly_on_filip():
    # A polynomial of degree 10 on -8.8 ... -3.1: the Gram matrix of standardised powers has a
    # condition beyond 1e16, so that some direction is not determined in float64.
    with pytest.warns(RankDeficientWarning):
        model, answer = fit_nist("filip")
    assert np.all(np.isfinite(model.coef_))
    # Its coefficients then have no digit in common with the certified ones. What is left out
    # costs little of the fit: the certified R2 is 0.997.
    X, y, _ = load_nist("filip")
    assert float(answer["r_squared"]) > 0.996
    assert model.score(X, y) > 0.98


def test_reference_files_hold_what_they_say():
    for name, (n, p) in {"G1": (2000, 2), "C1": (10000, 5), "B1": (20000, 5)}.items():
        X, y, labels, answer = load_reference(name)
        assert X.shape == (n, p) == (answer["n"], answer["p"])
        assert len(y) == n
        assert np.array_equal(np.unique(labels), np.arange(answer["K"]))
    for name, answer in NIST.items():
        X, y, _ = load_nist(name)
        assert (len(y), 1 + X.shape[1]) == (answer["n"], answer["p"])
        assert answer["dataset"].lower() == name


def test_patents_reach_the_optimum_that_flexmix_reports():
    # Best of 20 starts of flexmix 2.3-18: Poisson experts on lgRD, a gate on RDS, three classes.
    y, spending_share, spending = np.loadtxt(
        REFERENCE / "classic_patents.csv.gz", delimiter=",", skiprows=1
    ).T
    options = {"expert": "poisson", "expert_features": [0], "gate_features": [1]}
    model = MoERegressor(3, n_init=5, random_state=0, **options, **UNPENALIZED)
    model.fit(np.column_stack([spending, spending_share]), y)
    np.testing.assert_allclose(model.log_likelihood_, -197.6752, atol=5e-4)
    order = np.argsort(model.coef_[:, 0])
    np.testing.assert_allclose(model.coef_[order, 0], [0.6719, 0.8798, 1.5866], atol=5e-3)
    np.testing.assert_allclose(model.intercept_[order], [1.962, 0.508, -2.637], atol=2e-2)
