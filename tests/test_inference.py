"""Scores, information and standard errors: against differences and other programs."""

import json
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from problems import UNPENALIZED, UNPENALIZED_CLASSES, simulate_classes
from statsmodels.othermod.betareg import BetaModel
from test_family_fits import EVERY_FAMILY, simulate

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import RowArguments
from mixexp.estimators._build import Columns, build_problem
from mixexp.estimators._gates import NodeGate
from mixexp.experts import Binomial, Gaussian, Logistic, Multinomial, Ordinal
from mixexp.inference import cluster_products, row_scores, score_products
from mixexp.model import Penalty, posterior_of_block
from mixexp.tree import GatingTree

REFERENCE = Path(__file__).parent / "reference"
UNBALANCED = [[1, [1, 1]], 1]
CLASS_FAMILIES = [Logistic(), Multinomial(n_classes=3), Ordinal(n_classes=3)]
ALL_FAMILIES = [*EVERY_FAMILY, *CLASS_FAMILIES]
SMOOTH = [family for family in ALL_FAMILIES if family.is_smooth]


def problem_near_pooled(family, rng, n=60, spec=UNBALANCED):
    """Return a problem, and legal parameters at which experts differ."""
    if family.target == "regression":
        X, y = simulate(family, rng, n)
    else:
        X, y, _ = simulate_classes(rng, n, getattr(family, "n_classes", 2))
    tree = GatingTree.from_spec(spec)
    problem, pooled, _ = build_problem(
        X,
        y,
        RowArguments(rng.integers(1, 4, n).astype(float)),
        tree=tree,
        families=[family] * tree.n_leaves,
        node_gates=[NodeGate([0, 1])] * len(tree.inner_nodes),
        columns=Columns([0, 1], [0, 1]),
        penalty=Penalty(),
        n_threads=1,
    )
    model = problem.model
    slots = [slot.copy() for slot in model.slots(pooled)]
    slots[1][:, 1:] *= 0.5  # so that inverse links stay off their pole
    moved = 0.05 * rng.standard_normal(model.n_parameters)
    return problem, model.flatten(model.from_slots(slots)) + model.free_basis @ moved


def central_difference(function, at, step=1e-3):
    """Return the derivative along every coordinate, by Richardson's extrapolation of two steps.

    Errors are of the order step**4 times the fifth derivative, 1e-12, and 1e-16 / step.
    """
    columns = []
    for j in range(len(at)):
        move = np.zeros(len(at))
        move[j] = step
        wide = (function(at + move) - function(at - move)) / (2.0 * step)
        move[j] = 0.5 * step
        narrow = (function(at + move) - function(at - move)) / step
        columns.append((4.0 * narrow - wide) / 3.0)
    return np.stack(columns)


def assert_close_to_1e6(found, expected):
    """Compare to 1e-6 relative to the largest entry, which cancellation leaves the others."""
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def block_scores(problem, flat):
    (block,) = problem.blocks
    return row_scores(problem.model, problem.model.unflatten(flat), block)


@pytest.mark.parametrize("family", SMOOTH, ids=repr)
def test_scores_and_information_match_differences(family, rng):
    problem, flat = problem_near_pooled(family, rng)
    (block,) = problem.blocks

    def log_density(at):
        return posterior_of_block(problem.model, problem.model.unflatten(at), block).log_density

    scores = block_scores(problem, flat)
    assert_close_to_1e6(scores, central_difference(log_density, flat))
    information = problem.information(problem.model.unflatten(flat))
    expected = -central_difference(lambda at: block_scores(problem, at) @ block.weight, flat)
    assert_close_to_1e6(information, expected)


@pytest.mark.parametrize("family", ALL_FAMILIES, ids=repr)
def test_scores_add_up_to_the_gradient_and_to_the_products(family, rng):
    problem, flat = problem_near_pooled(family, rng)
    params = problem.model.unflatten(flat)
    (block,) = problem.blocks
    scores = block_scores(problem, flat)
    np.testing.assert_allclose(
        scores @ block.weight, problem.evaluate(params).gradient, rtol=1e-9, atol=1e-9
    )
    products = score_products(problem, params)
    np.testing.assert_allclose(products, (scores * block.weight) @ scores.T, rtol=1e-12, atol=1e-12)
    clusters = rng.integers(0, 7, len(block.weight))
    totals = np.stack([(scores * block.weight)[:, clusters == c].sum(axis=1) for c in range(7)])
    found = cluster_products(problem, params, clusters)
    np.testing.assert_allclose(found, totals.T @ totals, rtol=1e-10, atol=1e-10)


