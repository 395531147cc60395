"""Does the threshold that rises with the gallery's size keep its promise, and what does it cost?

    python -m speaker_id.extract checkpoint=BUNDLE data.list=users.tsv normalise=true output=users
    python -m speaker_id.extract checkpoint=BUNDLE data.list=strangers.tsv normalise=true output=strangers
    python benchmarks/gallery_size.py BUNDLE users strangers

Galleries are drawn from the speakers of `users`, each enrolled with three recordings (the direction of their mean, as
galleries score by default) and asked for with the others. Strangers are all recordings of `strangers`, and of the
speakers of `users` who are not in that gallery. The promise is the false-accept rate of one comparison; which it really
is, of these strangers with these users, is measured beside it, and so is the threshold that would keep that rate.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speaker_id import checkpoint, scoring
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.inference.decision import for_gallery_size

SIZES, ENROLLED, DRAWS = (10, 46, 200), 3, 50


class Embedded(NamedTuple):
    rows: FloatArray  # (N, E) unit
    speakers: np.ndarray  # (N,)


class Scores(NamedTuple):
    """Against one gallery of N users."""

    own: FloatArray  # (Q, N): users' other recordings
    is_own: np.ndarray  # (Q, N)
    strangers: FloatArray  # (S, N)


def read(folder: Path) -> Embedded:
    with (folder / "index.tsv").open(newline="", encoding="utf-8") as file:
        speakers = [row["label"] for row in csv.DictReader(file, delimiter="\t")]
    return Embedded(np.load(folder / "embeddings.npy"), np.array(speakers))


def galleries(users: Embedded, strangers: FloatArray | None, size: int, rng: np.random.Generator) -> Iterator[Scores]:
    """Random galleries; without `strangers`, theirs are the other speakers of `users`."""
    everybody = np.unique(users.speakers)
    for _ in range(DRAWS):
        chosen = rng.permutation(everybody)[:size]
        enrolled, rest = [], []
        for speaker in chosen:
            rows = rng.permutation(np.flatnonzero(users.speakers == speaker))
            enrolled.append(users.rows[rows[:ENROLLED]].mean(axis=0))
            rest.append(rows[ENROLLED:])
        gallery, tests = scoring.normalise(np.stack(enrolled)), np.concatenate(rest)
        others = users.rows[~np.isin(users.speakers, chosen)] if strangers is None else strangers
        is_own = users.speakers[tests][:, None] == chosen
        yield Scores(users.rows[tests] @ gallery.T, is_own, others @ gallery.T)


def identified(scores: Scores, threshold: float) -> float:
    best = scores.own.argmax(axis=1)
    rows = np.arange(len(best))
    return float((scores.is_own[rows, best] & (scores.own[rows, best] >= threshold)).mean())


def line(who: str, size: int, drawn: list[Scores], point: OperatingPoint) -> str:
    raised = for_gallery_size(point, size).threshold
    every = np.concatenate([scores.strangers for scores in drawn])
    best = every.max(axis=1)
    one = float((every >= point.threshold).mean())
    levels = (point.threshold, raised, float(np.quantile(best, 1 - one)))
    found = [np.mean([identified(scores, level) for scores in drawn]) for level in levels]
    return (
        f"| {who} | {size} | {one:.4%} | {float((best >= point.threshold).mean()):.3%}, {found[0]:.1%} | "
        f"{float((best >= raised).mean()):.4%}, {found[1]:.1%} | +{raised - point.threshold:.3f} | "
        f"{levels[2] - point.threshold:+.3f}, {found[2]:.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("users", type=Path)
    parser.add_argument("strangers", type=Path, nargs="+")
    given = parser.parse_args()
    point = checkpoint.load(given.model).operating_point
    assert point is not None
    users = read(given.users)
    print(f"threshold {point.threshold:.3f}, {point.source}\n")
    print("| strangers | users | of one comparison | named, users found: no rule | with the rule | raise | needed |")
    print("|---|---|---|---|---|---|---|")
    kinds = {folder.name: read(folder).rows for folder in given.strangers}
    for size in SIZES:
        if size < len(np.unique(users.speakers)) - 20:
            drawn = list(galleries(users, None, size, np.random.default_rng(0)))
            print(line("other speakers of `users`", size, drawn, point))
        for who, rows in kinds.items():
            print(line(f"`{who}`", size, list(galleries(users, rows, size, np.random.default_rng(0))), point))


if __name__ == "__main__":
    main()
