"""What runs of EM are asked for, and what they come to."""

from typing import NamedTuple

from mixexp.em._newton import BASIN_GAIN, NEAR_BASIN_GAIN
from mixexp.em._objective import Evaluation

# Objectives closer than this, relative, are one optimum: then the earliest start wins, so that
# rounding does not choose.
SAME_OPTIMUM = 1e-8
# As far as the starts that were not the best have been followed, these are one optimum.
_ALIKE = 1e-6


class Options(NamedTuple):
    """How every start is run.

    Parameters
    ----------
    max_iter : int
        Iterations per start.
    tol : float
        Stop when the gain still to be had is below ``tol * (1 + |objective|)``, judged both
        by the iteration's progress and by the gradient.
    acceleration : {"auto", "newton", "anderson", "none"}
        What shortens EM's way: Newton's method at its end, Anderson's extrapolation, whichever
        of these the model is small enough for, or nothing.
    basin_gain : float
        Newton's method is tried once an iteration gains less than this share of the objective.
    climbs_after : int or None
        EM steps that quasi-Newton steps follow on, see `Climb`; None if there are no such.
    """

    max_iter: int
    tol: float
    acceleration: str
    basin_gain: float = BASIN_GAIN
    climbs_after: int | None = None

    def near(self) -> "Options":
        """Return the options of a start that is known to be near an optimum."""
        return self._replace(basin_gain=NEAR_BASIN_GAIN)


class EMResult(NamedTuple):
    """Where an iteration stands or ended.

    Parameters
    ----------
    evaluation : Evaluation
        Of the present parameters, without a leading axis.
    history : list of float
        Penalised log-likelihood, the start first; never falls where the model is monotone.
    is_converged : bool
        Whether a criterion was met.
    reason : str
        Which, or why not, in words; empty while there is more to do.
    is_deficient : bool
        Whether the last EM step left some coefficients undetermined.
    collapsed : frozenset of int
        Leaves whose expert is at its floor, or without rows.
    is_spurious : bool
        Whether an expert only passes through a few rows.
    """

    evaluation: Evaluation
    history: list[float]
    is_converged: bool
    reason: str
    is_deficient: bool
    collapsed: frozenset[int]
    is_spurious: bool

    @property
    def n_iter(self) -> int:
        return len(self.history) - 1

    @property
    def objective(self) -> float:
        return float(self.evaluation.objective)


class Restart(NamedTuple):
    """What one start came to.

    Parameters
    ----------
    start : str
        Name of the start.
    log_likelihood : float
        Where it ended.
    objective : float
        The same with the penalty.
    n_iter : int
    converged : bool
    reason : str
        Why it ended.
    degenerate : bool
        Whether an expert is at its floor, or without rows.
    n_starts : int
        How many starts it tells of: with a sample of the rows all that came to one optimum of
        it, which one of them was followed from on all rows; 0 for the others, whose values are
        estimates from the sample.
    """

    start: str
    log_likelihood: float
    objective: float
    n_iter: int
    converged: bool
    reason: str
    degenerate: bool
    n_starts: int = 1

    @classmethod
    def of(cls, start: str, outcome: EMResult) -> "Restart":
        """Return what is told of an outcome."""
        return cls(
            start,
            float(outcome.evaluation.stats.log_likelihood),
            outcome.objective,
            outcome.n_iter,
            outcome.is_converged,
            outcome.reason,
            bool(outcome.collapsed),
        )


class Optimum(NamedTuple):
    """An optimum that some starts ended in.

    Parameters
    ----------
    log_likelihood : float
    objective : float
        The same with the penalty.
    n_starts : int
        How many starts ended there.
    degenerate : bool
        Whether an expert is at its floor there, or without rows.
    """

    log_likelihood: float
    objective: float
    n_starts: int
    degenerate: bool


class Search(NamedTuple):
    """What several starts came to.

    Parameters
    ----------
    finals : list of EMResult
        Distinct optima, the best first.
    places : list of int
        Number of the start that led to each.
    restarts : list of Restart
        In the order of the starts.
    """

    finals: list[EMResult]
    places: list[int]
    restarts: list[Restart]

    @property
    def best(self) -> EMResult:
        return self.finals[0]

    def optima(self) -> list[Optimum]:
        """Return the distinct optima of the starts that converged, the highest first."""
        ended = [restart for restart in self.restarts if restart.converged and restart.n_starts]
        found: list[Optimum] = []
        for restart in sorted(ended, key=lambda restart: -restart.objective):
            if found and restart.objective >= found[-1].objective - slack_of(restart.objective):
                n_starts = found[-1].n_starts + restart.n_starts
                found[-1] = found[-1]._replace(n_starts=n_starts)
            else:
                found.append(Optimum(*restart[1:3], restart.n_starts, restart.degenerate))
        return found


def rank_of(outcome: EMResult) -> tuple[bool, float]:
    """Return what outcomes are sorted by, regular ones and high objectives first."""
    return outcome.is_spurious, -outcome.objective


def slack_of(objective: float) -> float:
    """Return how far from an objective others are taken for the same optimum."""
    return _ALIKE * (1.0 + abs(objective))
