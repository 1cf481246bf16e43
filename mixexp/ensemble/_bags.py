"""Bags: members fitted to resampled rows, and what each bag says of rows it has not seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from mixexp.data import read_source
from mixexp.ensemble._units import Units
from mixexp.estimators._folds import number_units, replace_unknown
from mixexp.estimators._validation import check_same_length, require_target
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import RoundedTargetWarning

# One expert is fitted to all rows; folds that leave nine tenths say what that is worth.
_N_FOLDS = 10


class Resamples(NamedTuple):
    """Rows, and how often each is drawn for each member.

    Parameters
    ----------
    X, y : object
        As the user gave them.
    known_y : object
        The y to ask densities of: labels that rows of weight zero alone have are replaced.
    is_known : ndarray of shape (n,), bool
        Which rows have a label of their own there.
    weight : ndarray of shape (n,)
    given : dict of str to object
        Row arguments.
    codes : ndarray of shape (n,), int
        Number of each row's group, that of the row itself without groups.
    units : Units
    counts : ndarray of shape (n_members, n)
    seeds : list of int
        Of the members' starts.
    n_jobs : int or None
    """

    X: Any
    y: Any
    known_y: Any
    is_known: np.ndarray
    weight: np.ndarray
    given: dict[str, Any]
    codes: np.ndarray
    units: Units
    counts: np.ndarray
    seeds: list[int]
    n_jobs: int | None

    @classmethod
    def draw(
        cls,
        prototype: Any,
        rows: tuple[Any, Any, Any],
        given: Mapping[str, Any],
        seeds: Sequence[tuple[int, int]],
        n_jobs: int | None,
    ) -> "Resamples":
        """Draw rows with replacement, or whole groups, so that every class is there.

        Parameters
        ----------
        prototype : estimator
        rows : (X, y, sample_weight)
            As the user gave them.
        given : mapping of str to object
        seeds : sequence of (int, int)
            Of the rows and of the starts of each member.
        n_jobs : int or None

        Raises
        ------
        ValueError
            If the rows are not in memory, or y is not as long as X.
        """
        X, y, sample_weight = rows
        if read_source(X, y, sample_weight, given)[0] is not None:
            raise ValueError(
                "BaggedMixture draws rows, which must be in memory, but X is a source of "
                f"{type(X).__name__}; give a sample of its rows."
            )
        n = _num_samples(X)
        weight = prototype._row_weights(sample_weight, n)
        codes = number_units(given.get("groups"), n)
        labels, is_known = None, np.ones(n, dtype=bool)
        if hasattr(prototype, "predict_proba"):
            require_target(prototype, y)
            labels = prototype._check_target(y)
            check_same_length(n, labels)
            is_known = np.isin(labels, labels[weight > 0.0])
        units = Units.of_rows(codes, weight, labels)
        counts = np.stack([units.draw(seed) for seed, _ in seeds])
        return cls(
            *(X, y, replace_unknown(y, labels, weight), is_known, weight, dict(given)),
            *(codes, units, counts, [int(seed) for _, seed in seeds], n_jobs),
        )

    def out_of_bag(self, members: Sequence[Any]) -> np.ndarray:
        """Return the log of the mean density of each group under members not fitted to it.

        Parameters
        ----------
        members : sequence of estimator

        Returns
        -------
        ndarray of shape (n_groups,)
            NaN where there is no such member.
        """
        of_group = np.stack([self._of_groups(member) for member in members])
        is_out = self._is_out()
        n_out = is_out.sum(axis=0)
        kept = np.where(is_out, of_group, -np.inf)
        mean = np.logaddexp.reduce(kept, axis=0) - np.log(np.maximum(n_out, 1))
        return np.where(n_out > 0, mean, np.nan)

    def held_out(self, members: Sequence[Any], fold: np.ndarray) -> np.ndarray:
        """Return the log density of each group under the member that held it out.

        Parameters
        ----------
        members : sequence of estimator
        fold : ndarray of shape (n,)
            Number of the member, -1 for none.

        Returns
        -------
        ndarray of shape (n_groups,)
            NaN where there is no such member, or no resample without the group.
        """
        of_group = np.full(int(self.codes.max()) + 1, np.nan)
        for number, member in enumerate(members):
            held = np.unique(self.codes[fold == number])
            of_group[held] = self._of_groups(member)[held]
        return np.where(self._is_out().any(axis=0), of_group, np.nan)

    def _of_groups(self, member: Any) -> np.ndarray:
        log_density = member.log_density(self.X, self.known_y, **self.given)
        return np.bincount(self.codes, log_density)

    def _is_out(self) -> np.ndarray:
        """Return which groups each resample is without, of those whose labels are known."""
        times = [np.bincount(self.codes, own) for own in self.counts]
        return (np.stack(times) == 0.0) & (np.bincount(self.codes, ~self.is_known) == 0.0)

    def weight_of_groups(self) -> np.ndarray:
        """Return the mean weight of the rows of each group."""
        return np.bincount(self.codes, self.weight) / np.bincount(self.codes)


class Bag(NamedTuple):
    """Members of one kind, one per resample; or one fit to all rows, in their place.

    Parameters
    ----------
    settings : dict of str to object
        What the kind is told from others by.
    members : list of estimator
    out_of_bag : ndarray of shape (n_groups,)
    warnings : list of list of FitWarning
        What the fit of each member is to be warned of.
    has_spike : bool
        Whether an expert of some fit has shrunk onto one value of y.
    """

    settings: dict[str, Any]
    members: list[Any]
    out_of_bag: np.ndarray
    warnings: list[list[FitWarning]]
    has_spike: bool


def fit_bag(prototype: Any, rows: Resamples, settings: dict[str, Any]) -> Bag:
    """Return clones of an estimator, fitted to each resample.

    Parameters
    ----------
    prototype : estimator
    rows : Resamples
    settings : dict of str to object

    Returns
    -------
    Bag
    """
    weights = [rows.weight * counts for counts in rows.counts]
    members, found = _fit_members(prototype, rows, weights, rows.seeds)
    return Bag(settings, members, rows.out_of_bag(members), found, _have_spike(found))


def fit_one_expert(prototype: Any, rows: Resamples, settings: dict[str, Any]) -> Bag:
    """Return a fit to all rows in the place of a bag, for a model with one optimum.

    It knows more rows than members of a bag do, so resamples would say too little of it. Rows are
    held out by folds instead, of which each leaves nearly all rows.

    Parameters
    ----------
    prototype : estimator
    rows : Resamples
    settings : dict of str to object

    Returns
    -------
    Bag
    """
    seed = rows.seeds[0]
    fold = rows.units.hold_out(_N_FOLDS, seed)
    weights = [np.where(fold == number, 0.0, rows.weight) for number in range(fold.max() + 1)]
    fits = _fit_members(prototype, rows, [*weights, rows.weight], [seed] * (len(weights) + 1))
    (*members, alone), found = fits
    out = rows.held_out(members, fold)
    return Bag(settings, [alone], out, found[-1:], _have_spike(found))


def _fit_members(
    prototype: Any, rows: Resamples, weights: Sequence[np.ndarray], seeds: Sequence[int]
) -> tuple[list[Any], list[list[FitWarning]]]:
    tasks = (
        delayed(fit_member)(prototype, rows, weight, seed)
        for weight, seed in zip(weights, seeds, strict=True)
    )
    fits = list(Parallel(n_jobs=rows.n_jobs)(tasks))
    return [member for member, _ in fits], [found for _, found in fits]


def _have_spike(of_members: Sequence[Sequence[FitWarning]]) -> bool:
    return any(own.category is RoundedTargetWarning for found in of_members for own in found)


def fit_member(
    prototype: Any, rows: Resamples, weight: np.ndarray, seed: int
) -> tuple[Any, list[FitWarning]]:
    """Return a clone of an estimator, fitted, and what its fit would warn of."""
    model = clone(prototype).set_params(random_state=seed)
    return model, model._fit(rows.X, rows.y, weight, rows.given)


def count_warnings(bags: Sequence[Bag], weights: np.ndarray) -> list[FitWarning]:
    """Return one warning per kind, which says how many members of an average it is for.

    Parameters
    ----------
    bags : sequence of Bag
    weights : ndarray of shape (n_bags,)
        Bags of weight zero are not looked at.
    """
    kept = [bag.warnings for bag, own in zip(bags, weights, strict=True) if own > 0.0]
    of_members = [found for of_bag in kept for found in of_bag]
    # Of one category a fit may have two warnings, of different kinds.
    messages: dict[tuple[type[Warning], int], list[str]] = {}
    for found in of_members:
        seen = Counter[type[Warning]]()
        for message, category in found:
            messages.setdefault((category, seen[category]), []).append(message)
            seen[category] += 1
    told = []
    for (category, _), own in messages.items():
        which = "" if len(set(own)) == 1 else ", the first of which"
        counted = f"{len(own)} of {len(of_members)} members{which}"
        told.append(FitWarning(f"BaggedMixture: {counted}: {own[0]}", category))
    return told
