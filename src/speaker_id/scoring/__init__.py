"""Scores of speaker embeddings: cosine and back ends that learn from other recordings; pure numpy."""

from speaker_id.scoring.backend import CentredCosine, Cosine, PreparingBackEnd
from speaker_id.scoring.cohort import AsNorm, CohortStatistics, SNorm, TNorm, ZNorm, cohort_statistics
from speaker_id.scoring.lda import LdaCosine
from speaker_id.scoring.models import model_means, score_models
from speaker_id.scoring.pairs import PairScores, all_pairs, cosine, normalise, pair_indices, score_trials
from speaker_id.scoring.plda import Plda
from speaker_id.scoring.prepared import Prepared

__all__ = [
    "AsNorm",
    "CentredCosine",
    "CohortStatistics",
    "Cosine",
    "LdaCosine",
    "PairScores",
    "Plda",
    "Prepared",
    "PreparingBackEnd",
    "SNorm",
    "TNorm",
    "ZNorm",
    "all_pairs",
    "cohort_statistics",
    "cosine",
    "model_means",
    "normalise",
    "pair_indices",
    "score_models",
    "score_trials",
]
