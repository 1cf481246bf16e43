"""The parts of a drawn tree and where they stand, in inches: from the root to the right.

Leaves stand below each other in one column. An edge bends in the first part of the gap behind
its node and then runs level to its child, so that what is written on it stands clear of its
siblings.
"""

import re
import textwrap
from typing import Any, NamedTuple

import numpy as np

from mixexp.displays._layout import import_matplotlib, size_of
from mixexp.displays._style import ExpertStyle, dark, tint
from mixexp.estimators._words import MINUS
from mixexp.tree import GatingTree

# Points of the text where there is room, and the least that can still be read.
FONT_SIZE, LEAST_FONT_SIZE = 9.0, 3.5
# Inches.
BEND = 0.55
NODE_HEIGHT = 0.24
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 0.55, 0.24
LEAF_TEXT_AT = 0.95
_LEAF_ROW, _LONE_LEAF_ROW, _LINE_HEIGHT = 0.58, 0.95, 0.17
# Characters in a line.
_EQUATION_LENGTH, _CONDITION_LENGTH = 40, 26
# Of a condition where there is little room.
_BRIEF = 28
# Letters fitted to pixels are a little wider than their outlines.
_HINTING = 1.06
_PAD, _CAPTION_HEIGHT = 0.12, 0.5
# Points: an edge that no row takes, and what is added for one that all take.
_THINNEST, _WIDEST = 0.8, 7.0


class Texts(NamedTuple):
    """What is written, by node.

    Parameters
    ----------
    nodes : list of str
        Names and shares.
    edges : list of str
        Conditions.
    leaves : list of str
        Equations, left to right in the nested notation.
    caption : str
    """

    nodes: list[str]
    edges: list[str]
    leaves: list[str]
    caption: str

    def brief(self) -> "Texts":
        """Return what is left where there is little room: no equations, one feature per edge."""
        edges = [
            textwrap.shorten(text.split(",\n")[0], _BRIEF, placeholder="…") for text in self.edges
        ]
        return Texts(self.nodes, edges, [text.split("\n")[0] for text in self.leaves], "")

    def without_features(self) -> "Texts":
        """Return what is left where there is next to none: names and shares."""
        return self.brief()._replace(edges=[""] * len(self.edges))


class Layout(NamedTuple):
    """Positions in inches, x to the right and y upwards.

    Parameters
    ----------
    left, right, y : ndarray of shape (n_nodes,)
        Ends of each node's box, and its height above the lower edge; leaves have no width.
    width, height : float
        Of it all.
    """

    left: np.ndarray
    right: np.ndarray
    y: np.ndarray
    width: float
    height: float

    def scale_in(self, ax: Any) -> float:
        """Return the size that all has in axes, as a share of the usual one."""
        wide, high = size_of([ax])
        return min(wide / self.width, high / self.height, 1.0)

    def prepare(self, ax: Any) -> tuple[Any, float]:
        """Return axes whose units are inches of the layout, and their scale; None makes them."""
        if ax is None:
            figure = import_matplotlib().figure(figsize=(self.width, self.height))
            ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        wide, high = size_of([ax])
        scale = self.scale_in(ax)
        # The smaller letters are, the more does fitting them to pixels widen them.
        scale *= 1.0 if scale == 1.0 else 0.95
        room = high / scale - self.height
        ax.set(xlim=(0.0, wide / scale), ylim=(-0.5 * room, self.height + 0.5 * room))
        ax.set_axis_off()
        return ax, scale


def lay_out(tree: GatingTree, texts: Texts) -> Layout:
    """Return where nodes stand, so that no text of the usual size meets another."""
    n_lines = max(text.count("\n") for text in texts.leaves) + 1
    y = _heights(tree, n_lines)
    left, right = np.zeros(tree.n_nodes), np.zeros(tree.n_nodes)
    at = _PAD
    for level in range(tree.depth):
        nodes = [v for v in tree.inner_nodes.tolist() if tree.level[v] == level]
        wide = max(text_width(texts.nodes[v]) for v in nodes) + 0.16
        left[nodes], right[nodes] = at, at + wide
        below = [texts.edges[child - 1] for v in nodes for child in tree.children(v)]
        at += wide + BEND + max(0.3, max(text_width(text) for text in below) + 0.2)
    left[tree.leaves] = right[tree.leaves] = at + NODE_HEIGHT
    widest = max(text_width(text) for text in texts.leaves)
    width = max(at + NODE_HEIGHT + LEAF_TEXT_AT + widest, text_width(texts.caption)) + 2.0 * _PAD
    return Layout(left, right, y, width, float(y.max()) + 0.5)


