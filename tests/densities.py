"""Log densities of all families in mpmath's arithmetic, which neither cancels nor overflows.

Written from the textbooks' formulas and not from the library's: `REFERENCES` has a function of y
and the heads by name of the family. Numbers are `mpmath.mpf`, and so are results; those of other
families than a family's own options are given by `reference_of`.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from mpmath import mp, mpf

from mixexp.experts import Expert

Reference = Callable[..., mpf]

# Predictors below leave the domain of some links; there densities go on as their tangents.
_DOMAIN_EDGE = 1 / mpf(1e73)
_ZERO = mpf(0)
# Exponentials of more, or of minus that, are infinite or zero in any arithmetic.
_MOST = mpf(10) ** 6


def reference_of(family: Expert) -> Reference:
    """Return the log density of a family, a function of y and one number per head."""
    options = {}
    for name in ("link", "power", "df", "shape", "n_classes", "at", "low", "high"):
        if hasattr(family, name) and (family.name, name) not in _ONE_LINK:
            options[name] = getattr(family, name)
    return partial(REFERENCES[family.name], **options)


def _positive_mean(eta: mpf, link: str) -> mpf:
    if link == "log":
        return mp.exp(eta)
    return {"identity": eta, "inverse": 1 / eta, "inverse_squared": 1 / mp.sqrt(eta)}[link]


def _with_tangent(density: Reference) -> Reference:
    """Return a density that falls along its tangent where its link leaves the domain."""

    def extended(y: mpf, eta: mpf, log_dispersion: mpf, link: str) -> mpf:
        if link == "log" or eta >= _DOMAIN_EDGE:
            return density(y, eta, log_dispersion, link)
        step = _DOMAIN_EDGE * mpf(10) ** -20
        last = density(y, _DOMAIN_EDGE, log_dispersion, link)
        slope = (density(y, _DOMAIN_EDGE + step, log_dispersion, link) - last) / step
        return last - abs(slope) * (_DOMAIN_EDGE - eta)

    return extended


def _probability(eta: mpf, link: str) -> tuple[mpf, mpf]:
    """Return the logs of a probability and of its complement."""
    if link == "logit":
        return -_softplus(-eta), -_softplus(eta)
    if link == "probit":
        return _log_normal_cdf(eta), _log_normal_cdf(-eta)
    rate = mp.exp(eta)
    return _log_one_less_exp(rate) if rate < _MOST else mpf(0), -rate


def _softplus(x: mpf) -> mpf:
    return max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def _log_normal_cdf(z: mpf) -> mpf:
    if z > 0:
        return mp.log1p(-mp.erfc(z / mp.sqrt(2)) / 2)
    if z > -(10**5):
        return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2)
    series = mp.log1p(-1 / z**2 + 3 / z**4 - 15 / z**6)
    return -z * z / 2 - mp.log(-z) - mp.log(2 * mp.pi) / 2 + series


def _log_one_less_exp(rate: mpf) -> mpf:
    """Return ``log(1 - exp(-rate))``."""
    return mp.log(-mp.expm1(-rate)) if rate < 1 else mp.log1p(-mp.exp(-rate))


def _gaussian(y: mpf, eta: mpf, log_dispersion: mpf, link: str = "identity") -> mpf:
    mean = eta if link == "identity" else mp.exp(eta)
    square = (y - mean) ** 2 * mp.exp(-log_dispersion)
    return -(mp.log(2 * mp.pi) + log_dispersion + square) / 2


def _lognormal(y: mpf, eta: mpf, log_dispersion: mpf) -> mpf:
    return _gaussian(mp.log(y), eta, log_dispersion) - mp.log(y)


def _student_t(y, eta, log_dispersion, log_df=None, df=None):
    df = mp.exp(log_df) if df is None else mpf(df)
    distance = (y - eta) ** 2 * mp.exp(-log_dispersion)
    constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2)
    constant -= (mp.log(mp.pi * df) + log_dispersion) / 2
    return constant - (df + 1) / 2 * mp.log1p(distance / df)


def _skew_normal(y, eta, log_dispersion, shape_head=_ZERO, shape=None):
    slant = shape_head if shape is None else mpf(shape)
    z = (y - eta) * mp.exp(-log_dispersion / 2)
    below = _log_normal_cdf(slant * z) if slant * z < 10**3 else mpf(0)
    return mp.log(2) + _gaussian(y, eta, log_dispersion) + below


def _laplace(y: mpf, eta: mpf, log_dispersion: mpf) -> mpf:
    # Within 1e-4 scales the kink is a parabola, as the family's docstring says.
    size, near = abs(y - eta) * mp.exp(-log_dispersion / 2), mpf(1e-4)
    total = 2 * mp.exp(-near)
    total += mp.exp(-near / 2) * mp.sqrt(2 * mp.pi * near) * mp.erf(mp.sqrt(near / 2))
    size = size if size > near else (size * size / near + near) / 2
    return -mp.log(total) - log_dispersion / 2 - size


def _gamma(y: mpf, eta: mpf, log_dispersion: mpf, link: str) -> mpf:
    shape, mean = mp.exp(-log_dispersion), _positive_mean(eta, link)
    ratio = shape * y / mean
    return shape * mp.log(ratio) - ratio - mp.log(y) - mp.loggamma(shape)


def _inverse_gaussian(y: mpf, eta: mpf, log_dispersion: mpf, link: str) -> mpf:
    mean = _positive_mean(eta, link)
    deviance = (y - mean) ** 2 / (mean**2 * y) * mp.exp(-log_dispersion)
    return -(mp.log(2 * mp.pi) + log_dispersion + 3 * mp.log(y) + deviance) / 2


def _weibull(y: mpf, eta: mpf, log_dispersion: mpf) -> mpf:
    z = (mp.log(y) - eta) * mp.exp(-log_dispersion)
    if abs(z) > _MOST:
        return -mpf("inf") if z > 0 else z - log_dispersion - mp.log(y)
    return z - mp.exp(z) - log_dispersion - mp.log(y)


def _burr(
    y: mpf, eta: mpf, log_dispersion: mpf, log_shape: mpf = _ZERO, shape: object = None
) -> mpf:
    """Write the density out with c and k, the textbook's shapes."""
    s = log_shape if shape is None else mp.log(mpf(shape))
    z = (mp.log(y) - eta) * mp.exp(-log_dispersion)
    rest = _softplus(z + s) if abs(z) < _MOST else max(z + s, mpf(0))
    return z - log_dispersion - mp.log(y) - rest * mp.exp(-s) - rest


