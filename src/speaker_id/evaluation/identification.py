"""Open-set identification with the recordings of an evaluation: random galleries, and searches with and without a mate.

Some recordings of most speakers make a gallery, their other recordings are mated searches, and all recordings of the
speakers left out are non-mated ones. Galleries of fewer people are drawn at random from the whole, one inside the
other, and their searches are taken together. `speaker_id.metrics.identification` says what is measured.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import scoring
from speaker_id.contracts import BackEnd, FloatArray
from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics import Interval
from speaker_id.metrics.bootstrap import percentiles
from speaker_id.metrics.identification import (
    NON_MATED,
    Searches,
    cmc,
    dir_at_fpir,
    error_curve,
    join,
    searches,
)
from speaker_id.report.evaluation import Figure
from speaker_id.scoring.pairs import BLOCK_SCORES

MAX_RANK = 20  # of the CMC

Rows = NDArray[np.intp]
ScoreTable = Callable[[FloatArray, FloatArray], FloatArray]  # gallery (G, E), searches (P, E) -> (P, G)


class Options(NamedTuple):
    """`identification_options` of conf/eval.yaml."""

    num_enrol: int  # recordings of a speaker that make the gallery's entry
    left_out: float  # part of the speakers that nobody enrols
    sizes: Sequence[int]  # people in the gallery; all of them besides
    num_galleries: int  # random ones of each size
    fpir: Sequence[float]  # where DIR is measured

    def checked(self) -> "Options":
        """Itself; raises ConfigError naming the option that makes no sense."""
        where = "identification_options"
        if self.num_enrol < 1 or self.num_galleries < 1:
            raise ConfigError(f"{where}.num_enrol and .num_galleries must be 1 or more")
        if not 0 < self.left_out < 1:
            raise ConfigError(f"{where}.left_out is a part of the speakers between 0 and 1, not {self.left_out}")
        if not all(size >= 2 for size in self.sizes):
            raise ConfigError(f"{where}.sizes are numbers of people, 2 or more, not {list(self.sizes)}")
        if not all(0 < target < 1 for target in self.fpir):
            raise ConfigError(f"{where}.fpir are rates between 0 and 1, not {list(self.fpir)}")
        return self


class Split(NamedTuple):
    """Who is enrolled with what, and who searches, by row of the recordings."""

    gallery: tuple[Rows, ...]  # of each person in the gallery
    mated: Rows  # (P,)
    mates: Rows  # (P,) number of the person in the gallery
    nonmated: Rows  # (Q,)


class GalleryResult(NamedTuple):
    """What galleries of one size answered, all of them taken together."""

    size: int
    num_galleries: int
    num_mated: int
    num_nonmated: int  # searches; the same recordings in every gallery
    figures: tuple[Figure, ...]  # rank_1, rank_5, dir_at_fpir_0.01, ...; of given threshold: fpir, fnir
    cmc: NDArray[np.float64]  # from rank 1 on
    curve: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]  # thresholds, fpir, fnir


def identification_test(
    embeddings: FloatArray,
    speakers: Sequence[str],
    options: Options,
    *,
    seed: int,
    threshold: float | None = None,
    num_draws: int = 0,
    score: ScoreTable | None = None,
) -> tuple[GalleryResult, ...]:
    """Unit rows (N, E) and who speaks in each -> one result a gallery size, rising; the last is of everybody.

    `threshold` is the one that the product would use: its FPIR and FNIR are then told too. `num_draws` bootstrap draws
    of the searching speakers make 95 % intervals (0: none); the galleries stay, so the intervals do not say how other
    galleries would do. `score` is the cosine unless given. Raises DataError where too few speakers have recordings
    enough.
    """
    split = split_speakers(speakers, options.checked(), np.random.default_rng(seed))
    entries = scoring.normalise(np.stack([embeddings[rows].mean(axis=0) for rows in split.gallery]))
    table = score or _cosine
    asked = _Searching(
        lambda rows: table(entries, embeddings[rows]),
        split,
        np.unique(np.asarray(speakers), return_inverse=True)[1],
    )
    everybody = len(split.gallery)
    sizes = sorted({size for size in options.sizes if size < everybody} | {everybody})
    rng = np.random.default_rng([seed, 1])
    orders = [rng.permutation(everybody) for _ in range(options.num_galleries)]
    galleries = {size: [order[:size] for order in orders[: 1 if size == everybody else None]] for size in sizes}
    answers = asked.answers(galleries)
    return tuple(
        _measured(size, len(galleries[size]), answers[size], options.fpir, threshold, num_draws, seed) for size in sizes
    )


def by_back_end(back_end: BackEnd) -> ScoreTable:
    """A fitted back end's scores, of every search against every entry."""

    def table(gallery: FloatArray, probes: FloatArray) -> FloatArray:
        prepared = back_end.prepare(np.concatenate([gallery, probes]))
        return prepared.matrix(slice(len(gallery)), slice(len(gallery), None)).T

    return table


