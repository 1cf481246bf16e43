"""What fitted estimators write for databases and other runtimes: SQL and ONNX."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp._version import __version__
from mixexp.arguments import is_in_range, is_listed
from mixexp.estimators._tables import feature_labels
from mixexp.exceptions import ExportError
from mixexp.files import OnnxOptions, SqlSource, onnx_of, sql_of, write_whole
from mixexp.model import FittedModel
from mixexp.text import shown
from mixexp.tree import GatingTree


class DeploymentMixin:
    """What a fitted estimator writes for other runtimes."""

    n_features_in_: int
    tree_: GatingTree
    fitted_model_: FittedModel

    def to_sql(
        self,
        table: str,
        *,
        keep: Sequence[str] = (),
        feature_names: Sequence[str] | None = None,
        offset: str | None = None,
        exposure: str | None = None,
        trials: str | None = None,
    ) -> str:
        """Return the fitted model as one SELECT statement of standard SQL.

        Rows are those of the table. Columns are ``mean`` (of a classifier ``proba_<class>``),
        ``gate_<expert>`` and ``mean_<expert>`` (``proba_<expert>_<class>``), with experts as they
        are numbered or named. A row with a missing value has missing results.

        Parameters
        ----------
        table : str
            Table, view or subquery, as it is to stand after FROM.
        keep : sequence of str, default=()
            Columns of the table to give with the results, such as its key.
        feature_names : sequence of str of length n_features, default=None
            Columns of the table that hold the features; by default those of the frame that it was
            fitted to, else x0, x1, ...
        offset, exposure, trials : str, default=None
            Columns of the table, as for ``predict``.

        Returns
        -------
        str
            Common table expressions, CASE, CAST, EXP, LN and SQRT, in double precision. SQLite
            needs its math functions.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If an argument is not as described; the message names it.
        ExportError
            If the model has a submodel or a family of the user's own, a Weibull dispersion that
            depends on features, or columns of the result would have the same name.

        Examples
        --------
        >>> import numpy as np
        >>> from mixexp import MoERegressor
        >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
        >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
        >>> model = MoERegressor(2, random_state=0).fit(x, y)
        >>> print(model.to_sql("measured", keep=["id"]).splitlines()[2])
            CAST("x0" AS DOUBLE PRECISION) AS x_0,
        """
        check_is_fitted(self)
        refuse_submodels(self, "SQL")
        if not isinstance(table, str) or not table.strip():
            raise ValueError(f"table must be the name of a table. Got {shown(table)} instead.")
        features = named_features(self, feature_names)
        _check_names("keep", keep)
        for name, value in (("offset", offset), ("exposure", exposure), ("trials", trials)):
            if value is not None:
                _check_names(name, [value])
        source = SqlSource(table, features, list(keep), offset, exposure, trials)
        classes = getattr(self, "classes_", None)
        labels = None if classes is None else [str(label) for label in classes.tolist()]
        experts = [name.removeprefix("expert ") for name in self.tree_.names_of_leaves]
        return sql_of(self.fitted_model_, source, experts, labels)

    def to_onnx(
        self,
        path: Any = None,
        *,
        quantiles: Sequence[float] = (),
        offset: bool = False,
        trials: bool = False,
    ) -> bytes | None:
        """Write the fitted model as an ONNX graph, opset 17, in double precision.

        The input is ``X`` of shape (n, n_features), float64. Outputs of a regressor are ``mean``
        (n,), ``gate`` (n, n_experts) and ``expert_mean`` (n, n_experts); of a classifier ``proba``
        (n, n_classes), ``label`` (n,), ``gate`` and ``expert_proba`` (n, n_experts, n_classes).

        Parameters
        ----------
        path : str or path-like, default=None
            File to write; None for its bytes.
        quantiles : sequence of float, default=()
            Levels, between 0 and 1, of quantiles that are to be outputs as well. With one expert
            ``quantile`` (n, n_levels); with several ``expert_quantile`` (n, n_experts, n_levels),
            those of each expert alone, for the quantile of a mixture has no closed form: see
            ``predict_quantile``. For Gaussian, Student t, Laplace, lognormal, Weibull, Burr,
            generalized Pareto and gamma experts, point masses and uniform ones. Rows that are
            extrapolated, see ``find_extrapolated``, are not widened here.
        offset : bool, default=False
            Whether ``offset``, of shape (n, 1), is an input; of exposures give the logarithm.
        trials : bool, default=False
            Whether ``trials``, of shape (n, 1), are an input.

        Returns
        -------
        bytes or None
            The file, if there is no path.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ImportError
            If onnx is not installed; the extra "onnx" has it.
        ValueError
            If an argument is not as described; the message names it.
        ExportError
            If the model has a submodel or a family of the user's own, or no formula for what is
            asked: quantiles of other families, dispersions of Weibull experts that depend on
            features.
        """
        check_is_fitted(self)
        refuse_submodels(self, "graph of ONNX")
        levels = _check_levels(quantiles)
        for name, value in (("offset", offset), ("trials", trials)):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be True or False. Got {shown(value)} instead.")
        classes = getattr(self, "classes_", None)
        if classes is not None and levels:
            raise ValueError("quantiles are for regressors; classes have probabilities.")
        metadata = {
            "library": f"mixexp {__version__}",
            "features": json.dumps(named_features(self, None)),
            "experts": json.dumps(list(self.tree_.names_of_leaves)),
            "quantiles": json.dumps(levels),
        }
        labels = None if classes is None else _plain_labels(classes)
        options = OnnxOptions(levels, offset, trials)
        content = onnx_of(_import_onnx(), self.fitted_model_, options, labels, metadata)
        if path is None:
            return content
        write_whole(path, content)
        return None


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs onnx: pip install 'mixexp[onnx]'.") from error
    return onnx


def _check_levels(quantiles: Any) -> list[float]:
    if not is_listed(quantiles) or not all(is_in_range(q, 0.0, 1.0) for q in quantiles):
        raise ValueError(
            f"quantiles must be a list of levels between 0 and 1. Got {shown(quantiles)} instead."
        )
    return [float(q) for q in quantiles]


def _plain_labels(classes: np.ndarray) -> np.ndarray:
    """Return labels of classes as numbers, truth values or text, as ONNX has them."""
    if classes.dtype.kind == "i":
        return classes.astype(np.int64)
    if classes.dtype.kind in "bf":
        return classes.astype(np.bool_ if classes.dtype.kind == "b" else np.float64)
    return np.array([str(label) for label in classes.tolist()], dtype=object)


def named_features(estimator: Any, names: Any) -> list[str]:
    """Return the names of the columns of X.

    Raises
    ------
    ValueError
        If ``feature_names`` are none.
    """
    n_features = estimator.n_features_in_
    if names is None:
        return feature_labels(estimator, list(range(n_features)))
    _check_names("feature_names", names)
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must have one name for each of the {n_features} features; got "
            f"{len(names)}."
        )
    return list(names)


def _check_names(argument: str, names: Any) -> None:
    if not is_listed(names) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{argument} must name columns, as str. Got {shown(names)} instead.")


def refuse_submodels(estimator: Any, form: str) -> None:
    """Refuse models with parts that are no formulas, or of several targets.

    Raises
    ------
    ExportError
        Naming them.
    """
    names = estimator.fitted_model_.model.other_names
    if names:
        raise ExportError(
            f"The model has parts that are no linear predictors, {names}, which are no {form}. "
            "Give the estimator softmax or constant gates and families as experts."
        )
    n_outputs = estimator.fitted_model_.model.n_outputs
    if n_outputs > 1:
        raise ExportError(
            f"The model has {n_outputs} targets, but a {form} is written for one. What can be "
            "exported is the model as a file, to_json, or a fit to each target alone."
        )
