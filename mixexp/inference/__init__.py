"""Inference on fitted models: covariances, tables, tests, effects and the bootstrap."""

from mixexp.inference._bootstrap import BootstrapRatioTest, BootstrapResult
from mixexp.inference._covariance import KINDS, Covariance, estimate_covariance
from mixexp.inference._criteria import (
    CRITERIA,
    Criteria,
    Scored,
    compute_criteria,
    problem_criteria,
    score_block,
)
from mixexp.inference._formats import format_table
from mixexp.inference._hypotheses import ChiSquared, Contrast, chi_squared
from mixexp.inference._matching import match_nodes
from mixexp.inference._results import Inference
from mixexp.inference._scores import cluster_products, row_scores, score_products
from mixexp.inference._simulate import draw_target
from mixexp.inference._summary import Section, Summary, summarize
from mixexp.inference._tables import Table, estimate_table, render
from mixexp.inference._terms import (
    Label,
    Names,
    Terms,
    choose_reference,
    describe_gates,
    list_terms,
)

__all__ = [
    "CRITERIA",
    "KINDS",
    "BootstrapRatioTest",
    "BootstrapResult",
    "ChiSquared",
    "Contrast",
    "Covariance",
    "Criteria",
    "Inference",
    "Label",
    "Names",
    "Scored",
    "Section",
    "Summary",
    "Table",
    "Terms",
    "chi_squared",
    "choose_reference",
    "cluster_products",
    "compute_criteria",
    "describe_gates",
    "draw_target",
    "estimate_covariance",
    "estimate_table",
    "format_table",
    "list_terms",
    "match_nodes",
    "problem_criteria",
    "render",
    "row_scores",
    "score_block",
    "score_products",
    "summarize",
]
