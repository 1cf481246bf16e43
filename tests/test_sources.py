"""Rows from sources: the same fits as in memory, whatever the partitions, and named errors."""

from itertools import pairwise

import numpy as np
import pytest

from mixexp import MoEClassifier, MoERegressor
from mixexp.data import Batches, ParquetRows


def cut(X, y, n, weight=None):
    """Cut rows into n batches of unlike sizes."""
    ends = np.unique((np.linspace(0.0, 1.0, n + 1) ** 1.5 * len(y)).astype(int))
    parts = [slice(a, b) for a, b in pairwise(ends)]
    if weight is None:
        return [(X[at], y[at]) for at in parts]
    return [(X[at], y[at], weight[at]) for at in parts]


@pytest.fixture(scope="module")
def two_lines():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) * [1.0, 50.0] + [0.0, 300.0]
    is_up = rng.random(600) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    y = np.where(is_up, 1.0 + 2.0 * X[:, 0], -1.0 - X[:, 0]) + 0.4 * rng.normal(size=600)
    return X, y, rng.integers(1, 4, 600).astype(float)


TARGETS = {
    "gaussian": lambda y: y,
    "student_t": lambda y: y,
    "poisson": lambda y: np.floor(np.exp(np.clip(y, -1.0, 2.5))),
    "gamma": lambda y: np.exp(0.3 * y),
}


@pytest.mark.parametrize("family", TARGETS)
@pytest.mark.parametrize("n", [7, 40])
def test_batches_are_fitted_as_rows_in_memory(family, n, two_lines, fits):
    X, y, weight = two_lines
    y = TARGETS[family](y)
    held = fits(family, X, y, weight)
    found = MoERegressor(2, expert=family, n_init=1, random_state=0).fit(
        Batches(cut(X, y, n, weight))
    )
    assert found.log_likelihood_ == pytest.approx(held.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(found.coef_, held.coef_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.gate_coef_, held.gate_coef_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.diagnostics_.importance, held.diagnostics_.importance)


@pytest.fixture(scope="module")
def fits():
    known = {}

    def fit(family, X, y, weight):
        if family not in known:
            model = MoERegressor(2, expert=family, n_init=1, random_state=0)
            known[family] = model.fit(X, y, weight)
        return known[family]

    return fit


def test_classes_are_learned_of_all_batches(two_lines):
    X, y, _ = two_lines
    labels = np.where(y > 1.0, "high", "low")
    order = np.argsort(labels, kind="stable")
    held = MoEClassifier(2, n_init=1, random_state=0).fit(X[order], labels[order])
    found = MoEClassifier(2, n_init=1, random_state=0).fit(Batches(cut(X[order], labels[order], 5)))
    assert list(found.classes_) == ["high", "low"]
    assert found.log_likelihood_ == pytest.approx(held.log_likelihood_, rel=1e-10)


def test_what_is_wrong_with_a_partition_is_named(two_lines):
    X, y, _ = two_lines
    bad = X.copy()
    bad[400, 1] = np.nan
    model = MoERegressor(2, n_init=1)
    with pytest.raises(ValueError, match=r"Partition 2 of the source: .*column.* 1"):
        model.fit(Batches([(X[:50], y[:50]), (X[50:300], y[50:300]), (bad[300:], y[300:])]))
    with pytest.raises(ValueError, match=r"Partition 1 .* number of columns"):
        model.fit(Batches([(X[:50], y[:50]), (X[50:, :1], y[50:])]))
    with pytest.raises(TypeError, match="can be iterated once"):
        model.fit(iter([(X, y)]))
    with pytest.raises(ValueError, match="sample_weight comes with the rows"):
        model.fit(Batches([(X, y)]), sample_weight=np.ones(600))
    assert not hasattr(model, "coef_")


class Changing:
    """Loses a row after some passes."""

    def __init__(self, X, y):
        self.X, self.y, self.n_passes = X, y, 0

    def __len__(self):
        return 1

    def __iter__(self):
        self.n_passes += 1
        kept = slice(self.n_passes > 4, None)
        yield self.X[kept], self.y[kept]


def test_rows_that_change_between_passes_are_refused(two_lines):
    X, y, _ = two_lines
    with pytest.raises(ValueError, match="has changed between passes: 599 rows"):
        MoERegressor(2, n_init=1).fit(Changing(X, y))


def test_empty_partitions_and_those_without_weight_are_passed_over(two_lines):
    X, y, weight = two_lines
    batches = [(X[:0], y[:0], weight[:0]), (X, y, weight), (X, y, np.zeros(600))]
    found = MoERegressor(2, n_init=1, random_state=0).fit(Batches(batches))
    held = MoERegressor(2, n_init=1, random_state=0).fit(X, y, weight)
    assert found.log_likelihood_ == pytest.approx(held.log_likelihood_, rel=1e-10)


def test_parquet_files_are_fitted_with_their_names_and_errors(two_lines, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    X, y, weight = two_lines
    columns = {"a": X[:, 0], "b": X[:, 1], "y": y, "w": weight}
    for part in (slice(0, 250), slice(250, 600)):
        table = pa.table({name: values[part] for name, values in columns.items()})
        parquet.write_table(table, tmp_path / f"{part.start}.parquet")
    source = ParquetRows(tmp_path, ["a", "b"], "y", "w", batch_rows=100)
    held = MoERegressor(2, n_init=1, random_state=0).fit(X, y, weight)
    found = MoERegressor(2, n_init=1, random_state=0).fit(source)
    assert list(found.feature_names_in_) == ["a", "b"]
    assert found.log_likelihood_ == pytest.approx(held.log_likelihood_, rel=1e-10)
    for kind in ("model", "robust"):
        own = found.inference(source, kind=kind).std_errors
        np.testing.assert_allclose(
            own, held.inference(X, y, weight, kind=kind).std_errors, rtol=1e-6
        )
    with pytest.raises(ValueError, match="no column 'c'"):
        ParquetRows(tmp_path, ["a", "c"], "y")
    parquet.write_table(pa.table({"a": ["low"], "y": [1.0]}), tmp_path / "text")
    with pytest.raises(TypeError, match="Column 'a' of the files holds string"):
        ParquetRows(tmp_path / "text", ["a"], "y")


def test_parquet_files_may_differ_in_order_and_types_of_columns(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1.0, 2.5], "y": [0.5, 1.0]}), tmp_path / "0.parquet")
    others = {"y": pa.array([2, 3], pa.int32()), "more": ["u", "v"], "a": pa.array([4, 7])}
    parquet.write_table(pa.table(others), tmp_path / "1.parquet")
    batches = list(ParquetRows(tmp_path, ["a"], "y", batch_rows=10))
    assert [batch.X.values.ravel().tolist() for batch in batches] == [[1.0, 2.5], [4.0, 7.0]]
    assert [batch.y.tolist() for batch in batches] == [[0.5, 1.0], [2.0, 3.0]]
    assert len(ParquetRows(tmp_path, ["a"], "y")) == 2
