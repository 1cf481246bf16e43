"""A model that was fitted by formula: it takes frames, and makes the columns itself."""

from collections.abc import Callable
from functools import partial
from inspect import Parameter, isroutine, signature
from typing import Any

from sklearn.base import clone, is_regressor
from sklearn.pipeline import Pipeline

from mixexp.exceptions import FormulaError
from mixexp.formula._features import FormulaFeatures, as_frame, evaluate
from mixexp.text import shown

# What the formula says.
_SAID = ("expert_features", "gate_features")
# Of the estimator, what would change or copy it without its formula.
_NOT_ITS = ("fit", "get_params", "set_params")
# Methods that need y, but for rows of a source, which has its own.
_OF_Y = ("inference",)
# Groups matter only beside y or a history: new rows without either need no such column.
_OF_KNOWN_ROWS = ("groups",)
# Of the rows of the fit alone, and no part of a history.
_OF_THE_FIT = ("groups", "sample_weight", "known_expert")
# A prediction without these is another one.
_NEEDED = ("offset", "exposure", "trials")


class FormulaModel:
    """A fitted mixture of experts that takes frames, as `from_formula` returns it.

    It has the methods and attributes of the estimator. Where these take X, this takes a frame;
    where they take y as well, it is made from the frame, too, unless it is given. What was given
    to `from_formula` by name, such as an offset, is made from the frame again. Displays and
    `export_text` take it as they take pipelines. To fit again, call `from_formula` again.

    ``history=past`` may be a frame of the past rows of groups, in place of a tuple. New rows need
    a column of groups only beside y or ``history``.

    Parameters
    ----------
    formula : str
    features : FormulaFeatures
        Fitted.
    estimator : estimator
        Fitted to what these make.
    row_arguments : dict of str to object
        As given to `from_formula`.

    Attributes
    ----------
    formula : str
    estimator_ : MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        Fitted to the columns that the formula makes, which are its ``feature_names_in_``.
    """

    def __init__(
        self,
        formula: str,
        features: FormulaFeatures,
        estimator: Any,
        row_arguments: dict[str, Any],
    ) -> None:
        self.formula = formula
        self.estimator_ = estimator
        self._features = features
        self._row_arguments = row_arguments

    def __repr__(self) -> str:
        return f"FormulaModel({self.formula!r}, {self.estimator_!r})"

    def transform(self, data: Any) -> Any:
        """Return the columns that the formula makes: what the estimator sees.

        Parameters
        ----------
        data : DataFrame of shape (n, n_columns)

        Returns
        -------
        DataFrame of shape (n, n_features)

        Raises
        ------
        FormulaError
            Naming the term and the column that is missing, has missing values, or holds a
            category that was not there in fit.
        """
        return self._features.transform(data)

    def target(self, data: Any) -> Any:
        """Return y, the left side of the formula.

        Parameters
        ----------
        data : DataFrame of shape (n, n_columns)

        Returns
        -------
        Series of shape (n,)

        Raises
        ------
        FormulaError
            If it cannot be made of these data.
        """
        return target_of(self.formula, as_frame(data))

    # As a pipeline, for displays and texts.

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """The formula's columns and the estimator, as the steps of a pipeline."""
        return [("formula", self._features), ("model", self.estimator_)]

    def __getitem__(self, at: Any) -> Any:
        return Pipeline(self.steps)[at]

    # As the estimator.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("estimator_", *_NOT_ITS):
            raise AttributeError(f"FormulaModel has no attribute {name!r}.")
        value = getattr(self.estimator_, name)
        if not isroutine(value):
            return value
        return partial(_run, self, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self.estimator_)} - set(_NOT_ITS))

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def _run(model: FormulaModel, method: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """Call a method of the estimator with what it takes made from a frame."""
    parameters = signature(method).parameters
    takes_rows = next(iter(parameters), "") == "X"
    if takes_rows and ("X" in options or "data" in options):
        given = (options.pop("X") if "X" in options else options.pop("data"), *given)
    if takes_rows and given and given[0] is not None:
        data, *rest = given
        options = _from_frame(model, as_frame(data), method, rest, options)
        given = (model.transform(data), *rest)
    result = method(*given, **options)
    return model if result is model.estimator_ else result


def _from_frame(
    model: FormulaModel,
    data: Any,
    method: Callable[..., Any],
    rest: list[Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Return the keywords of a call, with what was not given made from the frame."""
    out, parameters = dict(options), signature(method).parameters
    taken = set(parameters)
    if _takes_any(parameters):  # and hands them on, mostly to `inference`
        taken |= {*signature(model.estimator_.inference).parameters, *_NEEDED}
    by_position = list(parameters)[1 : 1 + len(rest)]
    if "y" in parameters and "y" not in by_position and "y" not in out:
        is_required = parameters["y"].default is Parameter.empty or method.__name__ in _OF_Y
        # Where X may be left out, it stands for the rows of the fit, and y with it.
        if is_required or parameters["X"].default is not Parameter.empty:
            out["y"] = target_of(model.formula, data)
    if out.get("history") is not None and not isinstance(out["history"], tuple | list):
        out["history"] = _history(model, as_frame(out["history"]))
    is_known = "y" in out or "y" in by_position or out.get("history") is not None
    for name, value in model._row_arguments.items():
        if name not in taken or name in out or name in by_position:
            continue
        if name in _OF_KNOWN_ROWS and not is_known:
            continue
        if isinstance(value, str):
            out[name] = evaluate(value, data, name)
        elif name in _NEEDED:
            raise FormulaError(
                f"{name} was given to from_formula as values of the rows of the fit; give those of "
                f"these rows, {name}=..., or name a column in from_formula."
            )
    return out


def _history(model: FormulaModel, past: Any) -> tuple[Any, ...]:
    """Return a frame of past rows as the tuple that the estimator takes."""
    said = {
        name: evaluate(value, past, name)
        for name, value in model._row_arguments.items()
        if isinstance(value, str) and name not in _OF_THE_FIT
    }
    groups = model._row_arguments.get("groups")
    if not isinstance(groups, str):
        raise FormulaError(
            "A history that is a frame needs groups to be the name of a column in from_formula. "
            "Name it there, or give history=(X, y, groups), with X from transform(past)."
        )
    past_groups = evaluate(groups, past, "groups")
    return model.transform(past), model.target(past), past_groups, said


def _takes_any(parameters: Any) -> bool:
    """Return whether a signature has keywords that it does not name."""
    return any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())


def target_of(formula: str, data: Any) -> Any:
    """Return the left side of a formula."""
    return evaluate(formula.partition("~")[0], data, "The left side of the formula")


def from_formula(formula: str, data: Any, estimator: Any, **row_arguments: Any) -> FormulaModel:
    """Fit a mixture of experts to the columns that a formula makes of a frame.

    ``"y ~ x1 * x2 + C(region) | age + bs(income, df=4)"``: terms of the experts left of the bar,
    of the gates right of it; without a bar both see all terms. ``| 1`` makes the gates constant. A
    third part, after another bar, has terms of the log dispersions. The left side is a column or
    an expression of columns such as ``log(y)``, on whose scale predictions then are. Formulas are
    those of formulaic (the extra "formula"): ``:``, ``*``, ``C()``, ``bs()``, ``poly()``,
    ``I()`` and so on.

    Parameters
    ----------
    formula : str
        Its terms are evaluated as Python: take no formula from a stranger.
    data : DataFrame of shape (n, n_columns)
        Of pandas or polars, or a dict of columns.
    estimator : MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        Not fitted; a copy is. Features are the formula's to say.
    **row_arguments
        What ``fit`` takes of every row, such as ``sample_weight``, ``offset``, ``exposure`` or
        ``trials``: the name of a column, an expression such as "log(exposure)", or values. What
        is said by name is made from the rows of predictions, too.

    Returns
    -------
    FormulaModel
        Fitted; with the estimator's methods, which take frames.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    FormulaError
        If the formula is none, or cannot be made of the data: the message names term and column.
    TypeError
        If the data are no frame, the estimator is none, or ``fit`` has no such argument.
    ValueError
        If the estimator says by itself what parts look at.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mixexp import MoERegressor, from_formula
    >>> rng = np.random.default_rng(0)
    >>> data = pd.DataFrame({"x": rng.normal(size=200), "site": rng.choice(["a", "b"], 200)})
    >>> data["y"] = np.abs(data["x"]) + (data["site"] == "b") + 0.1 * rng.normal(size=200)
    >>> model = from_formula("y ~ x + C(site) | x", data, MoERegressor(2, random_state=0))
    >>> model.feature_names_in_.tolist()
    ['x', 'C(site)[T.b]']
    >>> model.predict(pd.DataFrame({"x": [-1.0, 1.0], "site": ["a", "b"]})).round(1)
    array([1., 2.])
    """
    if not isinstance(formula, str) or formula.count("~") != 1 or formula.startswith("~"):
        raise FormulaError(
            f"The formula must have a left and a right side, such as 'y ~ x | age'. Got "
            f"{shown(formula)}."
        )
    _check_estimator(estimator, row_arguments)
    frame = as_frame(data)
    features = FormulaFeatures(formula.partition("~")[2].strip()).fit(frame)
    made = clone(estimator).set_params(**_chosen(estimator, features))
    values = {
        name: evaluate(value, frame, name) if isinstance(value, str) else value
        for name, value in row_arguments.items()
    }
    made.fit(features.transform(frame), target_of(formula, frame), **values)
    return FormulaModel(formula, features, made, dict(row_arguments))


def _check_estimator(estimator: Any, row_arguments: dict[str, Any]) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "gate_proba"):
        raise TypeError(
            f"estimator must be a mixture of experts such as MoERegressor(3). Got "
            f"{shown(estimator)} instead."
        )
    said = [name for name in _SAID if getattr(estimator, name, None) is not None]
    if said:
        raise ValueError(
            f"The estimator says {said[0]!r} by itself, which is the formula's to say: experts | "
            "gates | dispersions."
        )
    parameters = signature(estimator.fit).parameters
    known = [name for name in parameters if name not in ("X", "y")]
    unknown = [name for name in row_arguments if name not in known]
    if unknown and not _takes_any(parameters):
        raise TypeError(
            f"fit of {type(estimator).__name__} has no argument {shown(unknown[0])}; it takes "
            f"{known}."
        )


def _chosen(estimator: Any, features: FormulaFeatures) -> dict[str, Any]:
    """Return the hyper-parameters that name the columns of each part."""
    parts = features.columns_
    experts, gates, *dispersions = parts if len(parts) > 1 else (parts[0], parts[0])
    if not dispersions:
        return {"expert_features": experts, "gate_features": gates}
    if not is_regressor(estimator):
        raise FormulaError(f"{type(estimator).__name__} has no dispersions to have terms of.")
    by_head = {"location": experts, "dispersion": dispersions[0]}
    return {"expert_features": by_head, "gate_features": gates}
