"""Several targets with groups, sparse X and bagging; and what is said of exports."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from mixexp import MoERegressor, from_json
from mixexp.ensemble import BaggedMixture
from mixexp.exceptions import ConvergenceWarning, ExportError

QUICK = {"n_init": 1, "max_iter": 30, "random_state": 0}
RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=(N, 3)) * (RNG.random((N, 3)) < 0.5)
Y = np.column_stack([np.where(X[:, 0] > 0.0, X[:, 1], -X[:, 1]), X[:, 2]])
Y += 0.2 * RNG.normal(size=(N, 2))
MIXED = np.column_stack([RNG.poisson(2.0, N), Y[:, 0]])
GROUPS = np.repeat(np.arange(N // 4), 4)
KINDS = {
    "gaussian": ("gaussian", Y),
    "student_t": ("student_t", Y),
    "product": ([("poisson", "gaussian")], MIXED),
}
every_kind = pytest.mark.parametrize(("expert", "y"), KINDS.values(), ids=KINDS)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            str(expert): MoERegressor(2, expert=expert, **QUICK).fit(X, y)
            for expert, y in KINDS.values()
        }


@every_kind
def test_sparse_features_give_the_same_fit(expert, y, fits):
    dense = fits[str(expert)]
    model = MoERegressor(2, expert=expert, **QUICK).fit(sparse.csr_array(X), y)
    assert model.log_likelihood_ == pytest.approx(dense.log_likelihood_, rel=1e-10)
    np.testing.assert_allclose(model.predict(sparse.csr_array(X)), dense.predict(X), atol=1e-8)


@every_kind
def test_groups_share_an_expert(expert, y):
    model = MoERegressor(2, expert=expert, gate="constant", **QUICK).fit(X, y, groups=GROUPS)
    resp = model.responsibilities(X, y, groups=GROUPS)
    np.testing.assert_allclose(resp, np.repeat(resp[::4], 4, axis=0), atol=1e-12)
    # The density of a group is the mixture of its rows' products.
    own = MoERegressor(1, expert=expert, **QUICK).fit(X, y)
    assert own.fit(X, y, groups=GROUPS).log_likelihood_ == pytest.approx(
        own.log_density(X, y).sum(), rel=1e-10
    )


@every_kind
def test_bagged_densities_are_the_mean_of_the_members(expert, y):
    bagged = BaggedMixture(MoERegressor(2, expert=expert, **QUICK), n_estimators=2, random_state=0)
    bagged.fit(X, y)
    dist = bagged.predict_dist(X[:5])
    members = [member.predict_dist(X[:5]) for member in bagged.estimators_]
    expected = np.logaddexp(*(member.logpdf(y[:5]) for member in members)) - np.log(2.0)
    np.testing.assert_allclose(dist.logpdf(y[:5]), expected, rtol=1e-12)
    np.testing.assert_allclose(bagged.log_density(X[:5], y[:5]), expected, rtol=1e-12)
    np.testing.assert_allclose(dist.mean(), bagged.predict(X[:5]), rtol=1e-12)
    assert dist.marginal(1).mean().shape == (5,)
    assert np.isfinite(bagged.oob_log_density_).any()


@every_kind
def test_what_is_exported_of_several_targets_is_said(expert, y, fits, tmp_path):
    model = fits[str(expert)]
    for export in (model.to_onnx, lambda: model.to_sql("rows")):
        with pytest.raises(ExportError, match=r"has 2 targets.*to_json, or a fit to each target"):
            export()
    model.to_json(tmp_path / "model.json")
    read = from_json(tmp_path / "model.json")
    np.testing.assert_array_equal(read.predict(X), model.predict(X))