def split_speakers(speakers: Sequence[str], options: Options, rng: np.random.Generator) -> Split:
    """Draw who is enrolled, and with what. Speakers without a recording to spare are the first to be left out."""
    names, numbers = np.unique(np.asarray(speakers), return_inverse=True)
    if "" in names:
        raise DataError("identification needs to know who speaks: give data.test_list=FILE with a label a recording")
    rows_of = [rng.permutation(np.flatnonzero(numbers == number)) for number in range(len(names))]
    able = [number for number in rng.permutation(len(names)) if len(rows_of[number]) > options.num_enrol]
    num_out = max(1, round(options.left_out * len(names)), len(names) - len(able))
    inside = able[: len(names) - num_out]
    if len(inside) < 2:
        raise DataError(
            f"{len(able)} of {len(names)} speakers have more than {options.num_enrol} recordings, and {num_out} stay "
            "outside: identification needs a gallery of two people or more; lower identification_options.num_enrol or "
            ".left_out, or give more recordings"
        )
    outside = sorted(set(range(len(names))) - set(inside))
    probes = [rows_of[number][options.num_enrol :] for number in inside]
    return Split(
        tuple(rows_of[number][: options.num_enrol] for number in inside),
        np.concatenate(probes),
        np.repeat(np.arange(len(inside)), [len(rows) for rows in probes]),
        np.concatenate([rows_of[number] for number in outside]),
    )


class _Answers(NamedTuple):
    found: Searches
    mated_speakers: Rows  # (P,) who searches
    nonmated_speakers: Rows  # (Q,)


