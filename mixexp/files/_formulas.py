"""Means and quantiles of every family as formulas, for exports.

A formula is given a family, its heads and the `Operations` that carry it out; heads are columns,
or numbers where they do not vary from row to row.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import gammaincinv, gammaln, ndtri

from mixexp import experts
from mixexp.contrast import contrast
from mixexp.exceptions import ExportError
from mixexp.files._operations import Operations, is_number
from mixexp.links import LARGEST_LOG
from mixexp.model import ExpertGroup

Heads = Sequence[Any]
Formula = Callable[[Any, Heads, Operations], Any]
_LARGEST = 1e73
_INCREMENTS = -20.0, 20.0


def mean_of_group(
    group: ExpertGroup, heads: Heads, ops: Operations, offset: Any, trials: Any
) -> list[Any]:
    """Return the mean of y in its own unit, or the probability of every class.

    Parameters
    ----------
    group : ExpertGroup
    heads : sequence of values
        Of one of its experts, or of all.
    ops : Operations
    offset, trials : value or None

    Raises
    ------
    ExportError
        If the family is not one of the library's, or its mean has no formula for these heads.
    """
    group = _uncensored(group)
    family = group.family
    formula = _MEANS.get(type(family))
    if formula is None:
        raise ExportError(
            f"The {type(family).__name__} family is not one of the library's: its mean has no "
            "formula to export."
        )
    found = formula(family, _with_offset(group, heads, ops, offset), ops)
    if isinstance(found, list):
        return found
    return [_in_unit(group, found, ops, trials)]


def _uncensored(group: ExpertGroup) -> ExpertGroup:
    """Return the group of the y that limits are set to, which predictions are of."""
    family = group.family
    return group._replace(family=family.base) if isinstance(family, experts.Censored) else group


def quantile_of_group(
    group: ExpertGroup, heads: Heads, ops: Operations, offset: Any, q: float
) -> Any:
    """Return the quantile of y in its own unit.

    Raises
    ------
    ExportError
        If the family has no formula for it.
    """
    group = _uncensored(group)
    formula = QUANTILES.get(type(group.family))
    if formula is None:
        closed = sorted(family.name for family in QUANTILES)
        raise ExportError(
            f"Quantiles of the {group.family.name} expert have no closed form; those of {closed} "
            "have."
        )
    found = formula(group.family, _with_offset(group, heads, ops, offset), ops, q)
    return _in_unit(group, found, ops, None)


def _with_offset(group: ExpertGroup, heads: Heads, ops: Operations, offset: Any) -> list[Any]:
    if offset is None:
        return list(heads)
    return [
        ops.add(eta, ops.divide(offset, group.change(h)[0])) if group.is_location(h) else eta
        for h, eta in enumerate(heads)
    ]


def _in_unit(group: ExpertGroup, mean: Any, ops: Operations, trials: Any) -> Any:
    if group.scale != 1.0 or group.shift != 0.0:
        mean = ops.add(ops.multiply(mean, group.scale), group.shift)
    is_counted = group.family.uses_trials and trials is not None
    return ops.multiply(mean, trials) if is_counted else mean


def _exp(x: Any, ops: Operations) -> Any:
    return ops.exp(ops.clip(x, -LARGEST_LOG, LARGEST_LOG))


# Links.


def _linked(link: str, eta: Any, ops: Operations) -> Any:
    """Return the mean at a linear predictor, as `mixexp.links` has it."""
    if link == "identity":
        return eta
    if link == "log":
        return _exp(eta, ops)
    if link == "inverse":
        return ops.divide(1.0, ops.clip(eta, 1.0 / _LARGEST, _LARGEST))
    if link == "inverse_squared":
        return ops.divide(1.0, ops.sqrt(ops.clip(eta, 1.0 / _LARGEST, _LARGEST)))
    if link == "logit":
        return ops.logistic(eta)
    if link == "probit":
        return ops.normal_cdf(eta)
    if link == "cloglog":
        return ops.subtract(
            1.0, ops.exp(ops.subtract(0.0, ops.exp(ops.clip(eta, -LARGEST_LOG, 6.0))))
        )
    raise ExportError(f"The link {link!r} has no formula to export.")


# Means.


def _glm(family: Any, heads: Heads, ops: Operations) -> Any:
    mean = _linked(
        getattr(family, "link", family.links[0] if family.links else "logit"), heads[0], ops
    )
    return ops.clip(mean, *family.mean_limits) if np.isfinite(family.mean_limits).any() else mean


def _logit(family: Any, heads: Heads, ops: Operations) -> Any:
    return ops.logistic(heads[0])


def _location(family: Any, heads: Heads, ops: Operations) -> Any:
    return heads[0]


def _skew_normal(family: Any, heads: Heads, ops: Operations) -> Any:
    if not all(map(is_number, heads[2:])):
        raise ExportError("The shape of a skew_normal expert must not depend on features.")
    return ops.add(
        heads[0], ops.multiply(_exp(ops.multiply(0.5, heads[1]), ops), _lean(family, heads))
    )


def _lean(family: Any, heads: Heads) -> Any:
    """Return the mean of a skew-normal where location and scale are 0 and 1."""
    return _number(family.mean(_with_zeros(2, heads)))


def _lognormal(family: Any, heads: Heads, ops: Operations) -> Any:
    return _exp(ops.add(heads[0], ops.multiply(0.5, _exp(heads[1], ops))), ops)


def _needs_gamma(name: str) -> ExportError:
    return ExportError(
        f"The mean of a {name} expert whose dispersion depends on features needs a gamma "
        "function, which cannot be exported. Leave 'dispersion' out of expert_features."
    )


def _weibull(family: Any, heads: Heads, ops: Operations) -> Any:
    if not is_number(heads[1]):
        raise _needs_gamma("weibull")
    return _exp(ops.add(heads[0], gammaln(1.0 + np.exp(heads[1]))), ops)


def _burr(family: Any, heads: Heads, ops: Operations) -> Any:
    if not all(map(is_number, heads[1:])):
        raise _needs_gamma("burr")
    return ops.multiply(_exp(heads[0], ops), _mean_of_one(family, heads))


def _generalized_pareto(family: Any, heads: Heads, ops: Operations) -> Any:
    return ops.multiply(_exp(heads[0], ops), _mean_of_one(family, heads))


def _mean_of_one(family: Any, heads: Heads) -> Any:
    """Return the mean where the scale is one."""
    return _number(family.mean(_with_zeros(1, heads)))


def _number(values: np.ndarray) -> Any:
    """Return one number as a float, one per expert as they are."""
    return float(values.ravel()[0]) if values.size == 1 else values


def _zero_truncated(family: Any, heads: Heads, ops: Operations) -> Any:
    return ops.ratio_to_loss(_exp(heads[0], ops))


def _constant(family: Any, heads: Heads, ops: Operations) -> Any:
    return float(family.mean(())[0, 0])


def _logistic(family: Any, heads: Heads, ops: Operations) -> list[Any]:
    return [ops.logistic(ops.subtract(0.0, heads[0])), ops.logistic(heads[0])]


def _multinomial(family: Any, heads: Heads, ops: Operations) -> list[Any]:
    logits = [
        ops.let(
            ops.sum([ops.multiply(float(w), eta) for w, eta in zip(row, heads, strict=True)]),
            "logit",
        )
        for row in contrast(family.n_classes)
    ]
    return ops.softmax(logits, "class")


def _ordinal(family: Any, heads: Heads, ops: Operations) -> list[Any]:
    edge, below = ops.subtract(0.0, heads[0]), []
    increments = [ops.exp(ops.clip(head, *_INCREMENTS)) for head in heads[1:]]
    for increment in [0.0, *increments]:
        edge = ops.let(ops.add(edge, increment), "edge")
        below.append(ops.let(_linked(family.link, edge, ops), "below"))
    inner = [ops.subtract(upper, lower) for lower, upper in pairwise(below)]
    return [below[0], *inner, ops.subtract(1.0, below[-1])]


_MEANS: Mapping[type, Formula] = MappingProxyType(
    {
        experts.Gaussian: _glm,
        experts.StudentT: _location,
        experts.SkewNormal: _skew_normal,
        experts.Laplace: _location,
        experts.Lognormal: _lognormal,
        experts.Gamma: _glm,
        experts.InverseGaussian: _glm,
        experts.Weibull: _weibull,
        experts.Burr: _burr,
        experts.GeneralizedPareto: _generalized_pareto,
        experts.Tweedie: _glm,
        experts.Beta: _glm,
        experts.Poisson: _glm,
        experts.NegativeBinomial: _glm,
        experts.GeneralizedPoisson: _glm,
        experts.ZeroTruncatedPoisson: _zero_truncated,
        experts.Binomial: _glm,
        experts.BetaBinomial: _logit,
        experts.PointMass: _constant,
        experts.Uniform: _constant,
        experts.Logistic: _logistic,
        experts.Multinomial: _multinomial,
        experts.Ordinal: _ordinal,
    }
)


# Quantiles.


def _scaled(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    """Mean plus scale times the distance of the quantile from the mean, at heads of zero."""
    if not all(map(is_number, heads[2:])):
        raise ExportError(f"The shape of the {family.name} expert must not depend on features.")
    zero = np.zeros((1, 1))
    at_zero = (zero, zero, *heads[2:])
    standard = family.quantile(np.array(q), at_zero) - family.mean(at_zero)
    where = _linked(family.link, heads[0], ops)
    return ops.add(where, ops.multiply(_exp(ops.multiply(0.5, heads[1]), ops), standard))


def _of_lognormal(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    spread = ops.multiply(_exp(ops.multiply(0.5, heads[1]), ops), float(ndtri(q)))
    return _exp(ops.add(heads[0], spread), ops)


def _of_weibull(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    spread = ops.multiply(_exp(heads[1], ops), float(np.log(-np.log1p(-q))))
    return _exp(ops.add(heads[0], spread), ops)


def _of_burr(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    log_quantile = _number(np.log(family.quantile(np.array(q), _with_zeros(2, heads))))
    return _exp(ops.add(heads[0], ops.multiply(_exp(heads[1], ops), log_quantile)), ops)


def _of_generalized_pareto(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    standard = _number(family.quantile(np.array(q), _with_zeros(1, heads)))
    return ops.multiply(_exp(heads[0], ops), standard)


def _with_zeros(n: int, heads: Heads) -> Heads:
    """Return heads of which the first n are zero."""
    others = [np.asarray(head) for head in heads[n:]]
    zero = np.zeros_like(others[0]) if others else np.zeros(1)
    return (*[zero] * n, *others)


def _of_gamma(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    if not is_number(heads[1]):
        raise ExportError(
            "Quantiles of a gamma expert whose dispersion depends on features have no closed form."
        )
    shape = np.exp(-np.asarray(heads[1]))
    return ops.multiply(_glm(family, heads, ops), gammaincinv(shape, q) / shape)


def _of_constant(family: Any, heads: Heads, ops: Operations, q: float) -> Any:
    return float(family.quantile(np.array([q]), ())[0, 0])


QUANTILES: Mapping[type[experts.Expert], Callable[..., Any]] = MappingProxyType(
    {
        experts.Gaussian: _scaled,
        experts.StudentT: _scaled,
        experts.Laplace: _scaled,
        experts.Lognormal: _of_lognormal,
        experts.Weibull: _of_weibull,
        experts.Burr: _of_burr,
        experts.GeneralizedPareto: _of_generalized_pareto,
        experts.Gamma: _of_gamma,
        experts.PointMass: _of_constant,
        experts.Uniform: _of_constant,
    }
)
