"""Arguments of displays that make no sense are refused by name, and no figure is left open."""

import inspect

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from drawn import DISPLAYS, DRAWING

from mixexp import HMERegressor
from mixexp.datasets import make_hme

pytestmark = DRAWING
# Right for no argument at all.
NONSENSE = [object(), b"bytes", 1j, [object()], {"no such": object()}, -1.5, float("nan")]
METHODS = ["from_estimator", "plot"]


def arguments_of(drawn):
    """Return every argument of a display but the estimator, with its default."""
    found = {}
    for method in METHODS:
        found |= inspect.signature(getattr(drawn.cls, method)).parameters
    return {
        name: parameter.default
        for name, parameter in found.items()
        if name not in ("self", "estimator", "plot_kwargs")
    }


def wrong_values(name, default):
    """Return values that an argument cannot have."""
    # Whether matplotlib knows a keyword is its own to say.
    is_dict = name.endswith("_kwargs")
    wrong = [value for value in NONSENSE if not (is_dict and isinstance(value, dict))]
    wrong += [] if name.endswith("label") else ["word"]
    # There may be no band, and a seed may be drawn anew.
    may_be_none = name in ("coverage", "random_state") or default is None
    return wrong if may_be_none or default is inspect.Parameter.empty else [*wrong, None]


CASES = [
    pytest.param(drawn, name, default, id=f"{display}-{name}")
    for display, drawn in DISPLAYS.items()
    for name, default in arguments_of(drawn).items()
]


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_hme(80, 2, (2, 2), random_state=0)
    return pd.DataFrame(X, columns=["age", "dose"]), pd.Series(y, name="gain")


@pytest.fixture(scope="module")
def model(data):
    return HMERegressor((2, 2), n_init=1, random_state=0, max_iter=15).fit(*data)


@pytest.mark.parametrize(("drawn", "name", "default"), CASES)
def test_wrong_arguments_are_named(drawn, name, default, model, data):
    given = dict(zip(("X", "y"), data, strict=True))
    given = {key: given[key] for key in given if key in arguments_of(drawn)}
    for wrong in wrong_values(name, default):
        with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
            drawn.cls.from_estimator(model, **{**given, **drawn.options, name: wrong})
        assert plt.get_fignums() == []


@pytest.mark.parametrize("drawn", DISPLAYS.values(), ids=DISPLAYS)
def test_wrong_options_of_plot_are_named_before_a_figure_is_opened(drawn, model, data):
    display = drawn.draw(model, *data)
    plt.close("all")
    options = inspect.signature(drawn.cls.plot).parameters.keys() - {"self", "ax"}
    assert options
    for name in options:
        with pytest.raises(TypeError, match=f"'{name}' parameter must be"):
            display.plot(**{name: 1j})
    assert plt.get_fignums() == []
