"""What pieces can be joined: fits whose experts are lines of one family, one beside the other."""

from typing import Any

from mixexp.data import Scaling
from mixexp.estimators._auto import is_automatic
from mixexp.inference._break_points import BreakPoint
from mixexp.text import shown


def check_experts(free: Any) -> None:
    """Refuse experts that are no lines of the features, or not of one family.

    Raises
    ------
    ValueError
        Naming their families.
    """
    families = free.experts_
    n_lines = {sum(head.kind == "location" for head in family.heads) for family in families}
    if len(free.fitted_model_.model.groups) == 1 and n_lines == {1}:
        return
    names = sorted({family.name for family in families})
    several = max(n_lines, default=0) > 1
    raise ValueError(
        "estimator must have experts of one family with one linear predictor each, for pieces to "
        f"meet; those of this fit are {' and '.join(names)}"
        + (", with one for each of several targets or classes. Join " if several else ". Join ")
        + "the pieces of one target, or two classes, with one family as 'expert'."
    )


def check_range(points: list[BreakPoint], feature: str, scaling: Scaling) -> None:
    """Refuse break points where there are no rows, beyond which an expert has none of its own.

    Raises
    ------
    ValueError
        Naming the feature, its range and the point.
    """
    column = points[0].column
    assert scaling.lowest is not None
    assert scaling.highest is not None
    lowest, highest = scaling.lowest[column], scaling.highest[column]
    outside = [point.value for point in points if not lowest < point.value < highest]
    if outside:
        raise ValueError(
            "estimator must make every expert the most probable one on a stretch of its feature; "
            f"the fit has a break point at {outside[0]:.6g}, but {shown(feature)} goes from "
            f"{lowest:.6g} to {highest:.6g}. Ask for fewer experts, or check that y has pieces."
        )


def refuse_automatic(estimator: Any) -> None:
    for name in estimator._choosable:
        if is_automatic(getattr(estimator, name, None)):
            raise ValueError(
                f"The {name!r} parameter of the estimator is 'auto', and would be chosen anew at "
                "every break point that is tried. Give it the value that a fit chose."
            )
