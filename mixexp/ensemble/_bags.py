"""Bags: members fitted to resampled rows, and what each bag says of rows it has not seen.

Bags of several sizes are fitted to the same resamples, a size after another, and averaged with
the weights that make out-of-bag rows most probable, `stack_weights`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from mixexp.em import experts_at_floor
from mixexp.ensemble._bag_selection import BagSelection
from mixexp.estimators._auto import Auto
from mixexp.estimators._folds import HeldOut
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import (
    ConvergenceWarning,
    DegenerateExpertError,
    DegenerateExpertWarning,
    RoundedTargetWarning,
)

# More experts than this are pooled less, for the average holds in check what pooling does in a
# single fit. On 26 sets a tenth had a mean NLL .030 lower than all of alpha, .016 than a third.
_FEW, _LESS_POOLED = 3, 0.1
# A member is one of many: its last digits are averaged away.
_TOL, _MOST_ITERATIONS = 1e-3, 100
# What a size must add to the log density of all out-of-bag rows together: a unit, for its weight
# is one parameter more.
_LEAST_GAIN = 1.0
# Weights are found to so much of log density per row; sizes of less than the least are left out.
_GAP, _MOST_STEPS, _LEAST_WEIGHT = 1e-5, 10_000, 0.01


class Resamples(NamedTuple):
    """Rows, and how often each is drawn for each member.

    Parameters
    ----------
    X, y : object
        As the user gave them.
    weight : ndarray of shape (n,)
    given : dict of str to object
        Row arguments.
    codes : ndarray of shape (n,), int
        Number of each row's group, that of the row itself without groups.
    counts : ndarray of shape (n_members, n)
    seeds : list of int
        Of the members' starts.
    n_jobs : int or None
    """

    X: Any
    y: Any
    weight: np.ndarray
    given: dict[str, Any]
    codes: np.ndarray
    counts: np.ndarray
    seeds: list[int]
    n_jobs: int | None

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
        log_density = [member.log_density(self.X, self.y, **self.given) for member in members]
        of_group = np.stack([np.bincount(self.codes, own) for own in log_density])
        is_out = np.stack([np.bincount(self.codes, own) == 0.0 for own in self.counts])
        n_out = is_out.sum(axis=0)
        kept = np.where(is_out, of_group, -np.inf)
        mean = np.logaddexp.reduce(kept, axis=0) - np.log(np.maximum(n_out, 1))
        return np.where(n_out > 0, mean, np.nan)

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
    warnings : list of FitWarning
        What fits of the members found, where they did not say it themselves.
    """

    settings: dict[str, Any]
    members: list[Any]
    out_of_bag: np.ndarray
    warnings: list[FitWarning]

    @property
    def has_spike(self) -> bool:
        """Whether an expert of a member has shrunk onto one value of y."""
        return any(own.category is RoundedTargetWarning for own in self.warnings)


def draw_units(codes: np.ndarray, weight: np.ndarray, seed: int) -> np.ndarray:
    """Return how often each row, or group of rows, is drawn with replacement.

    A row of weight zero is as if it were absent: it is not drawn, nor is a group of such rows.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    weight : ndarray of shape (n,)
    seed : int

    Returns
    -------
    ndarray of shape (n,)
    """
    used = np.unique(codes[weight > 0.0])
    drawn = used[np.random.default_rng(seed).integers(len(used), size=len(used))]
    return np.bincount(drawn, minlength=int(codes.max()) + 1)[codes].astype(float)


def fit_bag(prototype: Any, rows: Resamples) -> Bag:
    """Return clones of an estimator, fitted to each resample.

    Parameters
    ----------
    prototype : estimator
    rows : Resamples

    Returns
    -------
    Bag
    """
    members = _fit_members(_fit_member, prototype, rows)
    return Bag({}, members, rows.out_of_bag(members), [])


