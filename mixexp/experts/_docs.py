"""What the methods of expert families take and return: shapes, said once for all of them.

``...`` stands for experts and the like; a head that does not vary over rows may have one column.
"""

from mixexp.docstrings import fill_sections

_PER_ROW = "ndarray of shape (..., rows)"

PARAMETERS = {
    "y": "ndarray of shape (rows,)\nTarget; of (..., rows) where a function of y is asked for at "
    "values of its own.",
    "weight": "ndarray of shape (rows,)\nSample weights.",
    "heads": "tuple of ndarray of shape (..., rows) or (..., 1)\nLinear predictors, in the order "
    "of the property ``heads``.",
    "others": "tuple of ndarray of shape (..., rows) or (..., 1)\nHeads of the other y.",
    "q": "ndarray of shape (..., rows)\nProbabilities in [0, 1].",
    "eta": "ndarray of shape (..., rows)\nLinear predictor of the location.",
    "mean": "ndarray of shape (..., rows)\nMean of y.",
    "dispersion": "ndarray of shape (..., rows) or float\nDispersion: variance over V(mean).",
    "rng": "numpy.random.Generator",
    "n_rows": "int",
    "h": "int\nNumber of a head.",
    "output": "int\nNumber of a target.",
    "scale": "float\nPositive factor of y.",
    "shift": "float, default=0.0\nSummand of y.",
}

RETURNS = {
    "": _PER_ROW,
    "check_options": "",
    "fixed_to": "Expert",
    "find_unsupported": "ndarray of shape (rows,), bool",
    "has_mass": "ndarray of shape (rows,), bool",
    "log_base": "ndarray of shape (rows,) or float\nNatural log.",
    "log_kernel": f"{_PER_ROW}\nNatural log; -inf outside of the support.",
    "log_density": f"{_PER_ROW}\nNatural log, per unit of y; -inf outside of the support.",
    "derivatives": "Derivatives\nScores and curvatures of shape (..., rows), with respect to "
    "heads.",
    "evaluate": "tuple of ndarray of shape (..., rows) and Derivatives\nLog density as "
    "`log_kernel` has it, and its derivatives.",
    "observed_curvature": "dict of (int, int) to ndarray of shape (..., rows)\nBy pair of heads "
    "(a, b), a <= b; absent means zero.",
    "mean": f"{_PER_ROW}, or (n_classes, ..., rows)\nIn the unit of y.",
    "predict": f"{_PER_ROW}, or (n_classes, ..., rows)\nIn the unit of y.",
    "variance": f"{_PER_ROW}\nIn squared units of y.",
    "bracket": "tuple of two ndarray of shape (..., rows)\nLower and upper end.",
    "location_derivatives": "tuple of two ndarray of shape (..., rows)\nScore and Fisher "
    "information.",
    "dispersion_derivatives": "tuple of three ndarray of shape (..., rows)",
    "dispersion_terms": "tuple of three ndarray of shape (..., rows)",
    "class_logits": "ndarray of shape (n_classes, ..., rows)",
    "start": "tuple of float\nOne per head.",
    "reflections": "sequence of tuple of ndarray\nHeads, shaped as the given ones.",
    "shares_head": "bool",
    "known_dispersion_of": "float or None",
    "output_of": "int",
    "dispersion_head": "int or None",
    "takes_offset": "bool",
    "kind_of_output": "tuple of (bool, tuple of float)",
    "change": "tuple of (float, float)\nFactor and summand.",
}

contract_docs = fill_sections(PARAMETERS, RETURNS)
