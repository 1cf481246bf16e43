"""Blocks made when asked for: the same bits as kept ones, and memory that X does not set.

Features may come in any float type and memory layout; none of it changes a bit of a fit, and
none of it makes a copy of X.
"""

import threading
import time
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import polars as pl
import pytest
from problems import simulate_regimes

from mixexp import HMERegressor, MoEClassifier, MoERegressor
from mixexp.data import RowArguments, cut_features, cut_rows, run_blocks, weighted_scaling
from mixexp.data import _blocks as blocks_module

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 9000  # three blocks
LAYOUTS = {
    "float32": lambda X: X,
    "float32, Fortran order": np.asfortranarray,
    "float64": lambda X: X.astype(np.float64),
    "float64, Fortran order": lambda X: np.asfortranarray(X, dtype=np.float64),
    "float64, every other row and column": lambda X: np.repeat(
        np.repeat(X.astype(np.float64), 2, axis=0), 2, axis=1
    )[::2, ::2],
    "float64, backwards": lambda X: np.ascontiguousarray(X[::-1], dtype=np.float64)[::-1],
}


def data(seed=0, n=N_ROWS):
    """Return features in float32, so that every layout holds the same numbers."""
    found = simulate_regimes(np.random.default_rng(seed), n, p=3)
    return found.X.astype(np.float32), found.y


def read_only(X):
    X.flags.writeable = False
    return X


def bits(model, X, y):
    """Return everything that a fit and its predictions come to."""
    parts = [model.history_, model.coef_, model.intercept_, *model.gate_coef_]
    parts += [model.predict(X), model.gate_proba(X), model.log_density(X, y)]
    return b"".join(np.asarray(part).tobytes() for part in parts)


CASES = {
    "gaussian": (MoERegressor(2, n_init=2, max_iter=30, random_state=0), {}),
    "tree, poisson": (HMERegressor((2, 2), expert="poisson", n_init=1, max_iter=10), {}),
    "two families": (MoERegressor(2, expert=["gaussian", "student_t"], max_iter=5, n_init=1), {}),
    "classes": (MoEClassifier(2, n_init=1, max_iter=10, random_state=0), {}),
    "separate features": (
        MoERegressor(2, expert_features=[0, 1], gate_features=[2], n_init=1, max_iter=5),
        {},
    ),
    "weights": (MoERegressor(2, n_init=1, max_iter=10), {"sample_weight": True}),
    "offset": (MoERegressor(2, n_init=1, max_iter=10), {"offset": True}),
}


def target_of(name, y):
    if name == "tree, poisson":
        return np.floor(np.abs(y))
    return (y > 0.0).astype(int) if name == "classes" else y


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_blocks_made_on_demand_have_the_bits_of_kept_ones(name, n_jobs, monkeypatch):
    X, y = data()
    model, options = CASES[name]
    model.set_params(random_state=0)
    rng = np.random.default_rng(1)
    # Weights of zero too: rows that are left out by their numbers.
    vectors = {"sample_weight": rng.integers(0, 3, N_ROWS), "offset": rng.standard_normal(N_ROWS)}
    options = {option: vectors[option] for option in options}
    y = target_of(name, y)
    kept = bits(model.set_params(n_jobs=1).fit(X, y, **options), X, y)
    monkeypatch.setattr(blocks_module, "KEPT_BYTES", 0)
    assert bits(model.set_params(n_jobs=n_jobs).fit(X, y, **options), X, y) == kept


@pytest.mark.parametrize("kept_bytes", [0, blocks_module.KEPT_BYTES], ids=["on demand", "kept"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_type_and_layout_of_features_change_no_bit(layout, kept_bytes, monkeypatch):
    X, y = data()
    weight = np.random.default_rng(1).integers(0, 2, N_ROWS)
    model = MoERegressor(2, n_init=1, max_iter=5, random_state=0)
    plain = X.astype(np.float64)
    expected = bits(model.fit(plain, y, sample_weight=weight), plain, y)
    monkeypatch.setattr(blocks_module, "KEPT_BYTES", kept_bytes)
    given = read_only(LAYOUTS[layout](X))
    assert bits(model.fit(given, y, sample_weight=weight), given, y) == expected


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, ">f8"])
def test_other_numbers_are_cast(dtype):
    X, y = data(n=300)
    X = np.round(X).clip(0, 3).astype(dtype)
    model = MoERegressor(2, n_init=1, max_iter=5, random_state=0)
    expected = bits(model.fit(X.astype(np.float64), y), X.astype(np.float64), y)
    assert bits(model.fit(X, y), X, y) == expected


def test_rows_of_weight_zero_leave_no_trace():
    X, y = data()
    is_used = np.random.default_rng(1).random(N_ROWS) < 0.7
    X[~is_used] = 1e30
    model = MoERegressor(2, n_init=1, max_iter=5, random_state=0)
    removed = bits(model.fit(X[is_used], y[is_used]), X[is_used], y[is_used])
    model.fit(X, y, sample_weight=is_used.astype(float))
    assert bits(model, X[is_used], y[is_used]) == removed


# Memory.

N_MANY, P_MANY = 100_000, 44


