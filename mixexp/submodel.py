"""Parts of a model of one's own: a gate, or an expert, that is no set of linear predictors.

A submodel is one term of the complete-data log-likelihood, ``log P(child | node, x)`` or ``log
f(y | x)``. EM asks it for three things: its log terms (for the E-step), sums over rows, and new
parameters from these sums (its M-step). Softmax gates and expert families are built in, and many
times faster: they share products of features, Newton's method and standard errors.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np


class SubmodelRows(NamedTuple):
    """What a submodel sees of some rows.

    Parameters
    ----------
    X : ndarray of shape (rows, p)
        Features that it looks at, standardised, or as they were given: `Submodel.sees_raw`.
    y : ndarray of shape (rows,) or None
        None where rows are predicted.
    offset, trials : ndarray of shape (rows,) or None
        As given to ``fit``; the logarithm of ``exposure`` is part of the offset.
    """

    X: np.ndarray
    y: np.ndarray | None
    offset: np.ndarray | None
    trials: np.ndarray | None


class Setting(NamedTuple):
    """Where a submodel stands in a fit, and what it is fitted to.

    Parameters
    ----------
    where : str
        For messages: "expert 1", "the gate at node 0".
    feature_names : list of str or None
        Names of the columns that it sees, if X has names.
    n_features : int
        How many columns it sees.
    classes : ndarray of shape (n_classes,) or None
        Classes, of which y holds the numbers; None where y is a number itself.
    dispersion_prior, gate_alpha : float
        Of the estimator.
    """

    where: str
    feature_names: list[str] | None
    n_features: int
    classes: np.ndarray | None
    dispersion_prior: float = 0.0
    gate_alpha: float = 0.0


class Submodel:
    """A gate or an expert with parameters and an M-step of its own.

    Subclasses define `log_terms`, `statistics` and `m_step`, and experts `mean`. Parameters may be
    any object that is not changed in place; what needs options takes them in its constructor.

    Notes
    -----
    EM rises monotonically if `m_step` does not lower ``sum(weight * log_terms) + log_prior``. A
    model with such a part is fitted by plain EM, without split-and-merge moves, and has no standard
    errors by formula: use `bootstrap`.
    """

    #: How messages and tables call it.
    name: ClassVar[str] = "submodel"
    # What is asked of every expert.
    target: ClassVar[str] = "regression"
    heads: ClassVar[tuple[Any, ...]] = ()
    support: ClassVar[str] = "anything"
    uses_trials: ClassVar[bool] = False
    has_outputs: ClassVar[bool] = False
    is_noise: ClassVar[bool] = False
    has_ordered_classes: ClassVar[bool] = False

    #: Whether an expert gives integers a probability, and not y a density.
    is_discrete: ClassVar[bool] = False
    #: Values that an expert gives a probability of their own, beside a density.
    atoms: ClassVar[tuple[float, ...]] = ()
    #: Whether it sees features as they were given, not standardised.
    sees_raw: bool = False
    #: Whether `m_step` never lowers what EM maximises. Where one does, the best iterate is kept.
    is_monotone: bool = True
    #: Whether a gate's terms are joint densities of child and features. Below the root they are
    #: made conditional, for which its M-step is not made.
    is_joint: bool = False
    #: Whether a gate does with missing features (NaN) where rows are predicted.
    accepts_missing: bool = False
    #: Whether it says how missing features are distributed under each child: `fill_missing`.
    fills_missing: bool = False
    #: Number of classes of which an expert gives probabilities; 0 where y is a number.
    n_classes: int = 0
    #: Whether an expert takes the offset of a row into account.
    uses_offset: bool = True

    @property
    def title(self) -> str:
        """How messages call it."""
        return type(self).__name__

    def bind(self, setting: Setting) -> "Submodel":
        """Return the submodel for one fit, called once before it; itself by default.

        Parameters
        ----------
        setting : Setting

        Returns
        -------
        Submodel

        Raises
        ------
        ValueError
            If it cannot be fitted there.
        """
        return self

    def fill_missing(
        self, params: Any, X: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield rows that miss the same features, and how these are distributed under each child.

        Parameters
        ----------
        params : object
            As `m_step` returned it.
        X : ndarray of shape (rows, q)
            NaN where a feature is missing.

        Yields
        ------
        rows : ndarray of shape (r,), int
        mean : ndarray of shape (m, r, q)
            Features, those that are missing at their mean given the others.
        covariance : ndarray of shape (m, q, q)
            Of the missing ones given the others; zero for these.
        """
        raise NotImplementedError

    def density_at(self, params: Any, rows: SubmodelRows) -> tuple[Any, tuple[np.ndarray, ...]]:
        """Return an expert's distribution of y: a family, and its heads at some rows.

        Parameters
        ----------
        params : object
            As `m_step` returned it.
        rows : SubmodelRows
            Without y.

        Returns
        -------
        family : Expert
            On y in its own unit.
        heads : tuple of ndarray of shape (1, rows) or (1, 1)

        Raises
        ------
        NotImplementedError
            If it is not defined: there are no quantiles, intervals and draws then.
        """
        raise NotImplementedError(
            f"{self.title} has a log density and a mean, but no distribution function: define "
            "density_at for quantiles, intervals and draws."
        )

    def rescaled(self, params: Any, shift: np.ndarray, factor: np.ndarray) -> Any:
        """Return the parameters for features ``(X - shift) / factor``; the same by default.

        Parameters
        ----------
        params : object
            As `m_step` returned it.
        shift, factor : ndarray of shape (p,)

        Returns
        -------
        object
        """
        return params

    @property
    def measure(self) -> Any:
        """What an expert's values with a probability of their own are told by, if there are any.

        Something with ``is_discrete``, ``atoms`` and `has_mass`: a family, or the submodel itself.
        """
        return self

    def has_mass(self, y: np.ndarray) -> np.ndarray:
        """Return where y has a probability of its own under an expert, and not a density.

        By default at ``atoms``, at integers if ``is_discrete``, as a submodel for counts sets it,
        and everywhere if y are classes. Where others have a probability, a density is nothing.

        Parameters
        ----------
        y : ndarray of shape (rows,)

        Returns
        -------
        ndarray of shape (rows,), bool
        """
        if self.atoms:
            return np.isin(y, self.atoms)
        if self.target != "regression":
            return np.ones(len(y), dtype=bool)
        return self.is_discrete & (y == np.floor(y))

    def check_options(self) -> None:
        """Raise ValueError if an option is not as it has to be; none are known here."""

    def log_terms(self, params: Any, rows: SubmodelRows) -> np.ndarray:
        """Return log probabilities of a gate's children, or an expert's log density.

        Parameters
        ----------
        params : object
            As `m_step` returned it.
        rows : SubmodelRows

        Returns
        -------
        ndarray of shape (n_children, rows), or (rows,) for an expert
            Natural log. A gate's probabilities add up to one; the gate at the root may give joint
            densities of child and features instead: the objective is then that of y and features,
            while ``log_likelihood_`` stays that of y given the features.
        """
        raise NotImplementedError

    def statistics(self, params: Any, rows: SubmodelRows, weight: np.ndarray) -> Any:
        """Return what `m_step` needs to know of some rows.

        Parameters
        ----------
        params : object or None
            None before the first M-step.
        rows : SubmodelRows
        weight : ndarray of shape (n_children, rows), or (rows,) for an expert
            Sample weight times responsibility.

        Returns
        -------
        ndarray of any shape, tuple of such, or list
            What two sets of rows give is added: arrays and tuples of arrays element by element,
            lists one behind the other.
        """
        raise NotImplementedError

    def m_step(self, params: Any, stats: Any) -> Any:
        """Return parameters from the sum of `statistics` over all rows.

        Parameters
        ----------
        params : object or None
            The present ones.
        stats : object
            The sum of what `statistics` returned.
        """
        raise NotImplementedError

    def log_prior(self, params: Any) -> float:
        """Return what the objective has beside the log-likelihood; nothing by default.

        Parameters
        ----------
        params : object
            As `m_step` returned it.

        Returns
        -------
        float
            Natural log.
        """
        return 0.0

    def mean(self, params: Any, rows: SubmodelRows) -> np.ndarray:
        """Return the mean of y in some rows, shape (rows,); of experts alone.

        Parameters
        ----------
        params : object
            As `m_step` returned it.
        rows : SubmodelRows
            Without y.

        Returns
        -------
        ndarray of shape (rows,)
            In the unit of y.

        Raises
        ------
        NotImplementedError
            If it is not defined, and so there is nothing to predict.
        """
        raise NotImplementedError(f"{type(self).__name__} has no mean: define it to predict.")
