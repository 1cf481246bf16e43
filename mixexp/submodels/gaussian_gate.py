"""Gaussian gate: rows go to the children by where they lie.

``P(child, x) = weight N(x; mean, covariance)``, one Gaussian of the features per child: its
M-step is closed-form, and what is maximised is the likelihood of y *and* the features. Xu, Jordan
& Hinton (1995). Covariances are worked on in coordinates where the covariance of all rows is the
identity, so that neither units nor columns that say the same matter.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from mixexp.arguments import is_real, is_word
from mixexp.submodel import Setting, Submodel, SubmodelRows
from mixexp.symmetric import eigh
from mixexp.text import shown

COVARIANCES = ("full", "diagonal", "shared")
_LOG_2PI = float(np.log(2.0 * np.pi))
# Directions in which all rows together vary by less than this share of the largest are none.
_NEGLIGIBLE = 1e-10
# Variances in any direction are not below this share of that of all rows.
_FLOOR = 1e-8


class GaussianGateParams(NamedTuple):
    """Parameters of a Gaussian gate, in the unit of the features.

    Parameters
    ----------
    weights : ndarray of shape (m,)
        Share of each child.
    means : ndarray of shape (m, q)
    covariances : ndarray of shape (m, q, q)
    basis : ndarray of shape (q, r)
        Coordinates in which the covariance of all rows is the identity.
    factors : ndarray of shape (m, r, r)
        Inverse Cholesky factors of the covariances in these.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    basis: np.ndarray
    factors: np.ndarray


