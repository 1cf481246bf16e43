"""Sizes that were averaged over: a table, with their weights, and the result in words."""

from typing import Any

from mixexp.estimators._auto_selection import AutoSelection


class BagSelection(AutoSelection):
    """Sizes of members, and the weights that they have in an average.

    The attribute ``selection_`` of a `BaggedMixture` whose estimator has ``n_experts`` or ``tree``
    of "auto". All is as in `AutoSelection`, but out-of-bag rows take the place of folds:
    ``n_folds`` is the number of resamples, and ``chosen`` the size of most weight, which
    ``best_index_`` is the place of.
    """

    @property
    def table(self) -> Any:
        """All sizes, one per row, as pandas.DataFrame, or `Table` without pandas.

        Columns: "n_experts"; "tree" for these; "alpha", that of the members; "weight" in the
        average, for all members of a size together; "score", mean log density of the out-of-bag
        rows under the bag of this size alone (of one expert, under fits to the other nine tenths of
        the rows), and "score_se", its standard error; "behind", how much less that is than the best
        one, and "behind_se", the standard error of this difference on the same rows; "n_parameters"
        of a member; "has_spike", whether an expert of a member has shrunk onto a single value of y;
        "chosen", whether it has the most weight.
        """
        return self._table().to_frame()

    @property
    def candidates(self) -> list[str]:
        """What sets the candidates apart, in words."""
        name = "tree" if "tree" in self.columns else "n_experts"
        return [str(cell) for cell in self.columns[name]]

    def in_words(self) -> str:
        """Return the sizes that have weight in one sentence.

        Returns
        -------
        str
        """
        name = "tree" if "tree" in self.columns else "n_experts"
        pairs = zip(self.candidates, self.columns["weight"], strict=True)
        told = ", ".join(f"{size}: {weight:.2g}" for size, weight in pairs if weight > 0.0)
        return (
            f"weights of {name} {told}, by the log density of out-of-bag {self.counted} of "
            f"{self.n_folds} resamples, of {len(self.candidates)} candidates"
        )
