"""Strengths of the prior, and how they grow where there are many slopes."""

from typing import NamedTuple

import numpy as np

# A single model is shrunk to zero by no more than this, however alike experts are to be.
_LARGEST_POOLED_RIDGE = 1.0
# Of alpha, gate_alpha and dispersion_prior, at most, where starts are sought; for so many slopes,
# and in proportion for more, up to the usual prior of dispersions. An expert passes through as many
# rows as it has coefficients: with 40 and 120 features and these strengths, some optima were 100 to
# 200 lower than those that the true regimes led to.
_WEAK_STRENGTHS = 1.0, 0.3, 1.0
_WEAK_SLOPES, _MOST_GROWN = 4, 30.0
# Rows per coefficient that is not counted among those that make a pooled dispersion too small; the
# line of one feature never is.
_ROWS_PER_FREE = 20.0
_ALWAYS_FREE = 2.0
# Each of more dispersions than these has fewer pseudo-rows, if all of theirs are more than such a
# share of the rows: with 30 for each of eight, rows of much noise went to several narrow experts
# with intercepts far apart. Not less than two per coefficient, and the more the less rows there
# are for all coefficients: both keep experts from parting what is one.
_FEW_DISPERSIONS = 4
_LARGEST_SHARE = 0.42
_ROWS_PER_COEFFICIENT = 2.0
# Strengths are for few slopes, and grow from so many on, by one per so many more: of dispersions,
# of what pulls experts together, of gates. With 120 features, three experts on 1 000 rows of two
# regimes otherwise had dispersions near zero, or two experts parted what is one.
_FEW_SLOPES = 5
_PER_DISPERSION = 30.0
_PER_POOLING = 10.0
_PER_GATE = 2.0
# The ridge of a gate with more children than these is weaker in proportion: the logits of pieces
# along a line have slopes that grow with their number. With a fixed ridge the borders of eight
# experts were flatter than those of three, and predictions worse. What is weak remains as it is.
_FEW_CHILDREN = 4
# What draws experts apart ends a grown pull sooner, and the ridge of gates turns linear sooner, by
# these powers of the growth: grown alike near and far, they cost the true number of experts 0.1
# to 0.7 of held-out log density. Near the centre they decide on experts that are too many.
_POOLING_FADES = 1.5
_GATE_NARROWS = 0.75
# Mean excess per slope at which the pull to the pooled fit has faded by half: slopes that are
# some seventh of the pooled standard deviation apart, per standard deviation of the feature.
_FADING = 0.01
# Times alpha, which is a hundred, this is the log-likelihood that parting costs per slope, but for
# a logarithm of how far apart experts are. More than a few experts together pay as three do: then
# what three have found costs many no more, for those that have nothing to add stand at the pooled
# fit for nothing. On few rows, that is: experts that part by chance gain half a unit per slope, or
# more if they are sought, and the more the more rows there are to choose from. No less than the
# least, which is what classes have.
_FEW_EXPERTS, _PAYING = 4, 3.0
_ROWS_PER_COST, _LEAST_COST = 1000.0, 0.3
_USUAL_ALPHA = 100.0


