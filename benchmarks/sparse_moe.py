"""Non-zero slopes found by L1 penalties: the simulation design of Chamroukhi & Huynh (2019).

Two Gaussian experts with one variance and a gate, 300 rows, six columns correlated 0.5**|j - k|.
Strengths are chosen by BIC on a path that starts blind; several ratios of the gate's strength to
the experts' each have a path. BIC is once that of the fits on the path, and once that of refits
without a penalty to the slopes that are not zero: shrunken fits gain by a weaker penalty, and so
favour slopes too many. In the words of that paper (and of Khalili 2010) sensitivity is the
share of slopes that are zero in truth and estimated so, specificity that of the others.
References are optima of the same design over a grid of strengths that was searched from the truth.

    python benchmarks/sparse_moe.py [--draws 100] [--strengths 20] [--starts 5]
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np

from mixexp import EM, MoERegressor
from mixexp.constraints import Fixed
from mixexp.experts import Gaussian
from mixexp.selection import regularization_path

N_ROWS, N_COLUMNS = 300, 6
FIRST_SEED = 20190000
EXPERTS = np.array([[0.0, 0.0, 1.5, 0.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.5, 0.0, 0.0, 2.0, 0.0]])
GATE = np.array([1.0, 2.0, 0.0, 0.0, -1.0, 0.0, 0.0])
# gate_l1 over l1, in the units of this library.
RATIOS = (0.125, 0.25, 0.5, 1.0)
# Weakest strength of a path, as a share of the strongest: none below was ever chosen.
LEAST = 0.03
REFERENCE = {"expert 1": (0.6775, 1.0), "expert 2": (0.7667, 1.0), "gate": (0.785, 0.995)}


class Found(NamedTuple):
    """Estimated slopes against true ones, of one part of the model."""

    zeros_found: float
    others_found: float


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of one draw of the design."""
    rng = np.random.default_rng(FIRST_SEED + number)
    at = np.arange(N_COLUMNS)
    correlation = 0.5 ** np.abs(at[:, None] - at)
    X = rng.normal(size=(N_ROWS, N_COLUMNS)) @ np.linalg.cholesky(correlation).T
    first = rng.uniform(size=N_ROWS) < 1.0 / (1.0 + np.exp(-(GATE[0] + X @ GATE[1:])))
    means = EXPERTS[:, 0] + X @ EXPERTS[:, 1:].T
    return X, np.where(first, means[:, 0], means[:, 1]) + rng.normal(size=N_ROWS)


def plain_model(**options: Any) -> MoERegressor:
    """Return two experts of one variance, without priors."""
    strengths: dict[str, Any] = {"alpha": 0.0, "gate_alpha": 0.0, "dispersion_prior": 0.0}
    shared = Gaussian(dispersion="shared")
    return MoERegressor(2, expert=shared, random_state=0, **strengths, **options)


def choose(
    X: np.ndarray, y: np.ndarray, n_strengths: int, n_starts: int
) -> dict[str, MoERegressor]:
    """Return the fit of least BIC over the paths of all ratios, by either BIC."""
    model, fits = plain_model(n_init=n_starts), list[MoERegressor]()
    for ratio in RATIOS:
        path = regularization_path(
            model, X, y, n_strengths=n_strengths, gate_ratio=ratio, least=LEAST
        )
        fits += path.estimators
    refits: dict[bytes, float] = {}
    for fit in fits:
        key = nonzero(fit).tobytes()
        if key not in refits:
            refits[key] = refit(fit, X, y).criteria(X, y).bic
    return {
        "BIC of the path": min(fits, key=lambda fit: fit.criteria(X, y).bic),
        "BIC of refits": min(fits, key=lambda fit: refits[nonzero(fit).tobytes()]),
    }


def nonzero(model: MoERegressor) -> np.ndarray:
    """Return which slopes of the experts, and of the gate, are not zero; shape (3, n_columns)."""
    return np.vstack([model.coef_, model.gate_coef_[:1]]) != 0.0


def refit(model: MoERegressor, X: np.ndarray, y: np.ndarray) -> MoERegressor:
    """Return a fit without a penalty of the slopes that are not zero, from where they are."""
    *experts, gate = nonzero(model)
    zeros = [
        Fixed(np.flatnonzero(~is_used).tolist(), 0.0, experts=[expert])
        for expert, is_used in enumerate(experts)
        if not is_used.all()
    ]
    return plain_model(
        n_init=1,
        init=model.responsibilities(X, y),
        solver=EM(n_moves=0),
        constraints=zeros or None,
        gate_features=np.flatnonzero(gate).tolist(),
    ).fit(X, y)


def compare(estimate: np.ndarray, truth: np.ndarray) -> Found:
    """Return the share of zeros and of others that are told."""
    is_zero = truth == 0.0
    return Found(
        float(np.mean(estimate[is_zero] == 0.0)), float(np.mean(estimate[~is_zero] != 0.0))
    )


def judge(model: MoERegressor) -> dict[str, Found]:
    """Return what was found of every part, experts in the order that is nearest to the truth."""
    orders = ([0, 1], [1, 0])
    order = min(orders, key=lambda order: np.sum((model.coef_[order] - EXPERTS[:, 1:]) ** 2))
    return {
        "expert 1": compare(model.coef_[order[0]], EXPERTS[0, 1:]),
        "expert 2": compare(model.coef_[order[1]], EXPERTS[1, 1:]),
        "gate": compare(model.gate_coef_[0], GATE[1:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--strengths", type=int, default=20)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    begun, found = time.process_time(), dict[str, list[dict[str, Found]]]()
    for number in range(options.draws):
        X, y = draw(number)
        for name, model in choose(X, y, options.strengths, options.starts).items():
            found.setdefault(name, []).append(judge(model))
    print(f"{options.draws} draws, {(time.process_time() - begun) / options.draws:.1f} CPU s each")
    for name, judged in found.items():
        print_table(name, judged)


def print_table(name: str, found: list[dict[str, Found]]) -> None:
    """Print means over draws, standard errors and the references."""
    print(f"\n{name}")
    print(f"{'':10}{'sensitivity':>22}{'specificity':>22}")
    for part, reference in REFERENCE.items():
        cells = []
        for column in range(2):
            values = np.array([one[part][column] for one in found])
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            cells.append(f"{values.mean():8.3f} ({error:.3f}) | {reference[column]:.3f}")
        print(f"{part:10}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
