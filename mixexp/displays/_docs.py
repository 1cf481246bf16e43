"""The parts of the displays' docstrings that are the same for several."""

from typing import TypeVar

Class = TypeVar("Class", bound=type)

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

_PER_ROW = """offset, exposure, trials : array-like of shape (n,), default=None
            As in ``fit``."""

_AX = """ax : matplotlib Axes, default=None
            Where to draw; by default in a new figure.
        **plot_kwargs : dict
            Passed to `plot`."""

_PANELS = """ax : matplotlib Axes or array of these, default=None
            Where to draw: see `plot`.
        **plot_kwargs : dict
            Passed to `plot`."""

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
            If matplotlib is not installed."""

_PARTS = {
    "ESTIMATOR": _ESTIMATOR,
    "LINE": _LINE,
    "WEIGHT": _WEIGHT,
    "PER_ROW": _PER_ROW,
    "AX": _AX,
    "PANELS": _PANELS,
    "MADE": _MADE,
    "SCATTER": _SCATTER,
    "LEGEND": _LEGEND,
    "DRAWN": _DRAWN,
}


def shared_docs(cls: Class) -> Class:
    """Fill the placeholders of the docstrings of a display's methods."""
    for method in vars(cls).values():
        function = getattr(method, "__func__", method)
        doc = getattr(function, "__doc__", None)
        if callable(function) and doc:
            for name, text in _PARTS.items():
                doc = doc.replace(f"<{name}>", text.replace("CLASS", cls.__name__))
            function.__doc__ = doc
    return cls
