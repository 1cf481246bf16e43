"""Columns from formulas, by formulaic: what experts, gates and dispersions look at."""

import re
import warnings
from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from mixexp.exceptions import FormulaError
from mixexp.text import printable, shown

_PARTS = ("experts", "gates", "dispersions")


def import_formulaic() -> Any:
    """Return the module formulaic.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import formulaic
    except ImportError as error:
        raise ImportError("from_formula needs formulaic: pip install 'mixexp[formula]'.") from error
    return formulaic


class FormulaFeatures(TransformerMixin, BaseEstimator):
    """Makes the columns of a formula's right side from frames.

    Parameters
    ----------
    formula : str
        Without the left side.
    """

    def __init__(self, formula: str) -> None:
        self.formula = formula

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn levels of categories, knots of splines and the like.

        Parameters
        ----------
        X : DataFrame of shape (n, n_columns)
        y : object, default=None
            Not used.

        Returns
        -------
        self

        Raises
        ------
        FormulaError
            Naming the term and the column that it cannot be made of.
        """
        data, specs, columns = as_frame(X), [], []
        for formula in _parts_of(self.formula):
            matrix = _matrix(formula, data)
            specs.append(matrix.model_spec)
            columns.append([name for name in matrix.columns if name != "Intercept"])
        self.specs_, self.columns_ = specs, columns
        self.feature_names_ = list(dict.fromkeys(name for part in columns for name in part))
        return self

    def transform(self, X: Any) -> Any:
        """Return a column for every term, named by it.

        Parameters
        ----------
        X : DataFrame of shape (n, n_columns)

        Returns
        -------
        DataFrame of shape (n, n_features)

        Raises
        ------
        FormulaError
            Naming a column that is missing or has missing values, a category that was not there
            in fit, or the term that is outside of its domain.
        """
        data = as_frame(X)
        found: dict[str, np.ndarray] = {}
        for spec in self.specs_:
            # A copy, for formulaic notes in it what it finds, were it of another kind than in fit.
            matrix = _matrix(deepcopy(spec), data)
            for name in matrix.columns:
                if name in self.feature_names_:
                    found.setdefault(name, np.asarray(matrix[name], dtype=np.float64))
        # A frame of the names alone has no rows where there are no terms.
        return type(data)(found, index=data.index, columns=self.feature_names_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        ndarray of shape (n_features,)
        """
        return np.array(self.feature_names_, dtype=object)


def _parts_of(formula: str) -> list[Any]:
    """Return the parts between bars, each with its intercept, which no column is made of."""
    formulaic = import_formulaic()
    try:
        right = formulaic.Formula(f"1 ~ {formula}").rhs
    except (formulaic.errors.FormulaicError, SyntaxError) as error:
        raise FormulaError(f"The formula {shown(formula)} is not one: {_told(error)}") from error
    parts = list(right) if isinstance(right, tuple) else [right]
    if len(parts) > len(_PARTS):
        raise FormulaError(
            f"The formula {shown(formula)} has {len(parts)} parts between bars; there may be "
            "three: of experts, gates and dispersions."
        )
    for name, part in zip(_PARTS, parts, strict=False):
        if "1" not in [str(term) for term in part]:
            raise FormulaError(
                f"The formula of the {name} leaves out the intercept, which there always is. Take "
                "out '0 +' or '- 1'."
            )
    return parts


def _matrix(formula: Any, data: Any) -> Any:
    """Return the columns of a formula, or of what was learned of one.

    Parameters
    ----------
    formula : Formula or ModelSpec
    data : DataFrame
    """
    formulaic = import_formulaic()
    _refuse_missing(formula, data)
    try:
        # Of logarithms of zero and the like the estimator says in which term they are.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", formulaic.errors.DataMismatchWarning)
            return formula.get_model_matrix(data, context={}, na_action="ignore", output="pandas")
    except formulaic.errors.DataMismatchWarning as error:
        raise FormulaError(_unseen(formula, data) or _told(error)) from error
    except (formulaic.errors.FormulaicError, SyntaxError) as error:
        raise FormulaError(f"{_told(error)} Columns are {_listed(data)}.") from error


def _refuse_missing(formula: Any, data: Any) -> None:
    """Refuse columns that are not there, or have missing values.

    Raises
    ------
    FormulaError
        Naming the column and its terms.
    """
    told = [str(term) for term in getattr(formula, "formula", formula)]
    # Before it is made of data, a formula does not know what splines and the like are about.
    is_made = hasattr(formula, "encoder_state")
    names = [name for name in data.columns if isinstance(name, str)]
    needed = map(str, formula.required_variables) if is_made else names
    for variable in sorted(needed):
        terms = [term for term in told if _is_about(term, variable)]
        if not terms:
            continue
        where = f"Column {shown(variable)} (term {', '.join(map(repr, terms))})"
        if variable not in data.columns:
            raise FormulaError(f"{where} is not in the data; columns are {_listed(data)}.")
        is_missing = data[variable].isna().to_numpy()
        if is_missing.any():
            raise FormulaError(
                f"{where} has {int(is_missing.sum())} missing values, the first at row "
                f"{int(np.argmax(is_missing))}. Impute them or drop these rows first."
            )


def _is_about(term: str, variable: str) -> bool:
    quoted = re.escape(variable)
    return re.search(rf"(?<![\w.]){quoted}(?![\w(])", term) is not None


def _unseen(spec: Any, data: Any) -> str:
    """Return in words which categories of which column were not there in fit, if that is known."""
    for factor, (_, state) in spec.encoder_state.items():
        known = state.get("categories")
        own = [name for name in map(str, spec.required_variables) if _is_about(str(factor), name)]
        if known is None or len(own) != 1:
            continue
        new = [value for value in data[own[0]].unique().tolist() if value not in list(known)]
        if new:
            return (
                f"Column {shown(own[0])} (term {str(factor)!r}) has categories that were not there "
                f"in fit: {shown(new)}; known are {shown(list(known))}."
            )
    return ""


def _told(error: BaseException) -> str:
    """Return the first line of a message, without marks for terminals, the term named."""
    text = printable(str(error).strip().split("\n")[0]).rstrip(".")
    found = re.fullmatch(r"Unable to evaluate factor `(.*)`\. \[(.*)\]", text)
    if found is None:
        return f"{text}."
    term, why = found.groups()
    return f"Term {term!r} cannot be made of the data: {why.rstrip('.')}."


def _listed(data: Any) -> str:
    return shown([str(name) for name in data.columns])


def as_frame(data: Any) -> Any:
    """Return data as a frame of pandas.

    Raises
    ------
    TypeError
        If they are no frame.
    FormulaError
        If they are a dict of columns whose lengths differ.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "get_columns") and hasattr(data, "columns"):  # polars
        return pd.DataFrame({column.name: _as_series(column) for column in data.get_columns()})
    if isinstance(data, dict):
        try:
            return pd.DataFrame(data)
        except ValueError as error:
            raise FormulaError(f"data must be columns of one length: {_told(error)}") from error
    raise TypeError(
        "data must be a frame of pandas or polars, or a dict of columns. Got "
        f"{shown(data)} instead."
    )


