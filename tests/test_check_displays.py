"""Displays that check or tabulate a fit: residuals, the predicted distribution, coefficients."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawn import DRAWING, QUICK
from scipy import stats

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.datasets import make_moe
from mixexp.displays import CoefficientDisplay, PredictiveDisplay, ResidualDisplay
from mixexp.displays._residual import weighted_quantiles
from mixexp.experts import FAMILIES
from mixexp.model import Parameters

pytestmark = DRAWING


@pytest.fixture(scope="module")
def frame():
    X, y, _ = make_moe(200, 3, 2, random_state=0)
    return pd.DataFrame(X * [1.0, 10.0, 1.0], columns=["age", "dose", "mass"]), y


@pytest.fixture(scope="module")
def model(frame):
    return MoERegressor(2, **QUICK).fit(*frame)


# Residuals.


def test_gaussian_residuals_are_those_written_out(model, frame):
    X, y = frame
    display = ResidualDisplay.from_estimator(model, X, y)
    z = (y[:, None] - model.predict_experts(X)) / np.sqrt(model.dispersion_)
    # One less a probability of 1e-9 has seven digits; what is farther out ends at 8.2.
    near = z < 6.0
    np.testing.assert_allclose(display.expert_residuals[near], z[near], rtol=1e-6, atol=1e-9)
    assert (np.abs(display.expert_residuals[~near] - 7.1) < 1.2).all()
    mixture = (model.gate_proba(X) * stats.norm.cdf(z)).sum(axis=1)
    np.testing.assert_allclose(display.residuals, stats.norm.ppf(mixture), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(display.fitted, model.predict(X))


@pytest.mark.parametrize("name", sorted({*FAMILIES} - {"point_mass", "uniform"}))
def test_residuals_of_the_right_model_are_standard_normal(name, seed):
    """Whatever the family; the fit is the truth's own, but for few parameters of 1500 rows."""
    X, y, truth = make_moe(1500, 1, 2, expert=name, random_state=seed)
    is_class = truth.experts[0].target != "regression"
    options = {"expert": truth.experts[0], "init": truth.responsibilities, "max_iter": 60}
    fitted = (MoEClassifier if is_class else MoERegressor)(2, **options).fit(X, y)
    display = ResidualDisplay.from_estimator(fitted, X, y, random_state=seed)
    # Fitting makes residuals more normal than chance does: false alarm below once in 1e4 seeds.
    assert stats.kstest(display.residuals, "norm").pvalue > 1e-4


def test_expert_residuals_weighted_by_responsibility_are_normal(seed):
    """Rows of which the expert is the most probable are not, which is why they are weighted."""
    X, y, truth = make_moe(4000, 1, 2, separation=1.0, random_state=seed)
    fitted = MoERegressor(2, init=truth.responsibilities).fit(X, y)
    display = ResidualDisplay.from_estimator(fitted, X, y)
    for k in range(2):
        resp, z = display.points.proba[:, k], display.expert_residuals[:, k]
        mean = np.average(z, weights=resp)
        second = np.average(z**2, weights=resp)
        # Some 2000 rows each, of which both moments have been fitted.
        assert abs(mean) < 0.05
        assert abs(second - 1.0) < 0.1


