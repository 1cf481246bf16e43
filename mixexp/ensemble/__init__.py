"""Averages of mixtures of experts fitted to resampled rows."""

from mixexp.ensemble._bag_selection import BagSelection
from mixexp.ensemble._bagged import BaggedMixture

__all__ = ["BagSelection", "BaggedMixture"]
