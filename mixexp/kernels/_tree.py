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


@kernel
def shift_siblings(logits, first_child, n_children, top, out):  # type: ignore[no-untyped-def]
    """Subtract from each gate logit the largest among its siblings.

    Parameters
    ----------
    logits : ndarray of shape (n_nodes - 1, rows)
    first_child, n_children : ndarray of shape (n_nodes,), int64
    top : ndarray of shape (rows,)
        Scratch.
    out : ndarray of shape (n_nodes - 1, rows)
    """
    rows = logits.shape[1]
    for v in range(first_child.shape[0]):
        if n_children[v] == 0:
            continue
        start = first_child[v] - 1
        for r in range(rows):
            top[r] = logits[start, r]
        for e in range(start + 1, start + n_children[v]):
            for r in range(rows):
                top[r] = max(top[r], logits[e, r])
        for e in range(start, start + n_children[v]):
            for r in range(rows):
                out[e, r] = logits[e, r] - top[r]


@kernel
def normalize_siblings(gate, first_child, n_children, total):  # type: ignore[no-untyped-def]
    """Divide exponentiated gate logits by their sum over siblings, in place.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        ``exp`` of shifted logits; afterwards conditional gate probabilities.
    first_child, n_children : ndarray of shape (n_nodes,), int64
    total : ndarray of shape (n_nodes, rows)
        Receives the sums; 1 at leaves, so that its logarithm is finite.
    """
    rows = gate.shape[1]
    for v in range(first_child.shape[0]):
        start = first_child[v] - 1
        if n_children[v] == 0:
            for r in range(rows):
                total[v, r] = 1.0
            continue
        for r in range(rows):
            total[v, r] = gate[start, r]
        for e in range(start + 1, start + n_children[v]):
            for r in range(rows):
                total[v, r] += gate[e, r]
        for e in range(start, start + n_children[v]):
            for r in range(rows):
                gate[e, r] /= total[v, r]


@kernel
def join_paths(shifted, log_total, parent, leaves, path, top, joint):  # type: ignore[no-untyped-def]
    """Add log gates along each path to the leaf's log density; shift by the largest.

    Parameters
    ----------
    shifted : ndarray of shape (n_nodes - 1, rows)
        Gate logits less the largest among siblings.
    log_total : ndarray of shape (n_nodes, rows)
        Log of the sum over siblings, by parent.
    parent : ndarray of shape (n_nodes,), int64
    leaves : ndarray of shape (n_leaves,), int64
    path : ndarray of shape (n_nodes, rows)
        Receives the log prior of every node.
    top : ndarray of shape (rows,)
        Receives the largest joint log density; 0 where every leaf has -inf.
    joint : ndarray of shape (n_leaves, rows)
        Log densities on entry; joint log densities less ``top`` on return.
    """
    n_nodes, rows = path.shape
    for r in range(rows):
        path[0, r] = 0.0
    for v in range(1, n_nodes):
        for r in range(rows):
            path[v, r] = path[parent[v], r] + shifted[v - 1, r] - log_total[parent[v], r]
    for k in range(leaves.shape[0]):
        for r in range(rows):
            joint[k, r] += path[leaves[k], r]
    for r in range(rows):
        top[r] = joint[0, r]
    for k in range(1, leaves.shape[0]):
        for r in range(rows):
            top[r] = max(top[r], joint[k, r])
    for r in range(rows):
        if top[r] == -math.inf:
            top[r] = 0.0
    for k in range(leaves.shape[0]):
        for r in range(rows):
            joint[k, r] -= top[r]


@kernel
def share_nodes(parent, n_children, leaves, path, total, node_resp):  # type: ignore[no-untyped-def]
    """Normalise leaf weights to responsibilities and sum them up the tree.

    Parameters
    ----------
    parent, n_children : ndarray of shape (n_nodes,), int64
    leaves : ndarray of shape (n_leaves,), int64
    path : ndarray of shape (n_nodes, rows)
        Log prior of every node.
    total : ndarray of shape (rows,)
        Receives the sum of the leaf weights, 0 where no leaf explains the row: there
        the prior stands in for the responsibilities.
    node_resp : ndarray of shape (n_nodes, rows)
        ``exp`` of shifted joint log densities at the leaves on entry (other nodes are
        overwritten); responsibilities of every node on return.
    """
    n_nodes, rows = node_resp.shape
    for r in range(rows):
        total[r] = 0.0
    for k in range(leaves.shape[0]):
        for r in range(rows):
            total[r] += node_resp[leaves[k], r]
    for r in range(rows):
        if total[r] == 0.0:
            for k in range(leaves.shape[0]):
                node_resp[leaves[k], r] = math.exp(path[leaves[k], r])
    for k in range(leaves.shape[0]):
        for r in range(rows):
            if total[r] > 0.0:
                node_resp[leaves[k], r] /= total[r]
    for v in range(n_nodes):
        if n_children[v] > 0:
            for r in range(rows):
                node_resp[v, r] = 0.0
    for v in range(n_nodes - 1, 0, -1):  # children have larger numbers than their parent
        for r in range(rows):
            node_resp[parent[v], r] += node_resp[v, r]


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
def gate_weights(gate, node_weight, parent, pair_a, pair_b, residual, pair_weight):  # type: ignore[no-untyped-def]
    """Weights of the gates' gradient and curvature.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        Conditional gate probabilities.
    node_weight : ndarray of shape (n_nodes, rows)
        Sample weight times responsibility of each node.
    parent : ndarray of shape (n_nodes,), int64
    pair_a, pair_b : ndarray of shape (n_pairs,), int64
        Edges of every pair of siblings.
    residual : ndarray of shape (n_nodes - 1, rows)
        Receives ``node_weight[c] - node_weight[parent] * gate[c]``.
    pair_weight : ndarray of shape (n_pairs, rows)
        Receives ``node_weight[parent] * gate[a] * gate[b]``: less than zero this is the
        Hessian's block (a, b); its diagonal blocks follow, for siblings' blocks sum to zero.
    """
    rows = gate.shape[1]
    for e in range(gate.shape[0]):
        v = parent[e + 1]
        for r in range(rows):
            residual[e, r] = node_weight[e + 1, r] - node_weight[v, r] * gate[e, r]
    for t in range(pair_a.shape[0]):
        v = parent[pair_a[t] + 1]
        for r in range(rows):
            pair_weight[t, r] = node_weight[v, r] * gate[pair_a[t], r] * gate[pair_b[t], r]
