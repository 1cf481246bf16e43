"""Rows on Dask: the fits of memory, for any workers and in the face of faults, and lazy answers."""

import builtins
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from problems import UNPENALIZED, UNPENALIZED_CLASSES

from mixexp import ConformalRegressor, MoEClassifier, MoERegressor
from mixexp.data import DaskRows
from mixexp.displays import RootogramDisplay
from mixexp.exceptions import ClusterError, PartitionError
from mixexp.metrics import log_density_scorer
from mixexp.selection import regularization_path, stability_selection

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pd = pytest.importorskip("pandas")

REFERENCE = Path(__file__).parent / "reference"
# The tests' own scheduler runs in this thread: what others do to a fit is a matter of the cluster.
HERE = {"scheduler": "synchronous"}


def read_reference(name):
    """Return features and target, of at most 5000 rows: the test compares fits, not answers."""
    table = pd.read_csv(REFERENCE / f"{name}.csv.gz", nrows=5000)
    return table.drop(columns=["y", "z"]).to_numpy(), table["y"].to_numpy()


def chunks(n, n_parts):
    """Return sizes of unlike partitions."""
    ends = np.unique((np.linspace(0.0, 1.0, n_parts + 1) ** 1.5 * n).astype(int))
    return tuple(np.diff(ends).tolist())


def as_dask(X, y, n_parts):
    return da.from_array(X, chunks=(chunks(len(X), n_parts), 1)), da.from_array(y, chunks=len(y))


def two_lines(n=240):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2)) * [1.0, 50.0] + [0.0, 300.0]
    is_up = rng.random(n) < 1.0 / (1.0 + np.exp(-2.0 * X[:, 0]))
    return X, np.where(is_up, 1.0 + 2.0 * X[:, 0], -1.0 - X[:, 0]) + 0.4 * rng.normal(size=n)


MODELS = {
    "G1": MoERegressor(3, n_init=1, random_state=0, **UNPENALIZED),
    "P1": MoERegressor(3, expert="poisson", n_init=1, random_state=0, **UNPENALIZED),
    "B1": MoEClassifier(3, n_init=1, random_state=0, **UNPENALIZED_CLASSES),
}


@pytest.fixture(scope="module")
def held():
    """Return fits of reference sets in memory, and their standard errors."""
    known = {}

    def fit(name):
        if name not in known:
            X, y = read_reference(name)
            model = MODELS[name].fit(X, y)
            known[name] = X, y, model.coef_.copy(), model.log_likelihood_, errors_of(model, X, y)
        return known[name]

    return fit


def errors_of(model, *rows):
    return model.inference(*rows, kind="robust").std_errors


