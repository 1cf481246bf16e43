"""A hierarchical mixture read as a tree: who goes where, and what holds there."""

from typing import Any, Self

import numpy as np

from mixexp.arguments import check_count
from mixexp.displays._base import Display, row_keywords
from mixexp.displays._layout import one_axes
from mixexp.displays._nodes import cut_deviances, node_styles, sum_below
from mixexp.displays._source import model_feature_names, open_source
from mixexp.displays._style import ExpertStyle, expert_styles
from mixexp.displays._tree_drawing import (
    BEND,
    FONT_SIZE,
    HISTOGRAM_HEIGHT,
    LEAF_TEXT_AT,
    LEAST_FONT_SIZE,
    Layout,
    Texts,
    below_node,
    draw_box,
    draw_disc,
    draw_edge,
    draw_histogram,
    edge_width,
    lay_out,
    wrap_terms,
    wrap_words,
)
from mixexp.estimators._row_arguments import Given
from mixexp.estimators._tables import node_names
from mixexp.estimators._words import edge_words, expert_equation, percent, read_terms
from mixexp.text import drawn
from mixexp.tree import GatingTree

_N_BINS = 10
# Letters in axes that would make them smaller than this are too small to read.
_LEAST_SCALE = 0.6


class TreeDisplay(Display):
    """A fitted tree of gates and experts: how rows are divided, and each expert's strongest terms.

    From the root on the left to the experts on the right. Edges are as wide as the share of the
    rows that take them, and say what makes their child likely: features in the order of their
    slope times standard deviation. Under each node is the histogram of its posterior over the
    rows, from 0 on the left to 1 on the right: bars at both ends are a node that is sure who
    belongs to it. Experts show their location as an equation in its most important features.

    With y, each gate also says by how much the deviance would grow if the tree were cut there,
    with one expert in place of all that is below: what the split is worth. Both are after the
    histogram and deviance trees of Jordan & Jacobs (1994); see Notes of `from_estimator` for how
    a cut is measured here.

    Build it with `from_estimator`.

    Parameters
    ----------
    tree : GatingTree
    mass : ndarray of shape (n_nodes,)
        Share of the rows that each node is responsible for; 1 for the root.
    histograms : ndarray of shape (n_nodes, 10)
        Share of the rows by their posterior probability of each node (by the gates, without y).
    names : list of str
        Of the nodes.
    conditions : list of str
        What makes each edge likely, "" for nothing.
    equations : list of str
        Of the experts, left to right in the nested notation.
    deviance : float, default=None
        Minus twice the log-likelihood.
    cut_deviance : ndarray of shape (n_nodes,), default=None
        The same for the tree cut at each node; that of the whole tree at leaves.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    nodes_ : list of matplotlib Text
        Names of the nodes, in the order of the tree.
    notes_ : list of matplotlib Text
        What stands beside each node: deviances, and equations of experts.
    edges_ : list of matplotlib PathPatch
    conditions_ : list of matplotlib Text
        One per edge that has a condition.
    histograms_ : list of matplotlib StepPatch
        One per node but the root.
    caption_ : matplotlib Text

    References
    ----------
    Jordan & Jacobs (1994), Hierarchical mixtures of experts and the EM algorithm, Neural
    Computation 6.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import HMERegressor
    >>> from mixexp.displays import TreeDisplay
    >>> x = np.linspace(-1.0, 1.0, 200)[:, None]
    >>> y = np.abs(np.abs(x[:, 0]) - 0.5) + 0.02 * np.sin(50.0 * x[:, 0])
    >>> model = HMERegressor(tree=(2, 2), random_state=0).fit(x, y)
    >>> display = TreeDisplay.from_estimator(model, x, y)
    >>> bool((display.cut_deviance >= display.deviance).all())
    True
    """

    tree: GatingTree
    mass: np.ndarray
    histograms: np.ndarray
    names: list[str]
    conditions: list[str]
    equations: list[str]
    deviance: float | None = None
    cut_deviance: np.ndarray | None = None

    @classmethod
    @row_keywords(Given)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_terms: int = 3,
        known: dict[str, Any],
        sample_weight: Any = None,
        ax: Any = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Read the tree of a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : fitted HMERegressor, HMEClassifier, MoERegressor or MoEClassifier
            Or a `Pipeline` that ends in one: equations are then in what its transformers make
            of X.
        X : array-like of shape (n, n_features)
        y : array-like of shape (n,), default=None
            With it masses and histograms are those of the posterior, and deviances are shown.
        n_terms : int, default=3
            Most features in an equation; a condition has at most two.
        <PER_ROW>
        <WEIGHT>
        ax : matplotlib Axes, default=None
            Where to draw; by default in a new figure as large as the tree needs.
        **plot_kwargs : dict
            Passed to `plot`.

        <MADE>

        Notes
        -----
        With y, one single expert is fitted per gate, to the rows in proportion to the posterior
        of its node, with the options of the estimator. All gates and experts outside of the
        subtree stay as they are. The single expert has the family of the expert there with
        the most rows that could have drawn every y. There are no deviances with ``truncation``,
        which is of the mixture as a whole, nor with ``known_expert``.
        """
        cls._check_plot_kwargs(plot_kwargs)
        n_terms = check_count("n_terms", n_terms)
        source = open_source(estimator)
        model, tree = source.model, source.tree
        y = source.of_known_classes(y, sample_weight)
        proba = source.gate_proba(X) if y is None else source.responsibilities(X, y, known)
        weight = source.row_weights(sample_weight, len(proba))
        by_node = sum_below(tree, proba)
        terms = read_terms(model, model_feature_names(source, estimator))
        cuts = None if y is None else cut_deviances(source, X, y, weight, known)
        display = cls(
            tree=tree,
            mass=np.average(by_node, axis=0, weights=weight),
            histograms=_histograms(by_node, weight),
            names=node_names(tree),
            conditions=edge_words(model, terms, min(n_terms, 2)),
            equations=[expert_equation(model, k, terms, n_terms) for k in range(tree.n_leaves)],
            deviance=None if cuts is None else float(cuts[tree.leaves[0]]),
            cut_deviance=cuts,
        )
        return display.plot(ax=ax, **plot_kwargs)

    def plot(self, ax: Any = None, *, fontsize: float | None = None) -> Self:
        """Draw the tree.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. In smaller axes than the tree needs, all sizes
            shrink with them; in much smaller ones equations are left out, then conditions.
        fontsize : float, default=None
            Points; 9 where there is room.

        <DRAWN>
        """
        ax = None if ax is None else one_axes(ax, (0.0, 0.0))
        full = self._texts()
        for texts in (full, full.brief(), full.without_features()):
            layout = lay_out(self.tree, texts)
            if ax is None or layout.scale_in(ax) >= _LEAST_SCALE:
                break
        self.ax_, scale = layout.prepare(ax)
        self.figure_ = self.ax_.get_figure()
        size = max(scale * FONT_SIZE, LEAST_FONT_SIZE) if fontsize is None else fontsize
        styles = node_styles(self.tree, expert_styles(self.tree))
        self.nodes_: list[Any] = []
        self.notes_: list[Any] = []
        self.edges_: list[Any] = []
        self.conditions_: list[Any] = []
        self.histograms_: list[Any] = []
        for node in range(self.tree.n_nodes):
            self._plot_node(node, layout, texts, styles[node], size)
            if node > 0:
                self._plot_edge(node, layout, texts, styles[node], (size, scale))
        self.caption_ = self.ax_.text(
            0.12, 0.08, texts.caption, fontsize=0.85 * size, color="0.35", va="bottom"
        )
        return self

    def _texts(self) -> Texts:
        """Return all that is written."""
        shares = [percent(share) for share in self.mass]
        nodes = [f"{name}  {share}" for name, share in zip(self.names, shares, strict=True)]
        lead = [f"{drawn(name)}: " for name in self.tree.leaf_names] or [""] * len(self.equations)
        told = zip(lead, self.tree.leaves, self.equations, strict=True)
        leaves = [
            f"{name}{shares[leaf]} of rows\n{wrap_terms(drawn(equation))}"
            for name, leaf, equation in told
        ]
        caption = "bars: rows by their probability of the node, from 0 to 1 (heights are roots)"
        if self.deviance is not None:
            worth = "cut: its growth with one expert in place of all below"
            caption += f"\ndeviance {self.deviance:.1f}; {worth}"
        return Texts(nodes, [wrap_words(drawn(text)) for text in self.conditions], leaves, caption)

    def _plot_node(
        self, node: int, layout: Layout, texts: Texts, style: ExpertStyle, size: float
    ) -> None:
        ax, left, y = self.ax_, float(layout.left[node]), float(layout.y[node])
        look = {"fontsize": size, "va": "center", "linespacing": 1.35}
        if self.tree.n_children[node] == 0:
            k = self.tree.leaf_position(node)
            self.nodes_.append(draw_disc(ax, (left, y), str(k), style, size))
            at = (left + 0.27, y - 0.5 * HISTOGRAM_HEIGHT)
            self.notes_.append(ax.text(left + LEAF_TEXT_AT, y, texts.leaves[k], **look))
        else:
            self.nodes_.append(draw_box(ax, (left, y), texts.nodes[node], style, size))
            at = below_node(left, y)
            worth = self._worth(node)
            place = (left + 0.04, at[1] - 0.04 if node else y - 0.22)
            look |= {"va": "top", "fontsize": 0.85 * size, "color": "0.25"}
            self.notes_.append(ax.text(*place, worth, **look))
        if node > 0:
            self.histograms_.append(draw_histogram(ax, at, self.histograms[node], style))

    def _plot_edge(
        self,
        node: int,
        layout: Layout,
        texts: Texts,
        style: ExpertStyle,
        sizes: tuple[float, float],
    ) -> None:
        parent, (size, scale) = int(self.tree.parent[node]), sizes
        start = float(layout.right[parent]), float(layout.y[parent])
        end = float(layout.left[node]), float(layout.y[node])
        width = edge_width(float(self.mass[node]), scale)
        self.edges_.append(draw_edge(self.ax_, start, end, (style, width)))
        condition = texts.edges[node - 1]
        if condition:
            self.conditions_.append(
                self.ax_.annotate(
                    condition,
                    (start[0] + BEND + 0.05, end[1]),
                    xytext=(0.0, 0.5 * width + 1.0),
                    textcoords="offset points",
                    fontsize=size,
                    va="bottom",
                    zorder=3,
                )
            )

    def _worth(self, node: int) -> str:
        if self.cut_deviance is None or self.deviance is None:
            return ""
        # Adding zero makes a negative zero positive.
        growth = round(float(self.cut_deviance[node]) - self.deviance, 1) + 0.0
        if not np.isfinite(growth):
            return "cut: impossible"
        return f"cut: {growth:+.1f}".replace("-", "\N{MINUS SIGN}")


def _histograms(by_node: np.ndarray, weight: np.ndarray) -> np.ndarray:
    edges = np.linspace(0.0, 1.0, _N_BINS + 1)
    # Sums of probabilities may end above 1 in the last digit.
    columns = np.clip(by_node, 0.0, 1.0).T
    counts = [np.histogram(column, edges, weights=weight)[0] for column in columns]
    return np.array(counts) / weight.sum()
