"""Pictures of a fit, as scikit-learn's displays: numbers first, drawn by `plot`.

matplotlib is imported when something is drawn, not before.
"""

from mixexp.displays._responsibility_map import ResponsibilityMapDisplay

__all__ = ["ResponsibilityMapDisplay"]
