"""Scoring and measuring many trials beside mvector's, SpeechBrain's and the plain way, taking turns in one run.

    make peers
    .venv-peers/bin/python benchmarks/scoring.py pairs    # all pairs of 5,332 recordings: 14.2 million
    .venv-peers/bin/python benchmarks/scoring.py few      # of 120: more is too much for SpeechBrain
    .venv-peers/bin/python benchmarks/scoring.py listed   # a million listed trials
    .venv-peers/bin/python benchmarks/scoring.py large    # a hundred million of either kind: look at the memory
                                                          # [--rounds 3] [--repetitions 3] [--only NAME ...]

From embeddings of 192 dimensions to EER and minDCF (0.01), each toolkit by its own functions. Every contestant's EER is
compared with ours before its time counts. The plain way is what most evaluation scripts do: the full score matrix, its
upper triangle by index, one argsort and cumulative sums.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from contest import contest

from speaker_id import metrics, scoring
from speaker_id.metrics.binned import binned_metrics
from speaker_id.scoring.histogram import all_pairs_histogram, histogram

Way = Callable[[np.ndarray, np.ndarray], tuple[float, float]]  # embeddings (N, E), labels (N,) -> EER, minDCF

DIM = 192
RECORDINGS_PER_SPEAKER = 40
NOISE = 1.7  # an EER of some per cent at 192 dimensions
P_TARGET = 0.01
LISTED, LISTED_BLOCK = 10**6, 10**6


class Data(NamedTuple):
    embeddings: np.ndarray
    labels: np.ndarray


def planted_speakers(num: int) -> Data:
    rng = np.random.default_rng(0)
    labels = np.arange(num) // RECORDINGS_PER_SPEAKER
    centres = rng.normal(size=(labels[-1] + 1, DIM))
    return Data(scoring.normalise(centres[labels] + NOISE * rng.normal(size=(num, DIM))), labels)


def exact(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    result = metrics.verification_metrics(*scoring.all_pairs(embeddings, labels).trials())
    return result.eer, result.min_dcf


def binned(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    result = binned_metrics(*all_pairs_histogram(embeddings, labels))
    assert result.eer_max_error <= 1e-4
    return result.eer, result.min_dcf


def plain(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    rows, columns = np.triu_indices(len(embeddings), 1)
    scores = (embeddings @ embeddings.T)[rows, columns]
    is_target = (labels[:, None] == labels[None, :])[rows, columns]
    is_target = is_target[np.argsort(-scores)]
    fpr = np.cumsum(~is_target) / np.count_nonzero(~is_target)
    fnr = 1 - np.cumsum(is_target) / np.count_nonzero(is_target)
    nearest = np.argmin(np.abs(fnr - fpr))
    costs = P_TARGET * fnr + (1 - P_TARGET) * fpr
    return float(fnr[nearest] + fpr[nearest]) / 2, float(costs.min() / P_TARGET)


def mvector(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Row by row with sklearn's function into lists, as `MVectorTrainer.evaluate` does it.

    That one compares all of one list with all of another; here each row meets only those behind it, half the work.
    """
    from sklearn.metrics.pairwise import cosine_similarity

    all_scores: list[float] = []
    all_labels: list[int] = []
    for row in range(len(embeddings) - 1):
        scores = cosine_similarity(embeddings[row : row + 1], embeddings[row + 1 :]).astype(np.float32)
        all_scores.extend(scores.tolist()[0])
        all_labels.extend((labels[row + 1 :] == labels[row]).astype(np.int32).tolist())
    return mvector_metrics(np.array(all_scores, np.float32), np.array(all_labels, np.int32))


