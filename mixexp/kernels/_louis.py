"""Weights per row of the observed information, by pair of heads.

Louis (1982), eq. 3.2: the observed information is the expected complete-data information less
the covariance of the complete-data score given the data, over the leaves under their
responsibilities. On a tree both are known in closed form. Let ``x`` be the row's score in a
head: ``resp[v] - resp[u] * gate[e]`` for the edge e from u to v, ``resp[k] * score`` for a head of
leaf k. For the heads a and b of a pair the weight then is ``x_a x_b``, and beside it

- ``(2 gate_a - 1) x_a`` for an edge and itself,
- ``gate_a x_b + gate_b x_a`` for siblings,
- ``(gate_a - 1) x_b`` for an edge and what lies below it, ``gate_a x_b`` for an edge and what
  lies below one of its siblings,
- ``resp[k] curvature - score_a x_b`` for two heads of one leaf k, or a head and itself.

So weights of pairs are products of numbers per head, whose number is small.
"""

from mixexp.kernels._jit import fused_kernel


@fused_kernel
def louis_weights(  # type: ignore[no-untyped-def]
    gate,
    node_resp,
    score,
    curvature,
    weight,
    parent,
    edges,
    head_nodes,
    pairs,
    own_score,
    factor,
    weighted,
    out,
):
    """Fill out with the weights of all pairs of heads, times the sample weights.

    Parameters
    ----------
    gate : ndarray of shape (n_nodes - 1, rows)
        Conditional gate probabilities.
    node_resp : ndarray of shape (n_nodes, rows)
        Responsibilities.
    score : ndarray of shape (n_expert_heads, rows)
    curvature : ndarray of shape (n_own, rows)
        Minus the second derivatives of the leaves' log densities.
    weight : ndarray of shape (rows,)
        Sample weights.
    parent : ndarray of shape (n_nodes,), int64
    edges : ndarray of shape (n_edge_heads,), int64
        Edges that count as heads; they come before the heads of experts.
    head_nodes : ndarray of shape (n_expert_heads,), int64
        Leaf of each head, as a node.
    pairs : ndarray of shape (n_pairs, 6), int64
        Heads a and b, then how often ``u_a x_b``, ``x_b`` and ``u_b x_a`` are added to
        ``x_a x_b``, u being the gate of an edge and minus the score of an expert's head; then the
        row of curvature that is added, times the responsibility of b's leaf, -1 for none.
    own_score, factor, weighted : ndarray of shape (n_heads, size)
        Scratch for so many rows, which are taken through all pairs before the next.
    out : ndarray of shape (n_pairs, rows)
    """
    rows, size, n_edges = weight.shape[0], factor.shape[1], edges.shape[0]
    for begin in range(0, rows, size):
        end = min(begin + size, rows)
        n = end - begin
        sample = weight[begin:end]
        for h in range(factor.shape[0]):
            x, u, wx = own_score[h], factor[h], weighted[h]
            if h < n_edges:
                node = edges[h] + 1
                resp, above = node_resp[node, begin:end], node_resp[parent[node], begin:end]
                share = gate[edges[h], begin:end]
                for r in range(n):
                    u[r] = share[r]
                    x[r] = resp[r] - above[r] * share[r]
                    wx[r] = sample[r] * x[r]
            else:
                resp = node_resp[head_nodes[h - n_edges], begin:end]
                slope = score[h - n_edges, begin:end]
                for r in range(n):
                    u[r] = -slope[r]
                    x[r] = resp[r] * slope[r]
                    wx[r] = sample[r] * x[r]
        for t in range(pairs.shape[0]):
            a, b = pairs[t, 0], pairs[t, 1]
            by_factor, constant = float(pairs[t, 2]), float(pairs[t, 3])
            total, x, u, wx = out[t, begin:end], own_score[a], factor[a], weighted[b]
            for r in range(n):
                total[r] = (x[r] + (by_factor * u[r] + constant)) * wx[r]
            if pairs[t, 4] > 0:
                u, wx = factor[b], weighted[a]
                for r in range(n):
                    total[r] += u[r] * wx[r]
            if pairs[t, 5] >= 0:
                resp = node_resp[head_nodes[b - n_edges], begin:end]
                bent = curvature[pairs[t, 5], begin:end]
                for r in range(n):
                    total[r] += sample[r] * (resp[r] * bent[r])
