"""How many experts, and in what tree: fits to choose from, and criteria to choose by."""

from mixexp.selection._result import Selection
from mixexp.selection._select import select_n_experts

__all__ = ["Selection", "select_n_experts"]
