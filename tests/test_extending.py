"""The page on extending: its code runs, and the source it shows is the source."""

import re
from pathlib import Path

import numpy as np
import pytest
from repository import needed
from sklearn.base import clone

import mixexp
from mixexp import HMERegressor

PACKAGE = Path(mixexp.__file__).parent
PAGE = needed("docs/extending.md").read_text()
SHOWN = re.compile(r"<!-- (mixexp/\S+) -->\n```python\n(.*?)```\n<!-- end -->", re.DOTALL)


def test_shown_source_is_the_file():
    shown = SHOWN.findall(PAGE)
    assert shown
    for path, source in shown:
        assert source == (PACKAGE.parent / path).read_text(), (
            f"docs/extending.md shows an old {path}"
        )


@pytest.fixture(scope="module")
def namespace():
    """Run the page's own examples, in order."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", SHOWN.sub("", PAGE), re.DOTALL):
        exec(compile(block, "docs/extending.md", "exec"), names)
    return names


def test_the_family_of_the_page_fits(namespace):
    model = namespace["model"]
    assert model.converged_
    assert np.diff(model.history_).min() >= -1e-9 * abs(model.history_[-1])
    # Standard error of a slope: 0.38 / (sqrt(250) * 0.29) = 0.08; four of them.
    np.testing.assert_allclose(model.coef_[:, 0], [-3.0, 1.0], atol=0.33)
    lines = re.search(r"class Gumbel.*?(?=```)", PAGE, re.DOTALL)
    assert lines is not None
    assert len(lines.group().strip().splitlines()) < 30


def test_the_family_of_the_page_is_the_gumbel_distribution(namespace):
    from scipy.stats import gumbel_r

    y, heads = np.linspace(-3.0, 6.0, 7), (np.array([[0.5]]), np.array([[0.2]]))
    expected = gumbel_r.logpdf(y, loc=0.5, scale=np.exp(0.2))
    np.testing.assert_allclose(namespace["Gumbel"]().log_density(y, heads)[0], expected)


def test_the_expert_for_counts_of_the_page_has_probabilities(namespace):
    model, X = namespace["inflated"], namespace["X"][:5]
    probabilities = [np.exp(model.log_density(X, np.full(5, float(y)))) for y in range(60)]
    np.testing.assert_allclose(np.sum(probabilities, axis=0), 1.0, rtol=1e-9)
    share = model.gate_proba(X)[:, 0]
    own = share + (1.0 - share) * np.exp(-model.predict_experts(X)[:, 1])
    np.testing.assert_allclose(probabilities[0], own, rtol=1e-9)
    assert abs(model.gate_proba(namespace["X"])[:, 0].mean() - 0.3) < 0.1


@pytest.mark.parametrize("unit", [1.0, 1000.0])
@pytest.mark.parametrize("name", ["GaussianGate", "RidgeExpert"])
def test_submodels_of_the_page_fit_in_any_unit_weighted_and_repeated(namespace, name, unit):
    X, y = namespace["X"], unit * namespace["y"]
    part = namespace[name]()
    options = {"gate": part} if name == "GaussianGate" else {"expert": ["gaussian", part, part]}
    tree = HMERegressor([[1, 1], 1], **options, random_state=0, n_init=3)
    weight = np.random.default_rng(1).integers(1, 3, len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    if name == "GaussianGate":
        tree.set_params(gate=[part, "softmax"])
    weighted, repeated = clone(tree).fit(X, y, weight), clone(tree).fit(X[rows], y[rows])
    assert np.diff(weighted.history_).min() >= -1e-9 * abs(weighted.history_[-1])
    np.testing.assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-6)
    plain = namespace["gated" if name == "GaussianGate" else "wrapped"]
    assert plain.converged_
    assert np.mean((weighted.predict(X) / unit - plain.predict(X)) ** 2) < 0.05
