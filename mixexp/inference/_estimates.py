"""Estimates of a fitted model with their covariance, and why some have none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixexp.data import RowBlocks, Scaling
from mixexp.em import Evaluation, Problem
from mixexp.inference._covariance import Covariance, of_constant_columns
from mixexp.inference._terms import Label, Names, Terms
from mixexp.model import movable_basis
from mixexp.text import printable

# Share of a combination of coefficients that may lie along a direction that is not determined.
_LOADING = 1e-6
# Distance from the optimum, in standard errors of the worst combination of coefficients, from
# which on intervals are about another point than that which they claim.
_FAR_FROM_OPTIMUM = 0.1
# Share of a combination of coefficients that rounding leaves free where it is restricted.
_RESTRICTED = 1e-9
_KINDS = {
    "model": "inverse observed information",
    "robust": "sandwich, robust to misspecification",
    "opg": "inverse outer product of scores",
}


@dataclass(frozen=True, eq=False)
class Estimates:
    """Coefficients in the user's units with their covariance; `Inference` says what it holds."""

    problem: Problem
    current: Evaluation
    scaling: Scaling
    names: Names
    terms: Terms
    flat_covariance: Covariance
    kind: str
    n_clusters: int | None
    header: Sequence[tuple[str, str]]
    read_rows: Callable[..., RowBlocks]
    is_sampled: bool = False

    @property
    def labels(self) -> list[Label]:
        """Part, unit and term of every coefficient, in the order of `estimates`."""
        return self.terms.labels

    @cached_property
    def estimates(self) -> np.ndarray:
        """Coefficients, logarithms where they are estimated as such, shape (n_terms,)."""
        return self.terms.values(self.problem.model, self.current.params)

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of `estimates`, shape (n_terms, n_terms); NaN where `reasons` says why."""
        matrix = self.terms.matrix
        out = matrix @ self.flat_covariance.flat @ matrix.T
        is_refused = np.array([bool(reason) for reason in self.reasons], dtype=bool)
        out[is_refused] = np.nan
        out[:, is_refused] = np.nan
        return out

    @property
    def std_errors(self) -> np.ndarray:
        """Standard errors of `estimates`, shape (n_terms,)."""
        return np.sqrt(np.diagonal(self.covariance))

    @cached_property
    def reasons(self) -> list[str]:
        """Why each coefficient has no standard error; empty for those that have one."""
        return [self._reason(row) for row in self.terms.matrix]

    def _reason(self, row: np.ndarray) -> str:
        lower, upper = self.problem.model.flat_bounds
        used = row != 0.0
        if self.flat_covariance.held[used].all():
            if (lower == upper)[used].all():
                return "given"
            if of_constant_columns(self.problem.model, self.scaling)[used].all():
                return "constant column"
            if self._is_zero_by_l1[used].all():
                return "zero by l1"
            return "at its bound"
        if self.flat_covariance.refusal:
            return "refused"
        if self._is_restricted(row):
            return "given"
        if self._is_at_boundary(row):
            return "at its bound"
        return "not determined" if self._is_undetermined(row) else ""

    @cached_property
    def _is_zero_by_l1(self) -> np.ndarray:
        model, flat = self.problem.model, self.problem.model.flatten(self.current.params)
        return model.prior.is_zero(flat)

    def _is_restricted(self, row: np.ndarray) -> bool:
        """Whether linear restrictions leave a combination of coefficients no freedom."""
        model = self.problem.model
        if model.ties is None or not model.ties.n_restrictions:
            return False
        return _has_none(row, model.free_basis)

    def _is_at_boundary(self, row: np.ndarray) -> bool:
        """Whether inequalities that hold with equality leave a combination no freedom."""
        return self._boundary_basis is not None and _has_none(row, self._boundary_basis)

    @cached_property
    def _boundary_basis(self) -> np.ndarray | None:
        """The directions that inequalities leave, None where none holds with equality."""
        model = self.problem.model
        if model.ties is None:
            return None
        rows = model.ties.rows_at_boundary(model.flatten(self.current.params))
        return movable_basis(model, self.flat_covariance.held, rows) if len(rows) else None

    def _is_undetermined(self, row: np.ndarray) -> bool:
        directions = self.flat_covariance.flat_directions
        size = np.linalg.norm(row) * np.linalg.norm(directions, axis=0)
        return bool(np.any(np.abs(row @ directions) > _LOADING * size))

    @property
    def is_penalized(self) -> bool:
        """Whether the fit had a penalty, so that estimates are pulled towards it."""
        return bool(self.problem.model.penalty.given)

    @property
    def is_at_optimum(self) -> bool:
        """Whether the coefficients are, within a tenth of a standard error, at the optimum."""
        return bool(
            np.sqrt(2.0 * max(self.flat_covariance.remaining_gain, 0.0)) <= _FAR_FROM_OPTIMUM
        )

    @property
    def kind_in_words(self) -> str:
        """How the covariance was estimated."""
        words = _KINDS[self.kind] + (", for sampling weights" if self.is_sampled else "")
        if self.n_clusters is not None:
            words += f", {self.n_clusters} clusters"
        return words + (", of the penalised fit" if self.is_penalized else "")

    @cached_property
    def warnings(self) -> list[str]:
        """What is wrong with the standard errors, in words; empty if nothing is."""
        found = []
        if self.flat_covariance.refusal:
            found.append(f"No standard errors: {self.flat_covariance.refusal}.")
        undetermined = [
            printable(f"{label.unit}: {label.term}")
            for label, reason in zip(self.labels, self.reasons, strict=True)
            if reason == "not determined"
        ]
        if undetermined:
            listed = "; ".join(undetermined[:6]) + ("; ..." if len(undetermined) > 6 else "")
            found.append(
                "The information is singular (too many experts, separation or collinear "
                f"columns), so that {len(undetermined)} of the coefficients are not determined "
                f"and have no standard errors: {listed}."
            )
        return found

    @cached_property
    def notes(self) -> list[str]:
        """What to know when reading the standard errors, in words."""
        has_errors = not self.flat_covariance.refusal
        notes = [f"Standard errors: {self.kind_in_words}."] if has_errors else []
        notes.append(f"Gates: {self.terms.gates}.")
        if self.is_penalized and not has_errors:
            notes.append("The fit is penalised: estimates are pulled towards the priors' centres.")
        elif self.is_penalized:
            notes.append(
                "The fit is penalised: estimates are pulled towards the priors' centres, and "
                "standard errors are those of the posterior's curvature, without that bias."
            )
        if self.problem.model.penalty.has_l1 and has_errors:
            notes.append(
                "Slopes that the L1 penalty holds at zero are not estimated: standard errors are "
                "conditional on the columns that were selected with these rows, and too small for "
                "whoever asks which columns matter."
            )
        if not self.is_at_optimum:
            notes.append(
                "The coefficients are not at an optimum of these rows: other rows than those "
                "of the fit, or a fit that has not converged."
            )
        for reason in ("given", "at its bound", "constant column"):
            if reason in self.reasons:
                number = self.reasons.count(reason)
                notes.append(f"{number} coefficients have no standard error: {reason}.")
        if self._boundary_basis is not None:
            notes.append(
                "Inequalities of the constraints that hold with equality are taken as equations: "
                "coefficients that are one have one standard error, and their difference none."
            )
        return notes + self.warnings


def _has_none(row: np.ndarray, basis: np.ndarray) -> bool:
    """Whether a combination of coefficients does not change along a basis, but for rounding."""
    return bool(np.linalg.norm(row @ basis) <= _RESTRICTED * np.linalg.norm(row))
