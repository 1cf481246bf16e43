"""Simulators of data with known answers; nothing is downloaded and nothing read."""

from mixexp.datasets._classics import make_motorcycle, make_tone
from mixexp.datasets._mixtures import Simulation, Truth, make_hme, make_moe
from mixexp.datasets._robot_arm import make_robot_arm

__all__ = [
    "Simulation",
    "Truth",
    "make_hme",
    "make_moe",
    "make_motorcycle",
    "make_robot_arm",
    "make_tone",
]
