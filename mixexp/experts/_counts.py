"""What families of counts share: their support, and the log link."""

import numpy as np

from mixexp.experts._glm import GLM


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

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        # Half a pseudo-event keeps the log of a mean of zeros finite.
        mean = (weight @ y + 0.5) / (weight.sum() + 0.5)
        return (float(self.link_function.predictor(mean)),)
