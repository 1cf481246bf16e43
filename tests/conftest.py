"""Fixtures that every module may ask for."""

import signal

import numpy as np
import pytest

SEED = 20240


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=SEED, help="seed of tests that draw data")


def pytest_configure():
    # A job in the background of a shell ignores interrupts, and would wait for ever for those it
    # sends to itself.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def seed(request):
    """Return the seed of tests that draw data; another one comes from ``--seed``."""
    return request.config.getoption("--seed")


@pytest.fixture
def rng(seed):
    """Return a fresh generator, so that tests do not depend on their order."""
    return np.random.default_rng(seed)


@pytest.fixture
def closed_figures():
    """Draw without a screen, and leave no figure behind."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")
