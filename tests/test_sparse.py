"""Sparse X: the same answers as dense X, everywhere, without making it dense."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from fitted import ESTIMATORS, data_for
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from test_family_fits import EVERY_FAMILY, few_rows_may_be_warned_of, simulate

from mixexp import EM, ConformalRegressor, HMERegressor, MoERegressor
from mixexp.data import RowArguments, SparseRows, cross_grams, cut_features, weighted_scaling
from mixexp.data._sparse import SparseDesign, rows_of_block
from mixexp.displays import ResponsibilityMapDisplay
from mixexp.metrics import LogDensityScorer
from mixexp.selection import select_n_experts

N = 200


def hard_columns(rng, n=N):
    """Return columns of every kind: sparse, dummies, dense, far from zero, rare, constant."""
    kinds = rng.integers(0, 4, n)[:, None] == np.arange(4)
    return np.column_stack(
        [
            np.where(rng.random(n) < 0.2, rng.normal(2.0, 1.0, n), 0.0),
            kinds,
            rng.standard_normal(n),
            rng.normal(1e6, 1.0, n),
            np.arange(n) == 3,
            np.zeros(n),
            np.full(n, 5.0),
            np.where(rng.random(n) < 0.9, 1.0, 0.0),
        ]
    )


def designs_of(X, rng, chosen=None):
    """Return the same rows as dense and as sparse designs, cut into blocks."""
    n = len(X) if chosen is None else len(chosen)
    per_row = RowArguments(rng.uniform(0.5, 2.0, n))
    out = []
    for rows in (X, SparseRows(sparse.csr_array(X))):
        scaling = weighted_scaling(rows, per_row.weight, chosen)
        blocks = cut_features(rows, scaling, per_row, chosen, block_rows=70)
        out.append([block.features for block in blocks])
    return zip(*out, strict=True)


SELECTIONS = {
    "all": np.arange(12),
    "some": np.array([0, 1, 3, 6]),
    "in other order": np.array([0, 8, 6, 2, 1]),
    "dense alone": np.array([0, 7, 11]),
    "intercept alone": np.array([0]),
    "constant": np.array([0, 9, 10]),
}


@pytest.mark.parametrize("columns", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("some", [False, True], ids=["all rows", "some rows"])
def test_designs_say_the_same(columns, some, rng):
    chosen = np.flatnonzero(rng.random(N) < 0.7) if some else None
    for dense, other in designs_of(hard_columns(rng), rng, chosen):
        dense, other = dense.select(columns), other.select(columns)
        assert dense.shape == other.shape == (len(columns), dense.shape[1])
        values = dense.values
        at_random = rng.permutation(values.shape[1])[:20]
        weights = rng.uniform(-1.0, 2.0, (3, values.shape[1]))
        coef = rng.standard_normal((2, len(columns)))
        close = np.testing.assert_allclose
        for mine in (other, other.take(slice(None)), other.take(slice(0, 9)).join([])):
            n = mine.shape[1]
            close(mine.to_array(), values[:, :n], atol=1e-11)
        close(other.take(at_random).to_array(), values[:, at_random], atol=1e-11)
        joined = other.take(slice(0, 9)).join([other.take(slice(9, None))])
        close(joined.to_array(), values, atol=1e-11)
        for product in (other.predict, other.predict_each):
            close(product(coef), coef @ values, atol=1e-10)
        np.testing.assert_array_equal(
            other.take(np.array([5])).predict_each(coef), other.predict_each(coef)[:, [5]]
        )
        close(other.adjoint(weights), weights @ values.T, atol=1e-10)
        close(other.grams(weights), dense.grams(weights), atol=1e-9)
        close(other.gram(weights[0]), dense.gram(weights[0]), atol=1e-9)
        for at in range(len(columns)):
            close(other.column(at), values[at], atol=1e-11)
        mine, theirs = other.scaled(weights[0]), dense.scaled(weights[0])
        close(mine.total(weights[1]), theirs.total(weights[1]), atol=1e-10)
        close(mine.square_total(weights[2]), theirs.square_total(weights[2]), atol=1e-9)


@pytest.mark.parametrize("first", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("second", SELECTIONS.values(), ids=SELECTIONS)
def test_grams_between_designs_are_the_same(first, second, rng):
    for dense, other in designs_of(hard_columns(rng), rng):
        weights = rng.uniform(-1.0, 2.0, (2, dense.shape[1]))
        np.testing.assert_allclose(
            cross_grams(other.select(first), other.select(second), weights),
            cross_grams(dense.select(first), dense.select(second), weights),
            atol=1e-9,
        )


@pytest.mark.parametrize("weight", ["equal", "unequal", "tiny"])
def test_scaling_is_that_of_the_dense_matrix(weight, rng):
    X = hard_columns(rng, 5000)
    w = {"equal": np.ones(5000), "unequal": rng.uniform(0, 9, 5000), "tiny": np.full(5000, 1e-200)}
    dense = weighted_scaling(X, w[weight])
    other = weighted_scaling(SparseRows(sparse.csr_array(X)), w[weight])
    np.testing.assert_allclose(other.center, dense.center, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(other.scale, dense.scale, rtol=1e-11)
    np.testing.assert_array_equal(other.is_constant, dense.is_constant)


def with_zeros(X, rng):
    """Return the columns beside dummies and a sparse column."""
    kinds = rng.integers(0, 3, len(X))[:, None] == np.arange(3)
    return np.column_stack([X, kinds, np.where(rng.random(len(X)) < 0.2, 1.0, 0.0)])


@few_rows_may_be_warned_of
@pytest.mark.parametrize("family", EVERY_FAMILY, ids=repr)
@pytest.mark.parametrize("tree", [(2,), [[1, 1], 1]], ids=["flat", "tree"])
def test_every_family_is_fitted_as_with_dense_rows(family, tree, rng):
    X, y = simulate(family, rng, 200)
    X = with_zeros(X, rng)
    model = HMERegressor(tree, expert=family, n_init=1, random_state=0, max_iter=60)
    S = sparse.csr_array(X)
    dense, other = clone(model).fit(X, y), clone(model).fit(S, y)
    if family.name != "laplace":  # whose kinks may make a search go another way
        np.testing.assert_allclose(other.log_likelihood_, dense.log_likelihood_, rtol=1e-10)
        # Coefficients of a gate that is sure of its rows lie on a line.
        np.testing.assert_allclose(other.gate_proba(S), dense.gate_proba(X), atol=1e-6)
    for name in ("predict", "gate_proba", "predict_experts"):
        found, expected = getattr(dense, name)(S), getattr(dense, name)(X)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(dense.log_density(S, y), dense.log_density(X, y), rtol=1e-10)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_everything_is_said_of_sparse_rows(name, rng):
    X, y, _ = data_for(ESTIMATORS[name], rng)
    X = with_zeros(X, rng)
    S = sparse.csr_matrix(X)
    weight = rng.integers(0, 3, len(X)).astype(float)
    dense = clone(ESTIMATORS[name]).fit(X, y, sample_weight=weight)
    other = clone(ESTIMATORS[name]).fit(S, y, sample_weight=weight)
    asked = {
        "predict": lambda model, rows: model.predict(rows),
        "hard": lambda model, rows: model.predict(rows, routing="hard"),
        "top": lambda model, rows: model.predict(rows, routing=1),
        "experts": lambda model, rows: model.predict_experts(rows),
        "gates": lambda model, rows: model.gate_proba(rows),
        "resp": lambda model, rows: model.responsibilities(rows, y),
        "density": lambda model, rows: model.log_density(rows, y),
        "score": lambda model, rows: model.score(rows, y),
        "bic": lambda model, rows: model.bic(rows, y, sample_weight=weight),
        "route": lambda model, rows: model.route(rows, 1).experts,
    }
    for what, ask in asked.items():
        np.testing.assert_allclose(
            np.asarray(ask(other, S), dtype=float),
            np.asarray(ask(dense, X), dtype=float),
            rtol=1e-7,
            atol=1e-7,
            err_msg=what,
        )
    errors = [
        model.coef_table(rows, y, sample_weight=weight, level=0.9)["std_error"]
        for model, rows in ((dense, X), (other, S))
    ]
    np.testing.assert_allclose(*(np.asarray(e, dtype=float) for e in errors), rtol=1e-5)


# What may be handed over.

FORMATS = {
    **{
        f"{kind}_{cls}": (kind, cls)
        for kind in ("csr", "csc", "coo")
        for cls in ("array", "matrix")
    },
    "lil": ("lil", "array"),
    "dok": ("dok", "matrix"),
    "bsr": ("bsr", "array"),
    "dia": ("dia", "array"),
}


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = with_zeros(rng.integers(0, 3, (N, 2)).astype(float), rng)
    y = X[:, 0] * X[:, 2] - X[:, 1] + 0.2 * rng.standard_normal(N)
    model = MoERegressor(2, n_init=2, random_state=0)
    return X, y, clone(model).fit(X, y)


def assert_fits_alike(fitted, S):
    X, y, model = fitted
    found = clone(model).fit(S, y)
    np.testing.assert_allclose(found.log_likelihood_, model.log_likelihood_, rtol=1e-10)
    np.testing.assert_allclose(found.predict(S), model.predict(X), rtol=1e-6)
    return found


@pytest.mark.parametrize(("kind", "cls"), FORMATS.values(), ids=FORMATS)
def test_every_format_is_taken(fitted, kind, cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)  # diagonals, of no matter
        S = getattr(sparse, f"{kind}_{cls}")(fitted[0])
    assert_fits_alike(fitted, S)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "longdouble"])
def test_every_type_is_taken(fitted, dtype):
    X, y, model = fitted
    cast = X.astype(dtype)
    expected = clone(model).fit(cast.astype(float), y)
    found = assert_fits_alike((cast.astype(float), y, expected), sparse.csr_array(cast))
    assert found.coef_.dtype == np.float64


def test_entries_may_be_there_twice_or_be_zero_and_indices_long(fitted):
    X, _, _ = fitted
    coo = sparse.coo_array(X)
    row, column = coo.coords
    halves = np.r_[0.25 * coo.data, 0.75 * coo.data, np.zeros(5)]
    places = np.r_[row, row, 0:5].astype(np.int64), np.r_[column, column, [0] * 5].astype(np.int64)
    twice = sparse.coo_array((halves, places), X.shape)
    assert_fits_alike(fitted, twice)
    csr = twice.tocsr()
    csr.indices, csr.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    assert_fits_alike(fitted, csr)


def test_rows_are_left_as_they_are(fitted):
    X, _, _ = fitted
    once = sparse.csr_array(X)
    # Entries twice, in falling order.
    begin, order = 2 * once.indptr, np.empty(2 * once.nnz, dtype=int)
    for r in range(len(X)):
        own = np.arange(once.indptr[r], once.indptr[r + 1])
        order[begin[r] : begin[r + 1]] = np.r_[own, own][::-1]
    given = sparse.csr_array((0.5 * once.data[order], once.indices[order], begin), X.shape)
    before = given.data.copy(), given.indices.copy(), given.indptr.copy()
    for array in (given.data, given.indices, given.indptr):
        array.setflags(write=False)
    assert_fits_alike(fitted, given)
    for array, kept in zip((given.data, given.indices, given.indptr), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_a_row_alone_has_the_same_bits(fitted):
    X, _, model = fitted
    S = sparse.csr_array(X)
    everything = model.predict(S)
    for row in (0, 7, N - 1):
        assert model.predict(S[[row]])[0] == everything[row]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_what_is_not_finite_is_refused_by_column(fitted, bad, kind):
    X, y, model = fitted
    S = sparse.lil_array(X)
    S[5, 3] = bad
    with pytest.raises(
        ValueError, match=r"(?s)X contains (NaN|infinity) in column 3; 1 of .*row 5"
    ):
        clone(model).fit(S.asformat(kind), y)
    with pytest.raises(ValueError, match="column 3"):
        model.predict(S.asformat(kind))


@pytest.mark.parametrize(
    ("S", "error", "words"),
    [
        (sparse.coo_array(np.ones(N)), ValueError, "2D array"),
        (sparse.csr_array((0, 3)), ValueError, "0 sample"),
        (sparse.csr_array((N, 0)), ValueError, "0 feature"),
        (sparse.csr_array(np.full((N, 2), 1j)), ValueError, "Complex data not supported"),
    ],
    ids=["one axis", "no rows", "no columns", "complex"],
)
def test_other_matrices_are_refused_by_name(S, error, words):
    with pytest.raises(error, match=words):
        MoERegressor(2).fit(S, np.zeros(S.shape[0]))


def test_a_sparse_y_is_refused_by_name(fitted):
    X, y, model = fitted
    with pytest.raises(ValueError, match=r"^y .* give y\.toarray\(\)\.ravel\(\)"):
        clone(model).fit(sparse.csr_array(X), sparse.csr_array(y[:, None]))
    with pytest.raises(ValueError, match=r"dense, not sparse; got a csr_array of shape \(200, 1\)"):
        clone(model).fit(X, sparse.csr_array(y[:, None]))
    with pytest.raises(ValueError, match=r"^sample_weight must be dense, not sparse; got a coo_"):
        clone(model).fit(X, y, sample_weight=sparse.coo_array(np.ones(len(y))))
    with pytest.raises(ValueError, match=r"^y must be dense.* give y\.toarray\(\)\.$"):
        clone(model).fit(X, sparse.csr_matrix(np.ones((len(y), 2))))


@pytest.mark.parametrize("fill", [0.0, np.nan, 1.0], ids=["zeros", "NaN", "ones"])
@pytest.mark.parametrize("some", [False, True], ids=["all columns", "some columns"])
def test_sparse_columns_of_frames_are_taken(fitted, fill, some):
    X, _, _ = fitted
    names = [f"x{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names)
    chosen = names[::2] if some else names
    frame = frame.astype(dict.fromkeys(chosen, pd.SparseDtype(float, fill)))
    found = assert_fits_alike(fitted, frame)
    assert list(found.feature_names_in_) == names
    holed = frame.assign(x2=frame["x2"].sparse.to_dense().where(X[:, 2] > 0.0))
    with pytest.raises(ValueError, match="NaN in column 'x2'"):
        found.predict(holed.astype({"x2": pd.SparseDtype(float, fill)}))


def test_encoders_need_not_be_told_to_be_dense(rng):
    frame = pd.DataFrame({"kind": rng.integers(0, 30, N).astype(str), "x": rng.random(N)})
    y = np.where(frame["x"] > 0.5, frame["x"], -frame["x"]) + 0.1 * rng.standard_normal(N)
    encoders = [
        ColumnTransformer(
            [("kinds", OneHotEncoder(sparse_output=is_sparse, min_frequency=5), ["kind"])],
            remainder="passthrough",
            sparse_threshold=1.0 if is_sparse else 0.0,
        )
        for is_sparse in (True, False)
    ]
    pipelines = [
        make_pipeline(encoder, MoERegressor(2, n_init=2, random_state=0)).fit(frame, y)
        for encoder in encoders
    ]
    assert sparse.issparse(pipelines[0][:-1].transform(frame))
    np.testing.assert_allclose(*(p.predict(frame) for p in pipelines), rtol=1e-6)


@few_rows_may_be_warned_of
def test_what_calls_estimators_takes_sparse_rows(fitted):
    X, y, model = fitted
    S = sparse.coo_matrix(X)
    search = GridSearchCV(model, {"n_experts": [1, 2]}, cv=2, scoring=LogDensityScorer())
    assert search.fit(S.tocsr(), y).best_score_ > -np.inf
    chosen = [select_n_experts(model, rows, y, (1, 2)) for rows in (X, S)]
    assert chosen[0].best_candidate_ == chosen[1].best_candidate_
    conformal = ConformalRegressor(model, random_state=0).fit(S, y)
    assert conformal.predict_interval(S, coverage=0.8).shape == (N, 2)
    dist = model.predict_dist(S)
    np.testing.assert_allclose(dist.mean(), model.predict(X), rtol=1e-10)
    effects = [model.inference(rows, y).marginal_effects()["estimate"] for rows in (X, S)]
    np.testing.assert_allclose(*(np.asarray(effect, dtype=float) for effect in effects), rtol=1e-6)
    tables = [
        model.bootstrap(rows, y, n_resamples=2, random_state=0).coef_table() for rows in (X, S)
    ]
    errors = (np.asarray(table["std_error"], dtype=float) for table in tables)
    np.testing.assert_allclose(*errors, rtol=1e-3)
    found, expected = (ResponsibilityMapDisplay.from_estimator(model, rows) for rows in (S, X))
    assert found.features == expected.features


@few_rows_may_be_warned_of
def test_memory_is_that_of_what_is_stored():
    n, p = 40_000, 1_000
    rng = np.random.default_rng(0)
    columns = rng.integers(0, p - 1, (n, 3)) + 1
    places = np.repeat(np.arange(n), 3), columns.ravel()
    S = sparse.coo_array((np.ones(3 * n), places), (n, p)).tocsr()
    y = np.where(columns[:, 0] < p // 2, 1.0, -1.0) + 0.3 * rng.standard_normal(n)
    model = MoERegressor(
        2, expert_features=list(range(20)), gate_features=[], n_init=1, max_iter=2, random_state=0
    )
    tracemalloc.start()
    model.fit(S, y)
    model.predict(S)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * p * 8 / 10


def one_hot(n):
    rng = np.random.default_rng(5)
    codes = [rng.integers(0, levels, n) for levels in (30, 40)]
    parts = [sparse.csr_array(rng.standard_normal((n, 3)))]
    for code, levels in zip(codes, (30, 40), strict=True):
        parts.append(sparse.csr_array((np.ones(n), code, np.arange(n + 1)), shape=(n, levels)))
    X = sparse.csr_array(sparse.hstack(parts))
    return X, X @ rng.standard_normal(X.shape[1]) + rng.standard_normal(n)


def test_one_gaussian_expert_needs_one_gram_matrix(monkeypatch):
    X, y = one_hot(5000)
    rows, form = [], SparseDesign.grams

    def grams(design, weights):
        rows.append(design.shape[1] * len(weights))
        return form(design, weights)

    monkeypatch.setattr(SparseDesign, "grams", grams)
    model = MoERegressor(1, alpha=1.0, dispersion_prior=0.0, solver=EM(acceleration="none"))
    model.fit(X, y)
    assert sum(rows) == 2 * len(y)  # one more for the curvature that `diagnostics_` tells
    dense = clone(model).fit(X.toarray(), y)
    np.testing.assert_allclose(model.coef_, dense.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.log_likelihood_, dense.log_likelihood_, rtol=1e-12)
    rows.clear()
    MoERegressor(1, solver=EM(acceleration="none")).fit(X, y, sample_weight=np.arange(5000) % 3)
    assert sum(rows) == 2 * np.count_nonzero(np.arange(5000) % 3)


def test_a_single_expert_starts_where_the_pooled_fit_ended():
    X, y = one_hot(3000)
    counts = np.random.default_rng(1).poisson(np.exp(0.2 * y / y.std()))
    solver = EM(acceleration="none")
    model = MoERegressor(1, expert="poisson", solver=solver).fit(X, counts)
    assert model.n_iter_ == 1
    assert model.converged_
    assert len(model.optima_) == 1
    np.testing.assert_allclose(model.history_[0], model.history_[-1], rtol=1e-9)


def test_sums_with_one_gram_matrix_are_those_of_a_pass(rng):
    X, y = one_hot(3000)
    weight = rng.uniform(0.5, 2.0, len(y))
    model = MoERegressor(1, solver=EM(acceleration="none")).fit(X, y, sample_weight=weight)
    problem, _ = model._restore_problem(X, y, weight, {})
    params = model.fitted_model_.params
    found = problem.evaluate(params)
    expected = problem.evaluate(params, lambda rows, resp: resp)
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-8)
    for pair, gram in expected.stats.groups[0].curvature.items():
        own = found.stats.groups[0].curvature[pair]
        np.testing.assert_allclose(own, gram, rtol=1e-10, atol=1e-7)


def test_blocks_of_sparse_rows_grow_with_the_columns():
    few = sparse.csr_array((200_000, 5))
    assert rows_of_block(SparseRows(few)) is None
    stored = np.arange(200_000 + 1), np.arange(200_000) % 1255
    many = sparse.csr_array((np.ones(200_000), stored[1], stored[0]), shape=(200_000, 1255))
    assert rows_of_block(SparseRows(many)) == 100_000
    assert rows_of_block(np.zeros((10, 3))) is None