class Penalty(NamedTuple):
    """Strengths of the prior, all zero for maximum likelihood.

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
    l1_groups, gate_l1_groups : {"", "column"}
        What they make zero together: nothing, or the slopes of a column, of all experts or gates.
    sooner : float
        By what share of the usual distance the pull to the pooled fit fades sooner.
    """

    alpha: float = 0.0
    gate_alpha: float = 0.0
    dispersion_prior: float = 0.0
    balance: float = 0.0
    l1: float = 0.0
    gate_l1: float = 0.0
    l1_groups: str = ""
    gate_l1_groups: str = ""
    sooner: float = 0.0

    @property
    def given(self) -> list[str]:
        """Names of the strengths that are not zero, none for maximum likelihood."""
        strengths = self._replace(sooner=0.0, l1_groups="", gate_l1_groups="")
        return [name for name, value in strengths._asdict().items() if value]

    @property
    def has_l1(self) -> bool:
        """Whether some slopes have an L1 penalty."""
        return self.l1 > 0.0 or self.gate_l1 > 0.0

    def of_single_expert(self) -> "Penalty":
        """Return the strengths for a single expert: what there is to learn of it is one model.

        None beside an L1 penalty: nothing is pulled to it then, but it gives the unit of y.
        """
        return Penalty(alpha=0.0 if self.l1 > 0.0 else min(self.alpha, _LARGEST_POOLED_RIDGE))

    def weakened(self, n_slopes: int) -> "Penalty":
        """Return priors that keep experts from collapsing, and hold them together no more.

        Parameters
        ----------
        n_slopes : int
            Most slopes of an expert.
        """
        grown = min(max(1.0, n_slopes / _WEAK_SLOPES), _MOST_GROWN)
        alpha, gate_alpha, dispersion_prior = (grown * weak for weak in _WEAK_STRENGTHS)
        return self._replace(
            alpha=min(self.alpha, alpha),
            gate_alpha=min(self.gate_alpha, gate_alpha),
            dispersion_prior=min(self.dispersion_prior, dispersion_prior),
            sooner=0.0,
        )

    def for_rows(
        self, n_rows: float, n_dispersions: int, n_slopes: int, n_experts: float
    ) -> "Penalty":
        """Return the strengths for so many rows.

        The pull to the pooled fit fades sooner for many experts, so that on few rows these cost no
        more than three; a weaker one than usual costs less anyway, and a stronger one is to hold
        them farther out.

        The pseudo-rows of all dispersions together are no more than a share of the rows, or those
        of four dispersions; where experts have few rows per coefficient, each keeps its own.

        Parameters
        ----------
        n_rows : float
        n_dispersions : int
            How many there are; one that experts share is one.
        n_slopes : int
            Most slopes of an expert.
        n_experts : float
            How many there are that have slopes; such as they share are those of one.
        """
        share = _PAYING / n_experts if n_experts > _FEW_EXPERTS else 1.0
        cost = max(share, n_rows / _ROWS_PER_COST, _LEAST_COST)
        usual = min(self.alpha, _USUAL_ALPHA) / _USUAL_ALPHA
        known = self._replace(sooner=1.0 - cost / usual if usual > cost else 0.0)
        if n_dispersions <= _FEW_DISPERSIONS:
            return known
        each, n_coefficients = self.dispersion_prior, 1.0 + n_slopes
        share = max(_LARGEST_SHARE * n_rows, _FEW_DISPERSIONS * each) / n_dispersions
        scarce = each * n_dispersions * n_coefficients / max(n_rows, 1.0)
        found = max(share, _ROWS_PER_COEFFICIENT * n_coefficients, scarce)
        return known._replace(dispersion_prior=min(each, found))

    def pooling(self, n_slopes: int) -> float:
        """Return the strength of the pull to the pooled fit, of experts with so many slopes."""
        return self.alpha * (1.0 if self.l1 > 0.0 else _growth(n_slopes, _PER_POOLING))

    def fades_at(self, n_slopes: int) -> float:
        """Return the mean excess per slope at which that pull has faded by half."""
        return (1.0 - self.sooner) * _FADING * _growth(n_slopes, _PER_POOLING) ** -_POOLING_FADES

    def gate_ridge(self, n_slopes: int, n_children: int | np.ndarray) -> np.ndarray:
        """Return the ridge of gates with so many slopes per child, and so many children."""
        if self.gate_l1 > 0.0:
            return np.full(np.shape(n_children), self.gate_alpha)
        share = np.minimum(1.0, _FEW_CHILDREN / np.asarray(n_children))
        weak = min(self.gate_alpha, _WEAK_STRENGTHS[1])
        return np.maximum(self.gate_alpha * share, weak) * _growth(n_slopes, _PER_GATE)

    def gate_width(self, n_slopes: int) -> float:
        """Return the slope of a gate at which that ridge turns linear."""
        return _growth(n_slopes, _PER_GATE) ** -_GATE_NARROWS

    def dispersion_rows(self, n_slopes: int) -> float:
        """Return the pseudo-rows on the dispersion of an expert with so many slopes.

        One that passes through as many rows as it has coefficients must gain less than these take.
        """
        return self.dispersion_prior * _growth(n_slopes, _PER_DISPERSION)


def _growth(n_slopes: int, per_strength: float) -> float:
    """Return the factor on a strength that is for few slopes."""
    return 1.0 + max(0, n_slopes - _FEW_SLOPES) / per_strength


def share_taken(n_slopes: int, n_rows: float) -> float:
    """Return the share of a pooled dispersion that its coefficients took off it, at most half.

    As strengths do, this leaves few slopes alone, and the fewer the less rows there are.
    """
    if n_rows <= 0.0:
        return 0.0
    n_free = min(max(n_rows / _ROWS_PER_FREE, _ALWAYS_FREE), 1.0 + _FEW_SLOPES)
    return min(max(0.0, 1.0 + n_slopes - n_free) / n_rows, 0.5)
