"""Sums over rows of products of features, for many weights in one matrix product.

With ``Q[t] = features[i] * features[j]`` for the pairs ``t = (i, j), i <= j``, the packed
upper triangles of ``features @ diag(w_k) @ features.T`` for many weights ``w_k`` are
``W @ Q.T``: one matrix product instead of one per weight. Products, and weights where they are
formed here too, are formed piece by piece, small enough to stay in cache until they are used.

The matrix product is the one exception to the rule that kernels call no linear algebra: its
call costs seconds of compilation, once. Made from Python, piece by piece, it would pass the
interpreter's lock back and forth, and two threads would be no faster than one.
"""

import numpy as np

from mixexp.kernels._jit import kernel, part_of_kernels


@part_of_kernels
def form_products(features, start, products):  # type: ignore[no-untyped-def]
    """Multiply features by each other, from a row on, zeros after the last row."""
    p, size = features.shape[0], products.shape[1]
    n = min(features.shape[1] - start, size)
    t = 0
    for i in range(p):
        first = features[i, start : start + n]
        for j in range(i, p):
            second, product = features[j, start : start + n], products[t]
            for r in range(n):  # contiguous in all three: vectorises
                product[r] = first[r] * second[r]
            for r in range(n, size):
                product[r] = 0.0
            t += 1


@part_of_kernels
def add_product(left, right, part, out):  # type: ignore[no-untyped-def]
    """Add ``left @ right.T`` to out; part is scratch of its shape."""
    np.dot(left, right.T, part)
    for k in range(out.shape[0]):
        for t in range(out.shape[1]):
            out[k, t] += part[k, t]


@part_of_kernels
def multiply(left, right, out):  # type: ignore[no-untyped-def]
    """Fill out with a product; a loop of its own is compiled once for all who call it."""
    for r in range(left.shape[0]):
        out[r] = left[r] * right[r]


@part_of_kernels
def multiply_by_rest(left, share, out):  # type: ignore[no-untyped-def]
    """Fill out with a product by ``min(1, 2 * (1 - share))``."""
    for r in range(left.shape[0]):
        out[r] = left[r] * min(1.0, 2.0 * (1.0 - share[r]))


@kernel
def packed_grams(features, weights, weight_piece, products, part, out):  # type: ignore[no-untyped-def]
    """Add the packed weighted Gram matrices to out.

    Parameters
    ----------
    features : ndarray of shape (p, rows)
    weights : ndarray of shape (m, rows)
    weight_piece : ndarray of shape (m, size)
        Scratch without NaN: what is left in it meets zeros after the last row.
    products : ndarray of shape (p * (p + 1) // 2, size)
        Scratch.
    part : ndarray of shape (m, p * (p + 1) // 2)
        Scratch.
    out : ndarray of shape (m, p * (p + 1) // 2)
        Pairs in the order of ``numpy.triu_indices(p)``.
    """
    rows, size = features.shape[1], products.shape[1]
    for start in range(0, rows, size):
        n = min(rows - start, size)
        form_products(features, start, products)
        for k in range(weights.shape[0]):
            weight, own = weights[k, start : start + n], weight_piece[k]
            for r in range(n):
                own[r] = weight[r]
        add_product(weight_piece, products, part, out)


