"""From embeddings to scores: a back end that has learnt what it needs, over recordings and models."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from speaker_id import scoring
from speaker_id.contracts import BackEnd, FloatArray
from speaker_id.data.lists import DataList
from speaker_id.errors import ConfigError
from speaker_id.evaluation.trial_rows import TrialRows, with_models

logger = logging.getLogger(__name__)

ENROLMENTS = ("mean", "all")


def check_enrolment(enrolment: str) -> None:
    if enrolment not in ENROLMENTS:
        raise ConfigError(f"enrolment={enrolment} does not exist; there are: {', '.join(ENROLMENTS)}")


def check_cohort(back_end: BackEnd, cohort: DataList | None, *, leaf: str) -> DataList | None:
    """The cohort if the back end, called `leaf` on the command line, learns from one.

    Raises ConfigError, naming the override, when it has nothing to learn from.
    """
    if back_end.learns_from == "nothing":
        if cohort is not None:
            logger.info("backend=%s learns nothing: data.cohort_list=%s is not read", leaf, cohort.source)
        return None
    if cohort is None:
        hint = " with several recordings of a speaker" if back_end.learns_from == "speakers" else ""
        raise ConfigError(
            f"backend={leaf} learns from recordings of other people than the evaluation's: give data.cohort_list=FILE, "
            f"<path>\\t<label> lines like a training list{hint}; or take backend=cosine"
        )
    return cohort


def learn(back_end: BackEnd, cohort: DataList | None, embed: Callable[[DataList], FloatArray]) -> None:
    """Fit a back end to the cohort's unit embeddings (N, E); without a cohort there is nothing to learn."""
    if cohort is not None:
        back_end.fit(embed(cohort), [utterance.label for utterance in cohort.utterances])


@dataclass(frozen=True)
class Scorer:
    """Scores the trials of one evaluation; `enrolment` says how several recordings of a model count.

    mean: the model is the direction of their mean. all: each of them is scored, and the scores are averaged.
    """

    back_end: BackEnd
    rows: TrialRows
    enrolment: str
    exhaustive: bool = False  # the rows are all pairs, which back ends score in blocks

    def __call__(self, embeddings: FloatArray, test_embeddings: FloatArray | None = None) -> FloatArray:
        """Unit rows (N, E) -> scores (M,); test recordings may have rows of their own, as when they are disturbed."""
        if test_embeddings is None and self.exhaustive:
            return self.back_end.prepare(embeddings).all_pairs()
        table = with_models(embeddings, self.rows.enrolled)
        test = self.rows.test
        if test_embeddings is not None:
            test = test + len(table)
            table = np.concatenate([table, test_embeddings])
        score = self.back_end.prepare(table).score
        if self.enrolment == "mean" or not self.rows.enrolled.members:
            return score(self.rows.enrol, test)
        members = [rows.tolist() for rows in self.rows.enrolled.members]
        models = self.rows.enrol - len(embeddings)
        return scoring.score_models(score, members, models, test, num=len(table))