def _as_series(column: Any) -> Any:
    """Return a column of polars; an Enum keeps its order."""
    import pandas as pd

    categories = getattr(column.dtype, "categories", None)
    if type(column.dtype).__name__ == "Enum" and categories is not None:
        return pd.Categorical(column.to_list(), list(categories), ordered=True)
    return column.to_numpy() if column.dtype.is_numeric() else column.to_list()


def evaluate(expression: str, data: Any, what: str) -> Any:
    """Return a column by its name, or an expression of columns.

    Parameters
    ----------
    expression : str
    data : DataFrame
    what : str
        What it is for, for messages.

    Returns
    -------
    Series of shape (n,)

    Raises
    ------
    FormulaError
        If it is neither.
    """
    formulaic = import_formulaic()
    name = expression.strip()
    for plain in (name, name.strip("`")):
        if plain in data.columns:
            return data[plain]
    try:
        formula = formulaic.Formula(f"{{{name}}} - 1")
        with np.errstate(all="ignore"):
            found = formula.get_model_matrix(data, context={}, na_action="ignore", output="pandas")
    except (formulaic.errors.FormulaicError, SyntaxError) as error:
        raise FormulaError(
            f"{what} {shown(expression)} is neither a column nor an expression of columns: "
            f"{_told(error)} Columns are {_listed(data)}."
        ) from error
    if found.shape[1] != 1:
        raise FormulaError(
            f"{what} {shown(expression)} makes {found.shape[1]} columns; expected one number per "
            "row."
        )
    return found.iloc[:, 0].rename(name)