@kernel
def head_sums(  # type: ignore[no-untyped-def]
    features,
    gate,
    node_resp,
    values,
    curvature,
    weight,
    is_first,
    parent,
    pair_a,
    pair_b,
    value_nodes,
    curvature_nodes,
    node_weight,
    gate_piece,
    weight_piece,
    value_piece,
    piece,
    products,
    gram_part,
    sum_part,
    grams,
    sums,
):
    """Add to ``grams`` and ``sums`` those of an EM step over heads that see the same features.

    Parameters
    ----------
    features : ndarray of shape (p, rows)
    gate : ndarray of shape (n_nodes - 1, n_starts, rows)
        Conditional gate probabilities.
    node_resp : ndarray of shape (n_nodes, n_starts, rows)
        Responsibilities.
    values : ndarray of shape (n_values, n_starts, rows)
        Such as scores of heads: weighted by responsibility, and multiplied by the features.
    curvature : ndarray of shape (n_curvatures, n_starts, rows)
        Weighted by responsibility, and multiplied by products of features.
    weight : ndarray of shape (rows,)
        Sample weights.
    is_first : ndarray of shape (rows,) or (0,)
        Factors of what is the gates', 0 where a row shares the class of the one before; none if
        every row has its own.
    parent : ndarray of shape (n_nodes,), int64
    pair_a, pair_b : ndarray of shape (n_pairs,), int64
        Edges of every pair of siblings; the same where there is one weight per child.
    value_nodes : ndarray of shape (n_values,), int64
        Leaf of each row of values, as a node.
    curvature_nodes : ndarray of shape (m,), int64
        Leaf of each row of curvature; of what follows the last row, the curvature is one.
    node_weight, gate_piece : ndarray of shape (n_nodes, size), (n_nodes - 1, size)
        Scratch.
    weight_piece, value_piece : ndarray of shape (len(grams), size), (len(sums), size)
        Scratch without NaN: what is left in it meets zeros after the last row.
    piece, products : ndarray of shape (p, size), (p * (p + 1) // 2, size)
        Scratch.
    gram_part, sum_part : ndarray
        Scratch, of the shapes of ``grams`` and ``sums``.
    grams : ndarray of shape (n_starts * (n_pairs + m), p * (p + 1) // 2)
        Per start, of the gates' pairs (`gate_weights`), then of curvatures; packed triangles.
    sums : ndarray of shape (n_starts * (n_nodes - 1 + n_values), p)
        Per start, of the gates' residuals (`gate_weights`), then of values.
    """
    n_nodes, n_starts, rows = node_resp.shape
    size, n_pairs, n_rows_known = piece.shape[1], pair_a.shape[0], curvature.shape[0]
    for start in range(0, rows, size):
        n = min(rows - start, size)
        stop = start + n
        form_products(features, start, products)
        for i in range(piece.shape[0]):
            feature, out = features[i, start:stop], piece[i]
            for r in range(n):
                out[r] = feature[r]
            for r in range(n, size):
                out[r] = 0.0
        g, v = 0, 0
        for s in range(n_starts):
            factor = weight[start:stop]
            for node in range(n_nodes):
                multiply(node_resp[node, s, start:stop], factor, node_weight[node])
            for e in range(n_nodes - 1):
                own, above = node_weight[e + 1], node_weight[parent[e + 1]]
                share, kept = gate[e, s, start:stop], gate_piece[e]
                out = value_piece[v + e]
                for r in range(n):
                    kept[r] = share[r]
                    out[r] = own[r] - above[r] * share[r]
                if is_first.shape[0] > 0:
                    multiply(out[:n], is_first[start:stop], out)
            for t in range(n_pairs):
                above, out = node_weight[parent[pair_a[t] + 1], :n], weight_piece[g + t]
                multiply(above, gate_piece[pair_a[t]], out)
                if pair_a[t] == pair_b[t]:
                    multiply_by_rest(out[:n], gate_piece[pair_a[t]], out)
                else:
                    multiply(out[:n], gate_piece[pair_b[t]], out)
                if is_first.shape[0] > 0:
                    multiply(out[:n], is_first[start:stop], out)
            for k in range(values.shape[0]):
                own, out = node_weight[value_nodes[k]], value_piece[v + n_nodes - 1 + k]
                multiply(values[k, s, start:stop], own, out)
            for k in range(curvature_nodes.shape[0]):
                own, out = node_weight[curvature_nodes[k]], weight_piece[g + n_pairs + k]
                if k < n_rows_known:
                    multiply(curvature[k, s, start:stop], own, out)
                else:
                    for r in range(n):
                        out[r] = own[r]
            g += n_pairs + curvature_nodes.shape[0]
            v += n_nodes - 1 + values.shape[0]
        add_product(weight_piece, products, gram_part, grams)
        add_product(value_piece, piece, sum_part, sums)
