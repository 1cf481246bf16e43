"""Pictures of a fit, as scikit-learn's displays: numbers first, drawn by `plot`.

matplotlib is imported when something is drawn, not before.
"""

from mixexp.displays._coefficient import CoefficientDisplay
from mixexp.displays._convergence import ConvergenceDisplay
from mixexp.displays._expert_fit import ExpertFitDisplay
from mixexp.displays._gate import GateDisplay
from mixexp.displays._path import RegularizationPathDisplay
from mixexp.displays._predictive import PredictiveDisplay
from mixexp.displays._residual import ResidualDisplay
from mixexp.displays._responsibility_map import ResponsibilityMapDisplay
from mixexp.displays._rootogram import RootogramDisplay
from mixexp.displays._selection import SelectionDisplay
from mixexp.displays._survival import SurvivalDisplay
from mixexp.displays._trajectory import TrajectoryDisplay
from mixexp.displays._tree import TreeDisplay

__all__ = [
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "ExpertFitDisplay",
    "GateDisplay",
    "PredictiveDisplay",
    "RegularizationPathDisplay",
    "ResidualDisplay",
    "ResponsibilityMapDisplay",
    "RootogramDisplay",
    "SelectionDisplay",
    "SurvivalDisplay",
    "TrajectoryDisplay",
    "TreeDisplay",
]
