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
# cache. Loops over rows are innermost: contiguous, so they vectorise.
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
    rows = logits.shape[1]
    for begin in range(0, rows, CHUNK):
        end = min(begin + CHUNK, rows)
        for v in inner:
            start = first_child[v] - 1
            for r in range(begin, end):
                top[r] = logits[start, r]
            for e in range(start + 1, start + n_children[v]):
                for r in range(begin, end):
                    top[r] = max(top[r], logits[e, r])
            for e in range(start, start + n_children[v]):
                for r in range(begin, end):
                    out[e, r] = logits[e, r] - top[r]


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
    rows = gate.shape[1]
    for begin in range(0, rows, CHUNK):
        end = min(begin + CHUNK, rows)
        for i in range(inner.shape[0]):
            start = first_child[inner[i]] - 1
            stop = start + n_children[inner[i]]
            for r in range(begin, end):
                total[i, r] = gate[start, r]
            for e in range(start + 1, stop):
                for r in range(begin, end):
                    total[i, r] += gate[e, r]
            for e in range(start, stop):
                for r in range(begin, end):
                    gate[e, r] /= total[i, r]


@kernel
def join_paths(shifted, log_total, parent, inner_row, leaves, path, top, joint):  # type: ignore[no-untyped-def]
    """Add log gates along each path to the leaf's log density; shift by the largest.

    Parameters
    ----------
    shifted : ndarray of shape (n_nodes - 1, rows)
        Gate logits less the largest among siblings.
    log_total : ndarray of shape (n_inner, rows)
        Log of the sum over siblings, by parent.
    parent : ndarray of shape (n_nodes,), int64
    inner_row : ndarray of shape (n_nodes,), int64
        Place of each inner node among the inner nodes.
    leaves : ndarray of shape (n_leaves,), int64
    path : ndarray of shape (n_nodes, CHUNK)
        Scratch.
    top : ndarray of shape (rows,)
        Receives the largest joint log density; 0 where every leaf has -inf.
    joint : ndarray of shape (n_leaves, rows)
        Log densities on entry; joint log densities less ``top`` on return.
    """
    n_nodes, rows = path.shape[0], joint.shape[1]
    for begin in range(0, rows, CHUNK):
        size = min(CHUNK, rows - begin)
        for r in range(size):
            path[0, r] = 0.0
        for v in range(1, n_nodes):
            u = parent[v]
            i = inner_row[u]
            for r in range(size):
                path[v, r] = path[u, r] + (shifted[v - 1, begin + r] - log_total[i, begin + r])
        for k in range(leaves.shape[0]):
            v = leaves[k]
            for r in range(size):
                joint[k, begin + r] += path[v, r]
        for r in range(begin, begin + size):
            top[r] = joint[0, r]
        for k in range(1, leaves.shape[0]):
            for r in range(begin, begin + size):
                top[r] = max(top[r], joint[k, r])
        for r in range(begin, begin + size):
            top[r] = top[r] if top[r] > -math.inf else 0.0
        for k in range(leaves.shape[0]):
            for r in range(begin, begin + size):
                joint[k, r] -= top[r]


@kernel
def share_nodes(gate, parent, n_children, leaves, total, node_resp):  # type: ignore[no-untyped-def]
    """Normalise leaf weights to responsibilities and sum them up the tree.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        Conditional gate probabilities.
    parent, n_children : ndarray of shape (n_nodes,), int64
    leaves : ndarray of shape (n_leaves,), int64
    total : ndarray of shape (rows,)
        Receives the sum of the leaf weights, 0 where no leaf explains the row: there
        the prior stands in for the responsibilities.
    node_resp : ndarray of shape (n_nodes, rows)
        ``exp`` of shifted joint log densities at the leaves on entry (other nodes are
        overwritten); responsibilities of every node on return.
    """
    n_nodes, rows = node_resp.shape
    for begin in range(0, rows, CHUNK):
        end = min(begin + CHUNK, rows)
        for r in range(begin, end):
            total[r] = 0.0
        for v in leaves:
            for r in range(begin, end):
                total[r] += node_resp[v, r]
        for r in range(begin, end):
            if total[r] == 0.0:
                for leaf in leaves:
                    prior, v = 1.0, leaf
                    while v > 0:
                        prior *= gate[v - 1, r]
                        v = parent[v]
                    node_resp[leaf, r] = prior
        for v in leaves:
            for r in range(begin, end):
                node_resp[v, r] /= total[r] if total[r] > 0.0 else 1.0
        for v in range(n_nodes):
            if n_children[v] > 0:
                for r in range(begin, end):
                    node_resp[v, r] = 0.0
        for v in range(n_nodes - 1, 0, -1):  # children have larger numbers than their parent
            u = parent[v]
            for r in range(begin, end):
                node_resp[u, r] += node_resp[v, r]


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
    n_nodes, rows = path.shape
    for r in range(rows):
        path[0, r] = 1.0
    for v in range(1, n_nodes):
        for r in range(rows):
            path[v, r] = path[parent[v], r] * gate[v - 1, r]
    for k in range(leaves.shape[0]):
        for r in range(rows):
            out[k, r] = path[leaves[k], r]


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
        Edges of every pair of siblings.
    residual : ndarray of shape (n_nodes - 1, rows)
        Receives ``node_weight[c] - node_weight[parent] * gate[c]``.
    pair_weight : ndarray of shape (n_pairs, rows)
        Receives ``node_weight[parent] * gate[a] * gate[b]``: less than zero this is the
        Hessian's block (a, b); its diagonal blocks follow, for siblings' blocks sum to zero.
    """
    n_edges, rows = gate.shape
    n = weight.shape[0]
    for base in range(0, rows, n):
        for first in range(0, n, CHUNK):
            begin, end = base + first, base + min(first + CHUNK, n)
            for v in range(n_edges + 1):
                for r in range(begin, end):
                    node_weight[v, r] *= weight[r - base]
            for e in range(n_edges):
                v = parent[e + 1]
                for r in range(begin, end):
                    residual[e, r] = node_weight[e + 1, r] - node_weight[v, r] * gate[e, r]
            for t in range(pair_a.shape[0]):
                a, b = pair_a[t], pair_b[t]
                v = parent[a + 1]
                for r in range(begin, end):
                    pair_weight[t, r] = node_weight[v, r] * gate[a, r] * gate[b, r]