class GaussianGate(Submodel, BaseEstimator):
    """Gate by one Gaussian density of the features per child, with a closed-form M-step.

    ``gate="gaussian"``, or an object with options. At the root of a tree the joint log-likelihood
    of y and the features is maximised, which the estimator keeps as ``joint_log_likelihood_``;
    ``log_likelihood_`` and ``log_density`` stay those of y given the features. Below the root the
    gate is made conditional, its M-step maximises nothing, and the best iterate is kept.

    Parameters
    ----------
    covariance : {"full", "diagonal", "shared"}, default="full"
        One per child, without correlations, or one for all children, which makes the gate a
        softmax of linear functions.
    prior : float, default=None
        Pseudo-rows, per child, that pull its covariance to that of all rows; 0 for maximum
        likelihood, None for the model's ``gate_alpha``.

    Notes
    -----
    Where rows are predicted, features may be missing (NaN). Gates go by the others. In a flat
    model of Gaussian experts with identity link so do these: a missing feature is integrated out,
    given the others, and y's variance grows by what it would explain. Experts of other families,
    and of trees, need the features that they look at.

    References
    ----------
    Xu, Jordan & Hinton (1995), An alternative model for mixtures of experts.
    Deleforge, Forbes & Horaud (2015), High-dimensional regression with Gaussian mixtures and
    partially-latent response variables, for features that are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.gates import Gaussian
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat([-2.0, 2.0], 100)
    >>> X = group[:, None] + rng.standard_normal((200, 2))
    >>> y = group * X[:, 0] + 0.1 * rng.standard_normal(200)
    >>> gate = Gaussian(covariance="diagonal")
    >>> model = MoERegressor(2, gate=gate, expert_features=[0], random_state=0).fit(X, y)
    >>> model.gate_proba([[-2.0, -2.0], [2.0, np.nan]]).round(1).max(axis=1)
    array([1., 1.])
    """

    is_joint = True
    accepts_missing = True
    fills_missing = True

    def __init__(self, covariance: str = "full", prior: float | None = None) -> None:
        self.covariance = covariance
        self.prior = prior

    def check_options(self) -> None:
        if not is_word(self.covariance, COVARIANCES):
            raise ValueError(
                f"The 'covariance' parameter of a Gaussian gate must be one of {list(COVARIANCES)}."
                f" Got {shown(self.covariance)} instead."
            )
        is_number = is_real(self.prior) and 0.0 <= float(self.prior or 0.0) < np.inf
        if self.prior is not None and not is_number:
            raise ValueError(
                "The 'prior' parameter of a Gaussian gate must be None or a float in the range "
                f"[0, inf). Got {shown(self.prior)} instead."
            )

    def bind(self, setting: Setting) -> "GaussianGate":
        self.check_options()
        if setting.n_features == 0:
            raise ValueError(
                f"A Gaussian gate needs features, and {setting.where} sees none; use "
                "gate='constant'."
            )
        if self.prior is not None:
            return self
        return GaussianGate(self.covariance, float(setting.gate_alpha))

    # What EM asks.

    @property
    def _pseudo_rows(self) -> float:
        return float(self.prior or 0.0)

    def log_terms(self, params: GaussianGateParams, rows: SubmodelRows) -> np.ndarray:
        log_det = np.linalg.slogdet(params.basis.T @ params.basis)[1] / 2.0
        out = np.empty((len(params.weights), len(rows.X)))
        for child, (mean, factor) in enumerate(zip(params.means, params.factors, strict=True)):
            away = _product(rows.X - mean, params.basis @ factor.T)
            log_scale = log_det + np.log(np.diagonal(factor)).sum()
            out[child] = log_scale - 0.5 * (_squares(away) + away.shape[1] * _LOG_2PI)
        if np.isnan(rows.X).any():
            _put_terms_of_known(out, params, rows.X)
        return out + np.log(params.weights)[:, None]

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        second = np.stack([(rows.X.T * own) @ rows.X for own in weight])
        return weight.sum(axis=1), weight @ rows.X, second

    def m_step(self, params: GaussianGateParams | None, stats: Any) -> GaussianGateParams:
        mass, first, second = stats
        if params is None:
            params = _pooled(mass, first, second, self.covariance)
        has_rows = mass > np.finfo(float).tiny
        safe = np.where(has_rows, mass, 1.0)
        means = np.where(has_rows[:, None], first / safe[:, None], params.means)
        outer = means[:, :, None] * means[:, None, :]
        basis = params.basis
        scatter = basis.T @ (second - mass[:, None, None] * outer) @ basis
        if self.covariance == "shared":
            scatter, mass_of = (
                np.tile(scatter.sum(axis=0), (len(mass), 1, 1)),
                mass.sum() + 0 * mass,
            )
        else:
            mass_of = mass
        r = basis.shape[1]
        if self.covariance == "diagonal":
            scatter = scatter * np.eye(r)
        rows = mass_of + self._pseudo_rows
        divisor = np.where(rows > 0.0, rows, 1.0)[:, None, None]
        inner = (scatter + self._pseudo_rows * np.eye(r)) / divisor
        factors = np.stack([_inverse_factor(own) for own in inner])
        weights = np.maximum(mass / mass.sum(), np.finfo(float).tiny)
        return _with_covariances(GaussianGateParams(weights, means, np.empty(0), basis, factors))

    def log_prior(self, params: GaussianGateParams) -> float:
        factors = params.factors[:1] if self.covariance == "shared" else params.factors
        log_det = -2.0 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum()
        return -0.5 * self._pseudo_rows * float(log_det + (factors**2).sum())

    def fill_missing(
        self, params: GaussianGateParams, X: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        m, q = params.means.shape
        for rows, known, missing in _patterns(X):
            mean, spread = np.repeat(X[None, rows], m, axis=0), np.zeros((m, q, q))
            for child, (center, own) in enumerate(
                zip(params.means, params.covariances, strict=True)
            ):
                half = _half_inverse(own[np.ix_(known, known)])
                slopes = (half @ half.T) @ own[np.ix_(known, missing)]
                away = X[np.ix_(rows, known)] - center[known]
                mean[child][:, missing] = center[missing] + _product(away, slopes)
                spread[child][np.ix_(missing, missing)] = (
                    own[np.ix_(missing, missing)] - own[np.ix_(missing, known)] @ slopes
                )
            yield rows, mean, spread

    def rescaled(
        self, params: GaussianGateParams, shift: np.ndarray, factor: np.ndarray
    ) -> GaussianGateParams:
        return params._replace(
            means=(params.means - shift) / factor,
            covariances=params.covariances / np.outer(factor, factor),
            basis=params.basis * factor[:, None],
        )


def _pooled(
    mass: np.ndarray, first: np.ndarray, second: np.ndarray, covariance: str
) -> GaussianGateParams:
    """Return the same Gaussian, that of all rows, for each child."""
    m, total = len(mass), mass.sum()
    mean = first.sum(axis=0) / total
    pooled = second.sum(axis=0) / total - np.outer(mean, mean)
    variance = np.diagonal(pooled).clip(0.0)
    if covariance == "diagonal":
        values, vectors = variance, np.eye(len(mean))
    else:
        values, vectors = eigh(pooled)
    is_kept = values > _NEGLIGIBLE * max(float(values.max(initial=0.0)), np.finfo(float).tiny)
    basis = vectors[:, is_kept] / np.sqrt(values[is_kept])
    factors = np.tile(np.eye(basis.shape[1]), (m, 1, 1))
    found = GaussianGateParams(np.full(m, 1.0 / m), np.tile(mean, (m, 1)), pooled, basis, factors)
    return _with_covariances(found)


def _with_covariances(params: GaussianGateParams) -> GaussianGateParams:
    """Return the parameters with covariances in the unit of the features, from the factors."""
    back = np.linalg.pinv(params.basis)
    halves = np.linalg.inv(params.factors).transpose(0, 2, 1) @ back
    return params._replace(covariances=halves.transpose(0, 2, 1) @ halves)


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    """Return L with ``L' L`` the inverse of a covariance, whose eigenvalues have a floor."""
    values, vectors = eigh(covariance)
    if values[0] < _FLOOR:
        covariance = (vectors * np.maximum(values, _FLOOR)) @ vectors.T
    return np.linalg.inv(np.linalg.cholesky(covariance))


def _patterns(X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows that miss the same columns, with the columns that are known and missing."""
    is_missing = np.isnan(X)
    holed = np.flatnonzero(is_missing.any(axis=1))
    patterns, pattern_of = np.unique(is_missing[holed], axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = holed[pattern_of.ravel() == number]
        yield rows, np.flatnonzero(~pattern), np.flatnonzero(pattern)


def _half_inverse(covariance: np.ndarray) -> np.ndarray:
    """Return H with ``H H'`` the inverse of a covariance in the directions in which it varies."""
    values, vectors = eigh(covariance)
    is_kept = values > _NEGLIGIBLE * float(values.max(initial=0.0))
    return vectors[:, is_kept] / np.sqrt(values[is_kept])


def _put_terms_of_known(out: np.ndarray, params: GaussianGateParams, X: np.ndarray) -> None:
    """Put log densities of the columns that are known where others are missing."""
    for rows, known, _ in _patterns(X):
        for child, (mean, covariance) in enumerate(
            zip(params.means, params.covariances, strict=True)
        ):
            half = _half_inverse(covariance[np.ix_(known, known)])
            away = _product(X[np.ix_(rows, known)] - mean[known], half)
            log_scale = half.shape[1] * _LOG_2PI - np.log((half**2).sum(axis=0)).sum()
            out[child, rows] = -0.5 * (_squares(away) + log_scale)


def _product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return ``rows @ matrix``, whose bits do not depend on the number of rows."""
    total = np.zeros((len(rows), matrix.shape[1]))
    for column, weights in zip(rows.T, matrix, strict=True):
        total += column[:, None] * weights
    return total


def _squares(rows: np.ndarray) -> np.ndarray:
    total = np.zeros(len(rows))
    for column in rows.T:
        total += column * column
    return total
