"""The average of several distributions of the same rows: a mixture of all of their experts."""

from collections.abc import Sequence

import numpy as np

from mixexp.distribution._block import BlockMixture
from mixexp.distribution._classes import ClassDistribution
from mixexp.distribution._mixture import MixtureDistribution


def average_mixtures(
    members: Sequence[MixtureDistribution] | Sequence[ClassDistribution],
) -> MixtureDistribution | ClassDistribution:
    """Return the distribution whose density is the mean of the members'.

    Parameters
    ----------
    members : sequence of MixtureDistribution or of ClassDistribution
        Of the same rows.

    Returns
    -------
    MixtureDistribution or ClassDistribution
    """
    of_classes = [member for member in members if isinstance(member, ClassDistribution)]
    if of_classes:
        gate = np.concatenate([own.gate for own in of_classes], axis=1) / len(of_classes)
        by_expert = np.concatenate([own.by_expert for own in of_classes], axis=1)
        return ClassDistribution(of_classes[0].classes, gate, by_expert)
    mixtures = [member for member in members if isinstance(member, MixtureDistribution)]
    by_block = zip(*(mixture.blocks() for mixture in mixtures), strict=True)
    blocks = [_average_block(parts) for parts in by_block]
    return MixtureDistribution(blocks, len(mixtures[0]))


def _average_block(parts: Sequence[BlockMixture]) -> BlockMixture:
    families, n_before = [], 0
    for part in parts:
        for family in part.families:
            group = family.group._replace(leaves=family.group.leaves + n_before)
            families.append(family._replace(group=group))
        n_before += len(part.weight)
    weight = np.concatenate([part.weight for part in parts]) / len(parts)
    return BlockMixture(weight, tuple(families))
