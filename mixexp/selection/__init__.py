"""How many experts, in what tree, and which columns: fits to choose from, criteria to choose by."""

from mixexp.selection._path import regularization_path
from mixexp.selection._path_result import RegularizationPath
from mixexp.selection._result import Selection
from mixexp.selection._select import select_n_experts
from mixexp.selection._stability import stability_selection

__all__ = [
    "RegularizationPath",
    "Selection",
    "regularization_path",
    "select_n_experts",
    "stability_selection",
]
