"""What an identification test shows and writes: a table, two files and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speaker_id.evaluation.identification import GalleryResult
from speaker_id.report.evaluation import Figure
from speaker_id.report.files import whole_file
from speaker_id.report.plots import BLACK, BLUE, ORANGE, tidy

if TYPE_CHECKING:
    from rich.table import Table

COLOURS = ("#56B4E9", "#009E73", ORANGE, BLUE, "#CC79A7", BLACK)  # Okabe & Ito
_WORDS = {
    "rank_1": "rank 1",
    "rank_5": "rank 5",
    "fpir_at_threshold": "FPIR at the model's threshold",
    "fnir_at_threshold": "FNIR at the model's threshold",
}
_CAPTION = (
    "rank R: the right person is among the first R. FPIR: searches by people who are not enrolled that show somebody. "
    "FNIR: searches by enrolled people that do not show them first, over the threshold. DIR: 1 - FNIR."
)


def identification_table(results: Sequence[GalleryResult]) -> "Table":
    """One column a gallery size; rates in per cent with their 95 % intervals."""
    from rich.table import Table

    table = Table(
        "measure", *(f"{result.size:,} enrolled" for result in results), title="Identification", caption=_CAPTION
    )
    for name in _names(results):
        cells = [{figure.name: figure for figure in result.figures}.get(name) for result in results]
        table.add_row(_in_words(name), *map(_cell, cells))
    table.add_section()
    table.add_row("searches by enrolled people", *(f"{result.num_mated:,}" for result in results))
    table.add_row("searches by others", *(f"{result.num_nonmated * result.num_galleries:,}" for result in results))
    table.add_row("random galleries", *(f"{result.num_galleries:,}" for result in results))
    return table


def write_identification(folder: Path, results: Sequence[GalleryResult]) -> None:
    """Write identification.json (all but the curves), identification.tsv (a figure a line) and identification.png."""
    with whole_file(folder / "identification.json") as temporary:
        text = json.dumps([_as_json(result) for result in results], indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    with whole_file(folder / "identification.tsv") as temporary:
        lines = ["gallery_size\tfigure\tvalue\tlow\thigh"]
        lines += [_line(result, figure) for result in results for figure in result.figures]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw_identification(folder / "identification.png", results)


def draw_identification(path: Path, results: Sequence[GalleryResult]) -> None:
    """Three panels: misses over false alarms, both over the threshold, and the part found by rank."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(14, 4.6), dpi=150, layout="constrained")
    trade, levels, ranks = picture.subplots(1, 3)
    for number, result in enumerate(results):
        colour, name = COLOURS[number % len(COLOURS)], f"{result.size:,} enrolled"
        thresholds, fpir, fnir = (column[:-1] for column in result.curve)  # the last lies at infinity
        trade.step(fpir, fnir, where="post", color=colour, label=name)
        levels.plot(thresholds, fnir, color=colour)
        levels.plot(thresholds, fpir, color=colour, linestyle="--")
        ranks.plot(np.arange(1, len(result.cmc) + 1), result.cmc, color=colour, marker=".")
    lowest = min(1 / max(1, result.num_nonmated * result.num_galleries) for result in results)
    trade.set(xscale="log", xlim=(min(lowest, 0.1), 1), ylim=(0, 1), title="Enrolled missed, and strangers shown")
    trade.set(xlabel="searches by others that show somebody (FPIR)", ylabel="searches by enrolled missed (FNIR)")
    levels.set(xlabel="threshold", ylim=(0, 1), title="FNIR (solid) and FPIR (dashed) by threshold")
    ranks.set(xlabel="candidates looked at", ylabel="searches that find their person", title="CMC: found by rank")
    ranks.set(ylim=(None, 1.005), xticks=range(1, 1 + max(len(result.cmc) for result in results), 2))
    for axes in (trade, levels, ranks):
        tidy(axes)
    picture.legend(*trade.get_legend_handles_labels(), loc="outside lower center", ncols=len(results), frameon=False)
    with whole_file(path) as temporary:
        picture.savefig(temporary, format="png")


def _names(results: Sequence[GalleryResult]) -> list[str]:
    return list(dict.fromkeys(figure.name for result in results for figure in result.figures))


def _in_words(name: str) -> str:
    kind, _, target = name.partition("_at_fpir_")
    if not target:
        return _WORDS[name]
    return f"{'DIR' if kind == 'dir' else kind} at FPIR {100 * float(target):g} %"


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    if figure.name.startswith("threshold"):
        return f"{figure.value:.4f}"
    spread = "" if figure.interval is None else f"\n{figure.interval.low:.1%} to {figure.interval.high:.1%}"
    return f"{figure.value:.2%}{spread}"


def _as_json(result: GalleryResult) -> dict[str, Any]:
    return {
        "gallery_size": result.size,
        "num_galleries": result.num_galleries,
        "num_mated": result.num_mated,
        "num_nonmated": result.num_nonmated,
        "figures": {
            figure.name: {"value": figure.value, "interval": None if figure.interval is None else list(figure.interval)}
            for figure in result.figures
        },
        "cmc": result.cmc.tolist(),
    }


def _line(result: GalleryResult, figure: Figure) -> str:
    spread = ("", "") if figure.interval is None else tuple(f"{end:.9g}" for end in figure.interval)
    return "\t".join([str(result.size), figure.name, f"{figure.value:.9g}", *spread])
