"""Experts of simulated data: coefficients that suit a family's link, and draws from it."""

from typing import Any, NamedTuple

import numpy as np

from mixexp.arguments import as_finite
from mixexp.datasets._gates import random_directions
from mixexp.experts import FAMILIES, Expert
from mixexp.text import shown

# Centre of the intercepts and unit of `separation`, by link. With the default separation of 3,
# neighbouring experts differ by a factor of 3.3 on a log scale, and of 8 in the odds.
_SCALES = {
    "log": (1.0, 0.4),
    "logit": (0.0, 0.7),
    "probit": (0.0, 0.4),
    "cloglog": (-0.4, 0.4),
    "inverse": (1.0, 0.2),
    "inverse_squared": (1.0, 0.2),
}
_POSITIVE_LINKS = ("inverse", "inverse_squared")
_OTHER_SCALE = (0.0, 0.4)
# Log-odds are the location of families that have classes and no link.
_CLASS_SCALE = (0.0, 0.7)
# The least linear predictor, as a share of the centre, where it has to be positive.
_LEAST_SHARE = 0.25
_DISPERSION = 0.3
# Heads that are neither location nor dispersion: 3.3 degrees of freedom, thresholds 3.3 apart;
# less where their bound is near, a tail's index of 0.36.
_SHAPE = 1.2


class Drawn(NamedTuple):
    """Experts and what they drew.

    Parameters
    ----------
    families : list of Expert
        With options that come from the data filled in.
    location : ndarray of shape (K, 1 + p) or (K, n_classes, 1 + p)
        Intercept first.
    dispersion : ndarray of shape (K,)
    shape : list of dict
    y : ndarray of shape (n,)
    log_density : ndarray of shape (n, K)
    """

    families: list[Expert]
    location: np.ndarray
    dispersion: np.ndarray
    shape: list[dict[str, float]]
    y: np.ndarray
    log_density: np.ndarray


def read_families(expert: Any, n_experts: int, n_classes: int) -> list[Expert]:
    """Return one family per expert.

    Raises
    ------
    ValueError
        If a name is unknown, the list has another length, or families disagree on what y is.
    """
    entries = list(expert) if isinstance(expert, list | tuple) else [expert] * n_experts
    if len(entries) != n_experts:
        raise ValueError(
            f"The 'expert' parameter lists {len(entries)} experts, but there are {n_experts}; "
            "give one per expert, left to right."
        )
    families = [_read_family(entry, n_classes) for entry in entries]
    if len({(family.target, _n_location_values(family)) for family in families}) > 1:
        raise ValueError(
            f"The 'expert' parameter mixes families for different kinds of y: "
            f"{[family.name for family in families]}."
        )
    return families


def _read_family(entry: Any, n_classes: int) -> Expert:
    if isinstance(entry, str) and entry in FAMILIES:
        family = FAMILIES[entry]()
        return family.set_params(n_classes=n_classes) if family.target == "classes" else family
    if not hasattr(entry, "log_kernel"):
        raise ValueError(
            f"The 'expert' parameter must be one of {sorted(FAMILIES)}, an expert object, or a "
            f"list of these. Got {shown(entry)} instead."
        )
    entry.check_options()
    return entry


def _n_location_values(family: Expert) -> int:
    """Return into how many values per feature the locations of an expert are told users."""
    n_heads = sum(head.kind == "location" for head in family.heads)
    return len(family.location_coef([np.zeros((1, 1))] * n_heads)[0]) if n_heads else 1


def draw_experts(
    families: list[Expert],
    X: np.ndarray,
    labels: np.ndarray,
    separation: float,
    dispersion: Any,
    trials: np.ndarray | None,
    rng: np.random.Generator,
) -> Drawn:
    """Draw coefficients for every expert, and y from the expert of each row.

    Parameters
    ----------
    families : list of Expert
    X : ndarray of shape (n, p)
    labels : ndarray of shape (n,), int
    separation : float
    dispersion : float, array-like of shape (K,) or None
    trials : ndarray of shape (n,) or None
    rng : Generator
    """
    log_dispersion = np.log(_check_dispersion(dispersion, families))
    coefs = _draw_coefficients(families, X.shape[1], separation, log_dispersion, rng)
    design = np.column_stack([np.ones(len(X)), X])
    heads = [tuple((coef @ design.T)[None] for coef in of_expert) for of_expert in coefs]
    families, draws = _sample(families, heads, labels, trials, len(X), rng)
    y = draws[labels, np.arange(len(X))]
    density = [
        _log_density(family, y, draws[k], heads[k], trials) for k, family in enumerate(families)
    ]
    return Drawn(
        families,
        _location(families, coefs, X.shape[1]),
        np.exp([_head_value(f, c, "dispersion") for f, c in zip(families, coefs, strict=True)]),
        [_shapes(family, coef) for family, coef in zip(families, coefs, strict=True)],
        y if families[0].target == "regression" else y.astype(int),
        np.column_stack(density),
    )


def _check_dispersion(dispersion: Any, families: list[Expert]) -> np.ndarray:
    n_experts = len(families)
    usual = np.array([1.0 if family.is_location_scale else _DISPERSION for family in families])
    values = usual if dispersion is None else as_finite(dispersion, "dispersion")
    if values.shape not in ((), (n_experts,)) or not np.all(values > 0.0):
        raise ValueError(
            f"The 'dispersion' parameter must be a positive number, or {n_experts} of them. "
            f"Got {shown(dispersion)}."
        )
    known = [family.known_dispersion for family in families]
    return np.where([k is None for k in known], values, [1.0 if k is None else k for k in known])


