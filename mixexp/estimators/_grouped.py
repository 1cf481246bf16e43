"""Rows of groups, as estimators check them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixexp.data import ColumnRows, RowArguments
from mixexp.estimators._panels import check_gate_features
from mixexp.estimators._tables import feature_labels


class GroupsMixin:
    """What may be told which rows are of one group."""

    def _check_groups(
        self,
        X: np.ndarray | ColumnRows,
        known: RowArguments,
        chosen: np.ndarray | None,
        columns: Sequence[int],
        given: Mapping[str, Any],
    ) -> None:
        """Check that gates see the same in all rows of a group."""
        if known.groups is not None and chosen is not None:
            names = feature_labels(self, list(range(X.shape[1])))
            check_gate_features(X, known.groups, chosen, columns, names, given["groups"])
