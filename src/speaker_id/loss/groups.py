"""Batches of several utterances a speaker: who is in them, and the centres of each."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from speaker_id.errors import TrainingError

GROUPED_BATCHES = "data.sampling=balanced data.utterances_per_speaker=4"  # the overrides that make them


class SpeakerGroups(NamedTuple):
    """A batch's speakers."""

    speakers: Tensor  # (P,) their labels, rising
    position: Tensor  # (B,) which of the P each row is

    def sums(self, embeddings: Tensor) -> Tensor:
        """(B, E) -> (P, E): of each speaker's rows."""
        member = functional.one_hot(self.position, len(self.speakers)).to(embeddings.dtype)
        return member.T @ embeddings


def group_by_speaker(labels: Tensor, *, least: int) -> SpeakerGroups:
    """(B,) -> groups; raises TrainingError for a batch of one speaker, or with fewer than `least` rows of one."""
    speakers, position, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    if len(speakers) < 2:
        raise TrainingError("a batch holds one speaker alone, and the loss compares speakers: raise data.batch_size")
    fewest = sizes.argmin()
    if sizes[fewest] < least:
        raise TrainingError(
            f"a batch holds {int(sizes[fewest])} utterance of speaker {int(speakers[fewest])}, and the loss needs "
            f"{least} or more of each: add {GROUPED_BATCHES}"
        )
    return SpeakerGroups(speakers, position)


def cosines_to_others(embeddings: Tensor, centers: Tensor, groups: SpeakerGroups) -> Tensor:
    """Cosines to each speaker's centre (P, E), to the own speaker's without the embedding itself: (B, E) -> (B, P)."""
    unit = functional.normalize(embeddings)
    without_itself = groups.sums(embeddings)[groups.position] - embeddings  # n - 1 times a mean: the same direction
    own = (unit * functional.normalize(without_itself)).sum(dim=-1, keepdim=True)
    return (unit @ functional.normalize(centers).T).scatter(1, groups.position.unsqueeze(1), own)


def batch_logits(cosines: Tensor, groups: SpeakerGroups, scale: Tensor, num_speakers: int) -> Tensor:
    """Scaled cosines (B, P) in their speakers' columns: (B, K), with -2 scale for the speakers not in the batch.

    That is below every real value, so that accuracy means: right among the batch's speakers.
    """
    absent = (-2 * scale.detach()).to(cosines.dtype).expand(len(cosines), num_speakers)
    return torch.index_copy(absent, 1, groups.speakers, scale * cosines)