def _heights(tree: GatingTree, n_lines: int) -> np.ndarray:
    """Return the height of each node: leaves in rows, others in the middle of their children."""
    has_lone = any(tree.covers[v].sum() == 1 for v in tree.inner_nodes)
    row = max(_LONE_LEAF_ROW if has_lone else _LEAF_ROW, _LINE_HEIGHT * n_lines + 0.08)
    # What stands below a single row's node needs as much room as two rows have.
    lowest = _CAPTION_HEIGHT + (0.75 if tree.n_leaves == 1 else 0.3)
    y = np.zeros(tree.n_nodes)
    y[tree.leaves] = lowest + row * np.arange(tree.n_leaves)[::-1]
    for node in tree.inner_nodes[::-1]:
        children = y[list(tree.children(node))]
        y[node] = 0.5 * (children[0] + children[-1])
    return y


def text_width(text: str) -> float:
    """Return the width of a text of the usual size, the longest of its lines, in inches."""
    import_matplotlib()
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=FONT_SIZE)
    lines = [line for line in text.split("\n") if line]
    measured = (text_to_path.get_text_width_height_descent(line, font, False) for line in lines)
    return _HINTING * max((width for width, _, _ in measured), default=0.0) / 72.0


def wrap_terms(equation: str) -> str:
    """Break an equation into lines before the signs of its terms."""
    lines = [""]
    for term in re.split(f" (?=[+{MINUS}\N{PLUS-MINUS SIGN}] )", equation):
        if lines[-1] and len(lines[-1]) + 1 + len(term) > _EQUATION_LENGTH:
            lines.append("   " + term)
        else:
            lines[-1] = f"{lines[-1]} {term}" if lines[-1] else term
    return "\n".join(lines)


def wrap_words(condition: str) -> str:
    """Break a condition after each feature if it is long."""
    if len(condition) <= _CONDITION_LENGTH:
        return condition
    # A name may have a comma, too.
    return re.sub(r", (?=(high|low) )", ",\n", condition)


def draw_box(ax: Any, at: tuple[float, float], text: str, style: ExpertStyle, size: float) -> Any:
    """Draw the box of a gate, at its left end, with its name and share."""
    face = tuple(tint(style.color, np.array(0.25)))
    return ax.text(
        at[0] + 0.08,
        at[1],
        text,
        fontsize=size,
        ha="left",
        va="center",
        zorder=4,
        bbox={"boxstyle": "round,pad=0.45", "fc": face, "ec": tuple(dark(style.color)), "lw": 1.0},
    )


def draw_disc(ax: Any, at: tuple[float, float], text: str, style: ExpertStyle, size: float) -> Any:
    """Draw the disc of an expert with its number."""
    return ax.text(
        *at,
        text,
        fontsize=size,
        fontweight="bold",
        color=tuple(dark(style.color)),
        ha="center",
        va="center",
        zorder=4,
        bbox={
            "boxstyle": "circle,pad=0.3",
            "fc": tuple(tint(style.color, np.array(0.6))),
            "ec": tuple(dark(style.color)),
            "lw": 1.2,
        },
    )


def draw_edge(
    ax: Any, start: tuple[float, float], end: tuple[float, float], look: tuple[ExpertStyle, float]
) -> Any:
    """Draw an edge: a bend to the child's height, then a level line."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1), (style, width) = start, end, look
    turn, half = x0 + BEND, x0 + 0.5 * BEND
    points = [(x0, y0), (half, y0), (half, y1), (turn, y1), (x1, y1)]
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    patch = PathPatch(
        Path(points, codes),
        facecolor="none",
        edgecolor=tuple(tint(style.color, np.array(0.6))),
        linewidth=width,
        capstyle="butt",
        zorder=1,
    )
    return ax.add_patch(patch)


def edge_width(share: float, scale: float) -> float:
    """Return the width of an edge in points, for the share of rows that take it."""
    return scale * (_THINNEST + _WIDEST * share)


def draw_histogram(ax: Any, at: tuple[float, float], shares: np.ndarray, style: ExpertStyle) -> Any:
    """Draw a small histogram with its lower left corner at a point; heights are square roots."""
    heights = HISTOGRAM_HEIGHT * np.sqrt(shares / max(float(shares.max()), 1e-12))
    edges = np.linspace(at[0], at[0] + HISTOGRAM_WIDTH, len(shares) + 1)
    color = tuple(tint(style.color, np.array(0.75)))
    bars = ax.stairs(at[1] + heights, edges, baseline=at[1], fill=True, color=color, zorder=3)
    ax.plot([at[0], at[0] + HISTOGRAM_WIDTH], [at[1]] * 2, color="0.3", linewidth=0.6, zorder=3)
    return bars


def below_node(left: float, y: float) -> tuple[float, float]:
    """Return where the histogram of a gate has its lower left corner."""
    return left + 0.04, y - 0.5 * NODE_HEIGHT - 0.07 - HISTOGRAM_HEIGHT
