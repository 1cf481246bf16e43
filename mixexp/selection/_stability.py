"""How often each column is in, over bootstrap resamples: stability selection.

Meinshausen & Bühlmann (2010) refit a lasso to subsamples and trust the columns that are in most of
them; here the refits are those of the bootstrap, their experts matched to those of the fit.
"""

import warnings
from typing import Any, Unpack

import numpy as np
from sklearn.base import clone

from mixexp.data import refuse_dask
from mixexp.estimators._row_arguments import Given, refuse_unknown, row_arguments
from mixexp.estimators._validation import N_JOBS, RANDOM_STATE, check_argument, whole
from mixexp.inference import Table
from mixexp.selection._growth import Rows
from mixexp.selection._held_out import known_rows
from mixexp.selection._select import check_estimator, fit_once
from mixexp.text import shown


@row_arguments
def stability_selection(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    n_resamples: int = 100,
    random_state: Any = None,
    n_jobs: int | None = None,
    **given: Unpack[Given],
) -> Any:
    """Return how often the L1 penalty keeps each column, per expert and gate.

    The estimator is fitted, and fitted again to rows drawn with replacement, from the coefficients
    of the fit. A column that is in by chance is in some refits and not in others; that it is in
    nearly all of them says more than a standard error that is conditional on its being in.

    Parameters
    ----------
    estimator : MoERegressor, HMERegressor, MoEClassifier or HMEClassifier
        With ``l1`` or ``gate_l1`` above zero, such as the ``best_estimator_`` of a
        `regularization_path`. It is cloned; coefficients of a fitted one are a start beside its
        own.
    X : array-like of shape (n, n_features)
    y : array-like of shape (n,)
    sample_weight : array-like of shape (n,), default=None
    n_resamples : int, default=100
    random_state : int, RandomState instance or None, default=None
        Of the resamples.
    n_jobs : int, default=None
        Refits at once.
    <PER_ROW>

    Returns
    -------
    pandas.DataFrame, or Table without pandas
        One row per slope with an L1 penalty: "part" ("expert" or "gate"), "unit" (which), "term"
        (the column), "estimate" of the fit, "share" of the refits in which it is not zero, and
        "sign", the mean of its signs: 1 or -1 where it always has the same.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as described; the message names it.

    Notes
    -----
    Costs ``n_resamples`` fits of one start. Whole rows are drawn, so that ties weigh more than in
    subsamples of half of the rows: shares are a little higher.

    References
    ----------
    Meinshausen & Bühlmann (2010), section 2; Bach (2008), for the bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> from mixexp import MoERegressor
    >>> from mixexp.selection import stability_selection
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> y = 2.0 * X[:, 1] + 0.5 * rng.standard_normal(200)
    >>> model = MoERegressor(1, l1=40.0, alpha=0.0, random_state=0)
    >>> table = stability_selection(model, X, y, n_resamples=10, random_state=0)
    >>> [float(share) for share in table["share"]]
    [0.0, 1.0, 0.0]
    """
    check_estimator(estimator)
    refuse_dask(X, "stability_selection")
    check_argument("n_resamples", n_resamples, whole(2))
    check_argument("random_state", random_state, RANDOM_STATE)
    check_argument("n_jobs", n_jobs, N_JOBS)
    refuse_unknown(given)
    rows = known_rows(estimator, X, y, {"sample_weight": sample_weight, **given})
    found = _fit(estimator, rows)
    model = found.estimator
    for caught in found.warned:
        warnings.warn(caught.message, stacklevel=2)
    penalty = model.fitted_model_.model.penalty
    if not penalty.has_l1:
        raise ValueError(
            "estimator must have an l1 or a gate_l1 above zero, or no column is ever left out. "
            f"Got {shown(estimator)}."
        )
    refits = model.bootstrap(
        rows.X,
        rows.y,
        sample_weight,
        n_resamples=n_resamples,
        random_state=random_state,
        n_jobs=n_jobs,
        **given,
    )
    strength = {"expert": penalty.l1, "gate": penalty.gate_l1}
    columns = set(model._names().features)
    chosen = [
        at
        for at, label in enumerate(refits.labels)
        if label.term in columns and strength[label.part] > 0.0
    ]
    labels = [refits.labels[at] for at in chosen]
    drawn = refits.replicates[:, chosen]
    return Table(
        {
            "part": [label.part for label in labels],
            "unit": [label.unit for label in labels],
            "term": [label.term for label in labels],
            "estimate": refits.estimates[chosen].tolist(),
            "share": np.mean(drawn != 0.0, axis=0).tolist(),
            "sign": np.mean(np.sign(drawn), axis=0).tolist(),
        }
    ).to_frame()


def _fit(estimator: Any, rows: Rows) -> Any:
    """Return the best fit from an estimator's own starts, and from its coefficients if any.

    Under a strong penalty few starts may lead where a path has come to from its neighbours.
    """
    fit = fit_once(clone(estimator), rows)
    before, state = getattr(estimator, "fitted_model_", None), fit.estimator.fitted_model_
    if before is None or before.model.slot_shapes != state.model.slot_shapes:
        return fit
    own = {"init": estimator.init, "n_init": estimator.n_init}
    other = fit_once(clone(estimator).set_params(init=estimator, n_init=1), rows)
    other.estimator.set_params(**own)
    return other if other.objective > fit.objective else fit
