"""How EM is run, for those who want it otherwise than by default."""

from typing import Any

from sklearn.base import BaseEstimator

from mixexp.estimators._validation import check_parameters, one_of, real, whole
from mixexp.text import shown

_RULES = {
    "variant": one_of("em", "cem"),
    "acceleration": one_of("auto", "newton", "anderson", "none"),
    "n_moves": whole(0),
    "balance": real(0.0),
    "on_collapse": one_of("warn", "respawn", "drop", "error"),
}


class EM(BaseEstimator):
    """Options of expectation-maximization that few fits need.

    Parameters
    ----------
    variant : {"em", "cem"}, default="em"
        "em": rows count for every expert, by posterior probability. "cem": for the most probable
        expert alone, classification EM (Celeux & Govaert 1992), without acceleration, until
        labels have settled. It maximises the classification log-likelihood ``sum_i w_i max_k
        log(gate_k(x_i) f_k(y_i | x_i))`` plus the penalty: that is what ``history_``,
        ``penalized_log_likelihood_`` and the objectives of ``restarts_`` then hold, while
        ``log_likelihood_`` stays the mixture's, which is not maximised: where experts overlap
        coefficients are biased.
    acceleration : {"auto", "newton", "anderson", "none"}, default="auto"
        "newton" finishes with Newton's method on the log-likelihood itself once EM is near an
        optimum; "anderson" extrapolates EM's last ten steps, at no cost per parameter; "none" is
        plain EM. "auto" is "newton" up to 600 parameters, "anderson" beyond.
    n_moves : int, default=1
        Rounds of split-and-merge moves after the starts (Ueda et al. 2000), for three experts
        and more: two experts that are alike are merged, and their place is given to half of
        a third; kept only if the penalised log-likelihood ends higher. In trees of more than one
        level experts change places too, and unless it is 0 the rounds are eight at least. Unless it
        is 0 experts that may lean to the wrong side (skew normal) are reflected, too, from given
        starts as well.
    on_collapse : {"warn", "respawn", "drop", "error"}, default="warn"
        What is done if an expert of the best optimum has collapsed: its dispersion is at the
        floor, or one row or less is left to it. "warn": a DegenerateExpertWarning. "respawn":
        its place is given to half of another expert, the least stable first, and the best
        optimum without collapsed experts wins, even over a higher one with such; where
        there is none, as with "warn". "drop": the search is repeated without the experts that
        collapsed, which the survivors start, until none has; ``tree_`` and the other
        attributes tell what is left, and a warning says so. "error": DegenerateExpertError.
        Experts often go unused because the priors see no need for them; ``balance`` keeps such
        alive.
    balance : float, default=0.0
        Pseudo-observations, so many, that belong to all experts in equal shares: a prior, which
        keeps experts alive that few rows would choose. Large values make gates uniform.

    Examples
    --------
    >>> from mixexp import EM, MoERegressor
    >>> model = MoERegressor(3, solver=EM(acceleration="none"))
    >>> model.get_params()["solver__acceleration"]
    'none'
    """

    def __init__(
        self,
        *,
        variant: str = "em",
        acceleration: str = "auto",
        n_moves: int = 1,
        on_collapse: str = "warn",
        balance: float = 0.0,
    ) -> None:
        self.variant = variant
        self.acceleration = acceleration
        self.n_moves = n_moves
        self.on_collapse = on_collapse
        self.balance = balance


#: What stands for None.
USUAL_EM = EM()


def check_solver(solver: Any, constraints: Any) -> EM:
    """Return the options of a ``solver`` parameter, those by default for None.

    Raises
    ------
    ValueError
        Naming the parameter, what is allowed and what was found.
    """
    if solver is None:
        return USUAL_EM
    if not isinstance(solver, EM):
        raise ValueError(
            f"The 'solver' parameter must be None or an EM(...). Got {shown(solver)} instead."
        )
    check_parameters(solver, _RULES)
    if solver.variant == "cem" and solver.acceleration not in ("auto", "none"):
        raise ValueError(
            f"The 'acceleration' parameter of EM is {shown(solver.acceleration)}, which needs a "
            "smooth objective; that of variant='cem' has kinks. Leave it at 'auto'."
        )
    if solver.on_collapse == "drop" and constraints:
        raise ValueError(
            "The 'on_collapse' parameter of EM is 'drop', which changes the numbers by which "
            "'constraints' name experts. Use 'respawn', 'warn' or 'error'."
        )
    return solver
