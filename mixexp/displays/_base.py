"""The base of all displays: what they check of their options, and what their docstrings share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, isfunction, signature
from typing import Any, dataclass_transform

import numpy as np

from mixexp.arguments import is_in_range, is_real
from mixexp.displays._breaks import read_break_points
from mixexp.displays._layout import Entry, draw_legend, fit_letters, make_panels, one_axes
from mixexp.text import shown

_ESTIMATOR = """estimator : fitted MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
            Or a `Pipeline` that ends in one."""

_LINE = """grid_resolution : int, default=150
            Points along an axis of numbers.
        eps : float, default=0.05
            Margin around the data, as a share of their range.
        fixed : dict of feature to value, default=None
            Values of other columns. They are held at their (lower) median by default, those
            without numbers at their most frequent value."""

_WEIGHT = """sample_weight : array-like of shape (n,), default=None
            Numbers of rows, as in ``fit``: what is drawn is what it would be if each row stood
            there so many times. Rows of weight zero are left out."""

_AX = """ax : matplotlib Axes, default=None
            Where to draw; by default in a new figure.
        **plot_kwargs : dict
            Passed to `plot`."""

_PANELS = """ax : matplotlib Axes or array of these, default=None
            Where to draw: see `plot`.
        **plot_kwargs : dict
            Passed to `plot`."""

_PLOT_AX = """ax : matplotlib Axes, default=None
            By default those of a new figure."""

_PLOT_PANELS = """ax : matplotlib Axes or array of these, default=None
            None makes a figure; one axes is used for one panel and divided for several; an
            array has one axes per panel."""

_MADE = """Returns
        -------
        CLASS

        Raises
        ------
        ValueError
            If an argument is not as described; the message names it.
        TypeError
            If the estimator is no mixture of experts, or a keyword is unknown.
        NotFittedError
            If it has not been fitted."""

_MADE_WITH_CDF = f"""{_MADE}
        NotImplementedError
            If a family has no distribution function."""

_SCATTER = """scatter_kwargs : dict, default=None
            For ``Axes.scatter``, over what the display would choose."""

_LEGEND = """legend_kwargs : dict, default=None
            For ``Axes.legend``. By default it stands to the right, if the figure has a layout
            engine that makes room for it (``layout="constrained"``), else inside. In narrow
            figures it does not explain sizes and shades."""

_DRAWN = """Returns
        -------
        CLASS
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If an argument is not as described, or does not go with this figure."""

_PARTS = {
    "ESTIMATOR": _ESTIMATOR,
    "LINE": _LINE,
    "WEIGHT": _WEIGHT,
    "AX": _AX,
    "PANELS": _PANELS,
    "PLOT_AX": _PLOT_AX,
    "PLOT_PANELS": _PLOT_PANELS,
    "MADE": _MADE,
    "MADE_WITH_CDF": _MADE_WITH_CDF,
    "SCATTER": _SCATTER,
    "LEGEND": _LEGEND,
    "DRAWN": _DRAWN,
}


@dataclass_transform(eq_default=False, kw_only_default=True)
class Display:
    """Numbers of a fit, and their drawing, after the protocol of scikit-learn's displays.

    A class method ``from_estimator`` computes what is drawn and calls ``plot``, which draws it
    and stores the artists as attributes that end in an underscore. Subclasses declare what they
    store as fields: they become dataclasses with keyword-only arguments, and options of their
    ``plot`` are checked. In docstrings of their methods, placeholders such as ``<LEGEND>`` stand
    for the texts of this file.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        for method in vars(cls).values():
            function = getattr(method, "__func__", method)
            doc = getattr(function, "__doc__", None)
            if isfunction(function) and doc:
                for name, text in _PARTS.items():
                    doc = doc.replace(f"<{name}>", text.replace("CLASS", cls.__name__))
                function.__doc__ = doc
        cls.plot = _with_checks(cls.plot)  # type: ignore[attr-defined]

    @classmethod
    def _check_plot_kwargs(cls, plot_kwargs: dict[str, Any], maker: str = "from_estimator") -> None:
        """Refuse what ``plot`` does not take, before anything is computed.

        Raises
        ------
        TypeError
            Naming the first unknown keyword and what it may have been meant to be, or the one
            that is not of its type.
        """
        made_by, taken = getattr(cls, maker), signature(cls.plot).parameters  # type: ignore[attr-defined]
        unknown = next((name for name in plot_kwargs if name not in taken), None)
        if unknown is None:
            _check_plot_options(**plot_kwargs)
            return
        everything = {**taken, **signature(made_by).parameters}.values()
        known = [each.name for each in everything if each.kind is each.KEYWORD_ONLY]
        meant = get_close_matches(unknown, known, 1)
        hint = f"Did you mean {shown(meant[0])}?" if meant else f"It takes {known}."
        raise TypeError(f"{made_by.__qualname__} has no parameter {shown(unknown)}. {hint}")

    def _take_axes(self, ax: Any, size: tuple[float, float]) -> Any:
        """Return the axes of a display of one panel; None makes a figure of this size."""
        self.ax_ = one_axes(ax, size)
        self.figure_ = self.ax_.get_figure()
        return self.ax_

    def _take_panels(
        self,
        ax: Any,
        shape: tuple[int, int],
        size: tuple[float, float],
        n_panels: int | None = None,
    ) -> list[Any]:
        """Return the axes of the panels that are drawn; see `make_panels`."""
        self.axes_ = make_panels(ax, shape, size, n_panels)
        self.figure_ = self.axes_.flat[0].get_figure()
        return list(self.axes_.flat[:n_panels])

    def _explain(
        self,
        panels: Sequence[Any],
        entries: list[Entry],
        note: str,
        legend_kwargs: dict[str, Any] | None,
        beside: int = 0,
    ) -> None:
        """Fit the letters of panels, and draw the legend beside one of them."""
        fit_letters(panels)
        self.legend_ = draw_legend(panels[beside], entries, note, legend_kwargs, panels)


