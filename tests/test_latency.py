"""What importing and the first call may cost. No times are measured: machines differ."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_import_brings_no_plotting_and_no_frames():
    code = "import sys, mixexp; print(*sorted(sys.modules))"
    loaded = set(run(code))
    for heavy in ("matplotlib", "matplotlib.pyplot", "polars", "statsmodels"):
        assert heavy not in loaded


def test_import_compiles_nothing(tmp_path):
    code = """
import mixexp
from mixexp import kernels
for name in kernels.__all__:
    print(name, len(getattr(kernels, name).signatures))
"""
    words = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert words[1::2] == ["0"] * (len(words) // 2)
    assert not list(tmp_path.rglob("*.nb?"))


def test_second_fit_compiles_nothing_new():
    code = """
import numpy as np
import warnings
from scipy import sparse
from mixexp import EM, MoERegressor, HMERegressor, MoEClassifier, kernels
from mixexp.penalties import GroupedL1
warnings.simplefilter("ignore")
x = np.linspace(-1.0, 1.0, 300)[:, None]
def count():
    return sum(len(getattr(kernels, name).signatures) for name in kernels.__all__)
def use(model, y):
    model.fit(x, y)
    model.predict(x)
    model.log_density(x, y)
    for routing in ("hard", 1):
        model.route(x, routing)
        model.predict(x, routing=routing)
use(MoERegressor(2, n_init=2, random_state=0), np.abs(x[:, 0]))
# Deep enough to be searched for the most probable expert.
use(HMERegressor((2,) * 8, init=np.arange(300) % 256, max_iter=1), np.abs(x[:, 0]))
# Experts with loops of their own, and the way of models whose sums are not taken in one loop.
use(MoERegressor(2, expert="poisson", n_init=2, random_state=0), np.arange(300) % 3)
use(MoERegressor(2, expert="gamma", n_init=2, random_state=0), 1.0 + np.abs(x[:, 0]))
use(MoERegressor(2, expert="tweedie", n_init=2, random_state=0), np.maximum(x[:, 0], 0.0))
use(MoEClassifier(2, n_init=2, random_state=0), np.arange(300) % 2)
use(MoEClassifier(2, n_init=2, random_state=0), np.arange(300) % 3)
use(MoERegressor(2, n_init=2, random_state=0, solver=EM(balance=1.0)), np.abs(x[:, 0]))
# Sparse rows, and slopes of zero.
codes = sparse.csr_array(np.eye(5)[np.arange(300) % 5])
MoERegressor(3, n_init=2, random_state=0, l1=1.0, gate_l1=1.0).fit(codes, np.abs(x[:, 0]))
MoERegressor(3, n_init=2, random_state=0).fit(codes, np.abs(x[:, 0]))
frequent = sparse.csr_array(np.eye(3)[np.arange(300) % 3])
MoERegressor(2, n_init=2, random_state=0).fit(frequent, np.abs(x[:, 0]))
use(MoERegressor(2, n_init=2, random_state=0, l1=GroupedL1(1.0)), np.abs(x[:, 0]))
print(count())
use(HMERegressor([[1, 1], 1], n_init=2, random_state=0, gate="constant"), np.abs(x[:, 0]))
use(MoEClassifier(3, n_init=2, random_state=0), np.arange(300) % 4)
use(MoERegressor(3, n_init=2, random_state=0, expert_features=[]), np.abs(x[:, 0]))
use(HMERegressor(expert="poisson", n_init=2, random_state=0), np.arange(300) % 3)
print(count(), len(kernels.__all__))
"""
    first, second, n_kernels = map(int, run(code))
    # One signature per kernel: data are cast once, where they enter.
    assert first == second == n_kernels