class _Searching(NamedTuple):
    table: Callable[[Rows], FloatArray]  # rows of the recordings (P,) -> scores (P, G)
    split: Split
    speakers: Rows  # (N,)

    def answers(self, galleries: dict[int, list[Rows]]) -> dict[int, _Answers]:
        """Every search in every gallery where it has a mate, or has none; scores are computed once, block by block."""
        kept: dict[int, list[_Answers]] = {size: [] for size in galleries}
        for rows, mates, scores in self._blocks():
            for size, members in ((size, one) for size, several in galleries.items() for one in several):
                kept[size].append(self._in_gallery(rows, mates, scores, members))
        return {size: _joined(parts) for size, parts in kept.items()}

    def _blocks(self) -> Iterator[tuple[Rows, Rows, FloatArray]]:
        rows = np.concatenate([self.split.mated, self.split.nonmated])
        mates = np.append(self.split.mates, np.full(len(self.split.nonmated), NON_MATED))
        step = max(1, BLOCK_SCORES // len(self.split.gallery))
        for start in range(0, len(rows), step):
            block = slice(start, start + step)
            yield rows[block], mates[block], self.table(rows[block])

    def _in_gallery(self, rows: Rows, mates: Rows, scores: FloatArray, members: Rows) -> _Answers:
        column = np.full(len(self.split.gallery) + 1, NON_MATED)  # the last: of those who have no mate
        column[members] = np.arange(len(members))
        columns = column[mates]
        takes_part = (mates == NON_MATED) | (columns != NON_MATED)  # whose mate is in another gallery waits
        rows, columns = rows[takes_part], columns[takes_part]
        mated = columns != NON_MATED
        found = searches(scores[np.ix_(takes_part, members)], columns)
        return _Answers(found, self.speakers[rows[mated]], self.speakers[rows[~mated]])


def _joined(parts: list[_Answers]) -> _Answers:
    """All searches, the non-mated ones by falling score: a bootstrap sorts them a thousand times more."""
    columns = tuple(zip(*parts, strict=True))
    found, mated, nonmated = join(list(columns[0])), np.concatenate(columns[1]), np.concatenate(columns[2])
    falling = np.argsort(-found.best_scores, kind="stable")
    return _Answers(found._replace(best_scores=found.best_scores[falling]), mated, nonmated[falling])


def _measured(
    size: int,
    num_galleries: int,
    answers: _Answers,
    targets: Sequence[float],
    threshold: float | None,
    num_draws: int,
    seed: int,
) -> GalleryResult:
    found = answers.found
    num_nonmated = found.best_scores.size // num_galleries
    supported = [target for target in targets if target * num_nonmated >= 1]  # one search decides nothing smaller
    drawn = list(_draws(answers, supported, threshold, num_draws, np.random.default_rng([seed, size])))
    values = _figures(found, supported, threshold, None, None)
    figures = [Figure(name, value, _interval(drawn, name)) for name, value in values.items()]
    for target in supported:
        figures.append(Figure(f"threshold_at_fpir_{target:g}", dir_at_fpir(found, target).threshold, None))
    thresholds, false_positive, false_negative = error_curve(found)
    curve = (thresholds.astype(np.float64), false_positive, false_negative)
    ranks = cmc(found, min(size, MAX_RANK))
    return GalleryResult(size, num_galleries, found.mate_scores.size, num_nonmated, tuple(figures), ranks, curve)


def _figures(
    found: Searches,
    targets: Sequence[float],
    threshold: float | None,
    mated: NDArray[np.float64] | None,
    nonmated: NDArray[np.float64] | None,
) -> dict[str, float]:
    """By name; weights (P,), (Q,) say how often each search counts."""

    def part(flags: NDArray[np.bool_], weights: NDArray[np.float64] | None) -> float:
        return float(np.average(flags, weights=weights))

    figures = {f"rank_{rank}": part(found.found(rank), mated) for rank in (1, 5)}
    for target in targets:
        at = dir_at_fpir(found, target, mated_weights=mated, nonmated_weights=nonmated)
        figures[f"dir_at_fpir_{target:g}"] = at.dir
    if threshold is not None:
        level = np.float64(threshold)
        figures["fpir_at_threshold"] = part(found.best_scores >= level, nonmated)
        figures["fnir_at_threshold"] = 1 - part(found.found(1) & (found.mate_scores >= level), mated)
    return figures


def _draws(
    answers: _Answers, targets: Sequence[float], threshold: float | None, num_draws: int, rng: np.random.Generator
) -> Iterator[dict[str, float]]:
    """Figures over searching speakers drawn with replacement, enrolled ones and others apart."""
    sides = [np.unique(side, return_inverse=True) for side in (answers.mated_speakers, answers.nonmated_speakers)]
    for _ in range(num_draws):
        weights = []
        for names, numbers in sides:
            drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
            weights.append(drawn[numbers].astype(np.float64))
        yield _figures(answers.found, targets, threshold, *weights)


def _interval(drawn: list[dict[str, float]], name: str) -> Interval | None:
    return percentiles(np.array([figures[name] for figures in drawn]), 0.95) if drawn else None


def _cosine(gallery: FloatArray, probes: FloatArray) -> FloatArray:
    return scoring.cosine(probes, gallery)
