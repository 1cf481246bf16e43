"""Flat and hierarchical mixtures of experts for classes."""

from typing import Any, Unpack

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if

from mixexp.arguments import in_memory, replace_absent
from mixexp.data import is_dask
from mixexp.estimators._auto import or_automatic
from mixexp.estimators._base import MixtureOfExperts, store_parameters
from mixexp.estimators._class_order import sort_classes
from mixexp.estimators._docs import method_docs, routing_docs, shared_docs
from mixexp.estimators._online import learns_in_parts
from mixexp.estimators._partitioned import by_partition
from mixexp.estimators._predictive import ClassPredictionMixin
from mixexp.estimators._row_arguments import (
    Given,
    GivenOfClasses,
    predict_to_score,
    row_arguments,
)
from mixexp.estimators._solver import EM
from mixexp.estimators._validation import (
    N_EXPERTS,
    check_labels,
    check_parameters,
    check_same_length,
    check_weights,
)
from mixexp.experts import FAMILIES
from mixexp.penalties import GroupedL1
from mixexp.submodel import Submodel
from mixexp.text import shown
from mixexp.tree import GatingTree


def _expert_for_classes(entry: Any, n_classes: int) -> Any:
    """Return the family for a number of classes, from a name or an expert object."""
    if isinstance(entry, str) and entry == "auto":
        entry = "logistic" if n_classes == 2 else "multinomial"
    if isinstance(entry, str) and entry in FAMILIES:
        entry = FAMILIES[entry]()
    if isinstance(entry, Submodel):
        return entry
    if getattr(entry, "target", None) == "binary" and n_classes > 2:
        raise ValueError(
            f"The 'expert' parameter is {shown(entry.name)}, which is for two classes, but y has "
            f"{n_classes}; use 'multinomial' or 'auto'."
        )
    if getattr(entry, "target", None) == "classes" and not isinstance(entry, type):
        entry.check_options()  # before `clone`, which fails at what is none
        return clone(entry).set_params(n_classes=n_classes)
    return entry


def _has_order(expert: Any) -> bool:
    """Tell whether an expert goes by the order of the classes, from what a user asks for."""
    entries = expert if isinstance(expert, list | tuple) else [expert]
    families = [FAMILIES.get(e, e) if isinstance(e, str) else e for e in entries]
    return any(getattr(family, "has_ordered_classes", False) for family in families)