def test_clusters_may_span_blocks_and_pieces(rng, monkeypatch):
    monkeypatch.setattr("mixexp.inference._scores._MOST_SCORES", 1)
    X, y = simulate(Gaussian(), rng, 5000)
    model = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
    clusters = rng.integers(0, 40, 5000)
    order = np.argsort(clusters, kind="stable")
    found = model.inference(X, y, cluster=clusters).covariance
    sorted_rows = model.inference(X[order], y[order], cluster=clusters[order]).covariance
    # The same sums in another order: rounding, magnified by the condition of the information.
    np.testing.assert_allclose(found, sorted_rows, rtol=1e-8, atol=1e-12)


# One expert is a generalised linear model. Both sides are at their optimum to the square root of
# rounding, so standard errors, smooth functions of it, agree to far below 1e-6.

N_ROWS = 400
KINDS = {
    "model": ({}, {}),
    "robust": ({"kind": "robust"}, {"cov_type": "HC0"}),
    "cluster": ({"cluster": np.arange(N_ROWS) % 23}, {"cov_type": "cluster"}),
}


def theirs(build, kind):
    """Fit by statsmodels to the last digit, without small-sample corrections."""
    options = dict(KINDS[kind][1])
    if kind == "cluster":
        groups = KINDS[kind][0]["cluster"]
        options["cov_kwds"] = {"groups": groups, "use_correction": False}
    return build(options)


def design(rng):
    X = rng.standard_normal((N_ROWS, 2)) * [1.0, 20.0] + [0.0, 300.0]
    return X, 0.3 + X @ [0.5, 0.01] - 3.0


def newton(model, options):
    return model.fit(disp=0, maxiter=200, method="newton", tol=1e-14, **options)


