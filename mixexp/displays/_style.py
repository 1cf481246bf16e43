"""How experts look: a colour, a marker, a line and a hatch for each, also in grey and in print.

Colours are those of Okabe & Ito (2008), Color Universal Design, which colour-blind readers can
tell apart. In a tree every branch below the root has one hue, and its experts differ in
lightness. Nothing here knows of matplotlib.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mixexp.text import drawn
from mixexp.tree import GatingTree

Value = TypeVar("Value")
# Neighbours in this order differ in lightness, too: it is how grey prints tell them apart.
_OKABE_ITO = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#D55E00",  # vermilion
    "#56B4E9",  # sky blue
    "#F0E442",  # yellow
    "#4D4D4D",  # dark grey, for their black
)
# One hue per branch, from dark to light, through the Okabe-Ito colour or colours of that hue.
_HUES = (
    ("#003F73", "#0072B2", "#56B4E9", "#98CDEF"),
    ("#8A3A00", "#D55E00", "#E69F00", "#F5C860"),
    ("#00523C", "#009E73", "#5CC7A3", "#A3DCC6"),
    ("#74305A", "#B0568A", "#CC79A7", "#E3B2CC"),
    ("#1A1A1A", "#4D4D4D", "#8C8C8C", "#BDBDBD"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p", ">", "h")
_DASHES = (
    (),
    (5.0, 1.6),
    (1.2, 1.4),
    (6.0, 1.6, 1.2, 1.6),
    (9.0, 2.0),
    (3.0, 1.2, 1.0, 1.2, 1.0, 1.2),
    (2.5, 2.5),
    (9.0, 1.6, 3.0, 1.6),
)
_HATCHES = ("", "///", "...", "\\\\\\", "xx", "ooo")
# A tint of a certain expert keeps this much of its colour, one of a tie that much: paler could
# not be told from white, darker would hide the data.
_STRONGEST_TINT, _PALEST_TINT = 0.72, 0.14
_DARKEST_RINGED = 0.33


class ExpertStyle(NamedTuple):
    """How one expert is drawn.

    Parameters
    ----------
    color : ndarray of shape (3,)
        Red, green and blue between 0 and 1.
    marker : str
        Of its data.
    dashes : tuple of float
        Of its line, on and off in line widths; empty for a solid one.
    hatch : str
        Of its region; empty until colours have to be used again.
    name : str
        What it is called, as it is drawn.
    """

    color: np.ndarray
    marker: str
    dashes: tuple[float, ...]
    hatch: str
    name: str = ""

    @property
    def short_name(self) -> str:
        """The name, or the number of an expert without one."""
        return self.name.removeprefix("expert ")

    @property
    def linestyle(self) -> Any:
        """The dashes as matplotlib takes them."""
        return (0, self.dashes) if self.dashes else "solid"


def expert_styles(tree: GatingTree) -> list[ExpertStyle]:
    """Return one style per expert, from left to right.

    Parameters
    ----------
    tree : GatingTree
        A flat one gets eight hues, then the same again hatched. In a deeper one every branch
        at the first gate has a hue, its experts the shades of it from dark to light.
    """
    branches = _branches(tree)
    if all(len(branch) == 1 for branch in branches):
        looks = [(_rgb(_cycled(_OKABE_ITO, k)), k // len(_OKABE_ITO)) for k in range(len(branches))]
    else:
        looks = [
            (color, number // len(_HUES))
            for number, branch in enumerate(branches)
            for color in _shades(_cycled(_HUES, number), len(branch))
        ]
    # Dashes go on by one whenever the colours start again, or lines would be alike, too.
    return [
        ExpertStyle(
            color,
            _cycled(_MARKERS, k),
            _cycled(_DASHES, k + k // len(_DASHES)),
            _cycled(_HATCHES, round_),
            drawn(tree.names_of_leaves[k]),
        )
        for k, (color, round_) in enumerate(looks)
    ]


def tint(color: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Return a colour blended towards white.

    Parameters
    ----------
    color : ndarray of shape (..., 3)
    strength : ndarray of shape (...)
        0 for the palest tint that is still seen, 1 for the strongest.

    Returns
    -------
    ndarray of shape (..., 3)
    """
    share = _PALEST_TINT + (_STRONGEST_TINT - _PALEST_TINT) * np.asarray(strength)[..., None]
    return 1.0 - share * (1.0 - color)


def dark(color: np.ndarray) -> np.ndarray:
    """Return a shade of a colour that reads as text on any of its tints."""
    return color * min(1.0, 0.25 / max(_luminance(color), 1e-6))


def rim(color: np.ndarray) -> np.ndarray:
    """Return the colour of a thin rim that sets a marker off from tints of its own colour."""
    return np.ones(3) if _luminance(color) < 0.7 else dark(color)


def ringed_face(color: np.ndarray) -> np.ndarray:
    """Return a colour, lightened where a black ring could not be told from it."""
    return 0.5 + 0.5 * color if _luminance(color) < _DARKEST_RINGED else color


def _luminance(color: np.ndarray) -> float:
    return float(color @ (0.2126, 0.7152, 0.0722))


def certainty(largest: np.ndarray, n_experts: int) -> np.ndarray:
    """Return 0 where the most probable of K experts has probability 1/K, 1 where it has 1."""
    if n_experts == 1:
        return np.ones_like(largest)
    return np.clip((largest - 1.0 / n_experts) / (1.0 - 1.0 / n_experts), 0.0, 1.0)


def _branches(tree: GatingTree) -> list[np.ndarray]:
    """Return the leaves below each child of the first node that has several."""
    node = 0
    while tree.n_children[node] == 1:
        node = int(tree.first_child[node])
    if tree.n_children[node] == 0:
        return [np.array([0])]
    return [np.flatnonzero(tree.covers[child]) for child in tree.children(node)]


def _shades(hue: Sequence[str], n_shades: int) -> np.ndarray:
    """Return shades of a hue from dark to light, shape (n_shades, 3)."""
    # The extremes are close to black and white: a few experts do without them.
    margin = {1: 1.0 / 3.0, 2: 0.25, 3: 0.1}.get(n_shades, 0.0)
    at = np.linspace(margin, 1.0 - margin, n_shades) if n_shades > 1 else np.array([margin])
    anchors = np.array([_rgb(code) for code in hue])
    knots = np.linspace(0.0, 1.0, len(anchors))
    return np.column_stack([np.interp(at, knots, channel) for channel in anchors.T])


def _rgb(code: str) -> np.ndarray:
    return np.array([int(code[at : at + 2], 16) / 255.0 for at in (1, 3, 5)])


def _cycled(values: Sequence[Value], position: int) -> Value:
    return values[position % len(values)]
