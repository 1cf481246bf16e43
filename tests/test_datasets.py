"""Simulators: they draw from the truth that they tell, and the arm obeys its equations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from mixexp import HMEClassifier, HMERegressor, MoERegressor
from mixexp.contrast import contrast
from mixexp.datasets import make_hme, make_moe, make_motorcycle, make_robot_arm, make_tone
from mixexp.datasets._robot_arm import FRICTION, accelerations, energy
from mixexp.experts import FAMILIES, Binomial, Gamma, Gaussian, InverseGaussian, Multinomial
from mixexp.model import FittedModel

TREES = {"flat": (3,), "balanced": (2, 2), "nested": [[1, [1, 1]], 1], "one": (1,)}
every_family = pytest.mark.parametrize("name", FAMILIES)
every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES)


def oracle(truth, X):
    """Return the log odds of every leaf, computed path by path."""
    tree = truth.tree
    logits = truth.gate_intercept[:, None] + truth.gate_coef @ X.T
    out = np.zeros((tree.n_leaves, len(X)))
    for position, leaf in enumerate(tree.leaves):
        node = int(leaf)
        while node > 0:
            siblings = logits[tree.edges(int(tree.parent[node]))]
            out[position] += logits[node - 1] - np.logaddexp.reduce(siblings, axis=0)
            node = int(tree.parent[node])
    return out.T


@every_family
@every_tree
def test_truth_has_the_shapes_of_a_fit_and_finite_numbers(name, tree, seed):
    X, y, truth = make_hme(90, 2, tree, expert=name, random_state=seed)
    n_experts = truth.tree.n_leaves
    assert X.shape == (90, 2)
    assert y.shape == truth.log_density.shape == truth.labels.shape == (90,)
    assert truth.coef.shape[0] == n_experts
    assert truth.coef.shape[:-1] == truth.intercept.shape
    assert truth.coef.shape[-1] == 2
    assert truth.gate_coef.shape == (truth.tree.n_edges, 2)
    assert truth.responsibilities.shape == truth.gate_proba.shape == (90, n_experts)
    for value in (X, y, truth.coef, truth.gate_coef, truth.log_density, truth.responsibilities):
        assert np.isfinite(value).all()
    assert not truth.experts[0].find_unsupported(y.astype(float)).any()
    assert len(truth.shape) == len(truth.experts) == n_experts


@every_tree
def test_gates_are_those_of_the_coefficients(tree, seed):
    X, _, truth = make_hme(200, 3, tree, random_state=seed)
    np.testing.assert_allclose(truth.gate_proba, np.exp(oracle(truth, X)), atol=1e-12)
    for node in truth.tree.inner_nodes:
        siblings = truth.gate_coef[truth.tree.edges(node)]
        np.testing.assert_allclose(siblings.sum(axis=0), 0.0, atol=1e-9)


@every_family
def test_density_and_posterior_are_bayes(name, seed):
    _, _, truth = make_moe(200, expert=name, random_state=seed)
    joint = truth.responsibilities * np.exp(truth.log_density)[:, None]
    # Families' own densities are tested elsewhere: here, that the parts belong together.
    np.testing.assert_allclose(truth.responsibilities.sum(axis=1), 1.0, rtol=1e-12)
    assert (joint > 0.0).any(axis=1).all()
    assert (truth.responsibilities[np.arange(200), truth.labels] > 0.0).all()


def test_gaussian_truth_is_the_density_written_out(seed):
    X, y, truth = make_moe(300, 2, 3, dispersion=[0.5, 1.0, 2.0], random_state=seed)
    mean = truth.intercept + X @ truth.coef.T
    density = stats.norm(mean, np.sqrt([0.5, 1.0, 2.0])).pdf(y[:, None])
    joint = truth.gate_proba * density
    np.testing.assert_allclose(truth.log_density, np.log(joint.sum(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(
        truth.responsibilities, joint / joint.sum(axis=1, keepdims=True), atol=1e-12
    )
    residual = (y - mean[np.arange(300), truth.labels]) / np.sqrt(truth.dispersion[truth.labels])
    # False alarm once in 1e5 seeds.
    assert stats.kstest(residual, "norm").pvalue > 1e-5


def test_labels_and_posterior_are_calibrated(seed):
    _, _, truth = make_moe(20000, n_experts=3, separation=1.0, sharpness=3.0, random_state=seed)
    for proba in (truth.gate_proba, truth.responsibilities):
        hits = truth.labels[:, None] == np.arange(3)
        error = (hits - proba).sum(axis=0) / np.sqrt((proba * (1.0 - proba)).sum(axis=0))
        # Standard normal; 4.5 sigma in six draws: once in 2e4 seeds.
        assert np.abs(error).max() < 4.5


@pytest.mark.parametrize("n_experts", [2, 5, 8])
def test_every_expert_gets_about_the_same_number_of_rows(n_experts, seed):
    _, _, truth = make_moe(4000, n_experts=n_experts, random_state=seed)
    mass = truth.gate_proba.mean(axis=0) * n_experts
    # Cells end half way between quantiles, and those at the edges are wider or narrower.
    assert mass.min() > 0.5
    assert mass.max() < 1.6


def test_separation_and_sharpness_say_how_hard_the_problem_is(seed):
    near, far = (make_moe(1000, separation=s, random_state=seed)[2] for s in (0.0, 6.0))
    np.testing.assert_allclose(near.responsibilities, near.gate_proba, atol=1e-12)
    assert far.responsibilities.max(axis=1).mean() > near.responsibilities.max(axis=1).mean()
    soft, hard = (make_moe(1000, sharpness=s, random_state=seed)[2] for s in (1.0, 40.0))
    assert hard.gate_proba.max(axis=1).mean() > 0.95 > soft.gate_proba.max(axis=1).mean()


def test_constant_gate_has_equal_proportions():
    truth = make_hme(50, tree=[[1, 1], 1], gate="constant", random_state=0).truth
    np.testing.assert_allclose(truth.gate_proba, np.tile([0.25, 0.25, 0.5], (50, 1)))
    assert not truth.gate_coef.any()


@pytest.mark.parametrize(
    "family", [Gamma(link="inverse"), Gamma(link="identity"), InverseGaussian("inverse_squared")]
)
def test_links_that_need_a_positive_predictor_get_one(family, seed):
    X, _, truth = make_moe(300, 3, 5, expert=family, separation=8.0, random_state=seed)
    assert (truth.intercept + X @ truth.coef.T).min() > 0.0


def test_lists_of_families_mix(seed):
    X, y, truth = make_moe(400, 1, 3, expert=["gaussian", "laplace", "uniform"], random_state=seed)
    uniform = truth.experts[2]
    others = y[truth.labels < 2]
    assert (uniform.low, uniform.high) == (others.min(), others.max())
    assert not truth.coef[2].any()
    zeros = make_moe(400, 1, 2, expert=["point_mass", "poisson"], random_state=seed)
    assert (zeros.y[zeros.truth.labels == 0] == 0.0).all()
    assert (zeros.truth.responsibilities[zeros.y > 0.0, 0] == 0.0).all()
    assert X.shape == zeros.X.shape


def test_classes_are_integers_of_the_number_asked_for(seed):
    assert set(make_moe(300, expert="multinomial", n_classes=4, random_state=seed).y) == {*range(4)}
    given = make_moe(300, expert=Multinomial(n_classes=2), random_state=seed)
    assert given.y.dtype.kind == "i"
    assert given.truth.coef.shape == (3, 2, 2)


def test_trials_bound_the_successes(seed):
    _, y, truth = make_moe(300, expert="binomial", trials=12, random_state=seed)
    assert 1.0 < y.max() <= 12.0
    np.testing.assert_array_equal(truth.trials, 12.0)
    per_row = np.arange(1.0, 301.0)
    assert (make_moe(300, expert=Binomial(), trials=per_row, random_state=0).y <= per_row).all()


def test_known_dispersions_are_kept():
    truth = make_moe(50, expert=Gaussian(dispersion=4.0), random_state=0).truth
    np.testing.assert_allclose(truth.dispersion, 4.0)


def test_seeds_are_those_of_scikit_learn():
    first, again = (make_moe(40, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first.y, again.y)
    state = np.random.RandomState(3)
    np.testing.assert_array_equal(first.y, make_moe(40, random_state=state).y)
    assert not np.array_equal(first.y, make_moe(40, random_state=state).y)


UNPENALIZED = {"alpha": 0.0, "gate_alpha": 0.0}
every_fitted_family = pytest.mark.parametrize(
    "name", sorted({*FAMILIES} - {"point_mass", "uniform"})
)


def given_per_row(truth):
    return {} if truth.trials is None else {"trials": truth.trials}


def fit_from(init, X, y, truth, **options):
    """Fit the model that the data came from."""
    is_real = truth.experts[0].target == "regression"
    kind = HMERegressor if is_real else HMEClassifier
    if is_real and options.get("alpha") == 0.0:
        options = {"dispersion_prior": 0.0, **options}
    model = kind(truth.tree, expert=truth.experts, init=init, **options)
    return model.fit(X, y, **given_per_row(truth))


def with_truth(model, truth):
    """Put the coefficients of the truth, of one family throughout, into a fitted estimator."""
    family, state = truth.experts[0], model.fitted_model_
    location = np.concatenate([truth.intercept[..., None], truth.coef], axis=-1)
    n_locations = sum(head.kind == "location" for head in family.heads)
    if location.ndim == 2:
        heads = [location]
    else:  # class logits; the family works on their contrasts
        basis = contrast(location.shape[1])
        heads = [np.einsum("kcp,c->kp", location, basis[:, a]) for a in range(n_locations)]
    for head in family.heads[n_locations:]:
        name = head.name.removeprefix("log_")
        values = truth.dispersion if head.kind == "dispersion" else [s[name] for s in truth.shape]
        is_log = head.kind == "dispersion" or name != head.name
        heads.append((np.log(values) if is_log else np.array(values))[:, None])
    gate = np.column_stack([truth.gate_intercept, truth.gate_coef])
    params = FittedModel.from_raw_slots(state.model, state.scaling, [gate, *heads]).params
    model.fitted_model_ = state._replace(params=params)
    return model


@every_fitted_family
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.SeparationWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.RankDeficientWarning")
@pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_truth_is_what_an_estimator_with_its_coefficients_says(name, tree, seed):
    X, y, truth = make_hme(400, 2, tree, expert=name, sharpness=4.0, random_state=seed)
    known = given_per_row(truth)
    model = fit_from(truth.responsibilities, X, y, truth, max_iter=1, **UNPENALIZED)
    told = with_truth(model, truth)
    np.testing.assert_allclose(told.gate_proba(X), truth.gate_proba, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(told.log_density(X, y, **known), truth.log_density, rtol=1e-8)
    np.testing.assert_allclose(
        told.responsibilities(X, y, **known), truth.responsibilities, rtol=1e-6, atol=1e-9
    )
    # EM never falls, so what it comes to from the truth is at least as likely.
    fitted = fit_from(told, X, y, truth, max_iter=20, **UNPENALIZED)
    assert fitted.log_likelihood_ >= truth.log_density.sum() - 1e-9 * len(y)
    assert fitted.coef_.shape == truth.coef.shape


@pytest.mark.parametrize("expert", ["gaussian", "gamma", "poisson"])
def test_a_fit_finds_the_coefficients_in_the_same_order(expert, seed):
    X, y, truth = make_moe(4000, 2, 3, expert=expert, random_state=seed)
    model = fit_from(truth.responsibilities, X, y, truth)
    # Some 1300 rows per expert: standard errors of 0.05 and less, and a ridge of three rows.
    np.testing.assert_allclose(model.coef_, truth.coef, atol=0.3)
    np.testing.assert_allclose(model.intercept_, truth.intercept, atol=0.3)
    agreement = (model.gate_proba(X).argmax(axis=1) == truth.gate_proba.argmax(axis=1)).mean()
    assert agreement > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter must be an int of at least 1"),
        ({"n_features": 1.5}, "'n_features' parameter must be an int"),
        ({"n_experts": True}, "'n_experts' parameter must be an int"),
        ({"expert": "gauss"}, "'expert' parameter must be one of"),
        ({"expert": ["gaussian"]}, "'expert' parameter lists 1 experts, but there are 3"),
        ({"expert": ["gaussian", "logistic", "poisson"]}, "mixes families for different kinds"),
        ({"expert": Gamma(link="log-log")}, "'link' option of the gamma expert"),
        ({"gate": "gaussian"}, "'gate' parameter must be one of"),
        ({"separation": -1.0}, "'separation' parameter must be a finite number of at least 0"),
        ({"sharpness": np.inf}, "'sharpness' parameter must be a finite number"),
        ({"dispersion": [1.0, 2.0]}, "'dispersion' parameter must be a positive number, or 3"),
        ({"dispersion": 0.0}, "'dispersion' parameter must be a positive number"),
        ({"n_classes": 1}, "'n_classes' parameter must be an int of at least 2"),
        ({"trials": 3}, "trials are for binomial experts"),
        ({"expert": "binomial", "trials": 0.5}, "'trials' parameter must be a whole number"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_moe(**options)


def test_bad_trees_are_named():
    with pytest.raises(ValueError, match="'tree' parameter must be a tuple"):
        make_hme(tree=3)


# The arm.


def test_arm_has_twelve_inputs_and_four_outputs(seed):
    X, y = make_robot_arm(500, random_state=seed)
    assert X.shape == (500, 12)
    assert y.shape == (500, 4)
    np.testing.assert_array_equal(y, accelerations(X[:, :4], X[:, 4:8], X[:, 8:]))
    noisy = make_robot_arm(500, noise=0.1, random_state=seed)[1]
    share = (noisy - y).std(axis=0) / y.std(axis=0)
    # Five standard errors of a standard deviation of 500 draws.
    np.testing.assert_allclose(share, 0.1, atol=0.1 * 5.0 / np.sqrt(1000.0))


def test_arm_gains_the_energy_that_torques_put_in(rng):
    q, v, torque = (rng.uniform(-2.0, 2.0, (50, 4)) for _ in range(3))
    a = accelerations(q, v, torque)
    h = 1e-5
    gain = (energy(q + h * v, v + h * a) - energy(q - h * v, v - h * a)) / (2.0 * h)
    power = ((torque - FRICTION * v) * v).sum(axis=1)
    # Central differences: h**2 times third derivatives of order 1e4.
    np.testing.assert_allclose(gain, power, atol=1e-5)


def test_arm_at_rest_hangs_still():
    down = np.array([[-0.5 * np.pi, 0.0, 0.0, 0.0]])
    still = np.zeros((1, 4))
    np.testing.assert_allclose(accelerations(down, still, still), 0.0, atol=1e-12)


def test_one_link_alone_is_a_pendulum():
    """Link 1 driven with the others held in line has the inertia of one rod of four pieces."""
    angles = np.array([[0.3, 0.0, 0.0, 0.0]])
    velocity = np.array([[1.2, 0.0, 0.0, 0.0]])
    rigid = energy(angles, velocity) - energy(angles, np.zeros((1, 4)))
    ends = np.cumsum([0.5, 0.4, 0.3, 0.2])
    middles, masses = ends - 0.5 * np.array([0.5, 0.4, 0.3, 0.2]), np.array([4.0, 3.0, 2.0, 1.0])
    inertia = (masses * (middles**2 + np.array([0.5, 0.4, 0.3, 0.2]) ** 2 / 12.0)).sum()
    np.testing.assert_allclose(rigid, 0.5 * inertia * 1.2**2, rtol=1e-12)


# Classic shapes.


def test_motorcycle_is_quiet_before_the_crash_and_loud_after(seed):
    X, y = make_motorcycle(2000, random_state=seed)
    mean = make_motorcycle(2000, noise=0.0, random_state=seed)[1]
    time, residual = X[:, 0], y - mean
    assert (np.diff(time) >= 0.0).all()
    assert time[0] >= 2.0
    assert time[-1] <= 58.0
    assert residual[time < 14.0].std() < 2.0 < 15.0 < residual[time > 21.0].std()
    np.testing.assert_allclose(mean.min(), -115.0, atol=2.0)


def test_tone_has_two_lines_at_every_ratio(seed):
    X, y = make_tone(4000, noise=0.0, random_state=seed)
    is_octave = y == 2.0
    # Five standard errors of a share of 4000.
    np.testing.assert_allclose(is_octave.mean(), 0.3, atol=5.0 * np.sqrt(0.21 / 4000.0))
    np.testing.assert_array_equal(y[~is_octave], X[~is_octave, 0])
    assert X.min() >= 1.35
    assert X.max() <= 3.0


def test_two_experts_find_the_tones(seed):
    X, y = make_tone(600, random_state=seed)
    model = MoERegressor(2, gate="constant", n_init=5, random_state=0).fit(X, y)
    np.testing.assert_allclose(np.sort(model.coef_[:, 0]), [0.0, 1.0], atol=0.05)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("make", [make_motorcycle, make_tone, make_robot_arm])
def test_classics_name_bad_arguments(make):
    with pytest.raises(ValueError, match="'n_samples' parameter must be an int"):
        make(0)
    with pytest.raises(ValueError, match="'noise' parameter must be a finite number"):
        make(10, noise=-1.0)
