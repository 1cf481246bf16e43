"""Results that papers and manuals have printed, each beside that of this library.

    python benchmarks/classics.py [--quick] [--sets co2 tone npreg patents affairs arm]

Data are those that may be passed on, in tests/reference, or simulated where the original ones are
not public; the column "data" says which. On simulated data a published figure is that of another
sample, so linear regression and a regression tree are run beside it on the same rows. The figures
of Jordan & Jacobs (1994) are quoted from memory of their table 1: check them before you cite them.
"""

import argparse
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from mixexp import HMERegressor, MoERegressor
from mixexp.datasets import make_robot_arm, make_tone
from mixexp.experts import Censored

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
PLAIN: dict[str, Any] = {"alpha": 0, "gate_alpha": 0, "dispersion_prior": 0, "random_state": 0}
# Jordan & Jacobs (1994), table 1: passes over the data, relative error on 5 000 test rows.
JORDAN_JACOBS_PASSES = 35


class Line(NamedTuple):
    """A published figure, where it stands, and ours."""

    what: str
    data: str
    published: str
    ours: str
    source: str


def read_reference(name: str) -> dict[str, np.ndarray]:
    """Return the columns of a reference data set by name."""
    with gzip.open(REFERENCE / f"{name}.csv.gz", "rt") as file:
        names = file.readline().strip().replace('"', "").split(",")
        table = np.loadtxt(file, delimiter=",")
    return dict(zip(names, table.T, strict=True))


def relative_error(model: object, rows: tuple[np.ndarray, ...]) -> float:
    """Return the mean over joints of test error over test variance."""
    X, y, X_test, y_test = rows
    errors = []
    for joint in range(y.shape[1]):
        fitted = model.fit(X, y[:, joint])  # type: ignore[attr-defined]
        residual = y_test[:, joint] - fitted.predict(X_test)
        errors.append(np.mean(residual**2) / np.var(y_test[:, joint]))
    return float(np.mean(errors))


def robot_arm(is_quick: bool) -> Iterator[Line]:
    """Four joint accelerations of an arm by a tree of sixteen experts."""
    n = 2000 if is_quick else 15000
    X, y = make_robot_arm(n + 5000, random_state=0)
    rows = X[:n], y[:n], X[n:], y[n:]
    tree = HMERegressor((2, 2, 2, 2), max_iter=JORDAN_JACOBS_PASSES, n_init=1, random_state=0)
    source = "Jordan & Jacobs 1994, table 1"
    for what, published, model in (
        ("linear", ".31", LinearRegression()),
        ("CART", ".17", DecisionTreeRegressor(min_samples_leaf=5, random_state=0)),
        ("HME, 16 experts, 35 passes", ".10", tree),
    ):
        error = f"{relative_error(model, rows):.2f}".removeprefix("0")
        yield Line(f"robot arm, relative error: {what}", "simulated", published, error, source)


def flexmix_npreg(_is_quick: bool) -> Iterator[Line]:
    """The data of flexmix's manual, without and with its groups."""
    data = read_reference("panel_npreg")
    X, y = np.column_stack([data["x"], data["x"] ** 2]), data["yn"]
    model = MoERegressor(2, gate="constant", n_init=5, **PLAIN).fit(X, y)
    source = "flexmix 2.3-18 (Leisch 2004), run here"
    found = f"{model.log_likelihood_:.3f}"
    yield Line("NPreg, log-likelihood", "original", "-642.545", found, source)
    grouped = MoERegressor(2, gate="constant", n_init=5, **PLAIN).fit(X, y, groups=data["id2"])
    found = f"{grouped.log_likelihood_:.3f}"
    yield Line("NPreg by id2, log-likelihood", "original", "-561.565", found, source)


def patents(_is_quick: bool) -> Iterator[Line]:
    """Patents of 70 firms by their spending on research, shares by spending over sales."""
    data = read_reference("classic_patents")
    X, y = np.column_stack([data["lgRD"], data["RDS"]]), data["Patents"]
    model = MoERegressor(3, expert="poisson", expert_features=[0], gate_features=[1], **PLAIN)
    model.set_params(n_init=20).fit(X, y)
    by_slope = np.argsort(model.coef_[:, 0])
    source = "flexmix 2.3-18 (data of Wang, Cockburn & Puterman 1998), run here, best of 20 starts"
    found = f"{model.log_likelihood_:.4f}"
    yield Line("patents, log-likelihood", "original", "-197.6752", found, source)
    published = ("1.962 + 0.6719 x", "0.508 + 0.8798 x", "-2.637 + 1.5866 x")
    for number, (k, line_there) in enumerate(zip(by_slope, published, strict=True), start=1):
        ours = f"{model.intercept_[k]:.3f} + {model.coef_[k, 0]:.4f} x"
        yield Line(f"patents, log mean of class {number}", "original", line_there, ours, source)


