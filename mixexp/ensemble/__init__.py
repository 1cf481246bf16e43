"""Averages of mixtures of experts fitted to resampled rows."""

from mixexp.ensemble._bagged import BaggedMixture

__all__ = ["BaggedMixture"]
