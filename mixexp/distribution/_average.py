"""The average of several distributions of the same rows: a mixture of all of their experts."""

from collections.abc import Sequence

import numpy as np

from mixexp.distribution._block import BlockMixture
from mixexp.distribution._classes import ClassDistribution
from mixexp.distribution._joint import JointDistribution
from mixexp.distribution._mixture import MixtureDistribution


def average_mixtures(
    members: Sequence[MixtureDistribution | ClassDistribution | JointDistribution],
    weights: np.ndarray,
) -> MixtureDistribution | ClassDistribution | JointDistribution:
    """Return the distribution whose density is a weighted mean of the members'.

    Parameters
    ----------
    members : sequence of MixtureDistribution, of ClassDistribution or of JointDistribution
        Of the same rows.
    weights : ndarray of shape (n_members,)
        Sum to one.

    Returns
    -------
    MixtureDistribution, ClassDistribution or JointDistribution
    """
    of_classes = [member for member in members if isinstance(member, ClassDistribution)]
    if of_classes:
        weighted = [w * own.gate for w, own in zip(weights, of_classes, strict=True)]
        gate = np.concatenate(weighted, axis=1)
        by_expert = np.concatenate([own.by_expert for own in of_classes], axis=1)
        return ClassDistribution(of_classes[0].classes, gate, by_expert)
    joint = [member for member in members if isinstance(member, JointDistribution)]
    if joint:
        by_block = zip(*(own.blocks() for own in joint), strict=True)
        blocks = [_average_block(parts, weights) for parts in by_block]
        return JointDistribution(blocks, len(joint[0]), joint[0].n_outputs)
    mixtures = [member for member in members if isinstance(member, MixtureDistribution)]
    by_block = zip(*(mixture.blocks() for mixture in mixtures), strict=True)
    blocks = [_average_block(parts, weights) for parts in by_block]
    return MixtureDistribution(blocks, len(mixtures[0]))


def _average_block(parts: Sequence[BlockMixture], weights: np.ndarray) -> BlockMixture:
    families, n_before = [], 0
    for part in parts:
        for family in part.families:
            group = family.group._replace(leaves=family.group.leaves + n_before)
            families.append(family._replace(group=group))
        n_before += len(part.weight)
    weight = np.concatenate([w * part.weight for w, part in zip(weights, parts, strict=True)])
    return BlockMixture(weight, tuple(families))
