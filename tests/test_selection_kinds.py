"""Selection tools with what is no linear predictor, and several targets: work or say why not."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mixexp import EM, Frozen, MoERegressor, select_n_experts
from mixexp.displays import SelectionDisplay
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning
from mixexp.metrics import log_density_scorer
from mixexp.selection import Auto, regularization_path, stability_selection

QUICK = {"n_init": 1, "max_iter": 4, "solver": EM(n_moves=0), "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = 2.0 * np.abs(X[:, 0]) + 0.1 * RNG.normal(size=60)
TWO = np.column_stack([Y, X[:, 1] + 0.2 * RNG.normal(size=60)])
MIXED_KINDS = np.column_stack([RNG.poisson(2.0, 60), RNG.gamma(2.0, 1.0, 60)])
GROUPS = np.repeat(np.arange(20), 3)
# Someone else's estimators, and gates of their own: how many parameters these have is not known.
OTHERS = {
    "estimator": {"expert": Ridge()},
    "mixed": {"expert": ["gaussian", Ridge()], "n_experts": 2},
    "frozen": {"expert": [Frozen("gaussian", [2.0, 0.0], 0.0), "gaussian"], "n_experts": 2},
    "gaussian gate": {"gate": "gaussian"},
}
COUNTED = {
    "several targets": ({}, TWO, {}),
    "product": ({"expert": [("poisson", "gamma")]}, MIXED_KINDS, {}),
    "panel": ({"gate": "constant"}, Y, {"groups": GROUPS}),
}
of_others = pytest.mark.parametrize("options", OTHERS.values(), ids=OTHERS)
of_counted = pytest.mark.parametrize(("options", "y", "given"), COUNTED.values(), ids=COUNTED)
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
    for category in (ConvergenceWarning, DegenerateExpertWarning)
]


def model_of(options):
    return MoERegressor(**QUICK).set_params(**options)


@of_others
def test_scores_compare_what_has_no_number_of_parameters(options):
    found = select_n_experts(model_of(options), X, Y, [2, 3], criterion=log_density_scorer, cv=2)
    assert np.isfinite(found.columns["score"]).all()
    assert np.isfinite(found.columns["log_likelihood"]).all()
    assert np.isnan(found.columns["n_parameters"]).all()
    assert np.isnan(found.columns["bic"]).all()
    assert "nan" in str(found)
    assert list(SelectionDisplay.from_selection(found).values) == ["score"]
    plt.close("all")


@of_others
def test_criteria_are_refused_where_no_number_of_parameters_is_known(options):
    with pytest.raises(ValueError, match=r"there is no aic; give criterion=.*log_density_scorer"):
        select_n_experts(model_of(options), X, Y, [2, 3], criterion="aic")


@of_others
@pytest.mark.parametrize("tool", [regularization_path, stability_selection])
def test_penalties_are_refused_by_the_name_of_what_has_none(tool, options):
    model = model_of(options).set_params(n_experts=2)
    if tool is stability_selection:
        model.set_params(l1=1.0)
    with pytest.raises(ValueError, match=r"for a model with a .*, which is no linear predictor"):
        tool(model, X, Y)


@of_counted
def test_criteria_and_scores_of_several_targets_products_and_panels(options, y, given):
    model = model_of(options)
    found = select_n_experts(model, X, y, [1, 2], **given)
    assert np.isfinite(found.columns["bic"]).all()
    scored = select_n_experts(model, X, y, [1], criterion=log_density_scorer, cv=2, **given)
    assert np.isfinite(scored.columns["score"]).all()


def test_paths_of_several_targets_are_refused_by_name():
    with pytest.raises(ValueError, match=r"'l1' parameter.*must be 0 for experts of several"):
        regularization_path(model_of({"n_experts": 2}), X, TWO)


def test_automatic_choices_hold_for_estimators_and_several_targets():
    few = Auto(max_experts=2, cv=2)
    product = {"expert": [("poisson", "gamma")]}
    for options, y in (({"expert": Ridge()}, Y), ({}, TWO), (product, MIXED_KINDS)):
        model = model_of(options).set_params(n_experts=few).fit(X, y)
        display = SelectionDisplay.from_selection(model.selection_)
        assert np.isfinite(list(display.values.values())).all()
        plt.close("all")
