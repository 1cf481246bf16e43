"""Gate probabilities and responsibilities on a tree, the loops between NumPy's exp and log.

A softmax over siblings and a softmax over leaves are all that a tree needs:

- the prior of a leaf is the product of the gate probabilities on its path;
- its responsibility is ``prior * density`` over the sum of these over leaves;
- the responsibility of an inner node is the sum over the leaves below it, which is what
  the down-pass of conditional posteriors in Jordan & Jacobs (1994) multiplies out to.

Nodes are numbered level by level from the root 0, children are contiguous, and the edge
into node v is row v - 1. Arrays are (nodes or edges or leaves, rows): the inner loops run
over contiguous rows and vectorise.
"""

import math

from mixexp.kernels._jit import kernel

# Rows that are taken through all nodes before the next, so that they stay in the first-level
# cache. Loops over rows are innermost, over slices that begin at 0: an index that might be
# negative keeps the compiler from vectorising.
CHUNK = 512


@kernel
def shift_siblings(logits, inner, first_child, n_children, top, out):  # type: ignore[no-untyped-def]
    """Subtract from each gate logit the largest among its siblings.

    Parameters
    ----------
    logits : ndarray of shape (n_nodes - 1, rows)
    inner : ndarray of shape (n_inner,), int64
        Nodes with children.
    first_child, n_children : ndarray of shape (n_nodes,), int64
    top : ndarray of shape (rows,)
        Scratch.
    out : ndarray of shape (n_nodes - 1, rows)
    """
    for begin in range(0, logits.shape[1], CHUNK):
        end = min(begin + CHUNK, logits.shape[1])
        largest = top[begin:end]
        for v in inner:
            start = first_child[v] - 1
            for r in range(end - begin):
                largest[r] = -math.inf
            for e in range(start, start + n_children[v]):
                values = logits[e, begin:end]
                for r in range(end - begin):
                    largest[r] = max(largest[r], values[r])
            for e in range(start, start + n_children[v]):
                values, shifted = logits[e, begin:end], out[e, begin:end]
                for r in range(end - begin):
                    shifted[r] = values[r] - largest[r]


@kernel
def normalize_siblings(gate, inner, first_child, n_children, total):  # type: ignore[no-untyped-def]
    """Divide exponentiated gate logits by their sum over siblings, in place.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        ``exp`` of shifted logits; afterwards conditional gate probabilities.
    inner : ndarray of shape (n_inner,), int64
        Nodes with children.
    first_child, n_children : ndarray of shape (n_nodes,), int64
    total : ndarray of shape (n_inner, rows)
        Receives the sums.
    """
    for begin in range(0, gate.shape[1], CHUNK):
        end = min(begin + CHUNK, gate.shape[1])
        for i in range(inner.shape[0]):
            start = first_child[inner[i]] - 1
            stop = start + n_children[inner[i]]
            sums = total[i, begin:end]
            for r in range(end - begin):
                sums[r] = 0.0
            for e in range(start, stop):
                odds = gate[e, begin:end]
                for r in range(end - begin):
                    sums[r] += odds[r]
            for e in range(start, stop):
                odds = gate[e, begin:end]
                for r in range(end - begin):
                    odds[r] /= sums[r]


@kernel
def leaf_prior(gate, parent, leaves, path, out):  # type: ignore[no-untyped-def]
    """Multiply conditional gate probabilities along the path to each leaf.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
    parent : ndarray of shape (n_nodes,), int64
    leaves : ndarray of shape (n_leaves,), int64
    path : ndarray of shape (n_nodes, rows)
        Receives the prior of every node.
    out : ndarray of shape (n_leaves, rows)
    """
    rows = path.shape[1]
    for r in range(rows):
        path[0, r] = 1.0
    for v in range(1, path.shape[0]):
        own, above, probability = path[v], path[parent[v]], gate[v - 1]
        for r in range(rows):
            own[r] = above[r] * probability[r]
    for k in range(leaves.shape[0]):
        own, prior = path[leaves[k]], out[k]
        for r in range(rows):
            prior[r] = own[r]


@kernel
def gate_weights(gate, node_weight, weight, parent, pair_a, pair_b, residual, pair_weight):  # type: ignore[no-untyped-def]
    """Weights of the gates' gradient and curvature.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        Conditional gate probabilities.
    node_weight : ndarray of shape (n_nodes, rows)
        Responsibility of each node on entry; times the sample weight on return.
    weight : ndarray of shape (n,)
        Sample weights; as often over as there are starts, rows = n_starts * n.
    parent : ndarray of shape (n_nodes,), int64
    pair_a, pair_b : ndarray of shape (n_pairs,), int64
        Edges of every pair of siblings; the same where there is one weight per child.
    residual : ndarray of shape (n_nodes - 1, rows)
        Receives ``node_weight[c] - node_weight[parent] * gate[c]``.
    pair_weight : ndarray of shape (n_pairs, rows)
        Receives ``node_weight[parent] * gate[a] * gate[b]``: less than zero this is the
        Hessian's block (a, b); its diagonal blocks follow, for siblings' blocks sum to zero.
        Of one edge ``node_weight[parent] * gate[a] * min(1, 2 * (1 - gate[a]))``: of these
        alone a diagonal is made that stands for the Hessian, see `GatingTree.coarse`.
    """
    n_edges, rows = gate.shape
    n = weight.shape[0]
    for base in range(0, rows, n):
        for first in range(0, n, CHUNK):
            last = min(first + CHUNK, n)
            begin, end = base + first, base + last
            factor = weight[first:last]
            for v in range(n_edges + 1):
                own = node_weight[v, begin:end]
                for r in range(end - begin):
                    own[r] *= factor[r]
            for e in range(n_edges):
                own, above = node_weight[e + 1, begin:end], node_weight[parent[e + 1], begin:end]
                probability, left = gate[e, begin:end], residual[e, begin:end]
                for r in range(end - begin):
                    left[r] = own[r] - above[r] * probability[r]
            for t in range(pair_a.shape[0]):
                above = node_weight[parent[pair_a[t] + 1], begin:end]
                in_a, in_b = gate[pair_a[t], begin:end], gate[pair_b[t], begin:end]
                both = pair_weight[t, begin:end]
                if pair_a[t] == pair_b[t]:
                    for r in range(end - begin):
                        both[r] = above[r] * in_a[r] * min(1.0, 2.0 * (1.0 - in_a[r]))
                    continue
                for r in range(end - begin):
                    both[r] = above[r] * in_a[r] * in_b[r]
