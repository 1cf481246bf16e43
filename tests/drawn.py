"""The registry of displays that contracts run over, with the fits that they draw."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from mixexp.displays import (
    CoefficientDisplay,
    ConvergenceDisplay,
    ExpertFitDisplay,
    GateDisplay,
    PredictiveDisplay,
    ResidualDisplay,
    ResponsibilityMapDisplay,
    RootogramDisplay,
    SurvivalDisplay,
    TrajectoryDisplay,
    TreeDisplay,
)
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertWarning

QUICK = {"n_init": 2, "random_state": 0, "max_iter": 60}
# What is tested is the drawing: experts that are not needed, or not done, are fine here. Marks
# of a module: `pytestmark = DRAWING`.
DRAWING = [
    *(
        pytest.mark.filterwarnings(f"ignore::{category.__module__}.{category.__name__}")
        for category in (ConvergenceWarning, DegenerateExpertWarning)
    ),
    pytest.mark.usefixtures("closed_figures"),
]


class Drawn(NamedTuple):
    """A display and how it is called.

    Parameters
    ----------
    cls : type
    takes : str
        What it is given of X and y: "", "X" or "Xy".
    per_row : bool
        Whether it takes offset, exposure and trials.
    features : str
        Its argument for a feature, or several; empty if it has none.
    n_panels : int
        Panels for a tree of two by two over two features; 1 if it always has one.
    options : dict
        Given in every call.
    """

    cls: type
    takes: str = "Xy"
    per_row: bool = True
    features: str = ""
    n_panels: int = 1
    options: Mapping[str, Any] = MappingProxyType({})

    def draw(self, model: Any, X: Any, y: Any, **options: Any) -> Any:
        given = (X, y)[: len(self.takes)]
        return self.cls.from_estimator(model, *given, **{**self.options, **options})


DISPLAYS = {
    "coefficient": Drawn(CoefficientDisplay, "", per_row=False),
    "convergence": Drawn(ConvergenceDisplay, "", per_row=False),
    "fit": Drawn(ExpertFitDisplay, features="features"),
    "gate": Drawn(GateDisplay, "X", per_row=False, features="feature", n_panels=3),
    "map": Drawn(ResponsibilityMapDisplay, features="features"),
    "pairs": Drawn(
        ResponsibilityMapDisplay, features="features", n_panels=4, options={"pairs": True}
    ),
    "predictive": Drawn(PredictiveDisplay, features="feature"),
    "residual": Drawn(ResidualDisplay, n_panels=2),
    "rootogram": Drawn(RootogramDisplay, n_panels=4),
    "trajectory": Drawn(TrajectoryDisplay, features="feature"),
    "survival": Drawn(SurvivalDisplay),
    "tree": Drawn(TreeDisplay),
}


def displays(chosen: Callable[[Drawn], Any] = lambda drawn: True) -> pytest.MarkDecorator:
    """Parametrise over the displays of which something holds."""
    some = {name: drawn for name, drawn in DISPLAYS.items() if chosen(drawn)}
    return pytest.mark.parametrize("drawn", some.values(), ids=some)


def overlapping(figure, texts):
    """Return pairs of texts that meet on the page."""
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [
        (first, second)
        for number, (first, box) in enumerate(boxes)
        for second, other in boxes[number + 1 :]
        if box.overlaps(other)
    ]