ONE_EXPERT = {
    "poisson": (
        "poisson",
        lambda eta, rng: rng.poisson(np.exp(eta)).astype(float),
        lambda y, X, o: newton(sm.Poisson(y, X), o),
    ),
    "logit": (
        Binomial(),
        lambda eta, rng: (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float),
        lambda y, X, o: newton(sm.Logit(y, X), o),
    ),
    "probit": (
        Binomial(link="probit"),
        lambda eta, rng: (rng.standard_normal(len(eta)) < eta).astype(float),
        lambda y, X, o: newton(sm.Probit(y, X), o),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ONE_EXPERT)
def test_one_expert_without_dispersion_equals_statsmodels(name, kind, rng):
    expert, draw, build = ONE_EXPERT[name]
    X, eta = design(rng)
    y = draw(eta, rng)
    model = MoERegressor(1, expert=expert, tol=1e-14, max_iter=500, **UNPENALIZED).fit(X, y)
    expected = theirs(lambda options: build(y, sm.add_constant(X), options), kind)
    table = model.coef_table(X, y, **KINDS[kind][0])
    np.testing.assert_allclose(table["estimate"], expected.params, rtol=1e-6)
    np.testing.assert_allclose(table["std_error"], expected.bse, rtol=1e-6)
    np.testing.assert_allclose(table["z"], expected.tvalues, rtol=2e-6)
    np.testing.assert_allclose(table["p_value"], expected.pvalues, rtol=1e-4)
    np.testing.assert_allclose(table[["lower", "upper"]], expected.conf_int(), rtol=1e-5)


def test_exposure_and_weights_are_those_of_statsmodels(rng):
    X, eta = design(rng)
    exposure, weight = rng.uniform(0.5, 5.0, N_ROWS), rng.integers(1, 4, N_ROWS)
    y = rng.poisson(exposure * np.exp(eta)).astype(float)
    model = MoERegressor(1, expert="poisson", tol=1e-14, max_iter=500, **UNPENALIZED)
    model.fit(X, y, weight, exposure=exposure)
    table = model.coef_table(X, y, weight, exposure=exposure)
    rows = {"exposure": exposure, "freq_weights": weight, "family": sm.families.Poisson()}
    expected = sm.GLM(y, sm.add_constant(X), **rows).fit(tol=1e-14)
    np.testing.assert_allclose(table["std_error"], expected.bse, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_gaussian_expert_equals_least_squares(kind, rng):
    X, mean = design(rng)
    y = mean + rng.standard_normal(N_ROWS) * np.exp(0.3 * X[:, 0])
    model = MoERegressor(1, tol=1e-14, **UNPENALIZED).fit(X, y)
    expected = theirs(lambda options: sm.OLS(y, sm.add_constant(X)).fit(**options), kind)
    # The maximum likelihood variance divides by n, theirs by n - 3.
    divisor = np.sqrt((N_ROWS - 3.0) / N_ROWS) if kind == "model" else 1.0
    table = model.coef_table(X, y, **KINDS[kind][0])
    np.testing.assert_allclose(table["std_error"][:3], divisor * expected.bse, rtol=1e-6)
    if kind == "model":  # of a normal variance: sqrt(2 / n) of itself
        dispersion = table["estimate"][3]
        np.testing.assert_allclose(dispersion, expected.ssr / N_ROWS, rtol=1e-8)
        deviation = table["std_error"][3]
        np.testing.assert_allclose(deviation, dispersion * np.sqrt(2 / N_ROWS), rtol=1e-6)
        reach = 1.959963984540054 * np.sqrt(2 / N_ROWS)
        ends = dispersion * np.exp([-reach, reach])
        np.testing.assert_allclose(table.loc[3, ["lower", "upper"]].astype(float), ends, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_negative_binomial_expert_equals_statsmodels(kind, rng):
    X, eta = design(rng)
    y = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta))).astype(float)
    options = {"expert": "negative_binomial", "tol": 1e-14, "max_iter": 500}
    model = MoERegressor(1, **options, **UNPENALIZED).fit(X, y)
    table = model.coef_table(X, y, **KINDS[kind][0])
    # From our optimum, which their optimiser stops short of, and so where it stays.
    other = sm.NegativeBinomial(y, sm.add_constant(X))
    stay = {"start_params": table["estimate"].to_numpy(), "gtol": 1e-3, "disp": 0}
    expected = theirs(lambda given: other.fit(method="bfgs", **stay, **given), kind)
    np.testing.assert_allclose(table["std_error"], expected.bse, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_beta_expert_equals_statsmodels(kind, rng):
    X, eta = design(rng)
    mean = 1.0 / (1.0 + np.exp(-eta))
    y = rng.beta(5.0 * mean, 5.0 * (1.0 - mean))
    model = MoERegressor(1, expert="beta", tol=1e-14, max_iter=500, **UNPENALIZED).fit(X, y)
    table = model.coef_table(X, y, **KINDS[kind][0])
    at = table["estimate"].to_numpy(copy=True)
    at[3] = -np.log(at[3])  # theirs is the log of the precision
    other, stay = BetaModel(y, sm.add_constant(X)), {"start_params": at, "gtol": 1e-3, "disp": 0}
    expected = theirs(lambda given: other.fit(method="bfgs", **stay, **given), kind).bse
    expected[3] *= table["estimate"][3]
    np.testing.assert_allclose(table["std_error"], expected, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_multinomial_expert_equals_statsmodels(kind, rng):
    X, y, _ = simulate_classes(rng, N_ROWS, 3)
    model = MoEClassifier(1, expert="multinomial", tol=1e-14, **UNPENALIZED_CLASSES).fit(X, y)
    expected = theirs(lambda options: newton(sm.MNLogit(y, sm.add_constant(X)), options), kind)
    found = model.inference(X, y, **KINDS[kind][0])
    for c in (1, 2):
        for j, term in enumerate(["intercept", "x0", "x1"]):
            weights = {(f"expert 0, class {c:.1f}", term): 1.0, ("expert 0, class 0.0", term): -1.0}
            contrast = found.contrast(weights)
            np.testing.assert_allclose(contrast.estimate, expected.params[j, c - 1], rtol=1e-6)
            np.testing.assert_allclose(contrast.std_error, expected.bse[j, c - 1], rtol=1e-6)


# Mixtures, against statsmodels and flexmix.


@pytest.mark.parametrize("kind", KINDS)
def test_zero_inflation_equals_statsmodels(kind, rng):
    X, eta = design(rng)
    is_zero = rng.logistic(size=N_ROWS) + 0.5 + X[:, 0] < 0.0
    y = np.where(is_zero, 0, rng.poisson(np.exp(eta + 0.5))).astype(float)
    options = {"expert": ["point_mass", "poisson"], "n_init": 3, "random_state": 0, "tol": 1e-14}
    model = MoERegressor(2, max_iter=500, gate_features=[0], **options, **UNPENALIZED).fit(X, y)
    table = model.coef_table(X, y, reference=-1, **KINDS[kind][0])
    # Theirs has the inflation first, and its log-odds are those of the point mass. Their Hessian
    # leaves out the block between inflation and counts, so their score is differentiated.
    order = [3, 4, 0, 1, 2]
    at = table["estimate"].to_numpy()[order]
    other = sm.ZeroInflatedPoisson(y, sm.add_constant(X), sm.add_constant(X[:, :1]))
    bread = np.linalg.inv(-central_difference(other.score, at, step=1e-5))
    newton_step = bread @ other.score(at)
    assert np.all(np.abs(newton_step) < 1e-6 * np.sqrt(np.diagonal(bread)))
    scores = other.score_obs(at)
    if kind == "cluster":
        groups = KINDS[kind][0]["cluster"]
        scores = np.stack([scores[groups == c].sum(axis=0) for c in np.unique(groups)])
    covariance = bread if kind == "model" else bread @ scores.T @ scores @ bread.T
    expected = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose(table["std_error"][order], expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "family"), [("G1", "gaussian"), ("P1", "poisson")])
def test_standard_errors_equal_those_of_flexmix(name, family):
    answer = json.loads((REFERENCE / "flexmix.json").read_text())[name]
    rows = np.genfromtxt(REFERENCE / f"{name}.csv.gz", delimiter=",", names=True)
    features = [column for column in rows.dtype.names if column.startswith("x")]
    X, y = np.column_stack([rows[column] for column in features]), rows["y"]
    options = {"expert": family, "init": rows["z"].astype(int) - 1, "tol": 1e-12}
    model = MoERegressor(3, max_iter=2000, **options, **UNPENALIZED).fit(X, y)
    terms = ["(Intercept)", *features]
    coef, error = answer["coef"], answer["std_error"]
    location = np.column_stack([model.intercept_, model.coef_])
    names = [[f"model.1_Comp.{k}_coef.{term}" for term in terms] for k in (1, 2, 3)]
    theirs_at = np.array([[coef[key] for key in keys] for keys in names])
    match = np.abs(location[:, None] - theirs_at[None]).max(axis=2).argmin(axis=1)
    first = int(np.flatnonzero(match == 0)[0])
    table = model.coef_table(X, y, reference=first)
    for k, component in enumerate(match):
        own = table[table["unit"] == f"expert {k}"]
        n = len(terms)
        expected = [error[key] for key in names[component]]
        np.testing.assert_allclose(own["std_error"][:n], expected, rtol=1e-3)
        if family == "gaussian":  # theirs is that of log(sigma), half the log of the variance
            log_error = own["std_error"].iloc[n] / own["estimate"].iloc[n]
            key = f"model.1_Comp.{component + 1}_log(sigma)"
            np.testing.assert_allclose(log_error, 2.0 * error[key], rtol=1e-3)
        if component:
            gate = table[table["unit"] == f"root -> expert {k} vs expert {first}"]
            keys = [f"concomitant_Comp.{component + 1}.{term}" for term in terms]
            np.testing.assert_allclose(gate["estimate"], [coef[key] for key in keys], atol=1e-5)
            expected = [error[key] for key in keys]
            np.testing.assert_allclose(gate["std_error"], expected, rtol=1e-3)


def test_delta_method_matches_differences_of_the_map(rng):
    # The map to the user's units, for a tree whose gates, experts and dispersions see different
    # features: attributes are made by other code.
    X, y = simulate(Gaussian(), rng, 300)
    X = X * [3.0, 0.01] + [50.0, -2.0]
    options = {"n_init": 1, "random_state": 0, "gate_features": [1]}
    options["expert_features"] = {"dispersion": [0]}
    model = HMERegressor([[1, 1], 1], **options).fit(X, 1e3 * y)
    found = model.inference(X, 1e3 * y, reference={"root": 0, "node 0": 1})
    by_name = dict(zip([label[1:3] for label in found.labels], found.estimates, strict=True))
    for k in range(3):
        np.testing.assert_allclose(by_name[f"expert {k}", "x1"], model.coef_[k, 1])
        np.testing.assert_allclose(by_name[f"expert {k}", "intercept"], model.intercept_[k])
        dispersion = by_name[f"expert {k}", "dispersion"]
        np.testing.assert_allclose(dispersion, np.log(model.dispersion_[k]))
        slope = by_name[f"expert {k}", "log dispersion: x0"]
        np.testing.assert_allclose(slope, model.dispersion_coef_[k, 0])
    gate = np.column_stack([model.gate_intercept_, model.gate_coef_])
    for j, term in enumerate(["intercept", "x1"]):
        at_root = by_name["root -> expert 2 vs node 0", term]
        np.testing.assert_allclose(at_root, gate[1, j] - gate[0, j])
        below = by_name["node 0 -> expert 0 vs expert 1", term]
        np.testing.assert_allclose(below, gate[2, j] - gate[3, j])
