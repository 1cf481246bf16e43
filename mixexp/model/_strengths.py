"""Strengths of the priors, and how they grow where there are many slopes."""

from typing import NamedTuple

# A single model is shrunk to zero by no more than this, however alike experts are to be.
_LARGEST_POOLED_RIDGE = 1.0
# Of alpha, gate_alpha and dispersion_prior, at most, where starts are sought.
_WEAK_STRENGTHS = 1.0, 0.3, 1.0
# Strengths are for few slopes, and grow from so many on, by one per so many more: of dispersions,
# of what pulls experts together, of gates. With 120 features, three experts on 1 000 rows of two
# regimes otherwise had dispersions near zero, or two experts parted what is one.
FEW_SLOPES = 5
PER_DISPERSION = 30.0
PER_POOLING = 10.0
PER_GATE = 2.0
# What draws experts apart ends a grown pull sooner, and the ridge of gates turns linear sooner, by
# these powers of the growth: grown alike near and far, they cost the true number of experts 0.1
# to 0.7 of held-out log density. Near the centre they decide on experts that are too many.
POOLING_FADES = 1.5
GATE_NARROWS = 0.75


class Penalty(NamedTuple):
    """Strengths of the priors, all zero for maximum likelihood.

    Parameters
    ----------
    alpha : float
        Pull on the experts' slopes, for standardised features, to those of the pooled fit. A
        single expert has a ridge of this strength toward zero.
    gate_alpha : float
        Ridge on the gates' slopes for standardised features.
    dispersion_prior : float
        Pseudo-rows, at the anchor, added to every dispersion.
    balance : float
        Pseudo-rows, spread as the data are, in equal shares at every gate.
    l1, gate_l1 : float
        Of the L1 penalty on the slopes of locations, and of gates. Where it is positive,
        ``alpha`` or ``gate_alpha`` is a plain ridge toward zero, however many slopes there are.
    """

    alpha: float = 0.0
    gate_alpha: float = 0.0
    dispersion_prior: float = 0.0
    balance: float = 0.0
    l1: float = 0.0
    gate_l1: float = 0.0

    @property
    def has_l1(self) -> bool:
        """Whether some slopes have an L1 penalty."""
        return self.l1 > 0.0 or self.gate_l1 > 0.0

    def of_pooled(self) -> "Penalty":
        """Return the priors of a single expert: what there is to learn of it is one model.

        None beside an L1 penalty: nothing is pulled to it then, but it gives the unit of y.
        """
        return Penalty(alpha=0.0 if self.l1 > 0.0 else min(self.alpha, _LARGEST_POOLED_RIDGE))

    def weakened(self) -> "Penalty":
        """Return priors that keep experts from collapsing, and hold them together no more."""
        alpha, gate_alpha, dispersion_prior = _WEAK_STRENGTHS
        return self._replace(
            alpha=min(self.alpha, alpha),
            gate_alpha=min(self.gate_alpha, gate_alpha),
            dispersion_prior=min(self.dispersion_prior, dispersion_prior),
        )


def growth(n_slopes: int, per_strength: float) -> float:
    """Return the factor on a strength that is for few slopes."""
    return 1.0 + max(0, n_slopes - FEW_SLOPES) / per_strength
