"""The warnings that mixexp gives, and the few errors that are no plain ValueError or TypeError."""

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CheckpointError",
    "ClusterError",
    "ConvergenceWarning",
    "DegenerateExpertError",
    "DegenerateExpertWarning",
    "ExportError",
    "FormulaError",
    "ImplausibleFitWarning",
    "InferenceWarning",
    "ModelFileError",
    "PartitionError",
    "RankDeficientWarning",
    "RoundedTargetWarning",
    "SeparationWarning",
]


class CheckpointError(ValueError):
    """A checkpoint of a fit with other rows or settings than the one that should go on."""


class ClusterError(RuntimeError):
    """A Dask cluster that has no worker or no scheduler any more; the estimator is as it was."""


class PartitionError(RuntimeError):
    """A partition of a source whose rows could not be made, by number and cause."""


class RankDeficientWarning(UserWarning):
    """Some coefficients are not determined by the data; those of least norm are given."""


class DegenerateExpertError(ValueError):
    """As `DegenerateExpertWarning`, where ``EM(on_collapse="error")`` asks for an error."""


class DegenerateExpertWarning(UserWarning):
    """An expert's dispersion is at its floor, or hardly any rows are left to it."""


class ExportError(ValueError):
    """A model that cannot be written in this format, such as one with a user-defined submodel."""


class FormulaError(ValueError):
    """An invalid formula, or one whose terms cannot be made from the columns of the data."""


class ImplausibleFitWarning(ConvergenceWarning):
    """Means on the rows of the fit are far beyond y, or one expert alone fits them far better.

    Such a fit is not ``converged_``, whatever stopped it.
    """


class ModelFileError(ValueError):
    """A file without a model that this version can read; no model was created."""


class RoundedTargetWarning(UserWarning):
    """An expert has shrunk onto single values of y that repeat: its density there means nothing.

    Say what y is rounded to, by ``y_resolution``.
    """


class SeparationWarning(UserWarning):
    """A gate or a logistic expert separates the data; its coefficients have no finite optimum."""


class InferenceWarning(UserWarning):
    """Some standard errors are not available, and are NaN; the message says which and why."""
