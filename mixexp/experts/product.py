"""Several targets that are independent given the expert, each of a family of its own.

``log f(y) = sum over outputs j of log f_j(y_j)``: what ties the outputs is the expert that a row
belongs to, and no more. An output that is not known, NaN, adds nothing to the sum: severities are
there only where there are claims.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixexp.experts._base import Curvature, Derivatives, Expert, Head, Heads
from mixexp.experts._interval import IntervalExpert
from mixexp.experts._joint import JointExpert
from mixexp.experts._units import Unit
from mixexp.text import shown


class Product(JointExpert):
    """Expert of several targets, independent given the expert: frequency and severity.

    In a list of experts a tuple is short for it: ``expert=[("poisson", "gamma")]``. NaN in y is an
    output that is not known; such rows count for the others. ``exposure`` and ``offset`` are of the
    first target.

    Parameters
    ----------
    experts : tuple of str or Expert
        A family for each target, in the order of the columns of y.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp.experts import Gaussian, Poisson
    >>> family = Product((Poisson(), Gaussian()))
    >>> heads = (np.array([[0.0]]),) * 3
    >>> y = family.seen(np.array([[0.0, 0.0], [1.0, np.nan]]), None)
    >>> family.log_density(y, heads).round(4)
    array([[-2.4189, -1.    ]])
    """

    name = "product"
    allows_missing = True

    def __init__(self, experts: Sequence[Any]) -> None:
        self.experts = experts

    @property
    def n_outputs(self) -> int:  # type: ignore[override]  # its experts tell
        """The number of targets."""
        return len(self.experts)

    def of(self, resolve: Callable[[Any], Expert]) -> "Product":
        """Return the same with every name made a family.

        Parameters
        ----------
        resolve : callable
            Takes an entry of ``experts``.

        Returns
        -------
        Product
        """
        return Product(tuple(resolve(entry) for entry in self.experts))

    def check_options(self) -> None:
        if not isinstance(self.experts, tuple | list) or len(self.experts) < 2:
            raise ValueError(
                "The 'experts' option of the product expert must be a tuple of two or more "
                f"families. Got {shown(self.experts)} instead."
            )
        for family in self.experts:
            if (
                not isinstance(family, Expert)
                or family.has_outputs
                or family.target != "regression"
            ):
                raise ValueError(
                    "The 'experts' option of the product expert must hold families of one real "
                    f"target each. Got {shown(family)}."
                )
            if isinstance(family, IntervalExpert):
                raise ValueError(
                    "The 'experts' option of the product expert must hold families of values that "
                    f"are known exactly. Got {shown(family)}; use its family without limits."
                )
            if family.uses_trials or not family.heads:
                raise ValueError(
                    f"The {family.name} expert cannot be part of a product: it has no linear "
                    "predictor, or counts successes of trials. Use another family for this target."
                )
            family.check_options()

    @property
    def places(self) -> list[tuple[int, int]]:
        """Output of every head, and its number among the heads of that output's family."""
        return [
            (j, own) for j, family in enumerate(self.experts) for own in range(len(family.heads))
        ]

    @property
    def heads(self) -> tuple[Head, ...]:
        found = [self.experts[j].heads[own] for j, own in self.places]
        return tuple(
            head._replace(name=f"{head.name}_{j + 1}") if head.kind == "shape" else head
            for head, (j, _) in zip(found, self.places, strict=True)
        )

    @property
    def units(self) -> tuple[Unit, ...]:
        return tuple(unit for family in self.experts for unit in family.units)

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return all(family.is_discrete for family in self.experts)

    @property
    def is_smooth(self) -> bool:  # type: ignore[override]
        return all(family.is_smooth for family in self.experts)

    @property
    def support(self) -> str:  # type: ignore[override]
        return ", ".join(f"{family.support} in column {j}" for j, family in enumerate(self.experts))

    def kind_of_output(self, output: int) -> tuple[bool, tuple[float, ...]]:
        family = self.experts[output]
        return family.is_discrete, family.atoms

    def output_of(self, h: int) -> int:
        return self.places[h][0]

    @property
    def link(self) -> str | None:
        """The link of the first target, which offsets are of."""
        return getattr(self.experts[0], "link", None)

    def takes_offset(self, h: int) -> bool:
        return self.output_of(h) == 0 and self.heads[h].kind == "location"

    def shares_head(self, h: int) -> bool:
        j, own = self.places[h]
        return self.experts[j].shares_head(own)

    def known_dispersion_of(self, h: int) -> float | None:
        j, own = self.places[h]
        return self.experts[j].known_dispersion_of(own)

    def fixed_to(self, y: np.ndarray, weight: np.ndarray) -> "Product":
        fixed = []
        for family, own in zip(self.experts, np.asarray(y).T, strict=True):
            is_known = ~np.isnan(own)
            fixed.append(family.fixed_to(own[is_known], weight[is_known]))
        return Product(tuple(fixed))

    @property
    def moving_heads(self) -> tuple[int, ...]:
        """Those of the families of all outputs."""
        return tuple(
            h for h, (j, own) in enumerate(self.places) if own in self.experts[j].moving_heads
        )

    def widened(self, heads: Heads, errors: Sequence[np.ndarray]) -> Heads:
        """Return the heads of outputs that are less certain, each by its own family.

        Parameters
        ----------
        heads : tuple of ndarray of shape (experts, rows) or (experts, 1)
        errors : sequence of ndarray of shape (experts, rows)

        Returns
        -------
        tuple of ndarray of shape (experts, rows) or (experts, 1)
        """
        rest, out = iter(errors), list[np.ndarray]()
        for j, family in enumerate(self.experts):
            own = self._own(heads, j)
            found = [next(rest) for _ in family.moving_heads]
            out += family.widened(own, found) if found else own
        return tuple(out)

    # y is seen as values, (d, rows), and below them whether each is known, (d, rows).

    def seen(self, values: np.ndarray, placeholder: np.ndarray | None) -> np.ndarray:
        is_missing = np.isnan(values)
        filled = values
        if is_missing.any():
            stand_ins = self._stand_ins(values) if placeholder is None else placeholder
            filled = np.where(is_missing, stand_ins[:, None], values)
        return np.concatenate([filled, ~is_missing])

    def _stand_ins(self, values: np.ndarray) -> np.ndarray:
        """Return a known value of each output; 1 where there is none."""
        known = (own[~np.isnan(own)] for own in values)
        return np.array([own[0] if len(own) else 1.0 for own in known])

    def has_unit(self, y: np.ndarray) -> np.ndarray:
        has_mass = [family.has_mass(y[j]) for j, family in enumerate(self.experts)]
        return np.where(has_mass, 0.0, y[self.size :])

    def find_unsupported(self, y: np.ndarray) -> np.ndarray:
        out = np.zeros(y.shape[-1], dtype=bool)
        for j, family in enumerate(self.experts):
            out |= family.find_unsupported(y[j]) & (y[self.size + j] > 0.0)
        return out

    def _own(self, heads: Heads, j: int) -> Heads:
        return tuple(
            head for head, (output, _) in zip(heads, self.places, strict=True) if output == j
        )

    def reflections(self, heads: Heads) -> Sequence[Heads]:
        out = []
        for j, family in enumerate(self.experts):
            own = [h for h in range(len(heads)) if self.output_of(h) == j]
            for reflected in family.reflections(self._own(heads, j)):
                moved = dict(zip(own, reflected, strict=True))
                out.append(tuple(moved.get(h, head) for h, head in enumerate(heads)))
        return out

    def log_base(self, y: np.ndarray) -> np.ndarray | float:
        total: np.ndarray | float = 0.0
        for j, family in enumerate(self.experts):
            total = total + _where_known(family.log_base(y[j]), y[self.size + j])
        return total

    def log_kernel(self, y: np.ndarray, heads: Heads) -> np.ndarray:
        parts = [
            _where_known(family.log_kernel(y[j], self._own(heads, j)), y[self.size + j])
            for j, family in enumerate(self.experts)
        ]
        return np.asarray(sum(parts[1:], parts[0]))

    def evaluate(self, y: np.ndarray, heads: Heads) -> tuple[np.ndarray, Derivatives]:
        total: np.ndarray | float = 0.0
        score: list[np.ndarray] = []
        curvature: Curvature = {}
        for j, family in enumerate(self.experts):
            is_known, first = y[self.size + j], len(score)
            log_kernel, own = family.evaluate(y[j], self._own(heads, j))
            total = total + _where_known(log_kernel, is_known)
            score += [_where_known(part, is_known) for part in own.score]
            for (a, b), part in own.curvature.items():
                curvature[first + a, first + b] = _where_known(part, is_known)
        return np.asarray(total), Derivatives(tuple(score), curvature)

    def derivatives(self, y: np.ndarray, heads: Heads) -> Derivatives:
        return self.evaluate(y, heads)[1]

    def observed_curvature(self, y: np.ndarray, heads: Heads) -> Curvature:
        out: Curvature = {}
        first = 0
        for j, family in enumerate(self.experts):
            own = self._own(heads, j)
            bends = (
                family.derivatives(y[j], own).curvature
                if family.has_observed_curvature
                else family.observed_curvature(y[j], own)
            )
            for (a, b), part in bends.items():
                out[first + a, first + b] = _where_known(part, y[self.size + j])
            first += len(family.heads)
        return out

    def mean(self, heads: Heads) -> np.ndarray:
        return self._stacked([f.mean(self._own(heads, j)) for j, f in enumerate(self.experts)])

    def predict(self, heads: Heads) -> np.ndarray:
        return self._stacked([f.predict(self._own(heads, j)) for j, f in enumerate(self.experts)])

    def variance(self, heads: Heads) -> np.ndarray:
        return self._stacked([f.variance(self._own(heads, j)) for j, f in enumerate(self.experts)])

    def _stacked(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(np.broadcast_arrays(*parts))

    def scatter_of(self, heads: Heads) -> np.ndarray:
        variance = self.variance(heads)
        out = np.zeros((self.size, *variance.shape))
        for j, own in enumerate(variance):
            out[j, j] = own
        return out

    def sample(self, heads: Heads, rng: np.random.Generator) -> np.ndarray:
        return self._stacked(
            [family.sample(self._own(heads, j), rng) for j, family in enumerate(self.experts)]
        )

    def start(self, y: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
        out: tuple[float, ...] = ()
        for j, family in enumerate(self.experts):
            is_known = y[self.size + j] > 0.0
            out += family.start(y[j, is_known], weight[is_known])
        return out

    def marginal(self, output: int, heads: Heads) -> tuple[Expert, Heads]:
        return self.experts[output], self._own(heads, output)


def _where_known(values: np.ndarray | float, is_known: np.ndarray) -> np.ndarray:
    """Return values, zero where an output is not known; a column stays one if all are."""
    if is_known.all():
        return np.asarray(values)
    return np.where(is_known > 0.0, values, 0.0)
