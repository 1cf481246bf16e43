"""Bags of several sizes: a size after another, fitted to the same resamples and averaged."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from mixexp.em import experts_at_floor
from mixexp.ensemble._bag_selection import BagSelection
from mixexp.ensemble._bags import Bag, Resamples, fit_bag, fit_one_expert
from mixexp.ensemble._weights import average, stack_weights, total_gain
from mixexp.estimators._auto import Auto
from mixexp.estimators._folds import HeldOut
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertError, DegenerateExpertWarning

# More experts than this are pooled less, for the average holds in check what pooling does in a
# single fit. On 26 sets a tenth had a mean NLL .030 lower than all of alpha, .016 than a third.
_FEW, _LESS_POOLED = 3, 0.1
# A member is one of many: its last digits are averaged away.
_TOL, _MOST_ITERATIONS = 1e-3, 100
# What a size must add to the log density of all out-of-bag rows together: a unit, for its weight
# is one parameter more.
_LEAST_GAIN = 1.0
# Rows that only one expert explains, as if they had been out of bag, too: the best of several sizes
# on few rows is ahead by chance, and one expert is what no average should fall behind.
_ROWS_FOR_ONE = 1.0


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

    def _has_weighed_bags(self) -> bool:
        """Drop a bag that has no weight yet; return whether bags are left."""
        self.bags = self.bags[: len(self.weights)]
        return len(self.bags) > 0

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
        """Fit a bag; of one expert, which has one optimum and gains nothing by it, one fit."""
        fit = fit_bag if self.bags else fit_one_expert
        bag = fit(self._brief(settings), self._rows, settings)
        worth_saying = list(map(self._worth_saying, bag.members, bag.warnings))
        self.bags.append(bag._replace(warnings=worth_saying))

    def _worth_saying(self, member: Any, fit_warnings: list[FitWarning]) -> list[FitWarning]:
        """Return what a fit warns of, without what the brief settings and trials of sizes cause."""
        fitted, kept = member.fitted_model_, []
        for own in fit_warnings:
            if own.category is ConvergenceWarning:
                is_kept = int(self._prototype.max_iter) < _MOST_ITERATIONS
            elif own.category is DegenerateExpertWarning:  # or experts to spare, of no harm
                is_kept = bool(experts_at_floor(fitted.model, fitted.params))
            else:
                is_kept = True
            if is_kept:
                kept.append(own)
        return kept

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
        weights[among] = stack_weights(out[among], weight, _ROWS_FOR_ONE if among[0] else 0.0)
        self.weights = weights
        return weight[weight > 0.0] * average(out[:, weight > 0.0], self.weights)


def _list_sizes(most: int) -> list[int]:
    """Return 1, 2, 3, 6, 12, ... and the most experts that there may be."""
    sizes = [1, 2, 3]
    while sizes[-1] < most:
        sizes.append(2 * sizes[-1])
    return [size for size in sizes if size < most] + [most]
