"""Warnings of collinear columns name them."""

import numpy as np
import pandas as pd
import pytest

from mixexp import MoERegressor
from mixexp.exceptions import RankDeficientWarning


def test_collinear_columns_are_named():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 3)), columns=["age", "dose", "sex"])
    X["twice"] = 2.0 * X["age"] - 1.0
    y = X["dose"] + rng.normal(size=60)
    with pytest.warns(RankDeficientWarning, match=r"columns \['age', 'twice'\]"):
        MoERegressor(1, alpha=0, gate_alpha=0).fit(X, y)
    with pytest.warns(RankDeficientWarning, match=r"columns \[0, 3\]"):
        MoERegressor(1, alpha=0, gate_alpha=0).fit(X.to_numpy(), y)
