"""What a fitted model says of y at some rows: the whole conditional distribution.

Needs the model, its families and arrays; no scikit-learn, no fitting.
"""

from mixexp.distribution._arguments import check_coverage
from mixexp.distribution._average import average_mixtures
from mixexp.distribution._block import BlockMixture, mixture_of_block, mixture_without_noise
from mixexp.distribution._classes import ClassDistribution
from mixexp.distribution._conditional import ConditionalDistribution
from mixexp.distribution._joint import Ellipsoids, JointDistribution
from mixexp.distribution._mixture import MixtureDistribution, Variance

__all__ = [
    "BlockMixture",
    "ClassDistribution",
    "ConditionalDistribution",
    "Ellipsoids",
    "JointDistribution",
    "MixtureDistribution",
    "Variance",
    "average_mixtures",
    "check_coverage",
    "mixture_of_block",
    "mixture_without_noise",
]
