"""What the methods of distributions take and return: shapes, said once for all of them."""

from mixexp.docstrings import fill_sections

_VALUES = "float or array-like of shape (n,), (n, m) or (1, m)\n"
_FOUND = "ndarray of shape (n,) or (n, m)"
_PER_ROW = "ndarray of shape (n,)"
_AND_EXPERTS = ", and the numbers of the experts that they came from."
_DRAWS = {
    "n_samples": "int, default=1\nPer row.",
    "random_state": "int, Generator, RandomState or None, default=None",
}

mixture_docs = fill_sections(
    {
        "y": f"{_VALUES}In its unit.",
        "threshold": f"{_VALUES}In the unit of y.",
        "limit": f"{_VALUES}In the unit of y.",
        **_DRAWS,
    },
    {
        "": _FOUND,
        "frozen": "MixtureDistribution",
        "given_above": "ConditionalDistribution",
        "experts": "list of MixtureDistribution\nOne per expert.",
        "mean": f"{_PER_ROW}\nIn the unit of y.",
        "var": f"{_PER_ROW}\nIn squared units of y.",
        "std": f"{_PER_ROW}\nIn the unit of y.",
        "variance": "Variance\nFields ``total``, ``within`` and ``between``, each of shape (n,).",
        "gate_entropy": _PER_ROW,
        "mode": f"{_PER_ROW}\nIn the unit of y.",
        "tail_expectation": f"{_FOUND}\nIn the unit of y.",
        "expected_excess": f"{_FOUND}\nIn the unit of y.",
        "mean_excess": f"{_FOUND}\nIn the unit of y.",
        "limited_expected_value": f"{_FOUND}\nIn the unit of y.",
        "pit": f"{_FOUND}\nBetween 0 and 1.",
        "conformal_interval": 'ndarray of shape (n, 2), or (n, m, 2) for "hdr"\nLower and upper '
        "ends; NaN where a row has fewer than m intervals.",
        "rvs": "ndarray of shape (n, n_samples)",
        "sample": f"tuple of two ndarray of shape (n, n_samples)\nDraws{_AND_EXPERTS}",
    },
)

class_docs = fill_sections(
    _DRAWS,
    {
        "": _PER_ROW,
        "proba": "ndarray of shape (n, n_classes)\nIn the order of ``classes``.",
        "rvs": "ndarray of shape (n, n_samples)\nLabels from ``classes``.",
        "sample": "tuple of two ndarray of shape (n, n_samples)\nLabels from ``classes``"
        f"{_AND_EXPERTS}",
    },
)

joint_docs = fill_sections(
    {
        **_DRAWS,
        "y": "array-like of shape (n, d)\nOne column per target.",
        "q": "float or array-like of shape (m,)",
        "coverage": "float, default=0.9",
        "kind": "str",
    },
    {
        "": _PER_ROW,
        "blocks": "list of BlockMixture",
        "frozen": "JointDistribution",
        "mean": "ndarray of shape (n, d)\nIn the units of y.",
        "var": "ndarray of shape (n, d)\nIn squared units of y.",
        "std": "ndarray of shape (n, d)\nIn the units of y.",
        "cov": "ndarray of shape (n, d, d)",
        "corr": "ndarray of shape (n, d, d)",
        "variance": "Variance\nFields ``total``, ``within`` and ``between``, each of shape (n, d).",
        "rvs": "ndarray of shape (n, n_samples, d)",
        "sample": "tuple of ndarray of shape (n, n_samples, d) and ndarray of shape (n, n_samples)"
        f"\nDraws{_AND_EXPERTS}",
        **dict.fromkeys(("cdf", "sf", "ppf", "interval", "crps", "pit"), ""),
    },
)

block_docs = fill_sections(
    {
        "y": "ndarray of shape (rows,)\nOne value per row.",
        "q": "ndarray of shape (rows,)\nOne level per row, in [0, 1].",
        "rows": "ndarray of shape (k,), int or bool, or slice",
        "rng": "numpy.random.Generator",
    },
    {
        "": "ndarray of shape (rows,)",
        "bracket": "Bracket",
        "experts": "list of BlockMixture",
        "experts_by_leaf": "dict of int to FamilyBlock",
        "integer_part": "BlockMixture",
        "smooth_part": "BlockMixture",
        "take": "BlockMixture",
        "sample": "tuple of two ndarray of shape (rows,)\nDraws, and numbers of the experts.",
        "variances": "tuple of two ndarray of shape (rows,)\nWithin and between experts.",
    },
)