def test_discrete_residuals_lie_within_the_step_and_follow_the_seed():
    X, y, _ = make_moe(150, 1, 2, expert="poisson", random_state=0)
    fitted = MoERegressor(2, expert="poisson", **QUICK).fit(X, y)
    first, again, other = (
        ResidualDisplay.from_estimator(fitted, X, y, random_state=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.residuals, again.residuals)
    assert not np.array_equal(first.residuals, other.residuals)
    mean, gate = fitted.predict_experts(X), fitted.gate_proba(X)
    low, high = ((gate * stats.poisson(mean).cdf(at[:, None])).sum(axis=1) for at in (y - 1.0, y))
    share = stats.norm.cdf(first.residuals)
    assert (low - 1e-12 <= share).all()
    assert (share <= high + 1e-12).all()


def test_residuals_of_trials_and_exposure():
    X, y, truth = make_moe(200, 1, 2, expert="binomial", trials=9, random_state=0)
    fitted = MoERegressor(2, expert="binomial", **QUICK).fit(X, y, trials=truth.trials)
    display = ResidualDisplay.from_estimator(fitted, X, y, trials=truth.trials)
    assert np.abs(display.residuals).max() < 5.0
    np.testing.assert_array_equal(display.fitted, fitted.predict(X, trials=truth.trials))


def test_residual_draws_all_rows_and_a_line_per_expert(model, frame):
    display = ResidualDisplay.from_estimator(model, *frame)
    assert sum(len(a.get_offsets()) for a in display.scatter_) == 200
    np.testing.assert_array_equal(display.quantiles_.get_ydata(), np.sort(display.residuals))
    assert sorted(display.expert_lines_) == [0, 1]
    assert display.band_ in display.axes_[0, 0].collections


def test_an_expert_without_rows_has_no_line(frame):
    X, y = frame
    fitted = MoERegressor(2, **QUICK).fit(X, y)
    # Next to all probability to the first expert.
    params = fitted.fitted_model_.params
    gate = params.gates[0] * 0.0 + np.array([[50.0], [-50.0]]) * (np.arange(4) == 0)
    fitted.fitted_model_ = fitted.fitted_model_._replace(params=Parameters((gate,), params.experts))
    display = ResidualDisplay.from_estimator(fitted, X, y)
    assert sorted(display.expert_lines_) == [0]
    assert np.isfinite(display.residuals).all()


def test_weighted_quantiles_are_those_of_repeated_rows():
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    across, up = weighted_quantiles(values, weight, weight > 0.0)
    np.testing.assert_array_equal(up, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(stats.norm.cdf(across), [0.25, 0.625, 0.875])


# Predicted distribution.


def test_fan_is_nested_and_holds_its_share(model, frame):
    X, y = frame
    display = PredictiveDisplay.from_estimator(model, X, y, coverages=[0.9, 0.5])
    assert display.coverages == (0.5, 0.9)
    inner, outer = display.intervals
    assert (outer[0] < inner[0]).all()
    assert (inner[0] < display.median).all()
    assert (display.median < inner[1]).all()
    assert (inner[1] < outer[1]).all()
    assert len(display.bands_) == 2
    assert len(display.scatter_.get_offsets()) == 200
    np.testing.assert_array_equal(display.mean, model.predict(display.line.rows))


def test_fan_covers_as_much_as_it_says(seed):
    X, y, _ = make_moe(4000, 1, 2, random_state=seed)
    fitted = MoERegressor(2, **QUICK).fit(X, y)
    display = PredictiveDisplay.from_estimator(fitted, X, y, grid_resolution=400, coverages=[0.8])
    low, high = (np.interp(X[:, 0], display.line.grid, end) for end in display.intervals[0])
    inside = ((low <= y) & (y <= high)).mean()
    # 4000 rows: standard error 0.0063, five of them.
    assert abs(inside - 0.8) < 0.032


def test_fan_of_counts_has_whole_numbers():
    X, y, _ = make_moe(150, 1, 2, expert="poisson", random_state=0)
    fitted = MoERegressor(2, expert="poisson", **QUICK).fit(X, y)
    display = PredictiveDisplay.from_estimator(fitted, X)
    np.testing.assert_array_equal(display.intervals, np.floor(display.intervals))
    assert display.scatter_ is None


def test_fan_of_trials_and_exposure_stands_at_their_median():
    X, y, truth = make_moe(200, 1, 1, expert="binomial", trials=9, random_state=0)
    fitted = MoERegressor(1, expert="binomial").fit(X, y, trials=truth.trials)
    display = PredictiveDisplay.from_estimator(
        fitted, X, y, trials=truth.trials, coverages=[0.8], grid_resolution=5
    )
    law = stats.binom(9, fitted.predict(display.line.grid[:, None]))
    np.testing.assert_allclose(display.intervals[0], np.stack([law.ppf(0.1), law.ppf(0.9)]) / 9.0)
    np.testing.assert_array_equal(display.target, y / 9.0)
    exposure = np.tile([2.0, 8.0, 50.0], 60)
    counts = np.random.default_rng(0).poisson(3.0 * exposure)
    fitted = MoERegressor(1, expert="poisson").fit(X[:180], counts, exposure=exposure)
    display = PredictiveDisplay.from_estimator(
        fitted, X[:180], counts, exposure=exposure, coverages=[0.8], grid_resolution=5
    )
    law = stats.poisson(8.0 * fitted.predict(display.line.grid[:, None]))
    np.testing.assert_allclose(display.intervals[0], np.stack([law.ppf(0.1), law.ppf(0.9)]) / 8.0)


def test_fan_is_for_regressors(frame):
    X, y = frame
    classifier = MoEClassifier(2, **QUICK).fit(X, y > 0.0)
    with pytest.raises(TypeError, match="PredictiveDisplay is for regressors; got MoEClassifier"):
        PredictiveDisplay.from_estimator(classifier, X)


# Coefficients.


def test_coefficients_are_slopes_times_deviations_sorted(model, frame):
    X, _ = frame
    display = CoefficientDisplay.from_estimator(model)
    spread = X.to_numpy().std(axis=0)
    columns = [list(X.columns).index(term) for term in display.terms]
    np.testing.assert_allclose(display.estimates[0], (model.coef_ * spread)[:, columns])
    largest = np.abs(display.estimates[0]).max(axis=0)
    assert (np.diff(largest) <= 0.0).all()
    assert display.units == [["expert 0", "expert 1"]]
    assert np.isnan(display.intervals[0]).all()
    drawn = [mark.get_xdata() for mark in display.marks_[0]]
    np.testing.assert_array_equal(drawn, display.estimates[0])


def test_slopes_per_unit_stand_in_the_order_of_the_features(model, frame):
    display = CoefficientDisplay.from_estimator(model, scale="unit")
    assert display.terms == list(frame[0].columns)
    np.testing.assert_allclose(display.estimates[0], model.coef_, rtol=1e-12)


def test_gates_have_a_panel_per_node(frame):
    X, y = frame
    tree = HMERegressor([[1, 1], 1], **QUICK).fit(X, y)
    display = CoefficientDisplay.from_estimator(tree, part="gate", scale="unit")
    assert display.panels == ["root", "node 0"]
    assert display.units == [["node 0", "expert 2"], ["expert 0", "expert 1"]]
    np.testing.assert_allclose(np.concatenate(display.estimates), tree.gate_coef_, rtol=1e-12)
    assert len({ax.get_xlim() for ax in display.axes_.flat}) == 1


def test_contrasts_of_gates_are_drawn_with_their_intervals(model, frame):
    X, y = frame
    table = model.coef_table(X, y, reference=-1)
    display = CoefficientDisplay.from_estimator(model, part="gate", table=table, scale="unit")
    assert display.units == [["expert 0 vs expert 1"]]
    rows = table[(table["part"] == "gate") & (table["term"] != "intercept")]
    np.testing.assert_array_equal(display.estimates[0][0], rows["estimate"])
    np.testing.assert_array_equal(display.intervals[0][0], rows[["lower", "upper"]])


def test_classes_have_a_panel_each(frame):
    X, y = frame
    labels = np.array(["low", "mid", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.7]))]
    fitted = MoEClassifier(2, **QUICK).fit(X, labels)
    display = CoefficientDisplay.from_estimator(fitted, scale="unit")
    assert display.panels == ["class high", "class low", "class mid"]
    np.testing.assert_allclose(np.stack(display.estimates, axis=1), fitted.coef_, rtol=1e-12)


