"""Which columns of X are linear combinations of others, for those who are warned of them."""

import numpy as np

from mixexp.em import Problem
from mixexp.symmetric import eigh

# Of a Gram matrix with unit diagonal: an eigenvalue below the first counts as none, a column with a
# share of such directions above the second is in them.
_NOTHING = 1e-10
_SHARE = 1e-6
_MOST_COLUMNS = 600


def collinear_columns(problem: Problem) -> list[int]:
    """Return numbers of columns of X that depend on each other over all weighted rows.

    None where there are more columns than rows, of which any depends on others, or more than 600.
    Dependence among the rows of one expert alone is not seen.

    Parameters
    ----------
    problem : Problem
    """
    model, found = problem.model, set()
    for number in sorted(set(model.slot_designs)):
        columns = model.designs[number]
        if not 1 < len(columns) <= min(_MOST_COLUMNS, problem.n_rows):
            continue
        gram = problem.gate_gram(number)
        size = np.sqrt(np.diagonal(gram))
        is_used = size > 0.0
        used, gram = columns[is_used], gram[np.ix_(is_used, is_used)]
        values, vectors = eigh(gram / size[is_used] / size[is_used][:, None])
        share = (vectors[:, values < _NOTHING] ** 2).sum(axis=1)
        found |= {int(column) - 1 for column in used[share > _SHARE] if column > 0}
    return sorted(found)
