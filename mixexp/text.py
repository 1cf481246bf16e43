"""Text made of data: names of columns and classes, and values in messages.

Names are data. Whatever is printed, drawn or written as HTML goes through one of these, so that a
line break, a terminal's escape sequence, a tag or a "$" in a name is shown and not obeyed.
"""

from html import escape
from typing import Any

import numpy as np

# What the repr of an object has been seen to raise: nested too deeply, too many digits, half made.
_UNSAYABLE = (RecursionError, ValueError, TypeError, AttributeError, RuntimeError)
_MOST_LETTERS = 120
# NumPy 2 writes a word as np.str_('word') unless it is to write as before.
_PLAIN: dict[str, Any] = (
    {"legacy": "1.25"} if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else {}
)


def printable(text: Any) -> str:
    r"""Return text on one line: what does not print is written as an escape sequence.

    Examples
    --------
    >>> print(printable("speed\n\x1b[31m"))
    speed\n\x1b[31m
    """
    found = str(text)
    if found.isprintable():
        return found
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in found)


def drawn(text: Any) -> str:
    r"""Return text for a drawing: `printable`, its dollar signs no marks of mathematics.

    Examples
    --------
    >>> print(drawn("price in $"))
    price in \$
    """
    return printable(text).replace("$", r"\$")


def hypertext(text: Any) -> str:
    """Return text for HTML: `printable`, with neither tags nor entities.

    Examples
    --------
    >>> hypertext("<b>")
    '&lt;b&gt;'
    """
    return escape(printable(text))


def shown(value: Any) -> str:
    """Return a value for a message: its repr on one line, shortened; it never raises.

    Numbers and words of NumPy's are written as such, without their type.

    Examples
    --------
    >>> shown("all")
    "'all'"
    """
    try:
        with np.printoptions(**_PLAIN):
            text = printable(repr(value))
    except _UNSAYABLE:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 4]} ..."