@pytest.mark.parametrize("as_frame", [True, False])
def test_intervals_of_a_table_are_drawn(model, frame, as_frame):
    X, _ = frame
    table = model.coef_table()
    table["lower"], table["upper"] = table["estimate"] - 1.0, table["estimate"] + 2.0
    table.loc[table["term"] == "dose", "lower"] = np.nan
    given = table if as_frame else {name: table[name].tolist() for name in table.columns}
    display = CoefficientDisplay.from_estimator(model, table=given, scale="unit")
    dose = display.terms.index("dose")
    assert np.isnan(display.intervals[0][:, dose, 0]).all()
    known = np.delete(display.intervals[0] - display.estimates[0][:, :, None], dose, axis=1)
    np.testing.assert_allclose(known, np.broadcast_to([-1.0, 2.0], known.shape))
    assert [len(lines.get_segments()) for lines in display.lines_[0]] == [2, 2]
    assert X.shape[1] == len(display.terms)


def test_experts_without_slopes_and_names_of_other_terms_are_told_apart():
    X, y, _ = make_moe(200, 2, 2, expert=["point_mass", "gamma"], random_state=0)
    named = pd.DataFrame(X, columns=["dispersion", "age"])
    fitted = MoERegressor(2, expert=["point_mass", "gamma"], **QUICK).fit(named, y)
    display = CoefficientDisplay.from_estimator(fitted, scale="unit")
    assert display.units == [["expert 1"]]
    np.testing.assert_allclose(display.estimates[0], fitted.coef_[1:], rtol=1e-12)


def test_bad_tables_and_parts_are_named(model, frame):
    with pytest.raises(ValueError, match=r"'table' parameter must have columns.*lacks \['term'\]"):
        CoefficientDisplay.from_estimator(model, table={"part": [], "unit": [], "estimate": []})
    with pytest.raises(ValueError, match="'scale' parameter must be one of"):
        CoefficientDisplay.from_estimator(model, scale="sd")
    with pytest.raises(ValueError, match="'part' parameter must be one of"):
        CoefficientDisplay.from_estimator(model, part="leaf")
    constant = MoERegressor(2, gate_features=[], **QUICK).fit(*frame)
    with pytest.raises(ValueError, match="The model has no slopes of its gates"):
        CoefficientDisplay.from_estimator(constant, part="gate")


# Options.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverages": []}, "'coverages' parameter must hold at least one number"),
        ({"coverages": [0.5, 1.5]}, "'coverages' parameter must be between 0 and 1"),
        ({"coverages": 0.5}, "'coverages' parameter must be a list of numbers"),
        ({"feature": "weight"}, "Unknown feature 'weight'"),
        ({"grid_resolution": 0}, "'grid_resolution' parameter must be an int"),
    ],
)
def test_bad_options_are_named(model, frame, options, message):
    with pytest.raises(ValueError, match=message):
        PredictiveDisplay.from_estimator(model, *frame, **options)
    assert plt.get_fignums() == []
