"""Expert families: what an expert says about y, one file each."""

from mixexp.experts._base import GLM, Derivatives, Expert, Head, Registry
from mixexp.experts.gaussian import Gaussian
from mixexp.experts.logistic import Logistic
from mixexp.experts.multinomial import Multinomial

FAMILIES = Registry(Gaussian, Logistic, Multinomial)

__all__ = [
    "FAMILIES",
    "GLM",
    "Derivatives",
    "Expert",
    "Gaussian",
    "Head",
    "Logistic",
    "Multinomial",
]
