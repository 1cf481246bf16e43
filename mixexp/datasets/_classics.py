"""Shapes of two classic sets of data: a motorcycle's crash and the perception of tones."""

from typing import Any

import numpy as np

from mixexp.arguments import check_count
from mixexp.datasets._checks import check_size, make_generator

# Knots of the mean acceleration, in g, over milliseconds after the impact; standard deviation
# of the noise, in g, at the same times.
_TIMES = (2.0, 14.0, 21.0, 33.0, 42.0, 58.0)
_ACCELERATION = (0.0, 0.0, -115.0, 45.0, 0.0, 0.0)
_NOISE = (1.5, 1.5, 25.0, 28.0, 22.0, 12.0)
# Measurements are denser in the middle of the crash: shares of the rows by piece.
_SHARES = (0.20, 0.25, 0.30, 0.13, 0.12)

# Of the trials in which a tone is taken for the octave of the fundamental.
_OCTAVE_SHARE = 0.3


def make_motorcycle(
    n_samples: int = 133, *, noise: float = 1.0, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate the acceleration of a rider's head in a crash: kinks, and noise that varies.

    The mean is piecewise linear through (time, acceleration) = (2, 0), (14, 0), (21, -115),
    (33, 45), (42, 0), (58, 0), so five linear experts fit it; the standard deviation of the
    Gaussian noise is linear between 1.5, 1.5, 25, 28, 22 and 12 at the same times. The shape is
    that of Silverman's (1985) measurements, the numbers are not.

    Parameters
    ----------
    n_samples : int, default=133
        As many as there are measurements.
    noise : float, default=1.0
        Multiplies the standard deviation of the noise.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 1)
        Milliseconds after the impact, ascending.
    y : ndarray of shape (n_samples,)
        Acceleration in g.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    References
    ----------
    Silverman (1985), Some aspects of the spline smoothing approach to non-parametric
    regression curve fitting, J. R. Statist. Soc. B 47.

    Examples
    --------
    >>> from mixexp.datasets import make_motorcycle
    >>> X, y = make_motorcycle(noise=0.0, random_state=0)
    >>> X.shape, float(y.min()) > -115.1
    ((133, 1), True)
    """
    n, scale = check_count("n_samples", n_samples), check_size("noise", noise)
    rng = make_generator(random_state)
    times = np.sort(np.interp(rng.random(n), np.cumsum((0.0, *_SHARES)), _TIMES))
    spread = scale * np.interp(times, _TIMES, _NOISE)
    mean = np.interp(times, _TIMES, _ACCELERATION)
    return times[:, None], mean + spread * rng.standard_normal(n)


def make_tone(
    n_samples: int = 150, *, noise: float = 0.05, random_state: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate how listeners tune a tone: two lines that cross, whatever the features.

    With probability 0.3 the listener tunes to the octave, ``y = 2``, otherwise to the stretched
    overtone that is played, ``y = x``; Gaussian noise is added. Which of them holds does not
    depend on x: a mixture of regressions, with a constant gate, and one feature that cannot
    tell them apart where they cross. The shape is that of Cohen's (1980) experiment.

    Parameters
    ----------
    n_samples : int, default=150
    noise : float, default=0.05
        Standard deviation of the noise about either line, in the unit of y.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 1)
        Ratio by which the overtones are stretched, between 1.35 and 3; 2 is a pure octave.
    y : ndarray of shape (n_samples,)
        Ratio that the listener tunes to.

    Raises
    ------
    ValueError
        If an argument is not as described; the message names it.

    References
    ----------
    Cohen (1980), The influence of inharmonic components on musical pitch; de Veaux (1989),
    Mixtures of linear regressions, Computational Statistics & Data Analysis 8.

    Examples
    --------
    >>> from mixexp.datasets import make_tone
    >>> X, y = make_tone(noise=0.0, random_state=0)
    >>> bool(((y == 2.0) | (y == X[:, 0])).all())
    True
    """
    n, scale = check_count("n_samples", n_samples), check_size("noise", noise)
    rng = make_generator(random_state)
    ratio = rng.uniform(1.35, 3.0, n)
    mean = np.where(rng.random(n) < _OCTAVE_SHARE, 2.0, ratio)
    return ratio[:, None], mean + scale * rng.standard_normal(n)