def _draw_coefficients(
    families: list[Expert],
    p: int,
    separation: float,
    log_dispersion: np.ndarray,
    rng: np.random.Generator,
) -> list[list[np.ndarray]]:
    """Return the coefficients of every head of every expert, intercept first."""
    n_experts = len(families)
    place = np.arange(n_experts) - 0.5 * (n_experts - 1)
    # One direction for all heads that are locations, whatever their family.
    slopes = random_directions(n_experts, p, rng)
    out = []
    for k, family in enumerate(families):
        centre, unit = _scale(family, log_dispersion[k])
        step = unit * separation
        if _needs_positive(family):
            # |slope' x| is at most the sum of |slope|, for |x| <= 1.
            reach = step * (0.5 * (n_experts - 1) + np.abs(slopes).sum(axis=1).max())
            centre = max(centre, reach / (1.0 - _LEAST_SHARE))
        coefs: list[np.ndarray] = []
        for head in family.heads:
            values = {"dispersion": log_dispersion[k], "shape": min(_SHAPE, head.upper - 1.0)}
            coef = np.zeros(1 + p)
            if head.kind == "location":
                is_first = not coefs
                coef[0] = centre + step * (place[k] if is_first else rng.standard_normal())
                coef[1:] = step * (slopes[k] if is_first else random_directions(1, p, rng)[0])
            else:
                coef[0] = np.clip(values[head.kind], head.lower, head.upper)
            coefs.append(coef)
        out.append(coefs)
    return out


def _scale(family: Expert, log_dispersion: float) -> tuple[float, float]:
    """Return the centre of the intercepts and the unit of the separation."""
    if family.is_location_scale:
        return 0.0, float(np.exp(0.5 * log_dispersion))
    usual = _OTHER_SCALE if family.target == "regression" else _CLASS_SCALE
    return _SCALES.get(getattr(family, "link", ""), usual)


def _needs_positive(family: Expert) -> bool:
    link = getattr(family, "link", "")
    has_positive_mean = getattr(family, "mean_limits", (-np.inf,))[0] > 0.0
    return link in _POSITIVE_LINKS or (link == "identity" and has_positive_mean)


def _sample(
    families: list[Expert],
    heads: list[tuple[np.ndarray, ...]],
    labels: np.ndarray,
    trials: np.ndarray | None,
    n: int,
    rng: np.random.Generator,
) -> tuple[list[Expert], np.ndarray]:
    """Draw from every expert at every row; families whose limits come from y go last."""
    draws = np.zeros((len(families), n))
    fixed = list(families)
    for waits in (False, True):
        for k, family in enumerate(families):
            if _takes_limits_from_y(family) is not waits:
                continue
            others = np.array([not _takes_limits_from_y(families[j]) for j in labels])
            seen = draws[labels, np.arange(n)][others]
            span = seen if len(np.unique(seen)) > 1 else np.array([-1.0, 1.0])
            fixed[k] = family.fixed_to(span, np.ones(len(span)))
            draws[k] = _sample_one(fixed[k], heads[k], trials, n, rng)
    return fixed, draws


def _takes_limits_from_y(family: Expert) -> bool:
    return getattr(family, "low", 0.0) is None or getattr(family, "high", 0.0) is None


def _sample_one(
    family: Expert,
    heads: tuple[np.ndarray, ...],
    trials: np.ndarray | None,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    if family.uses_trials and trials is not None:
        return family.sample(heads, rng, trials)[0]  # type: ignore[call-arg]
    return family.sample_rows(heads, rng, n)[0]


def _log_density(
    family: Expert,
    y: np.ndarray,
    own: np.ndarray,
    heads: tuple[np.ndarray, ...],
    trials: np.ndarray | None,
) -> np.ndarray:
    """Return log densities of y, shape (n,): -inf where the family cannot draw such a value."""
    counts = np.ones_like(y) if trials is None else trials
    seen = np.stack([y, counts]) if family.uses_trials else y
    is_outside = family.find_unsupported(seen)
    # What the family drew itself stands in for y there, so that all that is computed is finite.
    inside = np.where(is_outside, np.stack([own, counts]) if family.uses_trials else own, seen)
    return np.where(is_outside, -np.inf, family.log_density(inside, heads)[0])


def _location(families: list[Expert], coefs: list[list[np.ndarray]], p: int) -> np.ndarray:
    """Return the coefficients of every location, zero for experts that have none."""
    out = []
    for family, of_expert in zip(families, coefs, strict=True):
        kinds = [head.kind for head in family.heads]
        found = [c[None] for c, kind in zip(of_expert, kinds, strict=True) if kind == "location"]
        out.append(family.location_coef(found)[0] if found else np.zeros(1 + p))
    return np.stack(out)


def _head_value(family: Expert, coefs: list[np.ndarray], kind: str) -> float:
    """Return the intercept of the head of a kind, 0 if there is none."""
    found = [c[0] for head, c in zip(family.heads, coefs, strict=True) if head.kind == kind]
    return float(found[0]) if found else 0.0


def _shapes(family: Expert, coefs: list[np.ndarray]) -> dict[str, float]:
    """Return the shape parameters of an expert by name; logarithms are undone."""
    return {
        head.name.removeprefix("log_"): float(
            np.exp(coef[0]) if head.name.startswith("log_") else coef[0]
        )
        for head, coef in zip(family.heads, coefs, strict=True)
        if head.kind == "shape"
    }
