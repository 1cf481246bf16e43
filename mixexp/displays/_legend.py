"""The legend of a map: experts, shades of colours, sizes and rings of the data."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mixexp.displays._marks import marker_areas
from mixexp.displays._parts import Points
from mixexp.displays._styles import ExpertStyle, certainty, rim, tint
from mixexp.displays._text import size_of, wrap
from mixexp.text import drawn, shown

Entry = tuple[Any, str]

# More columns without an axis than this are counted instead of listed.
_MOST_LISTED = 3
# Letters in a line of where these are held.
_NOTE_LETTERS = 24
# In axes narrower than this, inches, a legend has small letters and the shortest entries, inside
# of them in two columns if it has more than so many.
_SMALL_WIDTH = 3.6
_MOST_IN_COLUMN = 5
# Inches of a line of small letters.
LINE = 0.15
# Markers of more rows than this are too small to be read in a legend at their own size.
_MOST_ROWS_TO_SCALE = 1000


def plane_entries(styles: list[ExpertStyle], points: Points | None, kind: str) -> list[Entry]:
    """Return the legend entries of a map over two features."""
    shades = _shades(len(styles)) if kind == "gate" else []
    return [*expert_entries(styles, [None] * len(styles)), *shades, *_data(points, len(styles))]


def band_entries(styles: list[ExpertStyle], points: Points | None) -> list[Entry]:
    """Return the legend entries of a map over one feature."""
    from matplotlib.lines import Line2D

    mixture = Line2D([], [], color="black", linewidth=1.4)
    lines = [(0, style.dashes) if style.dashes else "-" for style in styles]
    has_data = points is not None and points.y is not None
    data = _data(points, len(styles)) if has_data else []
    return [*expert_entries(styles, lines), (mixture, "mixture"), *data]


def expert_entries(styles: list[ExpertStyle], lines: list[Any]) -> list[Entry]:
    """Return a patch of each expert's colour, its line, if any, and its marker upon it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Entry] = []
    for k, (style, line) in enumerate(zip(styles, lines, strict=True)):
        color = tuple(style.color)
        face = tuple(tint(style.color, np.array(0.5)))
        patch = Patch(facecolor=face, edgecolor="0.5", linewidth=0.5, hatch=style.hatch)
        stroke = Line2D([], [], color=color, linestyle=line or "none", linewidth=2.0)
        mark = Line2D([], [], color=color, linestyle="none", marker=style.marker, markersize=7.0)
        mark.set(markeredgecolor=tuple(rim(style.color)), markeredgewidth=0.6)
        entries.append(((patch, stroke, mark), f"expert {k}"))
    return entries


def _shades(n_experts: int) -> list[Entry]:
    """Return what pale and strong colours mean."""
    from matplotlib.patches import Patch

    if n_experts == 1:
        return []
    levels = _levels(n_experts)
    shades = tint(np.full(3, 0.3), certainty(levels, n_experts))
    patches = [Patch(facecolor=tuple(s), edgecolor="0.5", linewidth=0.5) for s in shades]
    return [(_Explanation(patches), f"gate probability\n{_listed(levels)}")]


def _data(points: Points | None, n_experts: int) -> list[Entry]:
    """Return what sizes and rings of the data mean."""
    if points is None or n_experts == 1:
        return []
    name = "gate" if points.responsibilities is None else "posterior"
    levels = _levels(n_experts)
    sizes = marker_areas(levels, n_experts, min(len(points.X), _MOST_ROWS_TO_SCALE)) ** 0.5
    circles = [_circle(size, "0.35", "white", 0.5) for size in sizes]
    entries: list[Entry] = [(_Explanation(circles), f"{name} probability\n{_listed(levels)}")]
    if points.is_surprise.any():
        ring = _Explanation([_circle(6.5, "0.75", "black", 1.1)])
        entries.append((ring, "posterior differs\nfrom gate"))
    return entries


def _circle(size: float, color: str, edge: str, width: float) -> Any:
    from matplotlib.lines import Line2D

    circle = Line2D([], [], marker="o", linestyle="none", color=color, markersize=size)
    circle.set(markeredgecolor=edge, markeredgewidth=width)
    return circle


class _Explanation(tuple):
    """Handles that explain sizes and shades, side by side; small figures have no room for them.

    Those of a plain tuple lie upon each other.
    """


def _levels(n_experts: int) -> np.ndarray:
    """Return probabilities of the best expert: in a tie, half way, and certain."""
    return np.linspace(1.0 / n_experts, 1.0, 3)


def _listed(levels: np.ndarray) -> str:
    return ", ".join(f"{level:.2g}" for level in levels)


def count_lines(entries: list[Entry], title: str) -> int:
    """Return the lines of a legend."""
    own = title.count("\n") + 1 if title else 0
    return own + sum(1 + label.count("\n") for _, label in entries)


def draw_legend(
    ax: Any,
    entries: list[Entry],
    title: str,
    kwargs: dict[str, Any] | None,
    panels: Iterable[Any] | None = None,
) -> Any:
    """Draw a legend: right of the axes where the figure makes room for it, else inside.

    Where the panels are narrow, all together, it has small letters and no explanations.
    """
    from matplotlib.legend_handler import HandlerTuple

    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"legend_kwargs must be a dict or None. Got {shown(kwargs)}.")
    wide, _ = size_of([ax] if panels is None else panels)
    look: dict[str, Any] = {"fontsize": "small", "title_fontsize": "small", "handlelength": 2.8}
    is_inside = ax.get_figure().get_layout_engine() is None
    if wide < _SMALL_WIDTH:
        entries = [entry for entry in entries if not isinstance(entry[0], _Explanation)]
        look |= {"fontsize": "x-small", "title_fontsize": "x-small", "handlelength": 1.8}
        look |= {"ncols": 2 if is_inside and len(entries) > _MOST_IN_COLUMN else 1}
        # A layout engine would stretch the row of panels that the legend stands beside.
        is_long = count_lines(entries, title) * LINE > size_of([ax])[1]
        title = "" if is_inside or is_long else title
    if is_inside:
        look |= {"loc": "best", "framealpha": 0.9}
    else:
        look |= {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    handles, labels = zip(*entries, strict=True)
    look |= {
        "title": title or None,
        "alignment": "left",
        "handler_map": {_Explanation: HandlerTuple(ndivide=None, pad=0.3)},
    }
    legend = ax.legend(handles, labels, **{**look, **(kwargs or {})})
    legend.set_zorder(7)
    return legend


def held_note(held: dict[str, Any] | None, n_averaged: int = 0) -> str:
    """Return in words where the columns without an axis are held; "" where none matters."""
    averaged = f"others averaged\nover {n_averaged} rows" if n_averaged else ""
    if not held:
        return averaged
    if len(held) > _MOST_LISTED:
        words = f"{len(held)} other features\nheld constant"
    else:
        named = (drawn(f"{name} = {_short(value)}") for name, value in held.items())
        words = "\n".join(["held:", *(wrap(line, _NOTE_LETTERS) for line in named)])
    return f"{words}\n{averaged}" if averaged else words


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
