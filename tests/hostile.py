"""Objects that somebody may hand in for anything, and what a refusal of them has to be.

Whatever an argument is, the call either works or is refused by the name of the argument, in the
package's words or those of scikit-learn's checks: never in those of NumPy, numba or SciPy.
"""

import contextlib
import datetime
import decimal
import fractions
import re
import traceback
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

import mixexp
from mixexp import MoERegressor, exceptions

OURS = (
    *(getattr(exceptions, name) for name in exceptions.__all__),
    DataConversionWarning,
)
_SPEAKS = (str(Path(mixexp.__file__).parent), "sklearn")
_LONGEST = 1000


class Unprintable:
    """An object that cannot even say what it is."""

    def __repr__(self):
        raise RuntimeError("no name")

    __str__ = __repr__


class LikeAnArray:
    """Claims to be an array, and fails to become one."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not today")


def nested(depth):
    inner = [1, 1]
    for _ in range(depth):
        inner = [inner, 1]
    return inner


def holding_itself():
    out = [1]
    out.append(out)
    return out


def generator():
    yield from (0.0, 1.0)


def scalars():
    """Return objects that stand for one value, made afresh, by name."""
    return {
        "none": None,
        "true": True,
        "numpy_true": np.True_,
        "nan": float("nan"),
        "inf": float("inf"),
        "minus_inf": -float("inf"),
        "minus_one": -1,
        "zero": 0,
        "half": 0.5,
        "complex": 1j,
        "complex_real": complex(1.0, 0.0),
        "huge_int": 10**400,
        "minus_huge_int": -(10**400),
        "large_int": 10**30,
        "fraction": fractions.Fraction(1, 3),
        "huge_fraction": fractions.Fraction(10**400, 3),
        "decimal": decimal.Decimal("0.3"),
        "decimal_nan": decimal.Decimal("sNaN"),
        "na": pd.NA,
        "nat": pd.NaT,
        "period": pd.Period("2020-01", "M"),
        "interval": pd.Interval(0.0, 1.0),
        "timestamp": pd.Timestamp("2020-01-01"),
        "date": datetime.date(2020, 1, 1),
        "timedelta": datetime.timedelta(1),
        "datetime64": np.datetime64("2020-01-01"),
        "text": "text",
        "number_text": "1",
        "empty_text": "",
        "bytes": b"1",
        "numpy_str": np.str_("text"),
        "dict": {"a": 1},
        "empty_dict": {},
        "set": {1},
        "empty_list": [],
        "list": [1.0],
        "empty_tuple": (),
        "object": object(),
        "unprintable": Unprintable(),
        "like_an_array": LikeAnArray(),
        "class": float,
        "estimator_class": MoERegressor,
        "estimator": MoERegressor(),
        "function": len,
        "ellipsis": Ellipsis,
        "array": np.array([1.0]),
        "array_0d": np.array(1.0),
        "empty_array": np.array([]),
        "longdouble": np.longdouble(1) / 3,
        "generator": generator(),
        "slice": slice(None),
        "nested": nested(5),
        "deep": nested(500),
        "holding_itself": holding_itself(),
        "frame": pd.DataFrame({"a": [1.0, 2.0]}),
        "series": pd.Series([1.0, 2.0]),
    }


def columns(n):
    """Return objects that stand for n values, made afresh, by name."""
    one_of_each = {
        f"holds_{name}": [value] + [1.0] * (n - 1)
        for name, value in scalars().items()
        if name not in ("deep", "true", "numpy_true", "zero", "half")
    }
    arrays = {}
    for name, values in one_of_each.items():
        array = np.empty(n, dtype=object)
        array[:] = [1.0] * n
        array[0] = values[0]
        arrays[f"array_{name}"] = array
    return {
        **one_of_each,
        **arrays,
        "structured": np.zeros(n, dtype=[("a", float), ("b", int)]),
        "record": np.rec.fromarrays([np.zeros(n)], names="a"),
        "void": np.zeros(n, dtype="V8"),
        "bytes": np.array([b"1"] * n),
        "strings": np.array(["1"] * n),
        "objects": np.array([object()] * n),
        "complex": np.ones(n, dtype=complex),
        "dates": np.arange(n).astype("datetime64[D]"),
        "durations": np.arange(n).astype("timedelta64[D]"),
        "masked": np.ma.MaskedArray(np.ones(n), np.arange(n) == 1),
        "three_dims": np.ones((n, 1, 1)),
        "lists": [[1.0, 2.0]] * n,
        "ragged": [[1.0]] * (n - 1) + [[1.0, 2.0]],
        "dicts": [{"a": 1.0}] * n,
        "sets": [{1.0}] * n,
        "categorical": pd.Categorical(["a", "b"] * (n // 2)),
        "categorical_numbers": pd.Categorical([1, 2] * (n // 2)),
        "periods": pd.period_range("2020-01", periods=n, freq="M"),
        "intervals": pd.interval_range(0, n),
        "timestamps": pd.date_range("2020-01-01", periods=n),
        "zoned": pd.date_range("2020-01-01", periods=n, tz="UTC"),
        "series_strings": pd.Series(["1"] * n),
        "series_na": pd.Series([pd.NA] + [1.0] * (n - 1), dtype="Float64"),
        "series_categorical": pd.Series(pd.Categorical(["a", "b"] * (n // 2))),
        "series_objects": pd.Series([{"a": 1}] * n),
        "series_lists": pd.Series([[1.0, 2.0]] * n),
        "multi_index": pd.MultiIndex.from_arrays([range(n), range(n)]),
        "polars_strings": pl.Series(["1"] * n),
        "polars_null": pl.Series([None] + [1.0] * (n - 1)),
        "polars_lists": pl.Series([[1.0, 2.0]] * n),
        "polars_structs": pl.Series([{"a": 1.0}] * n),
        "polars_dates": pl.Series([datetime.date(2020, 1, 1)] * n),
        "polars_datetimes": pl.Series([datetime.datetime(2020, 1, 1)] * n),
        "polars_durations": pl.Series([datetime.timedelta(1)] * n),
        "polars_times": pl.Series([datetime.time(1)] * n),
        "polars_decimals": pl.Series([decimal.Decimal("0.3")] * n),
        "polars_objects": pl.Series([object()] * n, dtype=pl.Object),
        "lazy": pl.LazyFrame({"a": [1.0] * n}),
        "expression": pl.col("a"),
        "sparse": sparse.csr_matrix(np.ones((n, 1))),
        "sparse_array": sparse.coo_array(np.ones((n, 1))),
        "ordered_dict": OrderedDict(a=[1.0] * n),
        "generator": generator(),
        "range": range(n),
    }


def frames(n, p):
    """Return objects that stand for n rows of p features, made afresh, by name."""
    plain = np.ones((n, p))
    out = {}
    for name, column in columns(n).items():
        with contextlib.suppress(ValueError, TypeError, RuntimeError, AssertionError):
            out[f"pandas_{name}"] = pd.DataFrame({f"x{j}": plain[:, j] for j in range(p)}).assign(
                x0=column
            )
        if name.startswith("polars_"):
            out[name] = pl.DataFrame({"x0": column, **{f"x{j}": plain[:, j] for j in range(1, p)}})
    for name, value in scalars().items():
        out[f"rows_{name}"] = [[value] + [1.0] * (p - 1)] * n
    return {
        **out,
        "lazy": pl.DataFrame({f"x{j}": plain[:, j] for j in range(p)}).lazy(),
        "no_columns": pd.DataFrame(index=range(n)),
        "no_columns_polars": pl.DataFrame(),
        "structured": np.zeros(n, dtype=[("a", float), ("b", float)]),
        "generator_of_rows": (row for row in plain),
        "dict_of_columns": {f"x{j}": plain[:, j] for j in range(p)},
        "categorical_frame": pd.DataFrame(
            {f"x{j}": pd.Categorical(["a", "b"] * (n // 2)) for j in range(p)}
        ),
        "masked": np.ma.MaskedArray(
            plain,
            plain > 2.0,
        ),
        "masked_some": np.ma.MaskedArray(plain, np.arange(n * p).reshape(n, p) == 0),
        "void": np.zeros((n, p), dtype="V8"),
        "sparse": sparse.csr_matrix(plain),
    }


def fault_of(call, names):
    """Return what is wrong with how a call takes bad input; "" if it works or refuses by name.

    Parameters
    ----------
    call : callable
    names : str or tuple of str
        Of which the refusal must have one.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except (ValueError, TypeError) as error:
            return _fault_of_refusal(error, [names] if isinstance(names, str) else names)
        except Exception as error:  # noqa: BLE001  # this is what is looked for
            return f"{type(error).__name__}: {str(error)[:100]}"
    foreign = [str(w.message) for w in caught if not issubclass(w.category, OURS)]
    return f"warns: {foreign[0][:200]}" if foreign else ""


def _fault_of_refusal(error, names):
    message, frames_ = str(error), traceback.extract_tb(error.__traceback__)
    if not any("mixexp/" in frame.filename for frame in frames_):
        return ""  # Python's own: an unhashable key
    words = "|".join(map(re.escape, names))
    if not re.search(rf"(?<![A-Za-z_])({words})(?![A-Za-z_])", message):
        return f"names no argument: {message[:200]!r}"
    if not any(part in frames_[-1].filename for part in _SPEAKS):
        return f"from deep inside: {message[:200]!r} of {frames_[-1].filename}"
    return f"too long: {message[:200]!r}" if len(message) > _LONGEST else ""


def faults_of(call, objects, names):
    """Return what is wrong with how a call takes some objects, by their names."""
    found = {name: fault_of(lambda value=value: call(value), names) for name, value in objects}
    return {name: fault for name, fault in found.items() if fault}