def _generalized_pareto(y: mpf, eta: mpf, log_shape: mpf = _ZERO, shape: object = None) -> mpf:
    tail = mp.exp(log_shape) if shape is None else mpf(shape)
    if abs(eta) > _MOST:  # the odds are eta, or next to nothing
        return -eta + (1 / tail + 1) * min(eta, mpf(0))
    return -eta - (1 / tail + 1) * mp.log1p(tail * y * mp.exp(-eta))


def _tweedie(
    y: mpf, eta: mpf, log_dispersion: mpf, own_power: mpf = _ZERO, *, power: float | str
) -> mpf:
    """Sum the compound distribution: Poisson numbers of gamma jumps; by saddle point if many."""
    known = own_power if power == "estimate" else mpf(power)
    below, rest = known - 1, 2 - known
    dispersion, mean = mp.exp(log_dispersion), mp.exp(eta)
    rate = mean**rest / (rest * dispersion)
    if y == 0:
        return -rate
    peak = y**rest / (rest * dispersion)
    if peak > mpf(10) ** 12:
        half = mean**rest / rest + y * mean**-below / below - y**rest / (below * rest)
        return -half / dispersion - mp.log(2 * mp.pi * dispersion * y ** (below + 1)) / 2
    assert peak < 500, "too many terms to sum"
    shape, size = rest / below, dispersion * below * mean**below
    total, j = mpf(0), 1
    while True:
        term = j * (mp.log(rate) + shape * mp.log(y / size)) - mp.loggamma(j + 1)
        term = mp.exp(term - mp.loggamma(shape * j))
        total += term
        if j > peak and term < total * mpf(10) ** -30:
            return mp.log(total) - rate - y / size - mp.log(y)
        j += 1


def _beta(y: mpf, eta: mpf, log_dispersion: mpf, link: str) -> mpf:
    log_mean, log_rest = _probability(eta, link)
    precision = mp.exp(-log_dispersion)
    a, b = mp.exp(log_mean) * precision, mp.exp(log_rest) * precision
    constant = mp.loggamma(precision) - mp.loggamma(a) - mp.loggamma(b)
    return constant + (a - 1) * mp.log(y) + (b - 1) * mp.log1p(-y)


def _poisson(y: mpf, eta: mpf) -> mpf:
    return y * eta - mp.exp(eta) - mp.loggamma(y + 1)


def _zero_truncated_poisson(y: mpf, eta: mpf) -> mpf:
    # Nothing is left of truncation where the rate is large.
    return _poisson(y, eta) - (_log_one_less_exp(mp.exp(eta)) if eta < 10 else mpf(0))


def _negative_binomial(y: mpf, eta: mpf, log_dispersion: mpf) -> mpf:
    if log_dispersion < -(10**4):  # what is left of it is Poisson
        return _poisson(y, eta)
    size, log_odds = mp.exp(-log_dispersion), eta + log_dispersion
    ways = mp.loggamma(y + size) - mp.loggamma(size) - mp.loggamma(y + 1)
    return ways - y * _softplus(-log_odds) - size * _softplus(log_odds)


def _generalized_poisson(y: mpf, eta: mpf, log_dispersion: mpf) -> mpf:
    if log_dispersion < -(10**4) and eta > -(10**4):  # what is left of it is Poisson
        return _poisson(y, eta)
    log_rest = _softplus(log_dispersion)
    log_theta, log_share = eta - log_rest, log_dispersion - log_rest
    if not y:
        return -mp.exp(log_theta)
    log_rate = log_theta + _softplus(log_share + mp.log(y) - log_theta)
    return log_theta + (y - 1) * log_rate - mp.exp(log_rate) - mp.loggamma(y + 1)


