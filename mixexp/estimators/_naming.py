"""Names that users give to experts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from mixexp.arguments import is_listed, is_whole
from mixexp.text import shown
from mixexp.tree import GatingTree

# They part the names of experts from those of gates and classes, in tables.
_SEPARATORS = (", ", " -> ", " vs ")


class NamingMixin:
    """What experts are called."""

    tree_: GatingTree

    @property
    def expert_names_(self) -> list[str]:
        """Names of the experts, from left to right: "expert 0", ... until they are renamed."""
        check_is_fitted(self)
        return list(self.tree_.names_of_leaves)

    def rename_experts(self, names: Any) -> Self:
        """Give experts names, which tables, displays, tests and exports then use.

        Another `fit` forgets them, for its experts are others.

        Parameters
        ----------
        names : mapping of int or str to str, or list of str
            New name by number of the expert, or by its present name; a list names all of them,
            from left to right.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ValueError
            If there is no such expert, two would have the same name, or a name is empty, does not
            print, holds what parts names in tables (", ", " -> ", " vs "), or is that of a gate.

        Examples
        --------
        >>> import numpy as np
        >>> from mixexp import MoERegressor
        >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
        >>> y = np.abs(x[:, 0]) + 0.05 * np.sin(50.0 * x[:, 0])
        >>> model = MoERegressor(2, random_state=0).fit(x, y)
        >>> model.rename_experts({0: "falling", 1: "rising"}).expert_names_
        ['falling', 'rising']
        """
        check_is_fitted(self)
        present = list(self.tree_.names_of_leaves)
        if isinstance(names, Mapping):
            renamed = _replaced(present, names)
        elif is_listed(names) and len(names) == len(present):
            renamed = list(names)
        else:
            raise ValueError(
                f"names must be a mapping such as {{0: 'frugal'}}, or a list of {len(present)} "
                f"names. Got {shown(names)} instead."
            )
        check_expert_names(renamed, self.tree_)
        self.tree_ = replace(self.tree_, leaf_names=tuple(renamed))
        return self


def _replaced(present: list[str], names: Mapping[Any, Any]) -> list[Any]:
    found: dict[int, Any] = {}
    for key, name in names.items():
        if isinstance(key, str) and key in present:
            at = present.index(key)
        elif is_whole(key) and 0 <= int(key) < len(present):
            at = int(key)
        else:
            raise ValueError(
                f"There is no expert {shown(key)} to rename; there are {present}, by number 0 to "
                f"{len(present) - 1} or by name."
            )
        if at in found:
            raise ValueError(
                f"The expert {present[at]!r} is renamed twice, in {shown(dict(names))}."
            )
        found[at] = name
    return [found.get(at, name) for at, name in enumerate(present)]


def check_expert_names(names: list[Any], tree: GatingTree) -> None:
    """Check new names of all experts.

    Raises
    ------
    ValueError
        Naming the first that cannot be one.
    """
    for name in names:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ValueError(
                f"The name of an expert must be text of one line that prints. Got {shown(name)}."
            )
        parted = [separator for separator in _SEPARATORS if separator in name]
        if parted or name == "root" or name.startswith("node "):
            what = f"holds {parted[0]!r}, which parts names" if parted else "is that of a gate"
            raise ValueError(
                f"The name of an expert must not be {shown(name)}: it {what} in tables."
            )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"Experts must have names of their own; {shown(repeated[0])} would be the name of "
            f"{names.count(repeated[0])} of them."
        )
