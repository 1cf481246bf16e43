"""Expert families: what an expert says about y, one file each."""

from mixexp.experts._base import Derivatives, Expert, Head, Registry
from mixexp.experts._censored import Censored
from mixexp.experts._glm import GLM, DispersionModel
from mixexp.experts._interval import IntervalExpert
from mixexp.experts._joint import JointExpert
from mixexp.experts._numerical import NumericalExpert, check_derivatives
from mixexp.experts._quantile import least_integer, middle_of
from mixexp.experts._units import Unit
from mixexp.experts.beta import Beta
from mixexp.experts.beta_binomial import BetaBinomial
from mixexp.experts.binomial import Binomial
from mixexp.experts.burr import Burr
from mixexp.experts.gamma import Gamma
from mixexp.experts.gaussian import Gaussian
from mixexp.experts.generalized_pareto import GeneralizedPareto
from mixexp.experts.generalized_poisson import GeneralizedPoisson
from mixexp.experts.inverse_gaussian import InverseGaussian
from mixexp.experts.laplace import Laplace
from mixexp.experts.logistic import Logistic
from mixexp.experts.lognormal import Lognormal
from mixexp.experts.multinomial import Multinomial
from mixexp.experts.multivariate import MultivariateGaussian, MultivariateStudentT
from mixexp.experts.negative_binomial import NegativeBinomial
from mixexp.experts.ordinal import Ordinal
from mixexp.experts.point_mass import PointMass
from mixexp.experts.poisson import Poisson
from mixexp.experts.product import Product
from mixexp.experts.skew_normal import SkewNormal
from mixexp.experts.student_t import StudentT
from mixexp.experts.tweedie import Tweedie
from mixexp.experts.uniform import Uniform
from mixexp.experts.weibull import Weibull
from mixexp.experts.zero_truncated_poisson import ZeroTruncatedPoisson

FAMILIES = Registry(
    Gaussian,
    StudentT,
    SkewNormal,
    Laplace,
    Lognormal,
    Gamma,
    InverseGaussian,
    Weibull,
    Burr,
    GeneralizedPareto,
    Tweedie,
    Beta,
    Poisson,
    NegativeBinomial,
    GeneralizedPoisson,
    ZeroTruncatedPoisson,
    Binomial,
    BetaBinomial,
    PointMass,
    Uniform,
    Logistic,
    Multinomial,
    Ordinal,
)

__all__ = [
    "FAMILIES",
    "GLM",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "Burr",
    "Censored",
    "Derivatives",
    "DispersionModel",
    "Expert",
    "Gamma",
    "Gaussian",
    "GeneralizedPareto",
    "GeneralizedPoisson",
    "Head",
    "IntervalExpert",
    "InverseGaussian",
    "JointExpert",
    "Laplace",
    "Logistic",
    "Lognormal",
    "Multinomial",
    "MultivariateGaussian",
    "MultivariateStudentT",
    "NegativeBinomial",
    "NumericalExpert",
    "Ordinal",
    "PointMass",
    "Poisson",
    "Product",
    "SkewNormal",
    "StudentT",
    "Tweedie",
    "Uniform",
    "Unit",
    "Weibull",
    "ZeroTruncatedPoisson",
    "check_derivatives",
    "least_integer",
    "middle_of",
]
