"""Mixtures that the contracts of distributions are tried on, laid out without a fit.

Every family alone with every link, and lists of families that mix counts, densities and single
values; weights and locations differ from row to row.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from test_families import NUMBERS, heads_of

from mixexp.distribution import BlockMixture, MixtureDistribution
from mixexp.distribution._family import FamilyBlock
from mixexp.experts import FAMILIES, Expert, Gaussian
from mixexp.model import ExpertGroup

N_ROWS = 4
TRIALS = np.array([1.0, 3.0, 10.0, 40.0])
# Families in lists, by the order of the experts.
LISTS = {
    "zero_inflated": ["point_mass0", "poisson", "negative_binomial"],
    "hurdle": ["point_mass0", "zero_truncated_poisson", "zero_truncated_poisson"],
    "zeros_and_sizes": ["point_mass0", "gamma", "lognormal"],
    "noise": ["gaussian", "gaussian", "uniform"],
    "heavy": ["gaussian", "student_t", "laplace"],
    "spikes": ["point_mass0", "gaussian", "point_mass"],
    "sure_limits": ["beta", "point_mass0", "uniform01"],
    "counts_and_noise": ["poisson", "uniform", "point_mass"],
    "between_counts": ["poisson", "point_mass", "poisson"],
    "jumps": ["tweedie", "gamma"],
}
NAMED = {
    "point_mass0": FAMILIES["point_mass"](at=0.0),
    "point_mass": FAMILIES["point_mass"](at=1.5),
    "uniform": FAMILIES["uniform"](low=-1.0, high=2.5),
    "uniform01": FAMILIES["uniform"](low=0.0, high=1.0),
}


class Mixture(NamedTuple):
    """A block, the distribution of its rows, and the families of its experts."""

    block: BlockMixture
    dist: MixtureDistribution
    families: list[Expert]

    @property
    def is_continuous(self) -> bool:
        return not (self.block.has_integers or self.block.atoms)


def spread_heads(family: Expert, number: int, n_experts: int) -> tuple[np.ndarray, ...]:
    """Return heads of experts that differ, with a location that changes along the rows."""
    heads = heads_of(family, getattr(family, "link", None))
    # Beta densities next to their poles have y with no digits.
    step = 0.2 if family.name == "beta" else 0.9
    shift = step * (number + np.arange(n_experts))[:, None]
    along = np.linspace(0.0, 0.4, N_ROWS)
    out = []
    for head, values in zip(family.heads, heads, strict=True):
        start = values[0, 0]
        if head.kind == "location":
            out.append(start + shift + along)
        else:
            out.append(start + 0.2 * shift)
    return tuple(out)


def make_mixture(families: list[Expert], weight: np.ndarray | None = None) -> Mixture:
    """Lay out a mixture; equal families form one group, as in a fit."""
    if weight is None:
        logits = np.linspace(0.0, 1.0, len(families))[:, None] * np.linspace(-1.5, 1.0, N_ROWS)
        weight = softmax(logits, axis=0)
    keys = [repr(family) for family in families]
    blocks = []
    for key in dict.fromkeys(keys):
        leaves = np.flatnonzero([other == key for other in keys])
        family = families[leaves[0]]
        shift, scale = (3.0, 2.0) if family.is_location_scale else (0.0, 1.0)
        inside = family.sample_rows(
            tuple(h[:1, :1] for h in spread_heads(family, 0, 1)), np.random.default_rng(0), 1
        )
        placeholder_y = np.array([inside.item(), 1.0]) if family.uses_trials else inside[0, 0]
        rivals = tuple(f for f in families if f is not family and (f.is_discrete or f.atoms))
        group = ExpertGroup(
            family,
            leaves,
            (),
            shift,
            scale,
            placeholder_y=np.asarray(placeholder_y),
            rivals=() if family.is_discrete else rivals,
        )
        heads = spread_heads(family, int(leaves[0]), len(leaves))
        blocks.append(FamilyBlock(group, heads, TRIALS if family.uses_trials else None))
    block = BlockMixture(weight, tuple(blocks))
    return Mixture(block, MixtureDistribution([block], weight.shape[1]), families)


def _all() -> dict[str, Mixture]:
    out = {"uniform": make_mixture([NAMED["uniform"]])}
    for case in NUMBERS:
        # Tweedie's sums over jumps take long: it is tried in a list alone.
        if case.family.target == "regression" and case.heads and case.family.name != "tweedie":
            out[repr(case.family)] = make_mixture([case.family] * 3)
    for name, families in LISTS.items():
        out[name] = make_mixture([NAMED.get(f) or FAMILIES[f]() for f in families])
    tiny = np.array([1e-3, 1e-30, 1e-200])[:, None] * np.ones(N_ROWS)
    tiny[0] = 1.0 - tiny[1:].sum(axis=0)
    out["tiny_weights"] = make_mixture([Gaussian()] * 3, tiny)
    gone = np.array([[0.5], [0.5], [0.0]]) * np.ones(N_ROWS)
    out["no_weight"] = make_mixture([FAMILIES["student_t"]()] * 3, gone)
    return out


MIXTURES = _all()
# Whose nodes take long to place and to evaluate.
SLOW = {"jumps"}
