"""A fit as frames in the column names of R's package broom."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp.estimators._tables import coefficient_table
from mixexp.inference import Table

_BROOM = {
    "part": "component",
    "unit": "group",
    "term": "term",
    "estimate": "estimate",
    "std_error": "std.error",
    "z": "statistic",
    "p_value": "p.value",
    "lower": "conf.low",
    "upper": "conf.high",
}


class TidyMixin:
    """Frames for those who come from R."""

    converged_: bool
    n_iter_: int

    # Those of the classes beside it.
    inference: Any
    criteria: Any

    def tidy(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        conf_level: float = 0.95,
        **options: Any,
    ) -> Any:
        """Return one row per coefficient, in the column names of R's package broom.

        Parameters
        ----------
        X : array-like of shape (n, n_features), default=None
            The rows of the fit; without them all but the estimates is NaN.
        y : array-like of shape (n,), default=None
        sample_weight : array-like of shape (n,), default=None
        conf_level : float, default=0.95
            Coverage of the intervals.
        **options
            Those of `inference`.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            Columns "component" ("expert" or "gate"), "group" (which), "term", "estimate",
            "std.error", "statistic", "p.value", "conf.low" and "conf.high"; text, then floats.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it.
        """
        check_is_fitted(self)
        if X is not None:
            table = self.inference(X, y, sample_weight, **options).table(conf_level)
        else:
            if y is not None or sample_weight is not None or options:
                raise ValueError("y and options are for standard errors: pass X and y.")
            table = coefficient_table(self)
        n = len(table.columns["term"])
        missing = [float("nan")] * n
        found = {ours: table.columns.get(name, missing) for name, ours in _BROOM.items()}
        return Table(found).to_frame()

    def glance(self, X: Any, y: Any, sample_weight: Any = None, **per_row: Any) -> Any:
        """Return one row about the fit, in the column names of R's package broom.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            The rows of the fit.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        **per_row
            ``offset``, ``exposure`` and ``trials``, as for `criteria`.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            Columns "n.experts", "logLik", "AIC", "BIC", "ICL", "df" (free parameters), "nobs" (sum
            of the weights), "n.iter" and "converged".

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it.
        """
        found = self.criteria(X, y, sample_weight, **per_row)
        row: dict[str, Any] = {
            "n.experts": found.n_experts,
            "logLik": float(found.log_likelihood),
            "AIC": float(found.aic),
            "BIC": float(found.bic),
            "ICL": float(found.icl),
            "df": int(found.n_parameters),
            "nobs": float(found.total_weight),
            "n.iter": int(self.n_iter_),
            "converged": bool(np.bool_(self.converged_)),
        }
        return Table({name: [value] for name, value in row.items()}).to_frame()
