"""Paths of L1 penalties: from all-zero slopes on, warm-started, and a choice."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.displays import RegularizationPathDisplay
from mixexp.metrics import log_density_scorer
from mixexp.selection import regularization_path

QUIET = pytest.mark.filterwarnings("ignore::mixexp.exceptions.DegenerateExpertWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((250, 6))
    is_first = X[:, 0] + 0.3 * rng.standard_normal(250) > 0.0
    mean = np.where(is_first, 2.0 * X[:, 1], -2.0 * X[:, 1] + X[:, 2])
    return X, mean + 0.5 * rng.standard_normal(250)


MODEL = MoERegressor(2, alpha=0.0, gate_alpha=0.0, n_init=2, random_state=0)


@pytest.fixture(scope="module")
def path(data):
    return regularization_path(MODEL, *data, n_strengths=12)


def test_a_path_goes_from_no_slope_to_all(path, data):
    assert (np.diff(path.strengths) < 0.0).all()
    np.testing.assert_allclose(path.strengths[-1], 0.01 * path.strengths[0])
    assert not path.estimators[0].coef_.any()
    assert not path.estimators[0].gate_coef_.any()
    assert np.count_nonzero(path.estimators[-1].coef_) >= 10
    for model, strength in zip(path.estimators, path.strengths, strict=True):
        assert model.l1 == strength
        assert model.gate_l1 == 0.5 * strength
        assert model.init == "auto"
        assert model.n_init == 2


def test_no_strength_ends_below_a_fit_of_its_own(path, data):
    for i in (3, 6, 9):
        own = clone(path.estimators[i]).fit(*data)
        found = path.estimators[i].penalized_log_likelihood_
        assert found >= own.penalized_log_likelihood_ - 1e-6 * abs(found)


def test_the_choice_has_the_columns_of_the_truth(path):
    best = path.best_estimator_
    assert path.best_index_ == path.one_se_index_ == np.argmin(path.table["bic"])
    np.testing.assert_array_equal(np.flatnonzero(np.abs(best.coef_).max(axis=0) > 0.3), [1, 2])
    np.testing.assert_array_equal(np.flatnonzero(np.abs(best.gate_coef_).max(axis=0) > 0.3), [0])
    assert list(path.table["n_parameters"]) == [m.n_parameters_ for m in path.estimators]


def test_experts_are_followed_along_the_path(path):
    coefs = path.coefs
    np.testing.assert_array_equal(coefs[path.best_index_], path.best_estimator_.coef_)
    signs = np.sign(coefs[path.best_index_ :, :, 1])
    assert (signs == signs[0]).all()


@QUIET
def test_scores_choose_by_held_out_rows(data):
    found = regularization_path(MODEL, *data, n_strengths=6, criterion=log_density_scorer, cv=2)
    assert found.criterion == "score"
    assert found.best_index_ == np.argmax(found.table["score"])
    assert found.one_se_index_ <= found.best_index_
    least = found.values[found.best_index_] - found.columns["score_se"][found.best_index_]
    assert found.values[found.one_se_index_] >= least


@QUIET
@pytest.mark.parametrize(
    "model",
    [
        HMERegressor([[1, 1], 1], n_init=1, random_state=0),
        MoEClassifier(2, n_init=1, random_state=0),
    ],
    ids=["tree", "classes"],
)
def test_trees_and_classes_have_paths(model, data):
    X, y = data
    model = clone(model).set_params(alpha=0.1, gate_alpha=0.1)
    y = (y > 0.0).astype(int) if hasattr(model, "predict_proba") else y
    found = regularization_path(model, X, y, n_strengths=4)
    assert not found.estimators[0].coef_.any()
    assert found.estimators[-1].coef_.any()
    display = RegularizationPathDisplay.from_path(found)
    assert display.slopes.shape[0] == 4
    plt.close(display.figure_)


def test_strengths_may_be_given(data):
    found = regularization_path(MODEL, *data, strengths=[5.0, 20.0], gate_ratio=1.0)
    np.testing.assert_array_equal(found.strengths, [20.0, 5.0])
    assert found.estimators[0].gate_l1 == 20.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_strengths": 1}, "n_strengths must be an int"),
        ({"n_strengths": 10**400}, "n_strengths must be an int"),
        ({"criterion": lambda *_: "high", "cv": 2, "n_strengths": 2}, "must return a number"),
        ({"least": 0.0}, "least must be between 0 and 1"),
        ({"least": 2.0}, "least must be between 0 and 1"),
        ({"gate_ratio": -1.0}, "gate_ratio must be a finite number"),
        ({"strengths": [1.0, -1.0]}, "strengths must be a list of positive numbers"),
        ({"strengths": []}, "strengths must be a list of positive numbers"),
        ({"criterion": "gini"}, "criterion must be one of"),
        ({"cv": 3}, "cv is for scorers"),
    ],
)
def test_bad_arguments_are_refused_by_name(data, options, words):
    with pytest.raises(ValueError, match=words):
        regularization_path(MODEL, *data, **options)


def test_columns_that_do_not_vary_have_no_path(data):
    X, y = data
    with pytest.raises(ValueError, match="no column that varies"):
        regularization_path(MODEL, np.ones_like(X), y)


def test_the_display_shows_slopes_and_the_choice(path, tmp_path):
    display = RegularizationPathDisplay.from_path(path)
    assert len(display.lines_) == 2 * 2 * 6
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), path.strengths)
    assert display.chosen_[0].get_xdata()[0] == path.best_strength_
    display.figure_.savefig(tmp_path / "path.png", dpi=30)
    plt.close(display.figure_)
    with pytest.raises(TypeError, match="path must be what"):
        RegularizationPathDisplay.from_path(path.table)


def test_long_names_of_columns_stay_inside_of_the_panels(path, data):
    X = pd.DataFrame(
        data[0], columns=[f"{n} of the household's income (adjusted)" for n in range(6)]
    )
    options = {"strengths": path.strengths[::4]}
    display = RegularizationPathDisplay.from_path(regularization_path(MODEL, X, data[1], **options))
    display.figure_.canvas.draw()
    for ax in display.axes_.flat:
        assert ax.texts
        room = ax.get_window_extent()
        for text in ax.texts:
            box = text.get_window_extent()
            assert room.x0 <= box.x0 <= box.x1 <= room.x1
            assert room.y0 <= box.y0 <= box.y1 <= room.y1
    plt.close(display.figure_)