def co2(_is_quick: bool) -> Iterator[Line]:
    """Emissions of carbon dioxide on the gross national product of 28 countries in 1996."""
    data = read_reference("classic_co2")
    model = MoERegressor(2, gate="constant", n_init=20, **PLAIN).fit(
        data["GNP"][:, None], data["CO2"]
    )
    source = "mixtools 2.0.0 (Benaglia et al. 2009, J. Statist. Softw. 32(6)), run here"
    flat = int(np.abs(model.coef_[:, 0]).argmin())
    spreads = np.sqrt(model.dispersion_)
    for what, published, ours in (
        ("log-likelihood", "-66.9398", f"{model.log_likelihood_:.4f}"),
        ("flat line", "8.679 - 0.0233 x, sigma 2.049", line(model, flat, spreads)),
        ("steep line", "1.415 + 0.6766 x, sigma 0.809", line(model, 1 - flat, spreads)),
        ("share of the flat line", ".7549", f"{model.gate_proba([[0.0]])[0, flat]:.4f}"[1:]),
    ):
        yield Line(f"CO2 and GNP, {what}", "original", published, ours, source)


def line(model: MoERegressor, k: int, spreads: np.ndarray) -> str:
    """Return one expert's line and standard deviation."""
    slope = model.coef_[k, 0]
    sign = "-" if slope < 0.0 else "+"
    return f"{model.intercept_[k]:.3f} {sign} {abs(slope):.4f} x, sigma {spreads[k]:.3f}"


def affairs(_is_quick: bool) -> Iterator[Line]:
    """Fair's (1978) extramarital affairs: a Tobit model, one expert."""
    data = read_reference("tobit_affairs")
    y, X = data["affairs"], np.column_stack(list(data.values())[2:])
    model = MoERegressor(1, expert=Censored("gaussian", lower=0), alpha=0, dispersion_prior=0)
    model.fit(X, y)
    source = "AER (Kleiber & Zeileis 2008), table of tobit"
    found = f"{model.log_likelihood_:.1f}"
    yield Line("affairs, log-likelihood", "original", "-705.6", found, source)


def tone(_is_quick: bool) -> Iterator[Line]:
    """Cohen's (1980) musicians: a tone is tuned to the octave, or to the overtone that is heard."""
    data = read_reference("classic_tone")
    X, y = data["stretchratio"][:, None], data["tuned"]
    model = MoERegressor(2, gate="constant", n_init=20, **PLAIN).fit(X, y)
    flat, spreads = int(np.abs(model.coef_[:, 0]).argmin()), np.sqrt(model.dispersion_)
    source = "mixtools 2.0.0, run here, best of 20 starts"
    for what, published, ours in (
        ("log-likelihood", "141.198", f"{model.log_likelihood_:.3f}"),
        ("octave", "1.916 + 0.0425 x, sigma 0.046", line(model, flat, spreads)),
        ("overtone", "-0.019 + 0.9923 x, sigma 0.133", line(model, 1 - flat, spreads)),
        ("share of the octave", ".6977", f"{model.gate_proba([[2.0]])[0, flat]:.4f}"[1:]),
    ):
        yield Line(f"tone, {what}", "original", published, ours, source)


def simulated_tone(_is_quick: bool) -> Iterator[Line]:
    """Two lines that cross: what drew the data against what is found."""
    X, y = make_tone(150, random_state=0)
    model = MoERegressor(2, gate="constant", n_init=5, **PLAIN).fit(X, y)
    flat = int(np.abs(model.coef_[:, 0]).argmin())
    lines = [f"{model.intercept_[k]:.2f} + {model.coef_[k, 0]:.2f} x" for k in (flat, 1 - flat)]
    truths = ("2.00 + 0.00 x", "0.00 + 1.00 x")
    for what, truth, ours in zip(("octave", "overtone"), truths, lines, strict=True):
        yield Line(f"simulated tone, {what}", "simulated", truth, ours, "what drew the data")
    share = f"{model.gate_proba(X)[0, flat]:.2f}"
    yield Line(
        "simulated tone, share of the octave", "simulated", "0.30", share, "what drew the data"
    )


SETS: dict[str, Callable[[bool], Iterator[Line]]] = {
    "co2": co2,
    "tone": tone,
    "simulated_tone": simulated_tone,
    "npreg": flexmix_npreg,
    "patents": patents,
    "affairs": affairs,
    "arm": robot_arm,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--quick", action="store_true", help="2 000 rows of the arm")
    chosen = parser.parse_args()
    print("| | data | published | mixexp | source |\n|---|---|---|---|---|")
    for name in chosen.sets:
        for line in SETS[name](chosen.quick):
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
