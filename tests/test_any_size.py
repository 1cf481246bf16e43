"""Rows beyond memory: sampled starts, what is known of rows, and predictions from and to files."""

import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from mixexp import EM, Checkpoint, MoEClassifier, MoERegressor
from mixexp.data import Batches, ParquetRows, write_parquet
from mixexp.exceptions import CheckpointError


def draw(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    is_up = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    return X, np.where(is_up, 1.0 + 2.0 * X[:, 1], -1.0 - X[:, 1]) + 0.4 * rng.normal(size=n)


def cut(n_parts, X):
    """Return slices of unlike sizes that hold all rows."""
    ends = np.unique((np.linspace(0.0, 1.0, n_parts + 1) ** 1.5 * len(X)).astype(int))
    return [slice(a, b) for a, b in pairwise(ends)]


def test_many_rows_start_from_a_sample(tmp_path):
    X, y = draw(130_000)  # more than 125 000: starts compete on 50 000 of them
    stored = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=X.shape)
    stored[:] = X
    source = Batches([(stored[at], y[at]) for at in cut(3, X)])
    model = MoERegressor(2, n_init=2, random_state=0)
    found = model.fit(source)
    held = MoERegressor(2, init=found, random_state=0).fit(np.asarray(stored), y)
    assert found.converged_
    assert held.log_likelihood_ == pytest.approx(found.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(found.coef_, [[0.0, -1.0], [0.0, 2.0]], atol=0.02)


def as_known(kind, y, rng):
    """Return a family, its y and what is known of each row."""
    n = len(y)
    exposure, trials = rng.uniform(0.5, 2.0, n), rng.integers(1, 6, n)
    rate = np.exp(np.clip(0.5 * y, -2.0, 2.0))
    return {
        "offset": ("gaussian", y, {"offset": rng.normal(size=n)}),
        "exposure": ("poisson", rng.poisson(rate * exposure).astype(float), {"exposure": exposure}),
        "trials": ("binomial", rng.binomial(trials, 1.0 / (1.0 + rate)), {"trials": trials}),
        "groups": ("gaussian", y, {"groups": np.repeat(np.arange(n // 4), 4)}),
    }[kind]


@pytest.mark.parametrize("kind", ["offset", "exposure", "trials", "groups"])
def test_what_is_known_of_rows_comes_with_the_batches(kind):
    X, y = draw(400)
    family, y, given = as_known(kind, y, np.random.default_rng(1))
    seen = {"gate_features": []} if kind == "groups" else {}
    parts = [slice(a, b) for a, b in pairwise([0, 40, 200, 400])]
    batches = [(X[at], y[at], None, {k: v[at] for k, v in given.items()}) for at in parts]
    model = MoERegressor(2, expert=family, n_init=1, random_state=0, **seen)
    held = model.fit(X, y, **given)
    density, errors = held.log_density(X, y, **given), held.inference(X, y, **given).std_errors
    found = model.fit(Batches(batches))
    assert found.log_likelihood_ == pytest.approx(density.sum(), rel=1e-10)
    by_batch = np.concatenate(list(found.log_density(Batches(batches))))
    np.testing.assert_allclose(by_batch, density, rtol=1e-6, atol=1e-8)
    for kind_of_error in ("model", "robust"):
        ours = found.inference(Batches(batches), kind=kind_of_error).std_errors
        if kind_of_error == "model":
            np.testing.assert_allclose(ours, errors, rtol=1e-6)
    np.testing.assert_allclose(
        ours, found.inference(X, y, kind="robust", **given).std_errors, rtol=1e-6
    )


class Once:
    """Has a length and an __iter__, but gives the same exhausted generator again."""

    def __init__(self, batches):
        self._made, self._n = iter(batches), len(batches)

    def __len__(self):
        return self._n

    def __iter__(self):
        return self._made


class Shrinking:
    """Leaves out its last batch from some pass on."""

    def __init__(self, batches, n_whole):
        self.batches, self.n_whole, self.n_passes = batches, n_whole, 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.n_passes += 1
        return iter(self.batches[: None if self.n_passes <= self.n_whole else -1])


@pytest.mark.parametrize("n_whole", [1, 2, 3, 6])
def test_partitions_that_are_left_out_later_are_missed(n_whole):
    X, y = draw(200)
    batches = [(X[:150], y[:150]), (X[150:], y[150:])]
    model = MoERegressor(2, n_init=1)
    with pytest.raises(ValueError, match="gave 1 partitions, but 2 in its first pass"):
        model.fit(Batches(Shrinking(batches, n_whole)))
    with pytest.raises(ValueError, match=r"gave 0 partitions.*passed over once only"):
        model.fit(Batches(Once(batches)))
    assert vars(model) == vars(MoERegressor(2, n_init=1))


def test_weights_that_are_no_counts_are_doubted():
    X, y = draw(300)
    weight = np.random.default_rng(0).uniform(0.1, 0.3, 300)
    batches = [(X[at], y[at], weight[at]) for at in (slice(0, 100), slice(100, 300))]
    model = MoERegressor(2, n_init=1, random_state=0).fit(Batches(batches))
    with pytest.warns(match="sample_weight holds fractions"):
        model.inference(Batches(batches), kind="robust")


@pytest.fixture(scope="module")
def fitted():
    X, y = draw(500)
    return MoERegressor(2, n_init=1, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize(
    "call",
    [
        lambda model, *rows: model.predict(*rows[:1]),
        lambda model, *rows: model.predict_quantile(rows[0], [0.1, 0.9]),
        lambda model, *rows: model.gate_proba(rows[0]),
        lambda model, *rows: model.predict_interval(rows[0], 0.8),
        lambda model, *rows: model.responsibilities(*rows),
        lambda model, *rows: model.log_density(*rows),
        lambda model, *rows: model.predict_variance(rows[0]),
        lambda model, *rows: model.route(rows[0], 1),
    ],
)
def test_sources_are_predicted_batch_by_batch(call, fitted):
    model, X, y = fitted
    found = call(model, Batches([(X[:80], y[:80]), (X[80:], y[80:])]))
    assert not isinstance(found, np.ndarray | list)
    parts, expected = list(found), call(model, X, y)
    if isinstance(expected, tuple):
        assert all(type(part) is type(expected) for part in parts)
        parts, expected = [np.column_stack(part) for part in parts], np.column_stack(expected)
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize("name", ["predict_dist", "sample", "score", "criteria", "log_likelihood"])
def test_what_needs_rows_in_memory_refuses_sources_by_name(name, fitted):
    model, X, y = fitted
    rest = () if name in ("predict_dist", "sample") else (None,)
    with pytest.raises(TypeError, match="X is a source of rows in partitions, Batches"):
        getattr(model, name)(Batches([(X, y)]), *rest)


def test_sources_of_several_targets_are_refused_by_name():
    X, y = draw(100)
    with pytest.raises(ValueError, match="Partition 0 of the source: y has 2 columns"):
        MoERegressor(2, n_init=1).fit(Batches([(X, np.column_stack([y, y]))]))


def test_what_is_wrong_with_a_batch_is_named_where_it_is_predicted(fitted):
    model, X, y = fitted
    with pytest.raises(ValueError, match=r"Partition 1 of the source: X has 1 features"):
        list(model.predict(Batches([(X, y), (X[:, :1], y)])))
    with pytest.raises(ValueError, match="offset comes with the rows of a source"):
        model.predict(Batches([(X, y)]), offset=y)


def write_rows(path, X, y):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"a": X[:, 0], "b": X[:, 1], "y": y, "key": [f"row {i}" for i in range(len(y))]}
    parquet.write_table(pa.table(columns), path, row_group_size=200)


def test_predictions_go_from_parquet_to_parquet(tmp_path, fitted):
    model, X, y = fitted
    write_rows(tmp_path / "rows.parquet", X, y)
    from pyarrow import parquet

    source = ParquetRows(tmp_path / "rows.parquet", ["a", "b"], batch_rows=150)
    methods = {"predict": {}, "predict_quantile": {"q": [0.05, 0.95]}, "gate_proba": {}}
    methods["predict_variance"] = {}
    path = tmp_path / "predicted.parquet"
    assert write_parquet(path, model, source, methods, keep=["key"]) == 500
    table = parquet.read_table(path)
    assert table.column_names == [
        "key",
        "predict",
        "predict_quantile_0.05",
        "predict_quantile_0.95",
        "gate_proba_0",
        "gate_proba_1",
        "predict_variance_total",
        "predict_variance_within",
        "predict_variance_between",
    ]
    between = model.predict_variance(X).between
    np.testing.assert_array_equal(table["predict_variance_between"].to_numpy(), between)
    assert table["key"].to_pylist()[-1] == "row 499"
    np.testing.assert_array_equal(table["predict"].to_numpy(), model.predict(X))
    np.testing.assert_array_equal(table["gate_proba_1"].to_numpy(), model.gate_proba(X)[:, 1])
    labels = np.where(y > 0.0, "up", "down")
    classes = MoEClassifier(2, n_init=1, random_state=0).fit(X, labels)
    write_parquet(path, classes, Batches([(X, y)]), ["predict", "predict_proba"])
    assert parquet.read_table(path).column_names == [
        "predict",
        "predict_proba_down",
        "predict_proba_up",
    ]


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path, fitted):
    model, X, y = fitted
    pytest.importorskip("pyarrow")
    path, bad = tmp_path / "predicted.parquet", X.copy()
    bad[400, 1] = np.nan
    batches = Batches([(X[:300], y[:300]), (bad[300:], y[300:])])
    with pytest.raises(ValueError, match=r"Partition 1 of the source: .*column.* 1"):
        write_parquet(path, model, batches)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="methods names 'predict_mean', which MoERegressor has"):
        write_parquet(path, model, batches, ["predict_mean"])
    with pytest.raises(ValueError, match="keep names columns of Parquet files"):
        write_parquet(path, model, batches, keep=["key"])


def test_a_batch_of_no_rows_has_predictions_of_no_rows(fitted):
    model, X, y = fitted
    batches = Batches([(X[:0], y[:0]), (X, y)])
    for method, options in (
        ("predict", {}),
        ("predict_quantile", {"q": [0.1, 0.9]}),
        ("gate_proba", {}),
        ("log_density", {}),
    ):
        none, every = getattr(model, method)(batches, **options)
        assert none.shape == (0, *every.shape[1:])
    none, every = model.predict_variance(batches)
    assert len(none.between) == 0
    assert len(every.between) == len(y)
    none, _ = model.predict(batches, return_std=True)
    assert [part.shape for part in none] == [(0,), (0,)]


def test_arguments_of_parquet_files_are_checked_by_name(tmp_path, fitted):
    model, X, y = fitted
    path = tmp_path / "rows.parquet"
    write_rows(path, X, y)
    for error, message, options in (
        (TypeError, "path must be a file or directory", {"path": 3}),
        (TypeError, "features must be a list of names of columns. Got 'a'", {"features": "a"}),
        (TypeError, "features must be a list of names of columns. Got", {"features": [0]}),
        (ValueError, "features holds 'y', which is the target", {"features": ["a", "y"]}),
        (ValueError, "'batch_rows' parameter must be an int of at least 1", {"batch_rows": 0}),
    ):
        with pytest.raises(error, match=message):
            ParquetRows(**{"path": path, "features": ["a", "b"], "target": "y", **options})
    source = ParquetRows(path, np.array(["a", "b"]))
    before = path.read_bytes()
    for error, message, options in (
        (ValueError, "path is .* which the source is read from", {"path": path}),
        (ValueError, "methods names 'fit', with which MoERegressor returns no", {"methods": "fit"}),
        (TypeError, "methods must be a list of names, or a mapping", {"methods": 3}),
        (TypeError, "keep must be a list of names of columns", {"keep": "key"}),
        (TypeError, "path must be that of a file", {"path": None}),
    ):
        with pytest.raises(error, match=message):
            write_parquet(**{"path": tmp_path / "new", "model": model, "source": source, **options})
    assert path.read_bytes() == before


class Breaking:
    """Breaks in some pass."""

    def __init__(self, batches, n_passes):
        self.batches, self.n_left = batches, n_passes

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.n_left -= 1
        if self.n_left < 0:
            raise OSError("the disk is gone")
        return iter(self.batches)


def test_a_fit_to_a_source_goes_on_where_it_broke(tmp_path):
    X, y = draw(400)
    batches = [(X[at], y[at]) for at in cut(3, X)]
    model = MoERegressor(2, n_init=3, random_state=0)
    if not hasattr(model, "set_callbacks"):
        pytest.skip("callbacks are of scikit-learn 1.9")
    counting = Breaking(batches, 1000)
    whole = model.fit(Batches(counting)).coef_.tobytes()
    path, n_before = tmp_path / "fit.json", 1000 - counting.n_left - 8
    broken = MoERegressor(2, n_init=3, random_state=0).set_callbacks(Checkpoint(path, iterations=1))
    with pytest.raises(OSError, match="the disk is gone"):
        broken.fit(Batches(Breaking(batches, n_before)))
    assert not hasattr(broken, "coef_")
    found = MoERegressor(2, n_init=3, random_state=0).fit(Batches(batches), resume=path)
    assert found.coef_.tobytes() == whole
    with pytest.raises(CheckpointError, match="other data: X"):
        MoERegressor(2, n_init=3, random_state=0).fit(
            Batches([(X + 1.0, y) for X, y in batches]), resume=path
        )


class Made:
    """Batches that are drawn when they are asked for, so that none of them stays."""

    def __init__(self, n_batches):
        self._n_batches = n_batches

    def __len__(self):
        return self._n_batches

    def __iter__(self):
        return (draw(10_000, seed) for seed in range(self._n_batches))


def peak_of_fit(n_batches):
    model = MoERegressor(2, n_init=1, random_state=0, max_iter=1, solver=EM(n_moves=0))
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(Made(n_batches))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_batches():
    peak_of_fit(20)  # compiles
    assert peak_of_fit(120) < 1.1 * peak_of_fit(20)
