"""Families of several targets: one density of all outputs y_1, ..., y_d of a row.

Every output has a location, and a log dispersion where there is one. ``y`` has shape (d, rows)
in place of (rows,). Nothing else differs from other families, which is why fits, Newton's finish
and standard errors are the same code.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mixexp.experts._base import Expert, Heads
from mixexp.experts._docs import contract_docs


@contract_docs
class JointExpert(Expert):
    """Base of the families of several targets.

    Where a method of `Expert` takes y of shape (rows,) it takes (d, rows) here, and where one
    returns means or draws these have the outputs in the first axis: (d, ..., rows).
    """

    has_outputs = True
    n_outputs: int | None
    #: Whether some outputs of a row may be NaN, not known.
    allows_missing: ClassVar[bool] = False
    #: Whether the density depends on y by its distance in a scatter matrix, that of no features.
    has_scatter: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """The number of outputs.

        Raises
        ------
        ValueError
            If it is to come from y, and y has not been seen.
        """
        if self.n_outputs is None:
            raise ValueError(f"The {self.name} expert knows its number of targets from y alone.")
        return self.n_outputs

    def of_outputs(self, n_outputs: int) -> "JointExpert":
        """Return the family of so many outputs.

        Parameters
        ----------
        n_outputs : int

        Returns
        -------
        JointExpert

        Raises
        ------
        ValueError
            If it is one of another number.
        """
        if self.n_outputs not in (None, n_outputs):
            raise ValueError(
                f"The {self.name} expert is for {self.n_outputs} targets, but y has {n_outputs} "
                "columns."
            )
        params = self.get_params(deep=False)
        if "n_outputs" not in params:
            return self
        return type(self)(**{**params, "n_outputs": n_outputs})

    def output_of(self, h: int) -> int:
        """Return which output a head is of."""
        raise NotImplementedError

    def dispersion_head(self, output: int) -> int | None:
        """Return which head is the log dispersion of an output, None if it has none."""
        for h, head in enumerate(self.heads):
            if head.kind == "dispersion" and self.output_of(h) == output:
                return h
        return None

    def change_of(
        self, h: int, outputs: Sequence[tuple[float, float, float]]
    ) -> tuple[float, float]:
        """Return the factor and the summand that take a head to the units of y.

        Parameters
        ----------
        h : int
        outputs : sequence of tuple of float
            Shift, scale and anchor of each.

        Returns
        -------
        tuple of (float, float)
        """
        shift, scale, _ = outputs[self.output_of(h)]
        return self.units[h].change(scale, shift)

    def takes_offset(self, h: int) -> bool:
        """Return whether offsets are added to a head."""
        return False

    def seen(self, values: np.ndarray, placeholder: np.ndarray | None) -> np.ndarray:
        """Return y as the family sees it.

        Parameters
        ----------
        values : ndarray of shape (d, rows)
            NaN where an output is not known, which few families allow.
        placeholder : ndarray of shape (d,) or None
            Values inside of the support.

        Returns
        -------
        ndarray of shape (m, rows)
        """
        return values

    def has_unit(self, y: np.ndarray) -> np.ndarray:
        """Return which outputs of y, as `seen` returns it, have a density per unit, (d, rows).

        Not those that are unknown, nor values with a probability of their own.
        """
        return np.ones((self.size, y.shape[-1]))

    def kind_of_output(self, output: int) -> tuple[bool, tuple[float, ...]]:
        """Return whether an output is discrete, and its values with a probability of their own."""
        return False, ()

    def marginal(self, output: int, heads: Heads) -> tuple[Expert, Heads]:
        """Return the family of one output alone, and its heads.

        Parameters
        ----------
        output : int
        heads : tuple of ndarray of shape (..., rows) or (..., 1)

        Returns
        -------
        tuple of (Expert, tuple of ndarray of shape (..., rows) or (..., 1))
        """
        raise NotImplementedError

    def scatter_of(self, heads: Heads) -> np.ndarray:
        """Return the covariance over outputs, (d, d, ..., rows), up to a factor for Student t."""
        raise NotImplementedError

    def covariance_of(self, heads: Heads) -> np.ndarray:
        """Return the covariance matrix of the outputs, (d, d, ..., rows)."""
        return self.scatter_of(heads)

    def squared_radius(self, coverage: float, heads: Heads) -> np.ndarray:
        """Return the squared Mahalanobis distance, by `scatter_of`, that holds so much of y.

        Parameters
        ----------
        coverage : float
        heads : tuple of ndarray of shape (..., rows) or (..., 1)

        Returns
        -------
        ndarray of shape (..., rows) or (..., 1)

        Raises
        ------
        ValueError
            If contours of the density are no ellipsoids.
        """
        raise ValueError(
            f"Densities of the {self.name} expert have no ellipsoids as contours; ask for the "
            "marginals, or for 'region_level'."
        )

    def has_mass(self, y: np.ndarray) -> np.ndarray:
        return np.zeros(y.shape[-1:], dtype=bool)

    def location_coef(self, coefs: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(list(coefs), axis=1)
