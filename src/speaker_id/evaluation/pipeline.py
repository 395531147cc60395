"""One evaluation from recordings to figures: each step hands a value to the next."""

from dataclasses import dataclass
from typing import NamedTuple

from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import BackEnd, OperatingPoint
from speaker_id.evaluation.back_end import Scorer, check_enrolment, learn
from speaker_id.evaluation.embedding import Embedded, HowToEmbed, embed
from speaker_id.evaluation.figures import HowToMeasure, measure
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.results import recordings_of
from speaker_id.evaluation.speakers import Facts
from speaker_id.evaluation.trial_rows import TrialRows
from speaker_id.report.evaluation import Evaluation, Leakage, ModelCard, Recordings, Trials
from speaker_id.scoring import Cosine


class HowToScore(NamedTuple):
    """The options of conf/eval.yaml that `score` needs."""

    embed: HowToEmbed
    enrolment: str  # of back_end.ENROLMENTS
    leaf: str  # the back end's name in conf/backend

    def checked(self) -> "HowToScore":
        """Itself; raises ConfigError for what cannot be done."""
        self.embed.checked()
        check_enrolment(self.enrolment)
        return self


@dataclass(frozen=True, eq=False)
class Scored:
    """A system that has scored its trials, with what it takes to score them again."""

    loaded: LoadedModel
    inputs: Inputs
    rows: TrialRows
    scorer: Scorer
    how: HowToScore
    embedded: Embedded
    recordings: Recordings
    trials: Trials

    @property
    def point(self) -> OperatingPoint | None:
        """The model's operating point where it is one of these scores: raw cosines of whole recordings."""
        fits = isinstance(self.scorer.back_end, Cosine) and self.how.embed.crop.kind == "whole"
        return self.loaded.operating_point if fits else None


def score(loaded: LoadedModel, inputs: Inputs, rows: TrialRows, back_end: BackEnd, how: HowToScore) -> Scored:
    """Embed every recording, let the back end learn, score the trials. Raises ConfigError and DataError."""
    scorer = Scorer(back_end, rows, how.enrolment, exhaustive=inputs.trials is None)
    learn(back_end, inputs.cohort, lambda data: embed(loaded, data, how.embed, words="cohort").embeddings)
    embedded = embed(loaded, inputs.data, how.embed)
    recordings = recordings_of(inputs.data, embedded, rows.enrolled)
    trials = Trials(rows.enrol, rows.test, scorer(embedded.embeddings), rows.is_target)
    return Scored(loaded, inputs, rows, scorer, how, embedded, recordings, trials)


def evaluation_of(scored: Scored, how: HowToMeasure, *, leakage: Leakage, card: ModelCard, facts: Facts) -> Evaluation:
    """Measure what was scored."""
    return Evaluation(
        recordings=scored.recordings,
        trials=scored.trials,
        figures=measure(scored.trials, scored.recordings.speakers, scored.point, how),
        back_end=str(scored.scorer.back_end),
        crop=str(scored.how.embed.crop),
        operating_point=scored.point,
        speaker_facts=facts,
        leakage=leakage,
        card=card,
    )