@pytest.fixture(scope="module")
def many_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_MANY, P_MANY), dtype=np.float32)
    return X, np.abs(X[:, 0]) + 0.1 * rng.standard_normal(N_MANY)


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("layout", ["float32", "float64", "float64, Fortran order"])
@pytest.mark.parametrize("zero_weights", [False, True], ids=["all rows", "zero weights"])
def test_nothing_of_the_size_of_the_features_is_made(many_rows, layout, zero_weights):
    """A copy in float32 would be 22 vectors of length n; a fit of two experts makes some 17."""
    X, y = LAYOUTS[layout](many_rows[0]), many_rows[1]
    weight = None
    if zero_weights:
        weight = np.ones(N_MANY)
        weight[::50] = 0.0  # still more than are kept
    model = MoERegressor(2, n_init=1, max_iter=2, random_state=0, n_jobs=2)
    # All features are standardised whichever are used; with few the passes take no time.
    model.set_params(expert_features=[0, 1], gate_features=[0])
    model.fit(X[:200], y[:200])  # compiles kernels
    assert 0.98 * 8 * N_MANY * (1 + P_MANY) > blocks_module.KEPT_BYTES
    size_of_copy = 4 * N_MANY * P_MANY
    assert peak_bytes(lambda: model.fit(X, y, sample_weight=weight)) < size_of_copy
    assert peak_bytes(lambda: model.predict(X)) < size_of_copy
    assert peak_bytes(lambda: model.log_density(X, y)) < size_of_copy


FRAMES = {
    "polars": lambda X: pl.DataFrame({f"x{j}": X[:, j] for j in range(X.shape[1])}),
    "pandas": lambda X: pd.DataFrame({f"x{j}": X[:, j] for j in range(X.shape[1])}),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_are_not_copied(many_rows, kind):
    X, y = many_rows[0].astype(np.float64), many_rows[1]
    frame = FRAMES[kind](X)
    model = MoERegressor(2, n_init=1, max_iter=2, random_state=0, n_jobs=2)
    model.set_params(expert_features=[0, 1], gate_features=[0])
    model.fit(frame[:200], y[:200])  # compiles kernels
    for function in (
        lambda: model.fit(frame, y),
        lambda: model.predict(frame),
        lambda: model.log_density(frame, y),
    ):
        assert peak_bytes(function) < 4 * N_MANY * P_MANY


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_change_no_bit(kind):
    X, y = data()
    X = X.astype(np.float64)
    weight = np.random.default_rng(1).integers(0, 2, N_ROWS)
    model = MoERegressor(2, n_init=1, max_iter=5, random_state=0)
    expected = bits(model.fit(X, y, sample_weight=weight), X, y)
    frame = FRAMES[kind](X)
    assert bits(model.fit(frame, y, sample_weight=weight), frame, y) == expected


class Fleeting:
    """A sequence that makes its items when they are asked for, and counts those alive."""

    def __init__(self, n):
        self.n, self.n_alive, self.most_alive = n, 0, 0
        self._lock = threading.Lock()

    def __len__(self):
        return self.n

    def __getitem__(self, at):
        if at >= self.n:
            raise IndexError(at)
        item = np.full(2, at)
        with self._lock:
            self.n_alive += 1
            self.most_alive = max(self.most_alive, self.n_alive)
        weakref.finalize(item, self._forget)
        return item

    def _forget(self):
        with self._lock:
            self.n_alive -= 1


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_no_more_blocks_exist_than_threads(n_threads):
    def function(item):
        time.sleep(0.001)
        return int(item[0])

    items = Fleeting(50)
    assert list(run_blocks(function, items, n_threads)) == list(range(50))
    assert items.most_alive <= n_threads


# Blocks and scaling.


def test_blocks_are_a_sequence():
    X, _ = data()
    weight = np.arange(1.0, N_ROWS + 1.0)
    blocks = cut_features(X, weighted_scaling(X, weight), RowArguments(weight))
    assert len(blocks) == len(list(blocks)) == len(list(cut_rows(N_ROWS))) == 3
    np.testing.assert_array_equal(blocks[-1].features.values, blocks[2].features.values)
    np.testing.assert_array_equal(
        np.concatenate([block.weight for block in blocks.without_features]), weight
    )
    assert all(block.features.shape == (4, len(block.weight)) for block in blocks)
    assert all(block.features.values.flags.c_contiguous for block in blocks)
    with pytest.raises(IndexError):
        blocks[3]
    halved = blocks.map_blocks(lambda block, part: block.reweighted(part), [0.0, 1.0, 2.0])
    assert [block.weight for block in halved] == [0.0, 1.0, 2.0]


def scaling_twin(X, weight):
    """Return mean and standard deviation, in extended precision where there is one."""
    X, share = X.astype(np.longdouble), (weight / weight.sum()).astype(np.longdouble)
    center = share @ X
    largest = np.abs(X - center).max(axis=0)
    return center, largest * np.sqrt(share @ ((X - center) / largest) ** 2)


@pytest.mark.parametrize("n", [1, 2, 4096, 4097, 20_000])
@pytest.mark.parametrize("leaves_out", [False, True], ids=["all", "some"])
def test_scaling_is_that_of_all_rows_together(n, leaves_out):
    """Rounding of a mean about a first guess is some n machine epsilons of the spread."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((2 * n, 5)) * [1.0, 1.0, 1e-200, 1e200, 0.0]
    X += [0.0, 1e9, 0.0, 0.0, 7.0]
    chosen = np.sort(rng.choice(2 * n, n, replace=False)) if leaves_out else None
    used = X[:n] if chosen is None else X[chosen]
    weight = rng.random(n) + 0.1
    found = weighted_scaling(X[:n] if chosen is None else X, weight, chosen)
    assert found.is_constant.tolist() == [n == 1] * 4 + [True]
    if n > 1:
        center, scale = scaling_twin(used[:, :4], weight)
        np.testing.assert_allclose(found.scale[:4], scale.astype(float), rtol=1e-12)
        slack = 1e-12 * scale + 2.0 * np.spacing(np.abs(center.astype(float)))
        assert np.all(np.abs(found.center[:4] - center) <= slack)
    assert found.scale[4] == 1.0
