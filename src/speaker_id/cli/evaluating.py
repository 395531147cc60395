"""Look at evaluations, and at the whole job in five minutes."""

from pathlib import Path
from typing import Annotated

import typer

from speaker_id.cli.frame import NO, YES, Json, answer, errors


def compare_runs(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder that an evaluation wrote.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Folder of another, same trials.", show_default=False)],
    *,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of speakers.", min=1)] = 1000,
    as_json: Json = False,
) -> None:
    """Is the difference between two evaluations real?

    Or would other speakers turn it round? The exit code tells of the EER: 0 if
    the difference is real, 1 if it cannot be told from chance.

    Example: speaker-id compare-runs runs/eval/ecapa runs/eval/campplus
    """
    import numpy as np

    from speaker_id.report.comparison import compare_runs as compared

    with errors(as_json):
        result = compared(a, b, rng=np.random.default_rng(0), num_draws=draws)
    differences = {
        name: {**found._asdict(), "significant": found.significant} for name, found in result.differences.items()
    }
    fields = {**vars(result), "a": str(a), "b": str(b), "differences": differences, "sentences": result.sentences}
    lines = [f"A = {a}", f"B = {b}", *result.sentences]
    answer("\n".join(lines), fields, as_json, YES if result.differences["eer"].significant else NO)


def demo(
    *,
    folder: Annotated[Path, typer.Option(help="Where to keep the voices and the model.")] = Path("demo"),
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Start over, even if the folder is complete.")] = False,
    epochs: Annotated[
        int | None, typer.Option(help="Train this long instead of the usual.", min=1, show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a small model on synthetic voices and try it.

    With --json what it says on the way goes to stderr.

    Example: speaker-id demo --folder demo
    """
    from speaker_id.demo import run_demo

    with errors(as_json):
        result = run_demo(folder, rebuild=rebuild, epochs=epochs, words_to_stderr=as_json)
    if as_json:
        places = {name: str(getattr(result, name)) for name in ("model", "evaluation", "gallery")}
        answer("", {**result._asdict(), **places}, as_json, YES)