@pytest.mark.parametrize(
    ("name", "n_parts"),
    [("G1", 1), ("G1", 2), ("G1", 7), ("G1", 40), ("P1", 7), ("P1", 40), ("B1", 7), ("B1", 40)],
)
def test_partitions_are_fitted_as_rows_in_memory(name, n_parts, held):
    X, y, coef, log_likelihood, errors = held(name)
    rows = as_dask(X, y, n_parts)
    with dask.config.set(HERE):
        found = MODELS[name].fit(*rows)
        assert found.log_likelihood_ == pytest.approx(log_likelihood, rel=1e-10)
        np.testing.assert_allclose(found.coef_, coef, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(errors_of(found, *rows), errors, rtol=1e-6)


def test_frames_keep_their_names_and_delayed_partitions_their_weights():
    frames = pytest.importorskip("dask.dataframe")
    X, y = two_lines()
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    model = MoERegressor(2, n_init=1, random_state=0)
    expected = model.fit(X, y, weight).log_likelihood_
    frame = frames.from_pandas(pd.DataFrame(X, columns=["a", "b"]).assign(y=y, w=weight), 3)
    with dask.config.set(HERE):
        found = model.fit(frame[["a", "b"]], frame["y"], frame["w"])
        assert list(found.feature_names_in_) == ["a", "b"]
        assert found.log_likelihood_ == pytest.approx(expected, rel=1e-10)
        cuts = [(0, 0), (0, 100), (100, 240)]
        parts = [dask.delayed((X[a:b], y[a:b], weight[a:b])) for a, b in cuts]
        assert model.fit(parts).log_likelihood_ == pytest.approx(expected, rel=1e-10)
        unknown = frame[["a", "b"]].to_dask_array(), frame["y"].to_dask_array()
        model.fit(*unknown, frame["w"].to_dask_array())
        assert model.log_likelihood_ == pytest.approx(expected, rel=1e-10)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_lines()
    frame = pd.DataFrame(X, columns=["a", "b"])
    return MoERegressor(2, n_init=1, random_state=0).fit(frame, y), frame, y


CALLS = {
    "predict": lambda model, X, y: model.predict(X),
    "deviation": lambda model, X, y: model.predict(X, return_std=True)[1],
    "predict_quantile": lambda model, X, y: model.predict_quantile(X, [0.1, 0.5]),
    "gate_proba": lambda model, X, y: model.gate_proba(X),
    "predict_variance": lambda model, X, y: model.predict_variance(X).between,
    "route": lambda model, X, y: model.route(X, 1).weights,
    "responsibilities": lambda model, X, y: model.responsibilities(X, y),
    "log_density": lambda model, X, y: model.log_density(X, y),
    "predict_expert": lambda model, X, y: model.predict_expert(X, y),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_answers_are_lazy_dask_arrays(call, fitted):
    frames = pytest.importorskip("dask.dataframe")
    model, frame, y = fitted
    expected = call(model, frame, y)
    cut = frames.from_pandas(frame.assign(y=y), npartitions=3)
    plain = MoERegressor(2, init=model, n_init=1).fit(frame.to_numpy(), y)
    for own, rows in (
        (model, (cut[["a", "b"]], cut["y"])),
        (plain, as_dask(frame.to_numpy(), y, 3)),
    ):
        found = call(own, *rows)
        assert isinstance(found, da.Array)
        assert found.dtype == expected.dtype
        assert found.shape[1:] == expected.shape[1:]
        with dask.config.set(HERE):
            np.testing.assert_allclose(found.compute(), expected, rtol=1e-6)
    assert call(plain, *rows).shape == expected.shape


def test_scores_are_of_what_comes_lazily(fitted):
    frames = pytest.importorskip("dask.dataframe")
    model, frame, y = fitted
    rows = frames.from_pandas(frame.assign(y=y, w=np.arange(len(y)) % 3), npartitions=3)
    X, weight = rows[["a", "b"]], np.arange(len(y)) % 3
    with dask.config.set(HERE):
        for method in (model.score, model.log_likelihood, partial(log_density_scorer, model)):
            assert method(X, rows["y"]) == pytest.approx(method(frame, y), rel=1e-12)
            found = method(X, rows["y"], sample_weight=rows["w"])
            assert found == pytest.approx(method(frame, y, sample_weight=weight), rel=1e-12)


NOT_LAZILY = {
    "bootstrap": lambda model, X, y: model.bootstrap(X, y, n_resamples=2),
    "bootstrap_ratio_test": lambda model, X, y: model.bootstrap_ratio_test(model, X, y),
    "stability_selection": lambda model, X, y: stability_selection(model, X, y),
    "A choice among fits": lambda model, X, y: regularization_path(model, X, y),
    "A display": lambda model, X, y: RootogramDisplay.from_estimator(model, X, y),
    "ConformalRegressor": lambda model, X, y: ConformalRegressor(model).fit(X, y),
}


@pytest.mark.parametrize(("name", "call"), NOT_LAZILY.items(), ids=NOT_LAZILY)
def test_what_needs_rows_in_memory_says_so(name, call, fitted):
    frames = pytest.importorskip("dask.dataframe")
    model, frame, y = fitted
    rows = frames.from_pandas(frame.assign(y=y), npartitions=3)
    with pytest.raises(TypeError, match=f"^{name} needs rows in memory, but X is a Dask"):
        call(model, rows[["a", "b"]], rows["y"])


def test_empty_partitions_are_predicted_as_nothing_and_classes_keep_their_type():
    X, y = two_lines()
    labels = np.where(y > 0.0, "up", "down")
    model = MoEClassifier(2, n_init=1, random_state=0).fit(X, labels)
    parts = [dask.delayed((part, None)) for part in (X[:0], X[:100], X[100:])]
    with dask.config.set(HERE):
        found = model.predict(DaskRows(parts))
        assert found.dtype == labels.dtype
        np.testing.assert_array_equal(found.compute(), model.predict(X))
        assert model.predict_proba(DaskRows(parts)).compute().shape == (240, 2)


def failing(message):
    raise OSError(message)


BAD = {
    "differing columns": (
        lambda X, y: ([(X, y), (X[:, :1], y)], {}),
        ValueError,
        r"Partition 1 .* number of columns",
    ),
    "other names": (
        lambda X, y: (
            [(pd.DataFrame(X, columns=list("ab")), y), (pd.DataFrame(X, columns=list("ba")), y)],
            {},
        ),
        ValueError,
        r"Partition 1 of the source has columns",
    ),
    "NaN": (
        lambda X, y: ([(X, y), (np.where(X > 400.0, np.nan, X), y)], {}),
        ValueError,
        r"Partition 1 of the source: .*column.* 1",
    ),
    "ragged": (
        lambda X, y: ([(X, y), (X, y[1:])], {}),
        ValueError,
        r"Partition 1 of the source: .*length|Partition 1 of the source: .*239",
    ),
    "strings": (
        lambda X, y: ([(pd.DataFrame({"a": ["x"] * len(y)}), y)], {}),
        (ValueError, TypeError),
        r"Partition 0 of the source: .*'a'",
    ),
    "no partition at all": (lambda X, y: ([(X[:0], y[:0])], {}), ValueError, "no row"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_partition_is_named(case):
    make, kind, message = BAD[case]
    batches, options = make(*two_lines())
    model = MoERegressor(2, n_init=1)
    with dask.config.set(HERE), pytest.raises(kind, match=message):
        model.fit([dask.delayed(batch, traverse=False) for batch in batches], **options)
    assert vars(model) == vars(MoERegressor(2, n_init=1))


def test_a_partition_that_raises_is_named():
    X, y = two_lines()
    parts = [dask.delayed((X, y)), dask.delayed(failing)("disk on fire")]
    message = "Partition 1 of the source could not be made: OSError: disk on fire"
    with dask.config.set(HERE), pytest.raises(PartitionError, match=message):
        MoERegressor(2, n_init=1).fit(parts)


def test_collections_that_do_not_match_are_refused():
    X, y = two_lines()
    cut, whole = as_dask(X, y, 3)
    model = MoERegressor(2, n_init=1)
    with pytest.raises(ValueError, match="y has 239 rows, but X has 240"):
        model.fit(cut, whole[1:])
    with pytest.raises(TypeError, match="y must be a Dask collection where X is one"):
        model.fit(cut, y)
    unknown = whole.rechunk(60)
    unknown._chunks = ((np.nan,) * 4,)
    with pytest.raises(ValueError, match="y has 4 partitions, but X has 3"):
        model.fit(cut, unknown)
    with pytest.raises(ValueError, match="has 1 dimensions"):
        model.fit(whole, whole)
    with pytest.raises(ValueError, match="sample_weight comes with the rows of delayed"):
        model.fit([dask.delayed((X, y))], sample_weight=whole)
    with pytest.raises(TypeError, match="Partition 1 must be delayed"):
        DaskRows([dask.delayed((X, y)), (X, y)])
    with pytest.raises(ValueError, match="'n_experts' parameter is 'auto'"):
        MoERegressor("auto").fit(cut, whole)


@pytest.mark.parametrize(
    ("missing", "make", "extra"),
    [
        ("dask", lambda: DaskRows([1]), "dask"),
        ("pyarrow", lambda: __import__("mixexp").data.ParquetRows("x", ["a"]), "parquet"),
    ],
)
def test_what_is_not_installed_is_named(missing, make, extra, monkeypatch):
    found = builtins.__import__

    def without(name, *args, **options):
        if name.partition(".")[0] == missing:
            raise ImportError(name)
        return found(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"pip install 'mixexp\[{extra}\]'"):
        make()


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as found,
        distributed.Client(found) as client,
    ):
        yield found, client


class Mortal:
    """Makes a partition; at its n-th call, whoever counts, its process dies."""

    def __init__(self, batch, counter, n):
        self.batch, self.counter, self.n = batch, str(counter), n

    def __call__(self):
        with open(self.counter, "a") as file:
            file.write("x")
        if os.path.getsize(self.counter) == self.n:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.batch


@pytest.mark.slow
def test_workers_agree_to_the_bit_and_may_die(cluster, tmp_path):
    X, y = two_lines()
    model, parts = MoERegressor(2, n_init=1, random_state=0), [(0, 50), (50, 130), (130, 240)]
    batches = [(X[a:b], y[a:b]) for a, b in parts]
    with dask.config.set(HERE):
        here = model.fit([dask.delayed(batch) for batch in batches])
        bits = here.log_likelihood_.hex(), here.coef_.tobytes()
    found = model.fit([dask.delayed(batch) for batch in batches])
    assert (found.log_likelihood_.hex(), found.coef_.tobytes()) == bits
    dying = [Mortal(batches[0], tmp_path / "calls", 5).__call__]
    lazy = [dask.delayed(one, pure=False)() for one in dying]
    lazy += [dask.delayed(batch) for batch in batches[1:]]
    found = model.fit(lazy)
    assert os.path.getsize(tmp_path / "calls") > 5
    assert (found.log_likelihood_.hex(), found.coef_.tobytes()) == bits


@pytest.mark.slow
def test_a_cluster_without_workers_is_given_up(cluster):
    local, client = cluster
    X, y = two_lines()
    model = MoERegressor(2, n_init=1, random_state=0).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(PartitionError, match=r"Partition 1 .*OSError: disk on fire"):
        model.fit([dask.delayed((X, y)), dask.delayed(failing)("disk on fire")])
    local.scale(0)
    while client.scheduler_info(n_workers=-1)["workers"]:
        pass
    with pytest.raises(ClusterError, match="no worker for 1 seconds"):
        model.fit(DaskRows([dask.delayed((X, y))], patience=1.0))
    assert vars(model) == before