def row_keywords(declared: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a class method take what is known of rows as keywords, and be handed a dict ``known``.

    Parameters
    ----------
    declared : TypedDict
        The row arguments. They stand in the signature in the place of ``known``, and in the
        docstring in that of ``<PER_ROW>``.

    Returns
    -------
    callable
        A decorator.
    """
    names = list(declared.__annotations__)
    keywords = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names]
    described = (
        f"{', '.join(names)} : array-like of shape (n,), default=None\n{12 * ' '}As in ``fit``."
    )

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        shape = signature(method)
        at = list(shape.parameters).index("known")
        own = list(shape.parameters.values())

        @wraps(method)
        def with_keywords(*args: Any, **options: Any) -> Any:
            given = {name: options.pop(name, None) for name in names}
            known = {name: values for name, values in given.items() if values is not None}
            return method(*args, known=known, **options)

        with_keywords.__signature__ = shape.replace(  # type: ignore[attr-defined]
            parameters=[*own[:at], *keywords, *own[at + 1 :]]
        )
        with_keywords.__doc__ = (method.__doc__ or "").replace("<PER_ROW>", described)
        return with_keywords

    return decorate


def check_switch(name: str, value: Any) -> bool:
    """Return an option that must be True or False.

    Raises
    ------
    ValueError
        Naming the option.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"The {name!r} parameter must be True or False. Got {shown(value)}.")
    return bool(value)


def _with_checks(plot: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method ``plot`` that checks its options before it opens a figure."""

    @wraps(plot)
    def checked(self: Any, ax: Any = None, **options: Any) -> Any:
        _check_plot_options(**options)
        return plot(self, ax, **options)

    return checked


def _check_plot_options(**options: Any) -> None:
    """Refuse names of axes that are no strings, keywords that are no dicts, sizes that are none.

    Raises
    ------
    TypeError
        Naming the option.
    """
    for name, value in options.items():
        if name.endswith("_kwargs"):
            is_right, wanted = isinstance(value, Mapping | None), "a dict"
        elif name.endswith("label"):
            is_right, wanted = isinstance(value, str | None), "a string"
        elif name == "break_points":
            read_break_points(value, "")
            continue
        elif name == "fontsize":
            is_size = is_real(value) and 0.0 < float(value) < np.inf
            is_right, wanted = value is None or is_size, "a positive number"
        else:
            continue
        if not is_right:
            raise TypeError(f"The {name!r} parameter must be {wanted} or None. Got {shown(value)}.")


def check_margin(eps: Any) -> float:
    """Return the margin around the data, as a share of their range.

    Raises
    ------
    ValueError
        If it is no finite number of at least 0.
    """
    if not is_real(eps) or not 0.0 <= float(eps) < np.inf:
        raise ValueError(f"The 'eps' parameter must be a finite number >= 0. Got {shown(eps)}.")
    return float(eps)


def check_coverage(coverage: Any, name: str = "coverage") -> float:
    """Return the probability that an interval is to hold.

    Raises
    ------
    ValueError
        If it is not strictly between 0 and 1.
    """
    if not is_in_range(coverage, 0.0, 1.0):
        raise ValueError(f"The {name!r} parameter must be between 0 and 1. Got {shown(coverage)}.")
    return float(coverage)