def _binomial(y: tuple[mpf, mpf], eta: mpf, link: str) -> mpf:
    successes, trials = y
    log_mean, log_rest = _probability(eta, link)
    ways = mp.loggamma(trials + 1) - mp.loggamma(successes + 1)
    ways -= mp.loggamma(trials - successes + 1)
    gain = successes * log_mean if successes else mpf(0)
    return ways + gain + ((trials - successes) * log_rest if trials > successes else mpf(0))


def _beta_binomial(y: tuple[mpf, mpf], eta: mpf, log_dispersion: mpf) -> mpf:
    """Write out gamma functions; for a tiny precision what is left of them."""
    successes, trials = y
    log_mean, log_rest = _probability(eta, "logit")
    ways = mp.loggamma(trials + 1) - mp.loggamma(successes + 1)
    ways -= mp.loggamma(trials - successes + 1)
    rises = _log_rise(log_mean - log_dispersion, successes)
    rises += _log_rise(log_rest - log_dispersion, trials - successes)
    return ways + rises - _log_rise(-log_dispersion, trials)


def _log_rise(log_a: mpf, count: mpf) -> mpf:
    """Return ``log(Gamma(a + count) / Gamma(a))``; of a tiny a ``log(a) + log Gamma(count)``."""
    if not count:
        return mpf(0)
    a = mp.exp(log_a)
    if log_a < -400:
        return log_a + mp.loggamma(count)
    if log_a > 800:  # next to the count it is a power
        return count * log_a
    return mp.loggamma(a + count) - mp.loggamma(a)


def _logistic(y: mpf, eta: mpf) -> mpf:
    return -_softplus(-eta if y else eta)


def _multinomial(y: mpf, *heads: mpf, n_classes: int) -> mpf:
    # Orthonormal contrasts, as the family has them.
    from mixexp.contrast import contrast

    basis = contrast(n_classes)
    logits = [
        mp.fsum(mpf(float(basis[c, a])) * head for a, head in enumerate(heads))
        for c in range(n_classes)
    ]
    top = max(logits)
    return logits[int(y)] - top - mp.log(mp.fsum(mp.exp(logit - top) for logit in logits))


def _ordinal(y: mpf, eta: mpf, *log_increments: mpf, n_classes: int, link: str) -> mpf:
    c, thresholds = int(y), [mpf(0)]
    for log_increment in log_increments:
        thresholds.append(thresholds[-1] + mp.exp(log_increment))
    if c == 0:
        return _probability(-eta, link)[0]
    if c == n_classes - 1:
        return _probability(thresholds[-1] - eta, link)[1]
    upper, lower = thresholds[c] - eta, thresholds[c - 1] - eta
    if upper + lower > 0:
        upper, lower = -lower, -upper
    far, near = _probability(lower, link)[0], _probability(upper, link)[0]
    return near + mp.log(-mp.expm1(far - near))


def _point_mass(y: mpf, at: float) -> mpf:
    return mpf(0) if y == at else mpf("-inf")


def _uniform(y: mpf, low: float, high: float) -> mpf:
    return -mp.log(mpf(high) - mpf(low)) if low <= y <= high else mpf("-inf")


REFERENCES: dict[str, Reference] = {
    "gaussian": _gaussian,
    "student_t": _student_t,
    "skew_normal": _skew_normal,
    "laplace": _laplace,
    "lognormal": _lognormal,
    "gamma": _with_tangent(_gamma),
    "inverse_gaussian": _with_tangent(_inverse_gaussian),
    "weibull": _weibull,
    "burr": _burr,
    "generalized_pareto": _generalized_pareto,
    "tweedie": _tweedie,
    "beta": _beta,
    "poisson": _poisson,
    "negative_binomial": _negative_binomial,
    "generalized_poisson": _generalized_poisson,
    "zero_truncated_poisson": _zero_truncated_poisson,
    "binomial": _binomial,
    "beta_binomial": _beta_binomial,
    "logistic": _logistic,
    "multinomial": _multinomial,
    "ordinal": _ordinal,
    "point_mass": _point_mass,
    "uniform": _uniform,
}
# Links that a family always has, so that its function takes none.
_ONE_LINK = {
    (name, "link")
    for name in (
        "student_t",
        "skew_normal",
        "beta_binomial",
        "laplace",
        "lognormal",
        "weibull",
        "burr",
        "generalized_pareto",
        "tweedie",
        "poisson",
        "negative_binomial",
        "generalized_poisson",
        "zero_truncated_poisson",
        "logistic",
    )
}


def as_float(value: mpf) -> float:
    """Return the nearest float, infinite where there is none."""
    return (
        float(value)
        if abs(value) < mpf(10) ** 308
        else float(np.sign(float(mp.sign(value)))) * np.inf
    )
