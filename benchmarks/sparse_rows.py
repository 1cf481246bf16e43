"""A fit to one-hot columns, sparse and dense: CPU seconds and memory. One expert beside glum.

    python -m benchmarks.sparse_rows [--rows 200000] [--iterations 10] [--dense | --glum]

Three categorical columns of 50, 200 and 1 000 levels and five numeric ones; two experts see all
of them, a gate that sees the numeric ones, a fixed number of EM iterations from one start. With
``--glum`` one expert, Gaussian and Poisson, beside glum with the same ridge on scaled columns.
"""

import argparse
import resource
import time
import warnings

import numpy as np
from scipy import sparse

from mixexp import EM, MoERegressor
from mixexp.data import single_threaded_blas

LEVELS = (50, 200, 1000)
N_NUMERIC = 5
RIDGE = 10.0


def make_rows(n: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Return one-hot and numeric columns, and y of two regimes."""
    rng = np.random.default_rng(0)
    numeric = rng.standard_normal((n, N_NUMERIC))
    codes = [rng.integers(0, levels, n) for levels in LEVELS]
    parts = [sparse.csr_array(numeric)]
    effect = np.zeros(n)
    for code, levels in zip(codes, LEVELS, strict=True):
        parts.append(sparse.csr_array((np.ones(n), code, np.arange(n + 1)), shape=(n, levels)))
        effect += rng.standard_normal(levels)[code]
    slope = np.where(numeric[:, 0] > 0.0, 2.0, -2.0)
    return sparse.csr_array(sparse.hstack(parts)), effect + slope * numeric[:, 1] + rng.normal(
        size=n
    )


def fit_mixture(X: sparse.csr_array, y: np.ndarray, n_iterations: int, is_dense: bool) -> None:
    """Fit two experts and a gate, and print what it took."""
    rows = X.toarray() if is_dense else X
    model = MoERegressor(
        2,
        gate_features=list(range(N_NUMERIC)),
        solver=EM(acceleration="none", n_moves=0),
        n_init=1,
        max_iter=n_iterations,
        random_state=0,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged, of course
        model.fit(rows, y)
    seconds = time.process_time() - begun
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{'dense' if is_dense else 'sparse'}: {seconds:.1f} CPU s, peak {after / 1024:.0f} MB, "
        f"{(after - before) / 1024:.0f} MB of it in the fit; "
        f"log-likelihood {model.log_likelihood_:.6f}"
    )


def compare_with_glum(X: sparse.csr_array, y: np.ndarray) -> None:
    """Fit one expert and glum's model, both on one thread, and print CPU seconds of both."""
    from glum import GeneralizedLinearRegressor

    rate = np.exp(0.2 * (y - y.mean()) / y.std() + 1.0)
    counts = np.random.default_rng(1).poisson(rate).astype(float)
    for family, target in (("gaussian", y), ("poisson", counts)):
        ours = MoERegressor(1, expert=family, alpha=RIDGE, dispersion_prior=0.0)
        ours.fit(X[:5000, :100], target[:5000])  # imports and compiled loops
        begun = time.process_time()
        ours.fit(X, target)
        our_seconds = time.process_time() - begun
        own = ours.fitted_model_.model
        per_row = own.penalty.alpha / len(target)
        if family == "gaussian":  # glum's deviance has no variance; our ridge is in units of y
            per_row *= np.mean((target - ours.predict(X)) ** 2) / own.groups[0].scale ** 2
        theirs = GeneralizedLinearRegressor(
            family=family, alpha=per_row, l1_ratio=0.0, scale_predictors=True, gradient_tol=1e-8
        )
        begun = time.process_time()
        with single_threaded_blas():
            theirs.fit(X, target)
        their_seconds = time.process_time() - begun
        away = np.abs(ours.coef_[0] - theirs.coef_).max() / np.abs(theirs.coef_).max()
        print(
            f"{family}: {our_seconds:.2f} CPU s, glum {their_seconds:.2f}, ratio "
            f"{our_seconds / their_seconds:.2f}; {ours.n_iter_} and {theirs.n_iter_} iterations; "
            f"slopes differ by {away:.1e} of the largest"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--glum", action="store_true")
    options = parser.parse_args()
    X, y = make_rows(options.rows)
    if options.glum:
        compare_with_glum(X, y)
    else:
        fit_mixture(X, y, options.iterations, options.dense)


if __name__ == "__main__":
    main()
