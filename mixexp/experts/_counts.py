"""What families of counts share: their support, and the log link."""

import numpy as np
from scipy.special import gammaln

from mixexp.experts._glm import GLM
from mixexp.experts._special import HALF_LOG_2PI, exponential_excess, stirling_error
from mixexp.links import extended_exp

# From here on y * eta and log(y!) are so large that their difference loses digits.
LARGE_COUNT = 1e5


class CountGLM(GLM):
    """A GLM of y in 0, 1, 2, ... with a log link.

    Parameters
    ----------
    link : {"log"}, default="log"
    """

    links = ("log",)
    support = "a count 0, 1, 2, ..."
    is_discrete = True
    support_limits = (0.0, np.inf)

    def __init__(self, link: str = "log") -> None:
        self.link = link

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        return ~(np.isfinite(y) & (y >= 0.0) & (y == np.floor(y)))

    def log_base(self, y: np.ndarray) -> np.ndarray:
        """Return ``-log(y!)``, for large y without what `log_kernel` then leaves out."""
        is_large = y >= LARGE_COUNT
        exact = -gammaln(np.where(is_large, 0.0, y) + 1.0)
        if not is_large.any():
            return exact
        held = np.where(is_large, y, 1.0)
        rest = -stirling_error(held) - HALF_LOG_2PI - 0.5 * np.log(held)
        return np.where(is_large, rest, exact)

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Half a pseudo-event keeps the log of a mean of zeros finite.
        mean = (weight @ y + 0.5) / (weight.sum() + 0.5)
        return (float(self.link_function.predictor(mean)),)


def poisson_kernel(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return ``y * eta - exp(eta)``, and for large y the half deviance; see `CountGLM.log_base`."""
    small = np.where(y >= LARGE_COUNT, 0.0, y)
    return with_large_counts(small * eta - extended_exp(eta), y, eta)


def with_large_counts(log_kernel: np.ndarray, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return a Poisson kernel whose rows of large y are replaced by the half deviance.

    ``y * eta - exp(eta) - (y * log(y) - y)``, of which nothing large cancels.
    """
    large = np.flatnonzero(y >= LARGE_COUNT)
    if not len(large):
        return log_kernel
    out, counts = log_kernel.copy(), y[large]
    excess = np.broadcast_to(eta, log_kernel.shape)[..., large] - np.log(counts)
    out[..., large] = -counts * exponential_excess(excess)
    return out
