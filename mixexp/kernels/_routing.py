"""Routing: which few experts a row goes to, opening no gate that need not be opened.

Unlike other kernels these go row by row, for every row takes its own way down the tree. So
features are (rows, q), a row contiguous, and logits are summed over features in the same order
as `linear_predictor` does, so that they have the same bits.
"""

import math

from mixexp.kernels._jit import kernel, part_of_kernels

# Rows that go down the tree together: the ways of several rows are independent, and a core works
# on some of them at a time; their features stay in the first-level cache.
ROWS_ABREAST = 128


@kernel
def greedy_leaf(features, coef, first_child, n_children, node):  # type: ignore[no-untyped-def]
    """Follow the most probable child from the root to a leaf, the first of equals.

    Parameters
    ----------
    features : ndarray of shape (rows, q)
    coef : ndarray of shape (n_nodes - 1, q)
        Of the gate logit of each edge.
    first_child, n_children : ndarray of shape (n_nodes,), int64
    node : ndarray of shape (rows,), int64
        Receives the leaf, as a node of the tree.

    Notes
    -----
    Logits of siblings are compared as they are: no exponential. Level by level, which is 1.6
    times as fast as row by row.
    """
    rows, q = features.shape
    for begin in range(0, rows, ROWS_ABREAST):
        end = min(begin + ROWS_ABREAST, rows)
        for r in range(begin, end):
            node[r] = 0
        is_inside = True
        while is_inside:
            is_inside = False
            for r in range(begin, end):
                first = first_child[node[r]]
                n_siblings = n_children[node[r]]
                if n_siblings > 0:
                    is_inside = True
                    row, best, largest = features[r], first, -math.inf
                    for c in range(first, first + n_siblings):
                        slope, logit = coef[c - 1], 0.0
                        for j in range(q):
                            logit += slope[j] * row[j]
                        best = c if logit > largest else best
                        largest = logit if logit > largest else largest
                    node[r] = best


@kernel
def greedy_dropped_mass(features, coef, parent, first_child, n_children, node, dropped):  # type: ignore[no-untyped-def]
    """Add up the probability of everything beside the way to each row's leaf.

    With t the odds of the siblings against the node on the way, and d what is dropped below it,
    its parent drops ``(t + d) / (1 + t)``: no difference of numbers near 1 is taken.

    Parameters
    ----------
    features : ndarray of shape (rows, q)
    coef : ndarray of shape (n_nodes - 1, q)
    parent, first_child, n_children : ndarray of shape (n_nodes,), int64
    node : ndarray of shape (rows,), int64
        Leaves, where `greedy_leaf` led.
    dropped : ndarray of shape (rows,)

    Notes
    -----
    One `math.exp` per sibling, a third of the time of a gate with 20 features. `greedy_leaf` does
    without, because a prediction does not need to know.
    """
    q = features.shape[1]
    for r in range(features.shape[0]):
        row, v, below = features[r], node[r], 0.0
        while v > 0:
            slope, own = coef[v - 1], 0.0
            for j in range(q):
                own += slope[j] * row[j]
            first, odds = first_child[parent[v]], 0.0
            for c in range(first, first + n_children[parent[v]]):
                if c != v:
                    slope, logit = coef[c - 1], 0.0
                    for j in range(q):
                        logit += slope[j] * row[j]
                    odds += math.exp(logit - own)  # own is the largest
            below = (odds + below) / (1.0 + odds)
            v = parent[v]
        dropped[r] = below


@kernel
def find_top_leaves(  # type: ignore[no-untyped-def]
    features, coef, first_child, n_children, first_leaf, budget, heap, prior, leaf, share, dropped
):
    """Search the most probable leaves of each row, opening as few gates as can be.

    Best-first search: of the nodes seen, the most probable is opened next. Probabilities fall on
    the way down, so a leaf that is popped dominates all that is still on the frontier. Of
    equals the one further left comes first, by its leftmost leaf, which too bounds all below.

    Parameters
    ----------
    features : ndarray of shape (rows, q)
    coef : ndarray of shape (n_nodes - 1, q)
    first_child, n_children, first_leaf : ndarray of shape (n_nodes,), int64
        The last is the place of the leftmost leaf at or below each node.
    budget : int
        Most gates to open for a row.
    heap : ndarray of shape (n_nodes,), int64
        Scratch.
    prior : ndarray of shape (n_nodes,)
        Scratch.
    leaf : ndarray of shape (rows, k), int64
        Receives places of leaves, the most probable first; -1 in the first column where the
        budget did not suffice.
    share : ndarray of shape (rows, k)
        Receives their probabilities.
    dropped : ndarray of shape (rows,)
        Receives the probability of all other leaves.
    """
    for r in range(features.shape[0]):
        heap[0], prior[0] = 0, 1.0
        size, n_opened, n_found = 1, 0, 0
        while n_found < leaf.shape[1]:
            v = heap[0]
            if n_children[v] > 0 and n_opened == budget:
                break
            size = _pop(heap, size, prior, first_leaf)
            if n_children[v] == 0:
                leaf[r, n_found], share[r, n_found] = first_leaf[v], prior[v]
                n_found += 1
            else:
                _open_gate(features[r], coef, first_child[v], n_children[v], prior[v], prior)
                for c in range(first_child[v], first_child[v] + n_children[v]):
                    size = _push(heap, size, c, prior, first_leaf)
                n_opened += 1
        if n_found < leaf.shape[1]:
            leaf[r, 0] = -1
        total = 0.0
        for i in range(size):
            total += prior[heap[i]]
        dropped[r] = total


