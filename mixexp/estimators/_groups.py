"""The experts of each family: which rows they can explain, and the unit that they see y in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mixexp.data import RowArguments, weighted_scaling
from mixexp.experts import Expert, IntervalExpert
from mixexp.model import ExpertGroup, JointGroup, Model, has_mass
from mixexp.submodel import Submodel

# The pooled residual variance that anchors the prior is not taken below this share of y's
# variance: one linear model that fits to rounding says nothing about noise.
_SMALLEST_ANCHOR = 1e-6
# A constant y has no scale of its own; its digits end about here.
_CONSTANT_SCALE = 1e-8


class FixedFamily(NamedTuple):
    """A family as it is to be fitted.

    Parameters
    ----------
    family : Expert
        With options that stand for "from the data" filled in.
    leaves : ndarray of int
    rivals : tuple of Expert
        See `ExpertGroup`.
    """

    family: Expert
    leaves: np.ndarray
    rivals: tuple[Expert, ...]

    def group(self, designs: tuple[int, ...] = ()) -> ExpertGroup:
        """Return the group of these experts, y as it is."""
        units = self.family.units
        if self.family.has_outputs:
            outputs = ((0.0, 1.0, 0.0),) * self.family.size
            return JointGroup(self.family, self.leaves, designs, units=units, outputs=outputs)
        return ExpertGroup(self.family, self.leaves, designs, units=units, rivals=self.rivals)


def fix_families(
    families: Sequence[Expert], y: np.ndarray, per_row: RowArguments
) -> list[FixedFamily]:
    """Collect the leaves of equal families, and fill in what is to come from the data.

    Parameters
    ----------
    families : sequence of Expert
        One per leaf, left to right.
    y : ndarray of shape (n,)
    per_row : RowArguments

    Raises
    ------
    ValueError
        If a family has a density, and all y have a probability under others.
    """
    out = [fix_family(found, y, per_row) for found in find_rivals(families)]
    for family in families:
        if isinstance(family, Submodel):
            _check_rows_are_left(family, rivals_of(family, families), y, per_row)
    return out


def fix_family(found: FixedFamily, y: np.ndarray, per_row: RowArguments) -> FixedFamily:
    """Fill in what is to come from the data for one family, see `fix_families`."""
    weight = per_row.weight
    if found.rivals:
        is_taken_by_others = is_taken(found, y, per_row)
        if is_taken_by_others.all():
            raise ValueError(no_row_left(found.family.name, found.rivals))
        weight = np.where(is_taken_by_others, 0.0, weight)
    return found._replace(family=found.family.fixed_to(y, weight))


def _check_rows_are_left(
    submodel: Submodel, rivals: tuple[Any, ...], y: np.ndarray, per_row: RowArguments
) -> None:
    if rivals and np.all(has_mass(rivals, y, per_row.trials) & ~submodel.measure.has_mass(y)):
        raise ValueError(no_row_left(submodel.title, rivals))


def find_rivals(families: Sequence[Expert]) -> list[FixedFamily]:
    """Collect the leaves of equal families, with what is to come from the data still open."""
    with_mass = _with_mass(families)
    out = []
    for family, leaves in _distinct_families(families):
        rivals = [other for other in with_mass if other is not family and not family.is_discrete]
        out.append(FixedFamily(family, leaves, tuple(rivals)))
    return out


def rivals_of(submodel: Submodel, families: Sequence[Any]) -> tuple[Any, ...]:
    """Return what gives single values a probability, where a submodel may have a density."""
    return tuple(other for other in _with_mass(families) if other is not submodel.measure)


def with_rivals(model: Model, families: Sequence[Any]) -> Model:
    """Return a model whose experts know what the others, some of them new or gone, have mass at.

    Parameters
    ----------
    model : Model
    families : sequence of Expert or Submodel
        One per leaf, left to right.
    """
    known = {leaf: own.rivals for own in find_rivals(families) for leaf in own.leaves.tolist()}
    groups = (group._replace(rivals=known[int(group.leaves[0])]) for group in model.groups)
    others = (
        other if other.is_gate else replace(other, rivals=rivals_of(other.submodel, families))
        for other in model.others
    )
    return replace(model, groups=tuple(groups), others=tuple(others))


def _with_mass(families: Sequence[Any]) -> list[Any]:
    """Return families, and measures of submodels, that give single values a probability."""
    own = [family for family, _ in _distinct_families(families)]
    own += [family.measure for family in families if isinstance(family, Submodel)]
    return [
        family
        for family in own
        if not family.has_outputs and (family.is_discrete or family.atoms or _has_limits(family))
    ]


def _distinct_families(families: Sequence[Expert]) -> list[tuple[Expert, np.ndarray]]:
    """Collect the leaves of equal families, in the order of their first leaf.

    Submodels of one's own are not among them.
    """
    keys = [
        "" if isinstance(family, Submodel) else repr((type(family).__name__, family.get_params()))
        for family in families
    ]
    return [
        (families[keys.index(key)], np.flatnonzero([other == key for other in keys]))
        for key in dict.fromkeys(keys)
        if key
    ]


def _has_limits(family: Expert) -> bool:
    return isinstance(family, IntervalExpert) and family.has_limits


def is_taken(found: FixedFamily, y: np.ndarray, per_row: RowArguments) -> np.ndarray:
    """Return where y has a probability under rivals and none under the family."""
    seen = found.group().target(y, per_row.trials, per_row.ends)
    is_taken = has_mass(found.rivals, y, per_row.trials) & ~found.family.has_mass(seen)
    return is_taken if per_row.ends is None else is_taken & (per_row.ends[0] == per_row.ends[1])


def no_row_left(name: str, rivals: Sequence[Any]) -> str:
    """Return why an expert of a name can have no row beside its rivals."""
    titles = (rival.title if isinstance(rival, Submodel) else rival.name for rival in rivals)
    names = " and ".join(dict.fromkeys(titles))
    advice = (
        "For noise among counts give another family of counts, such as 'negative_binomial'."
        if any(rival.is_discrete and not rival.atoms for rival in rivals)
        else "Leave it out, or the experts at these values."
    )
    return (
        f"No row is left to the {name} expert: it has a density, which gives single "
        f"values no probability, and every y is a value that has one under the {names} expert. "
        f"{advice}"
    )


def lay_out_group(
    found: FixedFamily, designs: tuple[int, ...], y: np.ndarray, per_row: RowArguments
) -> ExpertGroup:
    """Return the group of a family's experts with y in its own unit.

    That is its standard deviation where a shift of y shifts the location, its mean size where
    heads have a unit, and else none.

    Raises
    ------
    ValueError
        If no y is in the support.
    """
    group = found.group(designs)
    if group.outputs:
        return lay_out_outputs(group, y, per_row)
    own, weight, first = own_rows(group, y, per_row)
    if not len(own):
        raise ValueError(
            f"No row of y is {found.family.support}, which the {found.family.name} expert needs; "
            "leave it out, or use another family."
        )
    target = weighted_scaling(own[:, None], weight)
    unit = TargetUnit(
        float(target.center[0]),
        float(target.scale[0]),
        bool(target.is_constant[0]),
        _mean_size(own, weight),
        first,
    )
    return place_group(group, unit)


class TargetUnit(NamedTuple):
    """What the unit of y goes by, of the rows in a family's support.

    Parameters
    ----------
    center : float
        Mean of y.
    spread : float
        Standard deviation, 1 if y is constant.
    is_constant : bool
    size : float
        Mean size of y, 1 if it is zero.
    first : tuple
        y, trials and ends of one of the rows.
    """

    center: float
    spread: float
    is_constant: bool
    size: float
    first: tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def own_rows(
    group: ExpertGroup, y: np.ndarray, per_row: RowArguments
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray | None, np.ndarray | None]]:
    """Return y and weights of the rows in the support, and y, trials and ends of one of them."""
    is_own = ~group.find_impossible(y, per_row.trials, per_row.ends)
    own = y[is_own]
    at = np.flatnonzero(is_own)[:1]  # indexed, for a slice would keep all rows in memory
    trials = None if per_row.trials is None else per_row.trials[at]
    ends = None if per_row.ends is None else per_row.ends[:, at]
    return own, per_row.weight[is_own], (y[at], trials, ends)


def place_group(group: ExpertGroup, unit: TargetUnit) -> ExpertGroup:
    """Return a group with y in its own unit, see `lay_out_group`."""
    if group.is_location_scale:
        zero = np.zeros(3 if isinstance(group.family, IntervalExpert) else ())
        scale = unit.spread
        if unit.is_constant:
            scale = _CONSTANT_SCALE * (abs(unit.center) or 1.0)
        return group._replace(shift=unit.center, scale=scale, placeholder_y=zero)
    if any(own != (0.0, 0.0, False) for own in group.units):
        group = group._replace(scale=unit.size)
    return group._replace(placeholder_y=group.target(*unit.first)[..., 0])


def lay_out_outputs(group: ExpertGroup, y: np.ndarray, per_row: RowArguments) -> ExpertGroup:
    """Return the group of a family of several targets with each output in its own unit.

    Parameters
    ----------
    group : JointGroup
    y : ndarray of shape (n, d)
    per_row : RowArguments

    Raises
    ------
    ValueError
        If no row is in the support.
    """
    is_own = ~group.find_impossible(y, per_row.trials)
    if not is_own.any():
        raise ValueError(
            f"No row of y is {group.family.support}, which the {group.family.name} expert needs; "
            "use another family."
        )
    outputs, placeholder = [], []
    for j in range(len(group.outputs)):
        is_known = is_own & ~np.isnan(y[:, j])
        if not is_known.any():
            raise ValueError(f"y is NaN in all rows of column {j}; leave this target out.")
        own, weight = y[is_known, j], per_row.weight[is_known]
        shift, scale = _unit_of_output(group, j, own, weight)
        outputs.append((shift, scale, 0.0))
        placeholder.append((own[0] - shift) / scale)
    return group._replace(outputs=tuple(outputs), placeholder_y=np.array(placeholder))


def _unit_of_output(
    group: ExpertGroup, j: int, y: np.ndarray, weight: np.ndarray
) -> tuple[float, float]:
    """Return shift and scale of an output, by the rule for one target."""
    units = [unit for h, unit in enumerate(group.units) if group.family.output_of(h) == j]
    if any(unit.moves for unit in units):
        target = weighted_scaling(y[:, None], weight)
        shift, scale = float(target.center[0]), float(target.scale[0])
        return shift, _CONSTANT_SCALE * (abs(shift) or 1.0) if target.is_constant[0] else scale
    return 0.0, _mean_size(y, weight) if any(unit != (0.0, 0.0, False) for unit in units) else 1.0


def anchor_outputs(
    group: ExpertGroup, heads: Sequence[np.ndarray], taken: float, is_single: bool
) -> tuple[ExpertGroup, tuple[np.ndarray, ...]]:
    """Make the dispersions of a pooled fit, per output, what priors pull to, and the unit of y.

    Parameters
    ----------
    group : JointGroup
    heads : sequence of ndarray of shape (n_group, p_head)
        Of the pooled fit.
    taken : float
        Share of the dispersion that slopes took off it.
    is_single : bool
        Whether there is but one expert: it is the pooled fit, in the unit that this was made in.

    Returns
    -------
    group : JointGroup
    heads : tuple of ndarray of shape (n_group, p_head)
        In the new units.
    """
    outputs = []
    for j, (shift, scale, _) in enumerate(group.outputs):
        h = group.family.dispersion_head(j)
        pooled = 0.0 if h is None else float(heads[h][0, 0])
        own = [unit for at, unit in enumerate(group.units) if group.family.output_of(at) == j]
        log_power = 0.0 if h is None else group.units[h].log_power
        if is_single or log_power == 0.0 or not any(unit.moves for unit in own):
            outputs.append((shift, scale, pooled))
            continue
        log_scale = max(pooled / log_power, 0.5 * float(np.log(_SMALLEST_ANCHOR)))
        anchor = -0.5 * log_power * float(np.log1p(-taken))
        outputs.append((shift, scale * float(np.exp(log_scale)), anchor))
    moved = group._replace(outputs=tuple(outputs))
    return moved, tuple(moved.from_raw(h, group.to_raw(h, coef)) for h, coef in enumerate(heads))


def _mean_size(y: np.ndarray, weight: np.ndarray) -> float:
    largest = float(np.abs(y).max())
    if largest == 0.0:
        return 1.0
    return largest * float(np.average(np.abs(y) / largest, weights=weight))


def pooled_unit(group: ExpertGroup, heads: Sequence[np.ndarray]) -> float | None:
    """Return the scale of the residuals of a pooled fit; None if the family is of no such scale.

    Parameters
    ----------
    group : ExpertGroup
    heads : sequence of ndarray of shape (n_group, p_head)
    """
    for head, unit in zip(group.family.heads, group.units, strict=True):
        if group.is_location_scale and head.kind == "dispersion" and unit.log_power != 0.0:
            log_scale = log_dispersion(group, heads) / unit.log_power
            return float(np.exp(max(log_scale, 0.5 * np.log(_SMALLEST_ANCHOR))))
    return None


def log_dispersion(group: ExpertGroup, heads: Sequence[np.ndarray]) -> float:
    """Return the log dispersion of a pooled fit, 0 if the family has none."""
    kinds = [head.kind for head in group.family.heads]
    return float(heads[kinds.index("dispersion")][0, 0]) if "dispersion" in kinds else 0.0


def in_unit(
    group: ExpertGroup, heads: Sequence[np.ndarray], scale: float
) -> tuple[np.ndarray, ...]:
    """Return the coefficients of a group after y is divided by a scale."""
    out = []
    for unit, coef in zip(group.units, heads, strict=True):
        factor, summand = unit.change(1.0 / scale)
        moved = factor * coef
        moved[:, 0] += summand
        out.append(moved)
    return tuple(out)
