"""Models by formula: experts left of the bar, gates right of it."""

from mixexp.formula._model import FormulaModel, from_formula

__all__ = ["FormulaModel", "from_formula"]
