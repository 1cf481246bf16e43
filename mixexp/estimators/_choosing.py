"""Parameters of "auto" are chosen before a fit: by log density of rows that were held out.

Candidates that share family and penalties are a *line*: models of one size after another, each
grown in every fold from that fold's own model one size smaller, so that no row says anything of
the model that it is a test of. All lines go on together, a size at a time; those that fall behind
are left.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from mixexp.data import read_source
from mixexp.estimators._auto import Auto, is_automatic, read_options, refuse_what_has_numbers
from mixexp.estimators._auto_selection import AutoSelection
from mixexp.estimators._families_of_y import families_for, is_whole_target
from mixexp.estimators._folds import Fold, HeldOut, make_folds, replace_unknown
from mixexp.estimators._growing_sizes import FlatSizes, OneSize, Sizes, TreeSizes
from mixexp.estimators._initial_guess import GrownStart
from mixexp.estimators._splitting import split_rows
from mixexp.estimators._warnings import FitWarning
from mixexp.exceptions import ConvergenceWarning, DegenerateExpertError, RoundedTargetWarning

# So many experts are tried on every line before lines are left, and those that are this many
# standard errors behind the best one.
_TRIED_ON_ALL = 3
_FAR_BEHIND = 2.0
# A gain in log density per row that is not worth an expert, however sure it is: one unit of log
# density per parameter over all rows, but no more than this. Priors that hold superfluous experts
# together make small differences that are the same in all rows.
_NOTHING = 0.01
# Held-out rows do not see the last digits of a fit.
_TOL, _MOST_ITERATIONS = 1e-6, 200
#: Parameters that say how many experts there are.
SIZES = ("n_experts", "tree")


class _Fit(NamedTuple):
    estimator: Any
    has_spike: bool

    @property
    def objective(self) -> float:
        return float(self.estimator.penalized_log_likelihood_)


class _Candidate(NamedTuple):
    """A model of one size: what it is, and log densities of the held-out rows.

    Parameters
    ----------
    settings : dict of str to object
    held_out : ndarray of shape (n_held,)
    n_experts, n_parameters : int
    has_spike : bool
        Whether an expert has shrunk onto one value of y, in any fold.
    grown : list of _Fit
        The fits of all folds, and to all rows, where the shape of a model is found on its rows.
    """

    settings: dict[str, Any]
    held_out: np.ndarray
    n_experts: int
    n_parameters: int
    has_spike: bool
    grown: list[_Fit]

    @property
    def size(self) -> tuple[int, int]:
        """What is less in a simpler model."""
        return self.n_experts, self.n_parameters


@dataclass
class _Line:
    """Candidates of one family and penalty, from few experts to many, and the fits of the last."""

    settings: dict[str, Any]
    candidates: list[_Candidate] = field(default_factory=list)
    fits: list[_Fit] = field(default_factory=list)
    is_open: bool = True


class AutomaticMixin:
    """Chooses parameters of "auto" in `fit`."""

    #: Parameters that may be "auto" in this sense.
    _choosable: ClassVar[tuple[str, ...]] = ()

    selection_: AutoSelection | None
    random_state: Any
    verbose: int
    init: Any
    _check_parameters: Callable[[], None]
    _read_interval: Callable[..., Any]
    _row_weights: Callable[[Any, int], np.ndarray]

    def _setting(self, name: str) -> Any:
        """Return a parameter, the value that was chosen for it if it is "auto"."""
        value, found = getattr(self, name), getattr(self, "selection_", None)
        if not is_automatic(value):
            return value
        if found is None or name not in found.chosen:
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} is 'auto', which `fit` alone "
                "chooses; give it a value."
            )
        return found.chosen[name]

    def _settle(
        self, X: Any, y: Any, sample_weight: Any, given: Mapping[str, Any]
    ) -> tuple[Any, list[FitWarning]]:
        """Choose parameters of "auto"; return the start of the fit, and what to warn of."""
        self.selection_ = None
        automatic = self._automatic()
        if not automatic:
            return self.init, []
        options = self._read_automatic(automatic, X, y, sample_weight, given)
        search = _Search(self, list(automatic), options, X, y, sample_weight, given)
        self.selection_, grown = search.choose()
        reason = self.selection_.reason
        fit_warnings = [FitWarning(reason, ConvergenceWarning)] if search.is_interrupted else []
        return self.init if grown is None else GrownStart(grown), fit_warnings

    def _automatic(self) -> dict[str, Any]:
        """Return the parameters of "auto", by name."""
        named = {name: getattr(self, name, None) for name in self._choosable}
        return {name: value for name, value in named.items() if is_automatic(value)}

    def _read_automatic(
        self,
        automatic: dict[str, Any],
        X: Any,
        y: Any,
        sample_weight: Any,
        given: Mapping[str, Any],
    ) -> Auto:
        """Return the options of the choice; refuse what has no rows, or goes with one size only."""
        if read_source(X, y, sample_weight, given)[0] is not None:
            raise ValueError(
                f"The {next(iter(automatic))!r} parameter is 'auto', which needs all rows in "
                "memory for its folds; choose on a sample of the rows, then fit the source."
            )
        options = read_options(automatic)
        for name in SIZES:
            if name in automatic:
                named = {n: getattr(self, n) for n in ("expert", "gate", "init", "constraints")}
                if "expert" in automatic:
                    named["expert"] = "auto"
                refuse_what_has_numbers(self, name, named, given)
        return options


class _Search:
    """Tries candidates of an estimator on folds of its rows."""

    def __init__(
        self,
        estimator: Any,
        names: list[str],
        options: Auto,
        X: Any,
        y: Any,
        sample_weight: Any,
        given: Mapping[str, Any],
    ) -> None:
        self._estimator, self._names, self._options = estimator, names, options
        self._X, self._y, self._given = X, y, dict(given)
        self._seed = int(check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max))
        self.is_interrupted = False
        self._sizes = _sizes_of(names, options)
        self._families = self._list_families()
        self._check_rows(sample_weight)
        weight = estimator._row_weights(sample_weight, _num_samples(X))
        self._known_y = replace_unknown(y, self._labels, weight)
        folds = make_folds(options.cv, (X, y), weight, self._labels, given, self._seed)
        self._tests = [fold.test for fold in folds]
        samples = list(folds)
        if self._sizes.is_found_on_rows:
            samples.append(Fold(weight, np.zeros(0, dtype=np.int64)))
        self._samples = samples
        is_sampled = estimator.weight_type == "sampling"
        self._held = HeldOut.of_folds(folds, weight, given.get("groups"), is_sampled)
        n_fitted = min(int(np.count_nonzero(fold.weight)) for fold in folds)
        self._most = min(int(options.max_experts), int(n_fitted))

    def choose(self) -> tuple[AutoSelection, Any]:
        """Return what was chosen, and the fit to all rows that a tree was found by."""
        lines = self._lines()
        try:
            for line in lines:
                self._begin(line)
            while any(line.is_open for line in lines):
                for line in lines:
                    if line.is_open:
                        self._grow(line)
                self._leave(lines)
        except KeyboardInterrupt:
            if not any(line.candidates for line in lines):
                raise
            self.is_interrupted = True
        return self._select([candidate for line in lines for candidate in line.candidates])

    # Lines.

    def _lines(self) -> list[_Line]:
        alphas = self._options.alphas if "alpha" in self._names else [None]
        lines = []
        for family in self._families:
            for alpha in alphas:
                settings = {} if family is None else {"expert": family}
                if alpha is not None:
                    settings["alpha"] = float(alpha)
                lines.append(_Line(settings))
        return lines

    def _begin(self, line: _Line) -> None:
        settings = {**line.settings, **self._sizes.first()}
        fits = [self._fit(settings, sample.weight) for sample in self._samples]
        self._add(line, settings, fits)

    def _grow(self, line: _Line) -> None:
        """Add the next size, or close the line."""
        before = line.candidates[-1]
        if before.n_experts >= self._most or self._has_no_patience(line):
            line.is_open = False
            return
        fits = []
        for number, (sample, fit) in enumerate(zip(self._samples, line.fits, strict=True)):
            rng = np.random.default_rng([self._seed, number, before.n_experts])
            larger = self._larger(line, fit, sample, rng)
            if larger is None:
                line.is_open = False
                return
            fits.append(larger)
        self._add(line, {**line.settings, **self._shape_of(fits[-1].estimator)}, fits)

    def _larger(
        self, line: _Line, fit: _Fit, sample: Fold, rng: np.random.Generator
    ) -> _Fit | None:
        """Return the best fit with one expert more, None if there is no such."""
        split = None
        if fit.estimator.fitted_model_.model.has_linear_experts:
            split = split_rows(fit.estimator, self._X, self._y, sample.weight, self._given, rng)
        found = []
        for settings in self._sizes.tries(fit.estimator, split):
            try:
                found.append(self._fit({**line.settings, **settings}, sample.weight))
            except DegenerateExpertError:  # asked for by the solver's on_collapse
                continue
        return max(found, key=lambda other: other.objective, default=None)

    def _add(self, line: _Line, settings: dict[str, Any], fits: list[_Fit]) -> None:
        last = fits[-1].estimator
        candidate = _Candidate(
            settings,
            self._score(fits),
            int(last.tree_.n_leaves),
            int(last.n_parameters_),
            any(fit.has_spike for fit in fits),
            fits if self._sizes.is_found_on_rows else [],
        )
        line.candidates.append(candidate)
        line.fits = fits
        if self._estimator.verbose:
            mean, error = self._held.mean(candidate.held_out)
            told = ", ".join(f"{name}={value}" for name, value in settings.items())
            print(
                f"{type(self._estimator).__name__}: {told}: held-out log density {mean:.5g} "
                f"(standard error {error:.2g})"
            )

    def _has_no_patience(self, line: _Line) -> bool:
        """Return whether the last sizes were no better than one before them."""
        reached = 0
        for place, candidate in enumerate(line.candidates):
            if self._is_worth(candidate, line.candidates[reached]):
                reached = place
        return len(line.candidates) - 1 - reached >= int(self._options.patience)

    def _leave(self, lines: list[_Line]) -> None:
        """Close lines that are far behind the best, once all have had a chance."""
        tops = [max((c.held_out for c in line.candidates), key=self._mean) for line in lines]
        leader = max(tops, key=self._mean)
        for line, top in zip(lines, tops, strict=True):
            if len(line.candidates) >= _TRIED_ON_ALL:
                behind, error = self._held.difference(leader, top)
                line.is_open &= not behind > _FAR_BEHIND * error

    # Fits.

    def _fit(self, settings: Mapping[str, Any], weight: np.ndarray) -> _Fit:
        own = self._estimator
        brief = {
            "verbose": 0,
            "random_state": self._seed,
            "solver": clone(own._solver).set_params(n_moves=0),
            "tol": max(float(own.tol), _TOL),
            "max_iter": min(int(own.max_iter), _MOST_ITERATIONS),
        }
        model = self._copy({**brief, **settings})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(self._X, self._y, sample_weight=weight, **self._given)
        has_spike = any(issubclass(trouble.category, RoundedTargetWarning) for trouble in caught)
        return _Fit(model.set_params(init="auto"), has_spike)  # which is as large as the rows

    def _copy(self, settings: Mapping[str, Any]) -> Any:
        """Return an estimator with other settings, that starts where this one does."""
        own = self._estimator
        copy = clone(own).set_params(**{"init": own.init, **settings})  # a clone is not fitted
        vars(copy).pop("_skl_callbacks", None)  # they follow the fit that is asked for
        return copy

    def _score(self, fits: list[_Fit]) -> np.ndarray:
        scores = []
        for fit, test in zip(fits, self._tests, strict=False):
            given = self._given
            if self._is_whole and not any(f.is_discrete for f in fit.estimator.experts_):
                given = {**given, "y_resolution": 1.0}
            scores.append(fit.estimator.log_density(self._X, self._known_y, **given)[test])
        return np.concatenate(scores)

    # What there is to choose among.

    def _list_families(self) -> list[Any]:
        self._is_whole = False
        if "expert" not in self._names or self._y is None:
            return ["gaussian"] if "expert" in self._names else [None]
        known_y, interval = self._estimator._read_interval(self._y, self._given)
        y = self._estimator._check_target(known_y)
        families = families_for(y, self._given, self._options.families)
        self._is_whole = interval.is_exact and is_whole_target(y, families)
        return families

    def _check_rows(self, sample_weight: Any) -> None:
        """Refuse what a fit refuses before anything is made of the rows."""
        settings = {**self._lines()[0].settings, **self._sizes.first()}
        fit = self._copy({**settings, "n_init": 1, "max_iter": 1, "verbose": 0})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit.fit(self._X, self._y, sample_weight=sample_weight, **self._given)
        self._labels = None
        if hasattr(fit, "classes_"):
            self._labels = fit._check_target(self._y)

    # The choice.

    def _mean(self, held_out: np.ndarray) -> float:
        return self._held.mean(held_out)[0]

    def _is_worth(self, larger: _Candidate, smaller: _Candidate) -> bool:
        """Return whether a model is better than nothing, and than one expert by more than chance.

        Experts that are too many are held together by their priors and cost little, those that are
        missing cost what they would explain: between sizes that have several the mean decides.
        """
        gain, error = self._held.difference(larger.held_out, smaller.held_out)
        n_more = max(0, larger.n_parameters - smaller.n_parameters)
        least = min(_NOTHING, n_more / float(self._held.weight.sum()))
        n_errors = float(self._options.n_standard_errors) if smaller.n_experts == 1 else 0.0
        return gain > max(least, n_errors * error)

    def _select(self, candidates: list[_Candidate]) -> tuple[AutoSelection, Any]:
        scores = [self._held.mean(candidate.held_out) for candidate in candidates]
        means = np.array([mean for mean, _ in scores])
        is_sound = np.isfinite(means) & [not candidate.has_spike for candidate in candidates]
        has_spikes_only = not is_sound.any()  # densities of these say nothing: the simplest does
        ranked = np.where(np.isfinite(means) if has_spikes_only else is_sound, means, -np.inf)
        best = int(np.argmax(ranked))
        gaps = [self._held.difference(candidates[best].held_out, c.held_out) for c in candidates]
        near = [
            place
            for place, candidate in enumerate(candidates)
            if ranked[place] > -np.inf
            and (has_spikes_only or not self._is_worth(candidates[best], candidate))
        ]
        taken = min(near or [best], key=lambda at: (*candidates[at].size, -ranked[at]))
        candidates[taken], grown = self._settle_shape(candidates[taken])
        columns = self._columns(candidates)
        columns |= {
            "score": means.tolist(),
            "score_se": [error for _, error in scores],
            "behind": [behind for behind, _ in gaps],
            "behind_se": [error for _, error in gaps],
            "n_parameters": [candidate.n_parameters for candidate in candidates],
            "has_spike": [candidate.has_spike for candidate in candidates],
        }
        chosen = {name: candidates[taken].settings[name] for name in self._names}
        counted = "rows" if self._given.get("groups") is None else "groups"
        reason = self._why_ended(candidates)
        selection = AutoSelection(chosen, columns, taken, len(self._tests), counted, reason)
        return selection, grown

    def _settle_shape(self, taken: _Candidate) -> tuple[_Candidate, Any]:
        """Return a candidate with the shape that is best on all rows, and the fit that has it.

        Growing is greedy, and what all rows have led to need not be the best shape for them: those
        that the folds have led to are fitted to all rows, too.
        """
        if not taken.grown:
            return taken, None
        *of_folds, own = taken.grown
        found = [own]
        for fit in of_folds if taken.n_experts > 1 and not self.is_interrupted else []:
            shape = self._shape_of(fit.estimator)
            try:
                settings = {**taken.settings, **shape, "init": fit.estimator}
                found.append(self._fit(settings, self._samples[-1].weight))
            except DegenerateExpertError:
                continue
            except KeyboardInterrupt:
                self.is_interrupted = True
                break
        best = max(found, key=lambda fit: (not fit.has_spike, fit.objective)).estimator
        return taken._replace(settings={**taken.settings, **self._shape_of(best)}), best

    def _shape_of(self, fitted: Any) -> dict[str, Any]:
        return {name: getattr(fitted, name) for name in self._sizes.first()}

    def _columns(self, candidates: list[_Candidate]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {"n_experts": [c.n_experts for c in candidates]}
        for name in ("tree", "expert", "alpha"):
            if name in self._names:
                values = [candidate.settings[name] for candidate in candidates]
                is_number = name == "alpha"
                columns[name] = values if is_number else [str(v).replace(" ", "") for v in values]
        return columns

    def _why_ended(self, candidates: list[_Candidate]) -> str:
        if self.is_interrupted:
            return "interrupted: the best candidate so far was fitted"
        if isinstance(self._sizes, OneSize):
            return "all were tried"
        if max(c.n_experts for c in candidates) >= self._most:
            return f"no more than {self._most} experts were to be tried"
        return f"{int(self._options.patience)} sizes more brought nothing"


def _sizes_of(names: list[str], options: Auto) -> Sizes:
    if "tree" in names:
        return TreeSizes(int(options.max_depth))
    return FlatSizes() if "n_experts" in names else OneSize()