class Stack:
    """Bags of more and more experts, and the weights that they are averaged with.

    Parameters
    ----------
    prototype : estimator
        Its number of experts, or its tree, is not looked at.
    name : {"n_experts", "tree"}
        Which of these is chosen.
    options : Auto
    rows : Resamples
    """

    def __init__(self, prototype: Any, name: str, options: Auto, rows: Resamples) -> None:
        self._prototype, self._name, self._options, self._rows = prototype, name, options, rows
        self.bags: list[Bag] = []
        self.weights = np.zeros(0)
        self.reason = "all sizes were tried"
        self.is_interrupted = False

    def grow(self) -> None:
        """Fit bags until sizes beyond the best one bring nothing; keep the best so far at Ctrl-C.

        Raises
        ------
        ValueError
            If every resample has every row, so that none is left to weigh sizes by.
        """
        best, n_since = None, 0
        try:
            for settings in self._sizes():
                if n_since >= int(self._options.patience):
                    self.reason = f"{int(self._options.patience)} sizes more brought nothing"
                    break
                self._add(settings)
                reached = self._weigh()
                if self._prototype.verbose:
                    self._tell()
                if best is None or total_gain(reached, best) > _LEAST_GAIN:
                    best, n_since = reached, 0
                else:
                    n_since += 1
        except DegenerateExpertError as error:  # asked for by the solver's on_collapse
            if not self._has_weighed_bags():
                raise
            self.reason = f"no more experts could be fitted: {str(error).removesuffix('.')}"
        except KeyboardInterrupt:
            if not self._has_weighed_bags():
                raise
            self.is_interrupted = True
            self.reason = "interrupted: the sizes so far were averaged"
        if self.weights[0] > 0.0:
            self._fit_one_expert()

    def _has_weighed_bags(self) -> bool:
        """Drop a bag that has no weight yet; return whether bags are left."""
        self.bags = self.bags[: len(self.weights)]
        return len(self.bags) > 0

    def _fit_one_expert(self) -> None:
        """Fit one expert to all rows: with one optimum it is no better for an average."""
        rows, first = self._rows, self.bags[0]
        fit = self._brief(first.settings), rows.X, rows.y, rows.weight, rows.given, rows.seeds[0]
        try:
            alone = _fit_as_one_of_many(*fit)
        except KeyboardInterrupt:
            self.is_interrupted = True
            self.reason = "interrupted: one expert was not fitted to all rows in the end"
            return
        self.bags[0] = first._replace(members=[alone[0]], warnings=self._worth_saying([alone]))

    def selection(self, others: Mapping[str, Any]) -> BagSelection:
        """Return what was tried, and with what weights.

        Parameters
        ----------
        others : mapping of str to object
            Other parameters that were chosen, by name.

        Returns
        -------
        BagSelection
        """
        rows, bags = self._rows, self.bags
        per_row = np.stack([bag.out_of_bag / np.bincount(rows.codes) for bag in bags])[
            :, rows.codes
        ]
        seen = (rows.weight > 0.0) & ~np.isnan(per_row[0])
        is_sampled = self._prototype.weight_type == "sampling"
        held = HeldOut(rows.weight[seen], rows.codes[seen], is_sampled, 1.0)
        scores = [held.mean(own[seen]) for own in per_row]
        best = per_row[int(np.argmax([mean for mean, _ in scores]))]
        gaps = [held.difference(best[seen], own[seen]) for own in per_row]
        columns: dict[str, list[Any]] = {
            "n_experts": [bag.members[0].tree_.n_leaves for bag in bags],
            "alpha": [bag.settings["alpha"] for bag in bags],
            "weight": self.weights.tolist(),
            "score": [mean for mean, _ in scores],
            "score_se": [error for _, error in scores],
            "behind": [behind for behind, _ in gaps],
            "behind_se": [error for _, error in gaps],
            "n_parameters": [bag.members[0].n_parameters_ for bag in bags],
            "has_spike": [bag.has_spike for bag in bags],
        }
        if self._name == "tree":
            shapes = [str(bag.settings["tree"]).replace(" ", "") for bag in bags]
            columns = {"n_experts": columns.pop("n_experts"), "tree": shapes, **columns}
        most = int(np.argmax(self.weights))
        chosen = {**others, self._name: bags[most].settings[self._name]}
        counted = "rows" if rows.given.get("groups") is None else "groups"
        return BagSelection(chosen, columns, most, len(rows.counts), counted, self.reason)

    def _sizes(self) -> Iterator[dict[str, Any]]:
        """Yield the number of experts, or the tree, from one expert on, and the pooling."""
        n_drawn = np.count_nonzero(self._rows.counts * self._rows.weight, axis=1).min()
        most = min(int(self._options.max_experts), int(n_drawn))
        depth = min(int(self._options.max_depth), int(np.log2(most)))
        shapes: dict[Any, int] = {(1,): 1} | {(2,) * own: 2**own for own in range(1, depth + 1)}
        if self._name == "n_experts":
            shapes = {size: size for size in _list_sizes(most)}
        for shape, n_experts in shapes.items():
            alpha = float(self._prototype.alpha) * (1.0 if n_experts <= _FEW else _LESS_POOLED)
            yield {self._name: shape, "alpha": alpha}

    def _brief(self, settings: Mapping[str, Any]) -> Any:
        """Return the estimator with settings, as one of many: one start, and no last digits."""
        own = self._prototype
        brief = {
            "n_init": 1,
            "solver": clone(own._solver).set_params(n_moves=0),
            "tol": max(float(own.tol), _TOL),
            "max_iter": min(int(own.max_iter), _MOST_ITERATIONS),
            "verbose": 0,
        }
        return clone(own).set_params(**brief, **settings)

    def _add(self, settings: dict[str, Any]) -> None:
        fits = _fit_members(_fit_as_one_of_many, self._brief(settings), self._rows)
        members = [member for member, _ in fits]
        out = self._rows.out_of_bag(members)
        self.bags.append(Bag(settings, members, out, self._worth_saying(fits)))

    def _worth_saying(self, fits: Sequence[tuple[Any, list[FitWarning]]]) -> list[FitWarning]:
        """Return what fits warn of, without what the brief settings and trials of sizes cause."""
        own_iterations = int(self._prototype.max_iter) < _MOST_ITERATIONS
        found = []
        for member, fit_warnings in fits:
            fitted = member.fitted_model_
            for own in fit_warnings:
                if own.category is ConvergenceWarning:
                    is_kept = own_iterations
                elif own.category is DegenerateExpertWarning:  # or experts to spare, of no harm
                    is_kept = bool(experts_at_floor(fitted.model, fitted.params))
                else:
                    is_kept = True
                if is_kept:
                    found.append(own)
        return found

    def warnings(self) -> list[FitWarning]:
        """Return what fits of the sizes that have weight warn of, each once.

        Returns
        -------
        list of FitWarning
        """
        pairs = zip(self.bags, self.weights, strict=True)
        found = [own for bag, weight in pairs if weight > 0.0 for own in bag.warnings]
        return list(dict.fromkeys(found))

    def _tell(self) -> None:
        settings = ", ".join(f"{name}={value}" for name, value in self.bags[-1].settings.items())
        weights = ", ".join(f"{weight:.2g}" for weight in self.weights)
        print(f"BaggedMixture: {settings}: weights of sizes {weights}")

    def _weigh(self) -> np.ndarray:
        """Weigh the bags; return the log density of each out-of-bag row, weighted, with these."""
        out = np.stack([bag.out_of_bag for bag in self.bags])
        weight = np.where(np.isnan(out[0]), 0.0, self._rows.weight_of_groups())
        if not weight.any():
            raise ValueError(
                f"The {self._name!r} parameter is 'auto', but no row is left out of any of the "
                f"{len(self._rows.counts)} resamples, to weigh sizes by; raise n_estimators, or "
                f"give {self._name} a value."
            )
        is_sound = np.array([not bag.has_spike for bag in self.bags])
        among = is_sound if is_sound.any() else ~is_sound
        weights = np.zeros(len(out))
        weights[among] = stack_weights(out[among], weight)
        self.weights = weights
        return weight[weight > 0.0] * average(out[:, weight > 0.0], self.weights)


