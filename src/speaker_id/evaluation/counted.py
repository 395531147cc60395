"""All pairs of a list too long to keep every score: scores are counted in bins, in little memory."""

from math import comb

import numpy as np

from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import BackEnd
from speaker_id.errors import ConfigError
from speaker_id.evaluation.back_end import learn
from speaker_id.evaluation.embedding import embed
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.pipeline import HowToScore
from speaker_id.metrics.binned import BinnedMetrics, binned_at_fpr, binned_metrics
from speaker_id.metrics.summary import FPR_LIMITS
from speaker_id.report.evaluation import Figure
from speaker_id.scoring import Cosine
from speaker_id.scoring.histogram import ScoreHistogram, all_pairs_histogram, histogram, score_range
from speaker_id.scoring.pairs import pair_blocks


def is_too_long(inputs: Inputs, max_exact_trials: int) -> bool:
    """Whether an evaluation has more pairs than are kept one by one; listed trials always are."""
    return inputs.trials is None and comb(len(inputs.data.utterances), 2) > max_exact_trials


def refuse_every_score(num_recordings: int, wanted: list[str]) -> None:
    """Raise ConfigError for what needs every score, before anything is embedded."""
    if wanted:
        pairs = f"{num_recordings:,} recordings make {comb(num_recordings, 2):,} pairs"
        raise ConfigError(
            f"{wanted[0]}=true needs every score kept, and {pairs}: give trials=FILE, a shorter list, or a higher "
            "max_exact_trials (30 bytes of memory a pair)"
        )


def count_pairs(loaded: LoadedModel, inputs: Inputs, back_end: BackEnd, how: HowToScore) -> ScoreHistogram:
    """Embed every recording, let the back end learn, and count the scores of all pairs."""
    learn(back_end, inputs.cohort, lambda data: embed(loaded, data, how.embed, words="cohort").embeddings)
    embeddings = embed(loaded, inputs.data, how.embed).embeddings
    labels = np.unique([utterance.label for utterance in inputs.data.utterances], return_inverse=True)[1]
    if isinstance(back_end, Cosine):
        return all_pairs_histogram(embeddings, labels)
    prepared = back_end.prepare(embeddings)
    low, high = score_range(pair_blocks(prepared.matrix, labels))
    return histogram(pair_blocks(prepared.matrix, labels), low=low, high=high)


def measure_counts(counts: ScoreHistogram, *, target_fpr: float | None) -> tuple[tuple[Figure, ...], BinnedMetrics]:
    """The figures that counts can tell, and how far from the scores' own they can be."""
    found = binned_metrics(*counts)
    names = ("eer", "threshold", "tpr", "fpr", "min_dcf", "min_dcf_05")
    values = {name: float(getattr(found, name)) for name in names}
    values |= {name: binned_at_fpr(*counts, limit).tpr for name, limit in FPR_LIMITS.items()}
    if target_fpr is not None:
        at = binned_at_fpr(*counts, target_fpr)
        values |= {"target_fpr": target_fpr, "tpr_at_target_fpr": at.tpr, "threshold_at_target_fpr": at.threshold}
    return tuple(Figure(name, value, None) for name, value in values.items()), found
