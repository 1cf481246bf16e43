"""Inference on a fit: estimates with their covariance, tables, tests and effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixexp.arguments import as_finite, is_real
from mixexp.data import Block, RowBlocks
from mixexp.inference._arguments import (
    as_weights,
    feature_columns,
    find_label,
    units_to_compare,
)
from mixexp.inference._bootstrap import BootstrapResult
from mixexp.inference._break_points import break_point_table, find_break_points
from mixexp.inference._effect_tables import average, effect_table, mean_table, row_by_row
from mixexp.inference._effects import standard_errors
from mixexp.inference._estimates import Estimates
from mixexp.inference._formats import format_table
from mixexp.inference._hypotheses import (
    Asked,
    ChiSquared,
    Contrast,
    asked_of_rows,
    asked_of_term,
    critical_value,
    independent_rows,
    two_sided,
    wald,
)
from mixexp.inference._summary import Section, Summary, summarize
from mixexp.inference._tables import Table, coefficient_table, undo_logarithms
from mixexp.text import shown


def _unknown(block: Block) -> Block:
    """Return rows of which nothing is known but what gates see."""
    return block._replace(known=block.known._replace(groups=None, evidence=None))


@dataclass(frozen=True, eq=False)
class Inference(Estimates):
    """Estimates of a fitted model with their covariance, and what follows from it.

    Made by an estimator's ``inference(X, y)``; it keeps a reference to X and y. Coefficients are
    those for features and y in the user's units; dispersions and shapes enter as logarithms
    where they are estimated as such, and tables undo that.

    Parameters
    ----------
    problem : Problem
    current : Evaluation
        At the fitted parameters.
    scaling : Scaling
    names : Names
    terms : Terms
    flat_covariance : Covariance
        Of the coefficients for standardised features.
    kind : {"model", "robust", "opg"}
    n_clusters : int or None
    header : sequence of (str, str)
        What the summary says about the fit.
    read_rows : callable
        Checks features, offset, exposure and trials of other rows, and cuts them into blocks.
    is_sampled : bool
        Whether weights compensate for sampling, so that their squares enter.
    places : ndarray of shape (n_rows,), int, or None
        Where the user's rows stand in the problem's; None if they are in that order.
    lead : sequence of Section
        What the summary begins with.
    lead_notes : sequence of str

    Notes
    -----
    Sample weights are numbers of like rows: weight 2 is the row twice, for standard errors too.
    With ``weight_type="sampling"`` they have mean one, and every row is a cluster of its own.
    """

    places: np.ndarray | None = None
    lead: Sequence[Section] = ()
    lead_notes: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Inference({len(self.labels)} coefficients; {self.kind_in_words})"

    # Tables.

    def coef_table(self, level: float = 0.95, format: str | None = None) -> Any:
        """Return all coefficients with standard errors, tests of zero and intervals.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals.
        format : {"latex", "markdown", "html"}, default=None
            Text for a paper or a page; LaTeX is a tabular of the package booktabs.

        Returns
        -------
        pandas.DataFrame, or Table without pandas, or str
            Columns "part" ("expert" or "gate"), "unit" (which), "term", "estimate",
            "std_error", "z", "p_value", "lower", "upper" and "note", which says why a standard
            error is NaN. Dispersions and log shapes are mapped back, their intervals from the
            logarithm; they have no z, for zero is not a value that they could take.
        """
        return format_table(self.table(level), format)

    def table(self, level: float = 0.95) -> Table:
        """Return `coef_table` as a plain table.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals.

        Returns
        -------
        Table
        """
        reach = critical_value(level)
        is_log = np.array([label.is_log for label in self.labels])
        at, deviation = self.estimates, self.std_errors
        z = np.where(is_log, np.nan, at / deviation)
        value, lower, upper = (
            undo_logarithms(self.labels, end)
            for end in (at, at - reach * deviation, at + reach * deviation)
        )
        return coefficient_table(
            self.labels,
            at,
            std_error=np.where(is_log, value * deviation, deviation).tolist(),
            z=z.tolist(),
            p_value=two_sided(z).tolist(),
            lower=lower.tolist(),
            upper=upper.tolist(),
            note=self.reasons,
        )

    def summary(self, level: float = 0.95) -> Summary:
        """Return header, experts and gates as text, and as HTML in notebooks.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals.

        Returns
        -------
        Summary
        """
        notes = [*self.notes, *self.lead_notes]
        return summarize(self.header, self.table(level), notes, level, lead=self.lead)

    def break_points(self, level: float = 0.95, bootstrap: BootstrapResult | None = None) -> Any:
        """Return where neighbours are equally probable, for gates along one feature.

        The logits of a gate's children are lines there, and each child is the most probable one
        on one stretch of the feature, or on none; a break point ends a stretch.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals.
        bootstrap : BootstrapResult, default=None
            Of the estimator's ``bootstrap(X, y)``, for standard errors and percentile intervals of
            its refits in place of the delta method, which takes break points for normal: doubt
            that where the interval is not short beside the range of the feature.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            One row per break point: "gate", "feature", "left" and "right" (the children below and
            above), "estimate" in the unit of the feature, "std_error", "lower", "upper", and
            "width", how far from there the log odds of the two are one. NaN where there is no
            standard error; no row for a gate of which one child is the most probable everywhere.

        Raises
        ------
        ValueError
            If no gate looks at exactly one feature, or ``bootstrap`` is not of this model.

        References
        ----------
        Muggeo (2003), for regressions with broken lines, whose break points are kinks.
        """
        points = find_break_points(self.problem.model, self.current.params, self.scaling)
        gradient = np.array([point.gradient for point in points])
        columns = gradient.reshape(len(points), self.problem.model.n_flat).T
        errors = self._gradient_errors(columns)
        return break_point_table(points, errors, self.names, level, bootstrap).to_frame()

    # Means and effects.

    def predict_mean(self, X: Any = None, *, level: float = 0.95, **per_row: Any) -> Any:
        """Return the mean of y with its confidence interval: where the average is, not where y is.

        Parameters
        ----------
        X : array-like of shape (n, n_features), default=None
            The rows given to `inference` by default.
        level : float, default=0.95
        **per_row
            ``offset``, ``exposure`` and ``trials`` of these rows, as for ``predict``.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            Columns "row", "mean", "std_error", "lower" and "upper", by the delta method; for
            classifiers also "class", with intervals symmetric in log-odds.
        """
        blocks = self._rows_to_use(X, per_row)
        known = self.problem.model, self.current.params, blocks, self._gradient_errors
        places = self.places if X is None else None
        return mean_table(*known, self.names, level, places).to_frame()

    def marginal_effects(
        self,
        at: Any = None,
        *,
        features: Sequence[str | int] | None = None,
        level: float = 0.95,
        **per_row: Any,
    ) -> Any:
        """Return what one more unit of a feature does to the mean of y.

        ``dM / dx = sum_k prior_k dmu_k / dx  +  sum_k mu_k dprior_k / dx``: the first sum is the
        part within experts, the second that by re-routing rows between them.

        Parameters
        ----------
        at : array-like of shape (n, n_features), default=None
            Rows to give effects in; by default the average over the rows given to `inference`.
        features : sequence of str or int, default=None
            All that vary and that experts or gates see by default.
        level : float, default=0.95
        **per_row
            ``offset``, ``exposure`` and ``trials`` of the rows of ``at``.

        Returns
        -------
        pandas.DataFrame, or Table without pandas
            Columns "feature", "part" ("total", "within experts" or "re-routing"), "row" with
            ``at``, "class" for classifiers, "estimate", "std_error", "z", "p_value", "lower" and
            "upper", by the delta method, for X as it is given.

        Raises
        ------
        ValueError
            If there is no such feature, or a part of the model is no linear predictor.

        Notes
        -----
        Derivatives: a feature of two values has an effect too, but not its difference. Costs
        15 to 25 predictions per feature.
        """
        if not self.problem.model.is_linear:
            raise ValueError(
                "Marginal effects need the slopes of every part, which those of "
                f"{' and '.join(self.problem.model.other_names)} are not known; compare predict(X) "
                "at two values of the feature, or use sklearn.inspection."
            )
        blocks = self._rows_to_use(at, per_row)
        return effect_table(
            self.problem.model,
            self.current.params,
            blocks,
            self._gradient_errors,
            self.names,
            self.scaling,
            self._feature_columns(features),
            average if at is None else row_by_row,
            level,
        ).to_frame()

    def _rows_to_use(self, X: Any, per_row: Mapping[str, Any]) -> RowBlocks:
        if self.problem.model.n_outputs > 1:
            raise ValueError(
                "Effects and standard errors of means are of one target, but the model has "
                f"{self.problem.model.n_outputs}. Coefficients have theirs in coef_table; see also "
                "predict_dist(X).mean()."
            )
        if per_row.get("history") is not None:
            raise ValueError(
                "history is for an estimator's predict: errors here are of means over the gate's "
                "prior, which does not know what groups did before. Leave history and groups out."
            )
        if X is not None:
            return self.read_rows(X, per_row)
        if per_row:
            raise ValueError(f"{next(iter(per_row))} is for other rows: give their features too.")
        return self.problem.held.map_blocks(_unknown)

    def _feature_columns(self, features: Sequence[str | int] | None) -> list[int]:
        model, names = self.problem.model, list(self.names.features)
        if features is None:
            seen = {
                int(column) for design in model.slot_designs for column in model.designs[design]
            }
            return [c - 1 for c in sorted(seen) if c and not self.scaling.is_constant[c - 1]]
        return feature_columns(features, names, self.scaling.is_constant)

    def _gradient_errors(self, gradient: np.ndarray) -> np.ndarray:
        """Return standard errors from gradients in the flat vector, NaN where there are none."""
        errors = standard_errors(gradient, self.flat_covariance.flat)
        if self.flat_covariance.refusal:
            return np.full_like(errors, np.nan)
        if self.flat_covariance.flat_directions.shape[1]:
            rows = gradient.reshape(len(gradient), -1).T
            is_refused = np.array([self._is_undetermined(row) for row in rows])
            errors[is_refused.reshape(errors.shape)] = np.nan
        return errors

    # Tests.

    def wald_test(self, R: Any, q: Any = 0.0) -> ChiSquared:
        """Test ``R @ estimates == q``.

        Parameters
        ----------
        R : array-like of shape (n_terms,) or (m, n_terms)
            One hypothesis per row; columns in the order of `coef_table`, whose dispersions and
            log shapes enter as logarithms.
        q : float or array-like of shape (m,), default=0

        Returns
        -------
        ChiSquared
            Chi-squared with m degrees of freedom.

        Raises
        ------
        ValueError
            If shapes do not fit, rows are redundant, or a row has no standard error.
        """
        values, rows = as_finite(q, "q"), self._read_rows_of(R)
        if values.ndim > 1 or (values.ndim == 1 and values.shape != (len(rows),)):
            raise ValueError(f"q has shape {values.shape}; expected a number or ({len(rows)},).")
        asked = asked_of_rows(len(rows))
        self._check_rows(rows, asked)
        return self._wald(rows, np.broadcast_to(values, len(rows)), asked)

    def contrast(
        self, weights: Mapping[tuple[str, str], float], value: float = 0.0, level: float = 0.95
    ) -> Contrast:
        """Return a linear combination of coefficients, tested against a value.

        Parameters
        ----------
        weights : mapping of (unit, term) to float
            ``{("expert 1", "x0"): 1.0, ("expert 0", "x0"): -1.0}`` is the difference of two
            slopes; units and terms as in `coef_table`.
        value : float, default=0
        level : float, default=0.95

        Returns
        -------
        Contrast
            Estimate, standard error, z, p-value and interval.

        Raises
        ------
        ValueError
            If there is no such coefficient, or it has no standard error.
        """
        reach = critical_value(level)
        row = np.zeros(len(self.labels))
        for pair, weight in as_weights(weights):
            row[find_label(self.labels, *pair)] += weight
        if not is_real(value) or not np.isfinite(float(value)):
            raise ValueError(f"value must be a finite number. Got {shown(value)} instead.")
        self._check_rows(row[None], Asked(["weights ask"], "weights"))
        in_flat = row @ self.terms.matrix
        estimate = float(row @ self.estimates)
        deviation = float(np.sqrt(in_flat @ self.flat_covariance.flat @ in_flat))
        if not deviation > 0.0:
            raise ValueError(f"The contrast has no variance: weights are {shown(dict(weights))}.")
        z = (estimate - value) / deviation
        ends = estimate - reach * deviation, estimate + reach * deviation
        return Contrast(estimate, deviation, z, float(two_sided(np.array(z))), *ends)

    def equality_test(self, term: str, units: Sequence[str] | None = None) -> ChiSquared:
        """Test whether a coefficient is the same in several experts.

        Of several targets, and of more than two classes, each is compared with itself: the
        coefficients of all classes (or targets) in one expert with those in the others.

        Parameters
        ----------
        term : str
            As in `coef_table`.
        units : sequence of str, default=None
            Such as ["expert 0", "expert 2"]; all experts that have the term by default. Or units
            as in `coef_table`, ["expert 0, y1", "expert 0, y2"], which are compared as they are.

        Returns
        -------
        ChiSquared
            Wald's statistic. Its degrees of freedom are one less than there are experts, times
            the number of targets, or of classes less one.

        Raises
        ------
        ValueError
            If fewer than two experts have it, or a difference has no standard error.
        """
        experts = [self.names.nodes[leaf] for leaf in self.problem.model.tree.leaves]
        compared = units_to_compare(self.labels, experts, term, units)
        at = [[find_label(self.labels, unit, term) for unit in alike] for alike in compared]
        unit_rows = np.eye(len(self.labels))
        differences = [unit_rows[i] - unit_rows[first] for first, *others in at for i in others]
        rows = independent_rows(np.array(differences), self.terms.matrix)
        asked = asked_of_term(term, self.labels, rows)
        self._check_rows(rows, asked)
        return self._wald(rows, np.zeros(len(rows)), asked)

    def _wald(self, rows: np.ndarray, values: np.ndarray, asked: Asked) -> ChiSquared:
        in_flat = rows @ self.terms.matrix
        covariance = in_flat @ self.flat_covariance.flat @ in_flat.T
        return wald(rows @ self.estimates - values, covariance, asked)

    def _read_rows_of(self, R: Any) -> np.ndarray:
        """Return hypotheses as rows."""
        rows, n = np.atleast_2d(as_finite(R, "R")), len(self.labels)
        if rows.ndim != 2 or rows.shape[1] != n or len(rows) == 0:
            raise ValueError(
                f"R has shape {np.shape(R)}; expected ({n},) or (m, {n}), one column per row of "
                "coef_table."
            )
        return rows

    def _check_rows(self, rows: np.ndarray, asked: Asked) -> None:
        """Refuse hypotheses without a standard error."""
        if self.flat_covariance.refusal:
            raise ValueError(f"There is nothing to test by: {self.flat_covariance.refusal}.")
        for words, row in zip(asked.each, rows @ self.terms.matrix, strict=True):
            if self._is_undetermined(row):
                raise ValueError(f"{words} for something the data do not determine.")
            if self._is_at_boundary(row):
                raise ValueError(f"{words} for what is at its bound: it has no standard error.")
