"""How many experts, in what tree, and which columns: fits to choose from, criteria to choose by."""

from mixexp.estimators._auto import Auto
from mixexp.estimators._auto_selection import AutoSelection
from mixexp.selection._joined import JoinedPieces, join_pieces
from mixexp.selection._path import regularization_path
from mixexp.selection._path_result import RegularizationPath
from mixexp.selection._result import Selection
from mixexp.selection._select import select_n_experts
from mixexp.selection._stability import stability_selection

__all__ = [
    "Auto",
    "AutoSelection",
    "JoinedPieces",
    "RegularizationPath",
    "Selection",
    "join_pieces",
    "regularization_path",
    "select_n_experts",
    "stability_selection",
]
