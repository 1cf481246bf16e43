"""How much a search spends where: what serves three experts is dear for thirty.

A pass over the rows costs the square of the features times the experts, Newton's step the cube of
both, and starts, moves and their rounds multiply that. So models of many parameters have a search
of their own: gates of many children by a diagonal curvature (`GatingTree.coarse`),
quasi-Newton steps (`Climb`) in place of Newton's, one rival that is enough to drop a start, moves
that are cut early. The one optimum that remains is finished as all others are.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mixexp.data import RowBlocks
from mixexp.em._iteration import advance, begin
from mixexp.em._m_step import is_large_node
from mixexp.em._nestings import has_nestings
from mixexp.em._objective import Problem
from mixexp.em._results import EMResult, Options
from mixexp.em._subsample import sample_problem
from mixexp.tree import MOST_PAIRED

# Newton's steps cost the cube of the number of parameters: beyond this the way under weak priors,
# which is followed to three digits only, is EM's.
_MOST_FINISHED_WEAK = 200
# Up to so many experts one round of moves finds what is there; each more has one more, up to so
# many more: 32 experts had 27 rounds, most of the time of a fit.
FEW_EXPERTS = 6
_MOST_ROUNDS_MORE = 6
# What starts lead to under weak priors need not be known well either. Many experts take longer to
# part, and moves, of which they have many rounds, are shorter from where starts have come to rest.
WEAK = Options(max_iter=20, tol=1e-3, acceleration="auto")
_WEAK_MANY_EXPERTS = WEAK._replace(max_iter=100)
_WEAK_DEAR = Options(max_iter=30, tol=1e-3, acceleration="none")
_DEAR_ROUNDS, _LATE_ROUNDS = 0, 4
# EM steps from a start until it climbs.
CLIMBS_AFTER = 10
# What ends a rough race, the winner of which is then finished.
_RACE_TOL = 1e-6
# Parameters from which on a search is dear, if experts are many or so many responsibilities, too.
_MOST_CHEAP_PARAMETERS = 200
_MOST_CHEAP_RESPONSIBILITIES = 1 << 15
# With more parameters per row weak priors let experts pass through the rows, wherever they start.
_MOST_PARAMETERS_PER_ROW = 0.5
# Where rows are so many times the parameters a pass costs as much as Newton's step, which ends in
# fewer passes and leaves ridges; with fewer the cube of the parameters is most of a fit.
_ROWS_FOR_NEWTON = 10
# Rows per parameter that tell which way experts part under weak priors, and which moves lead up.
_TELLING_ROWS = 10
# Columns from which on a pass with curvature costs several without.
_MANY_COLUMNS = 32
# Children of a gate beyond which its curvature is diagonal while moves are chosen.
SCOUT_PAIRED = 6
# Of twelve moves: iterations, and how many go on; the fewer where rows are many, or where they are
# too few for the parameters.
_LOOKS = ((6, 4), (20, 1))
_EARLY_LOOKS = ((0, 6), (3, 3), (8, 1))
_SCOUT_LOOKS = ((3, 6), (10, 3))


class Effort(NamedTuple):
    """What a search may spend.

    Parameters
    ----------
    weak : Options or None
        Of runs under weak priors; None if there are none.
    n_rounds : int
        Rounds of moves, as a multiple of those that are asked for.
    n_rivals : int
        A start is dropped if so many earlier ones were better by then.
    first_round : int
        Iterations until then, the first time; each further round doubles them.
    n_late_rounds : int
        Rounds of moves after those under weak priors, as a multiple of those that are asked for.
    looks : tuple of (int, int)
        Iterations after which moves are looked at, and how many are then followed further.
    scout_rows : int or None
        Rows that moves see a sample of until few are left; None for all.
    weak_rows : int or None
        Rows that runs under weak priors see a sample of; None for all.
    drops_hopeless : bool
        Whether a finalist is dropped that the best has left far behind, be it a later one: one
        start more then may cost another one.
    climbs : bool
        Whether runs climb by quasi-Newton steps once EM has taken its first, see `Climb`.
    is_rough : bool
        Whether the race is a rough one, and the optimum that remains is finished after it.
    nests : bool
        Whether experts change places in a tree, with moves beside that, under the requested priors:
        then there are no moves under weak ones, and no start is beaten there.
    """

    weak: Options | None
    n_rounds: int = 1
    n_rivals: int = 2
    first_round: int = 20
    looks: tuple[tuple[int, int], ...] = ((20, 1),)
    n_late_rounds: int = 0
    scout_rows: int | None = None
    weak_rows: int | None = None
    drops_hopeless: bool = False
    climbs: bool = False
    is_rough: bool = False
    nests: bool = False


#: What is affordable for a few experts on some thousand rows.
USUAL = Effort(WEAK)


def effort_for(problem: Problem, options: Options) -> Effort:
    """Return what a search on a problem may spend.

    Parameters
    ----------
    problem : Problem
        On all rows, or the sample that starts compete on.
    options : Options
    """
    n_leaves, n_parameters = problem.model.tree.n_leaves, problem.model.n_parameters
    n_rounds = 1 + min(max(0, n_leaves - FEW_EXPERTS), _MOST_ROUNDS_MORE)
    if _is_dear(problem, options):
        return _dear_effort(n_parameters, problem.n_rows, n_rounds)
    weak = WEAK if n_leaves <= FEW_EXPERTS else _WEAK_MANY_EXPERTS
    if n_parameters > _MOST_FINISHED_WEAK:
        weak = weak._replace(acceleration="none")
    if has_nestings(problem.model):
        is_small = problem.n_rows * n_leaves <= _MOST_CHEAP_RESPONSIBILITIES
        rows = max(_TELLING_ROWS * n_parameters, _MOST_CHEAP_RESPONSIBILITIES // n_leaves)
        return Effort(weak, n_rounds=0, scout_rows=None if is_small else rows, nests=True)
    if n_leaves <= FEW_EXPERTS:
        return Effort(weak)
    # On the grid of benchmarks/many_experts.py fits of 8 to 16 experts came to what following all
    # twelve moves came to; of six experts one fit of 34 ended 13 lower.
    return Effort(weak, n_rounds, looks=_LOOKS)


def _dear_effort(n_parameters: int, n_rows: int, n_rounds: int) -> Effort:
    dear = USUAL._replace(drops_hopeless=True, climbs=True, is_rough=True)
    if n_rows >= _ROWS_FOR_NEWTON * n_parameters:
        few_rows = _TELLING_ROWS * n_parameters
        return dear._replace(
            weak=_WEAK_DEAR,
            n_rivals=1,
            first_round=10,
            n_rounds=_DEAR_ROUNDS,
            n_late_rounds=_LATE_ROUNDS,
            looks=_SCOUT_LOOKS,
            scout_rows=few_rows,
            weak_rows=few_rows,
        )
    if n_parameters <= _MOST_PARAMETERS_PER_ROW * n_rows:
        weak = _WEAK_MANY_EXPERTS._replace(acceleration="none")
        return dear._replace(weak=weak, n_rounds=n_rounds, looks=_LOOKS)
    return dear._replace(weak=None, n_rivals=1, first_round=10, looks=_EARLY_LOOKS)


def _is_dear(problem: Problem, options: Options) -> bool:
    """Whether a search pays for being cheap: a plain likelihood of many parameters."""
    model, n_leaves = problem.model, problem.model.tree.n_leaves
    is_large = n_leaves > FEW_EXPERTS or problem.n_rows * n_leaves > _MOST_CHEAP_RESPONSIBILITIES
    has_many = model.n_parameters > _MOST_CHEAP_PARAMETERS
    return is_large and has_many and _is_plain(problem, options)


def _is_plain(problem: Problem, options: Options) -> bool:
    """Whether gradients alone lead up: a plain likelihood, and ``acceleration`` is "auto"."""
    model = problem.model
    return (
        options.acceleration == "auto"
        and model.is_linear
        and model.ties is None
        and not model.held
        and not model.penalty.has_l1
        and model.penalty.balance == 0.0
        and not problem.is_classification
        and problem.blocks.pattern.window is None
    )


def for_given_starts(problem: Problem, options: Options) -> Options:
    """Return how starts are run that a user gave, or that were best on a sample.

    Where features are many they climb by gradients after EM's first step. Not so with more than six
    experts, which take longer to part, nor with few rows per parameter, whose optima are close to
    each other, nor where rows are read anew at every pass.
    """
    model = problem.model
    is_wide = max(map(len, model.designs), default=0) > _MANY_COLUMNS
    is_wide = is_wide and 1 < model.tree.n_leaves <= FEW_EXPERTS
    has_rows = problem.n_rows >= _ROWS_FOR_NEWTON * model.n_parameters
    is_in_memory = isinstance(problem.blocks, RowBlocks)
    climbs = is_wide and has_rows and is_in_memory and _is_plain(problem, options)
    return options.near()._replace(climbs_after=1 if climbs else None)


def for_race(problem: Problem, options: Options) -> tuple[Problem, Options]:
    """Return a dear problem as its starts compete on it, and how they are run.

    For half of the iterations that were asked for: the others are left to `finish`.
    """
    raced = coarsened(problem)
    tol, max_iter = max(options.tol, _RACE_TOL), -(-options.max_iter // 2)
    return raced, options._replace(tol=tol, max_iter=max_iter, acceleration="anderson")


def coarsened(problem: Problem, most_paired: int = MOST_PAIRED) -> Problem:
    """Return the problem with a diagonal curvature for gates of many children."""
    model, tree = problem.model, problem.model.tree.coarse(most_paired)
    gates = tuple(replace(own, tree=tree) for own in model.gates)
    return replace(problem, model=replace(model, tree=tree, gates=gates))


class Course(NamedTuple):
    """What the starts of a search compete on, and how.

    Parameters
    ----------
    sample : Problem
        On a sample of the rows, or all of them.
    raced : Problem
        The same, or with what makes a dear race cheaper.
    weak : Problem
        With weak priors, or `raced`: what starts are drawn for.
    options : Options
        Of the race.
    effort : Effort
    seed : int
        Of moves.
    """

    sample: Problem
    raced: Problem
    weak: Problem
    options: Options
    effort: Effort
    seed: int


def lay_course(problem: Problem, rng: np.random.Generator, options: Options) -> Course:
    """Return what starts of a problem are to compete on; the generator draws the sample.

    Where there are many rows that is a sample of them. A single start has nobody to compete with.
    """
    if problem.model.tree.n_leaves == 1:
        return Course(problem, problem, problem, options, effort_for(problem, options), 0)
    sample = sample_problem(problem, rng)
    effort = effort_for(sample, options)
    raced, way = for_race(sample, options) if effort.is_rough else (sample, options)
    way = way._replace(climbs_after=CLIMBS_AFTER if effort.climbs else None)
    seed = int(rng.integers(np.iinfo(np.int64).max))
    return Course(sample, raced, raced.with_weak_priors(), way, effort, seed)


def finish(problem: Problem, final: EMResult, options: Options) -> EMResult:
    """Carry on the optimum that remains as a search that is not dear does.

    Parameters
    ----------
    problem : Problem
        As it was before `for_race`.
    final : EMResult
        What the race came to.
    options : Options
        Those that were asked for.
    """
    # The diagonal has directions in which it is far too steep, so that EM stands still too early.
    is_large = any(is_large_node(problem.model, slot) for slot in range(len(problem.model.gates)))
    finished = for_race(problem, options)[0] if is_large else problem
    (run,) = begin(
        finished, [final.evaluation.params], [None], options.near()._replace(climbs_after=1)
    )
    advance(finished, [run], max(0, options.max_iter - final.n_iter))
    ended = run.outcome(f"stopped after max_iter={options.max_iter}")
    evaluation = problem.evaluate(ended.evaluation.params)
    return ended._replace(evaluation=evaluation, history=[*final.history, *ended.history[1:]])
