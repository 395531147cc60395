"""Scores of speaker embeddings: cosine and back ends that learn from other recordings; pure numpy."""

from speaker_id.scoring.pairs import PairScores, all_pairs, cosine, normalise, pair_indices, score_trials

__all__ = ["PairScores", "all_pairs", "cosine", "normalise", "pair_indices", "score_trials"]