def average(log_density: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log of a weighted mean of densities.

    Parameters
    ----------
    log_density : ndarray of shape (m, n)
    weights : ndarray of shape (m,)
        Sum to one.

    Returns
    -------
    ndarray of shape (n,)
    """
    has_weight = weights > 0.0
    terms = log_density[has_weight] + np.log(weights[has_weight])[:, None]
    return np.logaddexp.reduce(terms, axis=0)


def total_gain(log_density: np.ndarray, before: np.ndarray) -> float:
    """Return how much log densities of rows have risen together.

    Parameters
    ----------
    log_density, before : ndarray of shape (n,)
        Rows that both exclude tell nothing, as in `stack_weights`.

    Returns
    -------
    float
        Infinite where rows are no longer excluded.
    """
    is_told = np.isfinite(log_density) | np.isfinite(before)
    return float(np.sum(log_density[is_told] - before[is_told]))


def stack_weights(log_density: np.ndarray, row_weight: np.ndarray) -> np.ndarray:
    """Return the weights of an average of densities that make held-out rows most probable.

    Maximises ``sum_i row_weight[i] * log(sum_m weights[m] * density[m, i])`` by EM, a concave
    problem. The mean density ratio of a model to the average is one for those that have weight,
    and bounds what is still to be gained, by which EM stops.

    Parameters
    ----------
    log_density : ndarray of shape (m, n)
        Of rows that the models have not seen. Rows that all of them exclude tell nothing.
    row_weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (m,)
        Sum to one; less than a hundredth is zero.

    References
    ----------
    Smyth & Wolpert (1999), Linearly combining density estimators via stacking, Machine Learning
    36. Yao, Vehtari, Simpson & Gelman (2018), Using stacking to average Bayesian predictive
    distributions, Bayesian Analysis 13.
    """
    weights = np.full(len(log_density), 1.0 / len(log_density))
    with np.errstate(invalid="ignore"):
        most = log_density.max(axis=0)
    is_told = (row_weight > 0.0) & np.isfinite(most)
    if not is_told.any():
        return weights
    share = row_weight[is_told] / row_weight[is_told].sum()
    density = np.exp(log_density[:, is_told] - most[is_told])
    for _ in range(_MOST_STEPS):
        ratio = (density / (weights @ density)) @ share
        if ratio.max() - 1.0 <= _GAP:
            break
        weights = weights * ratio
    weights = np.where(weights < _LEAST_WEIGHT, 0.0, weights)
    return weights / weights.sum()


def _list_sizes(most: int) -> list[int]:
    """Return 1, 2, 3, 6, 12, ... and the most experts that there may be."""
    sizes = [1, 2, 3]
    while sizes[-1] < most:
        sizes.append(2 * sizes[-1])
    return [size for size in sizes if size < most] + [most]


def _fit_members(fit: Any, prototype: Any, rows: Resamples) -> list[Any]:
    tasks = (
        delayed(fit)(prototype, rows.X, rows.y, rows.weight * counts, rows.given, seed)
        for counts, seed in zip(rows.counts, rows.seeds, strict=True)
    )
    return list(Parallel(n_jobs=rows.n_jobs)(tasks))


def _fit_member(
    prototype: Any, X: Any, y: Any, weight: np.ndarray, given: Mapping[str, Any], seed: int
) -> Any:
    model = clone(prototype).set_params(random_state=seed)
    return model.fit(X, y, sample_weight=weight, **given)


def _fit_as_one_of_many(
    prototype: Any, X: Any, y: Any, weight: np.ndarray, given: Mapping[str, Any], seed: int
) -> tuple[Any, list[FitWarning]]:
    """Return a member, and what its fit would warn of."""
    model = clone(prototype).set_params(random_state=seed)
    return model, model._fit(X, y, weight, given)