@part_of_kernels
def _open_gate(row, coef, first, n_siblings, above, prior):  # type: ignore[no-untyped-def]
    """Write the probabilities of a node's children, given its own."""
    largest = -math.inf
    for c in range(first, first + n_siblings):
        slope, logit = coef[c - 1], 0.0
        for j in range(row.shape[0]):
            logit += slope[j] * row[j]
        prior[c] = logit
        largest = max(largest, logit)
    total = 0.0
    for c in range(first, first + n_siblings):
        prior[c] = math.exp(prior[c] - largest)
        total += prior[c]
    for c in range(first, first + n_siblings):
        prior[c] = above * (prior[c] / total)


@part_of_kernels
def _comes_first(a, b, prior, first_leaf):  # type: ignore[no-untyped-def]
    """Tell whether node a is to be looked at before node b."""
    return prior[a] > prior[b] or (prior[a] == prior[b] and first_leaf[a] < first_leaf[b])


@part_of_kernels
def _push(heap, size, node, prior, first_leaf):  # type: ignore[no-untyped-def]
    """Add a node to the heap and return its new size."""
    at = size
    while at > 0 and _comes_first(node, heap[(at - 1) // 2], prior, first_leaf):
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = node
    return size + 1


@part_of_kernels
def _pop(heap, size, prior, first_leaf):  # type: ignore[no-untyped-def]
    """Take the first node off the heap and return its new size."""
    last, at, below = heap[size - 1], 0, 1
    while below < size - 1:
        if below + 1 < size - 1 and _comes_first(heap[below + 1], heap[below], prior, first_leaf):
            below += 1
        if not _comes_first(heap[below], last, prior, first_leaf):
            break
        heap[at] = heap[below]
        at, below = below, 2 * below + 1
    heap[at] = last
    return size - 1


@kernel
def select_top(prior, leaf, share, dropped):  # type: ignore[no-untyped-def]
    """Select the most probable leaves of each row, of equals those further left.

    Parameters
    ----------
    prior : ndarray of shape (rows, n_leaves)
    leaf : ndarray of shape (rows, k), int64
        Receives places of leaves, the most probable first.
    share : ndarray of shape (rows, k)
        Receives their probabilities.
    dropped : ndarray of shape (rows,)
        Receives the probability of all other leaves.

    Notes
    -----
    By insertion: O(n_leaves) where the likely leaves come early, O(n_leaves * k) at worst.
    """
    rows, n_leaves = prior.shape
    k = leaf.shape[1]
    for r in range(rows):
        others = 0.0
        for candidate in range(n_leaves):
            value, at = prior[r, candidate], min(candidate, k)
            if at == k:
                if not value > share[r, k - 1]:
                    others += value
                    continue
                others += share[r, k - 1]
                at = k - 1
            while at > 0 and value > share[r, at - 1]:
                leaf[r, at], share[r, at] = leaf[r, at - 1], share[r, at - 1]
                at -= 1
            leaf[r, at], share[r, at] = candidate, value
        dropped[r] = others


@kernel
def row_predictors(features, coef, row, head, out):  # type: ignore[no-untyped-def]
    """Fill out with one linear predictor per pair of a row and a head.

    Parameters
    ----------
    features : ndarray of shape (rows, q)
    coef : ndarray of shape (n_heads, q)
    row, head : ndarray of shape (n_pairs,), int64
    out : ndarray of shape (n_pairs,)
    """
    q = features.shape[1]
    for i in range(row.shape[0]):
        values, slope, total = features[row[i]], coef[head[i]], 0.0
        for j in range(q):
            total += slope[j] * values[j]
        out[i] = total