@method_docs
class _Classifier(ClassifierMixin, MixtureOfExperts, ClassPredictionMixin):
    """What the two classifiers share."""

    _targets = ("binary", "classes")
    _choosable = ("n_experts", "tree", "alpha")

    def _check_target(self, y: Any) -> np.ndarray:
        labels = check_labels(y)
        return labels

    def _learn_target(self, y: np.ndarray, given: Any) -> None:
        if getattr(self, "_online", None) is not None:
            return  # `partial_fit` was told of all classes
        self.classes_ = sort_classes(y, given) if _has_order(self.expert) else np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has only one class, {shown(self.classes_[0])}; a classifier needs at least two."
            )

    @available_if(learns_in_parts)
    @row_arguments
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        classes: Any = None,
        forget: float | None = None,
        **given: Unpack[Given],
    ) -> Any:
        """Update the fit by some more rows, without keeping them.

        Stepwise EM (Cappe & Moulines 2009) in mini-batches of 512 rows, or 4 per feature if that
        is more, in the order of the rows: mini-batch t moves what is known by the share
        ``t**-0.6``, and coefficients are the average of all steps, late ones first. The first
        rows are kept; see `MoERegressor.partial_fit` for how many, and for what else there is to
        know.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        classes : array-like of shape (n_classes,), default=None
            All classes that there may ever be; needed in the first call, if `fit` was not there
            before. For ordinal experts in a type that has an order, as y.
        forget : float, default=None
            Share of what is known that each row replaces, for data that drift; None for steps
            that decay.
        <PER_ROW>

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is not as described, ``classes`` are missing in the first call or
            others than before, or the model has parts that are fitted to all rows at once.
        """

        def learn_classes() -> None:
            known = getattr(self, "classes_", None)
            if classes is None and known is None:
                raise ValueError(
                    "classes must be given in the first call to partial_fit: all that there may "
                    "ever be."
                )
            if classes is None:
                return
            labels = check_labels(classes)
            is_ordered = _has_order(self.expert)
            declared = sort_classes(labels, classes) if is_ordered else np.unique(labels)
            if known is None and len(declared) < 2:
                raise ValueError(f"classes must be two or more; got {shown(list(declared))}.")
            if known is not None and not np.array_equal(declared, known):
                raise ValueError(
                    f"classes must be the same in every call; got {shown(list(declared))}, and "
                    f"{shown(list(known))} before."
                )
            self.classes_ = declared

        return self._learn_part(X, y, sample_weight, forget, given, learn_classes)

    def _encode_target(self, y: np.ndarray) -> np.ndarray:
        labels = y
        is_known = np.isin(labels, self.classes_)
        if not is_known.all():
            row = int(np.argmin(is_known))
            raise ValueError(
                f"y holds class {shown(labels[row].tolist())} at row {row}, which was not there in "
                f"fit; expected one of {shown(self.classes_.tolist())}."
            )
        sorter = np.argsort(self.classes_)  # ordered classes need not be sorted
        at = np.searchsorted(self.classes_, labels, sorter=sorter)
        return sorter[at].astype(np.float64)

    def _of_known_classes(self, y: Any, sample_weight: Any) -> Any:
        if y is None or sample_weight is None or is_dask(y):
            return y
        labels = self._check_target(y)
        weight = check_weights(sample_weight, len(labels))
        return replace_absent(y, labels, self.classes_, weight)

    def _as_numbers(self, y: Any) -> np.ndarray:
        return self._encode_target(self._check_target(y)).astype(np.int64)

    def _expert_spec(self) -> Any:
        n_classes = len(self.classes_)
        if isinstance(self.expert, list | tuple):
            return [_expert_for_classes(entry, n_classes) for entry in self.expert]
        return _expert_for_classes(self.expert, n_classes)

    @by_partition
    @routing_docs
    @row_arguments
    def predict_proba(
        self, X: Any, *, routing: str | int = "soft", **given: Unpack[GivenOfClasses]
    ) -> np.ndarray:
        """Return class probabilities: experts' probabilities weighted by the gate.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        <ROUTING>
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of ``classes_``; rows sum to one.

        Raises
        ------
        <RAISES>
        """
        return np.ascontiguousarray(self._mixture_mean(X, routing, given).T)

    @by_partition
    @row_arguments
    def predict(
        self, X: Any, *, routing: str | int = "soft", **given: Unpack[GivenOfClasses]
    ) -> np.ndarray:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        routing : {"soft", "hard"} or int, default="soft"
            As for `predict_proba`.
        <PER_ROW>

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        <RAISES>
        """
        best = self.predict_proba(X, **given, routing=routing).argmax(axis=1)
        return self.classes_[best]

    @row_arguments
    def score(
        self, X: Any, y: Any, sample_weight: Any = None, **given: Unpack[GivenOfClasses]
    ) -> float:
        """Return the share of rows whose class is predicted.

        Rows of groups without a history are predicted by the gate alone.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), default=None
        <PER_ROW>

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        <RAISES>
        """
        predicted = predict_to_score(self.predict, X, given)
        y, sample_weight = in_memory(y), in_memory(sample_weight)
        target = self._check_target(y)
        check_same_length(len(predicted), target)
        weight = check_weights(sample_weight, len(predicted))
        if (target.dtype.kind in "UO") != (self.classes_.dtype.kind in "UO"):
            raise ValueError(
                f"y holds labels such as {shown(target[0])}, but classes in fit were such as "
                f"{shown(self.classes_[0])}; give y as in fit."
            )
        return float(accuracy_score(target, predicted, sample_weight=weight))


@shared_docs
class MoEClassifier(_Classifier):
    """Mixture of experts for classification, fitted by EM.

    A softmax gate hands each row to one of several (multinomial) logistic regressions.

    Parameters
    ----------
    n_experts : int, "auto" or Auto, default=3
        Number of experts. "auto" chooses it by held-out log density, from one expert on; see
        `mixexp.selection.Auto`, which has options.
    expert : str, Expert, or list of these, default="auto"
        Family of the experts; a list gives one per expert, from left to right. By name,
        <FAMILIES>;
        or an object of `mixexp.experts`, which has options, an estimator of scikit-learn's, or a
        `Submodel`. "logistic" is for
        two classes, "ordinal" for classes in an order: y is then a pandas ordered Categorical, a
        polars Enum, or numbers. "auto" is "logistic" or "multinomial", by the number of classes.
    <PARAMETERS>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted; for ordinal experts in the order of y, the lowest first.
    coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_classes, n_features)
        Slopes of the log-odds of the second class, or of each class's logit; class logits
        sum to zero. Experts are sorted by their first log-odds at the mean of the features;
        below gates without slopes (Gaussian, quadratic, an estimator) they are in no order.
    intercept_ : ndarray of shape (n_experts,) or (n_experts, n_classes)
    shape_ : list of dict
        Further parameters of each expert by name: distances between the thresholds of ordinal
        experts; empty where there are none.
    <ATTRIBUTES>

    Notes
    -----
    <NOTES>

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoEClassifier
    >>> x = np.linspace(-2.0, 2.0, 400)[:, None]
    >>> y = np.where(np.abs(x[:, 0]) > 1.0, "outside", "inside")
    >>> model = MoEClassifier(n_experts=2, random_state=0).fit(x, y)
    >>> model.predict([[-1.5], [0.0], [1.5]])
    array(['outside', 'inside', 'outside'], dtype='<U7')
    """

    def __init__(
        self,
        n_experts: Any = 3,
        *,
        expert: Any = "auto",
        gate: Any = "softmax",
        expert_features: Any = None,
        gate_features: Any = None,
        constraints: Any = None,
        alpha: Any = 30.0,
        gate_alpha: float = 3.0,
        l1: float | GroupedL1 = 0.0,
        gate_l1: float | GroupedL1 = 0.0,
        n_init: int | str = 10,
        init: Any = "auto",
        max_iter: int = 500,
        tol: float = 1e-8,
        solver: EM | None = None,
        weight_type: str = "frequency",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        store_parameters(self, locals())

    def _make_tree(self) -> GatingTree:
        check_parameters(self, {"n_experts": or_automatic(N_EXPERTS)})
        return GatingTree.flat(int(self._setting("n_experts")))


@shared_docs
class HMEClassifier(_Classifier):
    """Hierarchical mixture of experts for classification, fitted by EM.

    A tree of softmax gates hands each row to one of several (multinomial) logistic regressions
    at its leaves.

    Parameters
    ----------
    tree : tuple of int, nested list, "auto" or Auto, default=(2, 2)
        Branching factors from the root down, or a nested list in which 1 stands for an
        expert: ``[[1, 1], 1]`` is a gate over two experts beside a third expert. "auto" grows
        a tree of gates over two and chooses its size by held-out log density; see
        `mixexp.selection.Auto`, which has options.
    expert : str, Expert, or list of these, default="auto"
        Family of the experts; a list gives one per expert, from left to right. By name,
        <FAMILIES>;
        or an object of `mixexp.experts`, which has options, an estimator of scikit-learn's, or a
        `Submodel`. "logistic" is for
        two classes, "ordinal" for classes in an order: y is then a pandas ordered Categorical, a
        polars Enum, or numbers. "auto" is "logistic" or "multinomial", by the number of classes.
    <PARAMETERS>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted; for ordinal experts in the order of y, the lowest first.
    coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_classes, n_features)
        Slopes of the log-odds of the second class, or of each class's logit; class logits
        sum to zero. Experts are sorted by their first log-odds at the mean of the features;
        below gates without slopes (Gaussian, quadratic, an estimator) they are in no order.
    intercept_ : ndarray of shape (n_experts,) or (n_experts, n_classes)
    shape_ : list of dict
        Further parameters of each expert by name: distances between the thresholds of ordinal
        experts; empty where there are none.
    <ATTRIBUTES>

    Notes
    -----
    <NOTES>

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import HMEClassifier
    >>> x = np.linspace(-2.0, 2.0, 400)[:, None]
    >>> y = np.where(np.abs(x[:, 0]) + np.sin(40.0 * x[:, 0]) > 1.0, "outside", "inside")
    >>> model = HMEClassifier(tree=(2,), random_state=0).fit(x, y)
    >>> model.predict([[-1.5], [0.0], [1.5]])
    array(['outside', 'inside', 'outside'], dtype='<U7')
    """

    def __init__(
        self,
        tree: Any = (2, 2),
        *,
        expert: Any = "auto",
        gate: Any = "softmax",
        expert_features: Any = None,
        gate_features: Any = None,
        constraints: Any = None,
        alpha: Any = 30.0,
        gate_alpha: float = 3.0,
        l1: float | GroupedL1 = 0.0,
        gate_l1: float | GroupedL1 = 0.0,
        n_init: int | str = 10,
        init: Any = "auto",
        max_iter: int = 500,
        tol: float = 1e-8,
        solver: EM | None = None,
        weight_type: str = "frequency",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        store_parameters(self, locals())

    def _make_tree(self) -> GatingTree:
        return GatingTree.from_spec(self._setting("tree"))
