"""What fitted estimators write for others: JSON that this library reads back, SQL and ONNX."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mixexp._version import __version__
from mixexp.constraints import Bounded, Fixed, Linear, Ordered, Shared
from mixexp.data import Scaling
from mixexp.em import Optimum, Restart
from mixexp.estimators._auto import Auto
from mixexp.estimators._auto_selection import AutoSelection
from mixexp.estimators._diagnostics import Diagnostics
from mixexp.estimators._solver import EM
from mixexp.exceptions import ModelFileError
from mixexp.experts import (
    FAMILIES,
    Censored,
    MultivariateGaussian,
    MultivariateStudentT,
    Product,
    Unit,
)
from mixexp.files import (
    Codec,
    Record,
    by_fields,
    by_options,
    check_state,
    of_parameters,
    random_generators,
    read_text,
    seal,
    unseal,
    write_whole,
)
from mixexp.gates import GATES, SoftmaxGates
from mixexp.model import (
    EqualityConstraints,
    ExpertGroup,
    FittedModel,
    JointGroup,
    Model,
    Penalty,
    PlacedSubmodel,
)
from mixexp.penalties import GroupedL1
from mixexp.submodels import GaussianGateParams
from mixexp.text import shown

_FIELDS = (
    *(FittedModel, Model, ExpertGroup, SoftmaxGates, Penalty, EqualityConstraints),
    *(JointGroup, Unit, Restart, Optimum, Diagnostics, Shared, Fixed, Bounded, Linear),
    Ordered,
    AutoSelection,
    GroupedL1,
    PlacedSubmodel,
    GaussianGateParams,
)
# Told by the model, and so not written.
_DERIVED = ("tree_", "experts_")
# Attributes with one entry per expert, and per edge of the tree.
_PER_EXPERT = ("coef_", "intercept_", "degenerate_", "limits_", "shape_")
# Written only where experts were renamed.
_NAMES = "expert_names_"
_PER_EDGE = ("gate_coef_", "gate_intercept_")


# Estimators by the name that files use: those of the library, not what is derived from them.
_ESTIMATORS: dict[str, Any] = {}


def _codec() -> Codec:
    """Return what writes and reads fitted estimators and all that they are made of."""
    records = {cls.__name__: by_fields(cls) for cls in _FIELDS}
    records["Scaling"] = by_fields(Scaling, optional=("lowest", "highest"))
    records["ExpertGroup"] = by_fields(ExpertGroup, optional=("slope_unit",))
    records["Penalty"] = by_fields(Penalty, optional=("sooner",))
    records |= {"EM": by_options(EM), "Auto": by_options(Auto)}
    records |= {cls.__name__: by_options(cls, "check_options") for cls in FAMILIES.values()}
    records |= {"Parameters": of_parameters(), "Censored": by_options(Censored, "check_limits")}
    gates = [cls for cls in GATES.values() if cls is not None]
    records |= {cls.__name__: by_options(cls, "check_options") for cls in gates}
    joint = (MultivariateGaussian, MultivariateStudentT, Product)
    records |= {cls.__name__: by_options(cls, "check_options") for cls in joint}
    records |= random_generators()
    for name, cls in _ESTIMATORS.items():
        records[name] = Record(cls, take_apart, partial(put_together, cls))
    return Codec(records)


def take_apart(estimator: Any) -> dict[str, Any]:
    """Return the parameters and attributes of a fitted estimator, or one that is not fitted.

    What scikit-learn keeps beside them, such as requested metadata, is left out.
    """
    parameters = estimator.get_params(deep=False)
    attributes = {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_") and name not in _DERIVED
    }
    tree = getattr(estimator, "tree_", None)
    if tree is not None and tree.leaf_names:
        attributes[_NAMES] = list(tree.leaf_names)
    return {"parameters": parameters, "attributes": attributes}


def put_together(cls: Any, parts: dict[str, Any]) -> Any:
    """Return the estimator of its parameters and attributes.

    Raises
    ------
    ModelFileError
        If they are not those of such an estimator, or do not fit together.
    """
    if set(parts) != {"parameters", "attributes"} or not all(
        isinstance(part, dict) for part in parts.values()
    ):
        raise ModelFileError(
            f"a {cls.__name__} has parameters and attributes; found {sorted(parts)}"
        )
    parameters, attributes = parts["parameters"], parts["attributes"]
    if set(parameters) != set(cls._get_param_names()):
        differing = sorted(set(parameters) ^ set(cls._get_param_names()))
        raise ModelFileError(f"parameters of {cls.__name__} are missing or unknown: {differing}.")
    made = cls(**parameters)
    if not attributes:
        return made
    names = attributes.pop(_NAMES, None)
    for name in attributes:
        is_attribute = isinstance(name, str) and name.isidentifier() and name.endswith("_")
        if not is_attribute or name.startswith("_") or hasattr(cls, name) or name in _DERIVED:
            raise ModelFileError(f"{cls.__name__} learns no attribute {shown(name)}.")
    _check_attributes(cls, attributes)
    vars(made).update(attributes)
    state = attributes["fitted_model_"]
    made.tree_ = state.model.tree
    if names is not None:
        made.rename_experts(names)
    made.experts_ = [None] * made.tree_.n_leaves
    for group in state.model.groups:
        for leaf in group.leaves.tolist():
            made.experts_[leaf] = group.family
    if any(family.target not in cls._targets for family in made.experts_):
        raise ModelFileError(f"{cls.__name__} has experts that are for other targets.")
    return made


def _check_attributes(cls: Any, attributes: dict[str, Any]) -> None:
    """Check that what was learned is complete, and of shapes that fit."""
    needed = ("fitted_model_", "n_features_in_", *_PER_EXPERT, *_PER_EDGE)
    missing = [name for name in needed if name not in attributes]
    if missing:
        raise ModelFileError(f"attributes of {cls.__name__} are missing: {missing}.")
    state, n_features = attributes["fitted_model_"], attributes["n_features_in_"]
    if not isinstance(state, FittedModel) or type(n_features) is not int or n_features < 0:
        raise ModelFileError("fitted_model_ or n_features_in_ is of another type.")
    check_state(state, n_features)
    tree = state.model.tree
    sizes = dict.fromkeys(_PER_EXPERT, tree.n_leaves) | dict.fromkeys(_PER_EDGE, tree.n_edges)
    names = attributes.get("feature_names_in_")
    if names is not None:
        sizes["feature_names_in_"] = n_features
    if hasattr(cls, "predict_proba"):
        counts = {getattr(group.family, "n_classes", 2) for group in state.model.groups}
        sizes["classes_"] = counts.pop()
    for name, size in sizes.items():
        value = attributes.get(name)
        if not isinstance(value, list | np.ndarray) or np.shape(value)[:1] != (size,):
            raise ModelFileError(f"{name} has not {size} entries, as it should.")


class FilesMixin:
    """What a fitted estimator writes for others."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith(f"{__package__}."):
            _ESTIMATORS[cls.__name__] = cls

    def to_json(self, path: Any = None) -> str | None:
        """Write the fitted model as JSON, which `mixexp.from_json` reads back exactly.

        The file holds numbers and names and no code, so it is safe to read wherever it comes
        from. Parameters, learned attributes, families with their options, tree, gates,
        constraints, classes and names of features travel; every number has all of its bits, so
        that predictions are the same to the last. The schema is in
        docs/user_guide/files_and_formulas.md.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write, at once and whole; None for the text itself.

        Returns
        -------
        str or None
            The text, if there is no path.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ExportError, which is a ValueError
            If a part of the model is an object of the user's own: a submodel, a family that the
            library does not know, a callable.
        """
        check_is_fitted(self)
        text = seal(_codec().write(self, type(self).__name__), f"mixexp {__version__}")
        if path is None:
            return text
        write_whole(path, text.encode("utf-8"))
        return None


def from_json(path: Any) -> Any:
    """Return the fitted estimator that ``to_json`` wrote.

    Nothing in the file is run: it holds numbers and names, and what they may stand for is a table
    in the library. All of it is checked before the estimator is made.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    MoERegressor, MoEClassifier, HMERegressor or HMEClassifier
        As it was fitted: its predictions have the same bits.

    Raises
    ------
    OSError
        If the file cannot be read.
    ModelFileError
        If it is none of a model, of a newer version, truncated, or changed since it was written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mixexp import MoERegressor, from_json
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
    >>> model = MoERegressor(2, random_state=0).fit(x, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "kink.json")
    ...     model.to_json(path)
    ...     bool((from_json(path).predict(x) == model.predict(x)).all())
    True
    """
    made = _codec().read(unseal(read_text(path)), "model")
    if type(made) not in _ESTIMATORS.values() or not hasattr(made, "fitted_model_"):
        raise ModelFileError(f"The file holds no fitted estimator but {shown(made)}.")
    return made
