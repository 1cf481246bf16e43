"""Mixtures of experts and hierarchical mixtures of experts, fitted by EM."""

from mixexp._version import __version__

__all__ = ["__version__"]