def mvector_measures(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    scores, is_target = scoring.all_pairs(embeddings, labels).trials()
    return mvector_metrics(scores, is_target.astype(np.int32))


def mvector_metrics(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    from mvector.metric.metrics import compute_dcf, compute_eer, compute_fnr_fpr

    fnr, fpr, _ = compute_fnr_fpr(scores, labels)
    return float(compute_eer(fnr, fpr, scores)[0]), float(compute_dcf(fnr, fpr))


def speechbrain(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The similarity of its `SpeakerRecognition`, row by row, then its two measures."""
    import torch
    from speechbrain.utils.metric_stats import EER, minDCF

    similarity = torch.nn.CosineSimilarity(dim=-1, eps=1e-6)
    rows, speakers = torch.from_numpy(embeddings), torch.from_numpy(labels)
    scores = torch.cat([similarity(rows[row], rows[row + 1 :]) for row in range(len(rows) - 1)])
    same = torch.cat([speakers[row + 1 :] == speakers[row] for row in range(len(rows) - 1)])
    cost = minDCF(scores[same], scores[~same], p_target=P_TARGET)[0]  # not normalised
    return EER(scores[same], scores[~same])[0], cost / P_TARGET


def all_pairs_of(
    num: int, way: Way, *, tolerance: float, imports: tuple[str, ...] = ()
) -> Callable[[int], list[float]]:
    def run(repetitions: int) -> list[float]:
        for module in imports:
            __import__(module)
        data = planted_speakers(num)
        reference = (binned if way is binned else exact)(*data)  # the memory is measured too
        return [timed(partial(way, *data), reference, tolerance) for _ in range(repetitions)]

    return run


def timed(measure: Callable[[], tuple[float, float]], reference: tuple[float, float], tolerance: float) -> float:
    start = time.perf_counter()
    found = measure()
    seconds = time.perf_counter() - start
    if not np.allclose(found, reference, rtol=0, atol=(tolerance, 10 * tolerance)):
        raise SystemExit(f"EER and minDCF are {found}, expected {reference}")
    return seconds


def listed_trials(data: Data, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A million trials, half of them target, as lists have them: any row against any."""
    enrol, other = rng.integers(len(data.labels), size=(2, LISTED))
    same_speaker = data.labels[enrol] * RECORDINGS_PER_SPEAKER + other % RECORDINGS_PER_SPEAKER
    test = np.where(np.arange(LISTED) % 2, np.minimum(same_speaker, len(data.labels) - 1), other)
    return enrol, test, data.labels[enrol] == data.labels[test]


def listed_exact(data: Data) -> Callable[[], tuple[float, float]]:
    enrol, test, is_target = listed_trials(data, np.random.default_rng(1))

    def measure() -> tuple[float, float]:
        result = metrics.verification_metrics(scoring.score_trials(data.embeddings, enrol, test), is_target)
        return result.eer, result.min_dcf

    return measure


def listed_mvector(data: Data) -> Callable[[], tuple[float, float]]:
    """Cosines of aligned rows by sklearn, a thousand at a time (mvector has no trial lists), then its measures."""
    from sklearn.metrics.pairwise import paired_cosine_distances

    enrol, test, is_target = listed_trials(data, np.random.default_rng(1))

    def measure() -> tuple[float, float]:
        blocks = [slice(start, start + 1000) for start in range(0, LISTED, 1000)]
        rows = data.embeddings
        scores = [1 - paired_cosine_distances(rows[enrol[block]], rows[test[block]]) for block in blocks]
        return mvector_metrics(np.concatenate(scores).astype(np.float32), is_target.astype(np.int32))

    return measure


def listed(make: Callable[[Data], Callable[[], tuple[float, float]]]) -> Callable[[int], list[float]]:
    def run(repetitions: int) -> list[float]:
        data = planted_speakers(5332)
        reference, measure = listed_exact(data)(), make(data)
        return [timed(measure, reference, 1e-5) for _ in range(repetitions)]

    return run


def hundred_million_listed(repetitions: int) -> list[float]:
    data = planted_speakers(5332)

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(100):
            enrol, test, is_target = listed_trials(data, np.random.default_rng(number))
            yield scoring.score_trials(data.embeddings, enrol, test), is_target

    def measure() -> tuple[float, float]:
        result = binned_metrics(*histogram(blocks()))
        return result.eer, result.min_dcf

    return [timed(measure, listed_exact(data)(), 1e-3) for _ in range(repetitions)]


PAIRS, FEW, MANY = 5332, 120, 14143
MVECTOR = ("sklearn.metrics.pairwise", "mvector.metric.metrics")
TASKS: dict[str, tuple[float, dict[str, Callable[[int], list[float]]]]] = {
    "pairs": (
        PAIRS * (PAIRS - 1) / 2,
        {
            "mvector": all_pairs_of(PAIRS, mvector, tolerance=1e-5, imports=MVECTOR),
            "speaker_id exact": all_pairs_of(PAIRS, exact, tolerance=1e-9),
            "speaker_id binned": all_pairs_of(PAIRS, binned, tolerance=1e-4),
            "mvector on our scores": all_pairs_of(PAIRS, mvector_measures, tolerance=1e-5, imports=MVECTOR),
            "plain numpy": all_pairs_of(PAIRS, plain, tolerance=1e-5),
        },
    ),
    "few": (
        FEW * (FEW - 1) / 2,
        {
            "mvector, few": all_pairs_of(FEW, mvector, tolerance=1e-3, imports=MVECTOR),
            "speaker_id exact, few": all_pairs_of(FEW, exact, tolerance=1e-9),
            "speechbrain, few": all_pairs_of(
                FEW, speechbrain, tolerance=1e-3, imports=("speechbrain.utils.metric_stats",)
            ),
        },
    ),
    "listed": (LISTED, {"mvector listed": listed(listed_mvector), "speaker_id listed": listed(listed_exact)}),
    "large": (
        1e8,
        {
            "binned, all pairs": all_pairs_of(MANY, binned, tolerance=1e-4),
            "binned, listed": hundred_million_listed,
        },
    ),
}


def main() -> None:
    child = "--child" in sys.argv  # it is told the contestant alone
    task = "pairs" if child or len(sys.argv) < 2 or sys.argv[1].startswith("-") else sys.argv.pop(1)
    if task not in TASKS:
        raise SystemExit(f"there is no task {task!r}: take one of {', '.join(TASKS)}")
    per_run, contestants = TASKS[task]
    if child:
        contestants = {name: run for _, named in TASKS.values() for name, run in named.items()}
    contest(__file__, contestants, unit="trials", per_run=per_run)


if __name__ == "__main__":
    main()
