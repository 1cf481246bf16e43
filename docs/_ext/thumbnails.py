"""Thumbnails of the gallery: a part of each figure that can be read at that size.

A Sphinx extension. sphinx-gallery shrinks whole figures, and a wide one becomes a strip.
"""

from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

SIZE = (400, 280)
# Left, top, right and bottom of the part, as shares of the figure; most figures have a legend or
# a second panel on the right.
PARTS = {
    "plot_01_who_is_responsible": (0.0, 0.0, 0.75, 1.0),
    "plot_02_choose_k": (0.0, 0.0, 0.45, 1.0),
    "plot_03_hme_as_a_tree": (0.0, 0.1, 0.42, 0.75),
    "plot_07_hme_against_trees": (0.0, 0.0, 0.57, 1.0),
    "plot_08_local_logistic_models": (0.0, 0.0, 0.75, 1.0),
    "plot_09_find_regimes": (0.0, 0.0, 0.69, 0.64),
    "plot_10_read_the_gate": (0.0, 0.0, 0.37, 1.0),
    "plot_11_three_growers": (0.0, 0.0, 0.345, 1.0),
    "plot_14_is_the_fit_any_good": (0.0, 0.0, 0.495, 1.0),
    "plot_15_did_em_find_it": (0.0, 0.0, 0.735, 1.0),
    "plot_16_who_is_sure": (0.0, 0.0, 0.282, 1.0),
    "plot_17_where_does_the_gate_cut": (0.0, 0.65, 0.34, 1.0),
    "plot_18_claims_with_deductible": (0.0, 0.0, 0.34, 1.0),
    "plot_18_growth_curves": (0.0, 0.0, 0.73, 1.0),
    "plot_18_which_columns": (0.0, 0.0, 0.45, 1.0),
    "plot_19_a_network_among_lines": (0.0, 0.0, 0.5, 1.0),
    "plot_20_two_targets": (0.0, 0.0, 0.495, 1.0),
    "plot_1_customers": (0.0, 0.0, 0.5, 1.0),
    "plot_2_growth": (0.0, 0.0, 0.745, 1.0),
    "plot_3_claims": (0.0, 0.0, 0.5, 1.0),
    "plot_4_kinks": (0.0, 0.0, 0.75, 1.0),
    "plot_5_local_rules": (0.0, 0.0, 0.745, 1.0),
}
FOLDERS = ("auto_examples", "stories")


def cut(figure: Path, part: tuple[float, float, float, float]) -> Image.Image:
    """Return a part of a figure on white, of the size of a thumbnail."""
    whole = Image.open(figure).convert("RGB")
    width, height = whole.size
    left, top, right, bottom = part
    shown = whole.crop(
        (int(left * width), int(top * height), int(right * width), int(bottom * height))
    )
    scale = min(SIZE[0] / shown.width, SIZE[1] / shown.height)
    shown = shown.resize(
        (round(shown.width * scale), round(shown.height * scale)), Image.Resampling.LANCZOS
    )
    out = Image.new("RGB", SIZE, "white")
    out.paste(shown, ((SIZE[0] - shown.width) // 2, (SIZE[1] - shown.height) // 2))
    return out


def write_thumbnails(app: Sphinx) -> None:
    """Write the thumbnails of all figures that the gallery and the stories have made."""
    for folder, (name, part) in product(FOLDERS, PARTS.items()):
        images = Path(app.srcdir) / folder / "images"
        figure = images / f"sphx_glr_{name}_001.png"
        if figure.exists():
            cut(figure, part).save(images / "thumb" / f"sphx_glr_{name}_thumb.png")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect after sphinx-gallery, which works at the same event with priority 500."""
    app.connect("builder-inited", write_thumbnails, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
