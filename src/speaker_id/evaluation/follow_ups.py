"""What an evaluation can be followed by: the same trials under stress, and one against many."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from speaker_id import metrics
from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import FloatArray
from speaker_id.data.dataset import Transform
from speaker_id.data.lists import DataList
from speaker_id.evaluation.disturbances import Level, Setting, make_conditions
from speaker_id.evaluation.embedding import embed
from speaker_id.evaluation.figures import HowToMeasure, can_be_drawn, thinned
from speaker_id.evaluation.identification import GalleryResult, Options, by_back_end, identification_test
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.pipeline import Scored
from speaker_id.evaluation.stress import stress_test
from speaker_id.report.evaluation import StressResult


def check_stress(
    loaded: LoadedModel, inputs: Inputs, levels: Mapping[str, Sequence[Level]], *, noise: str | None, seed: int
) -> None:
    """Raise ConfigError for conditions that `under_stress` could not make."""
    make_conditions(levels, Setting(inputs.data, (), cast(int, loaded.feature.sample_rate), seed, noise))


def under_stress(
    scored: Scored, levels: Mapping[str, Sequence[Level]], how: HowToMeasure, *, noise: str | None
) -> tuple[StressResult, ...]:
    """The trials again, with every test recording disturbed in each of the ways that `stress_conditions` names."""
    tested = np.unique(scored.rows.test)
    data = scored.inputs.data
    under_test = DataList(data.source, tuple(data.utterances[row] for row in tested))
    sample_rate = cast(int, scored.loaded.feature.sample_rate)
    lengths = [round(seconds * sample_rate) for seconds in scored.embedded.seconds[tested].tolist()]

    def disturbed(transform: Transform) -> FloatArray:
        embeddings = scored.embedded.embeddings.copy()
        embeddings[tested] = embed(scored.loaded, under_test, scored.how.embed, transform=transform).embeddings
        return embeddings

    def interval(scores: FloatArray) -> metrics.Interval:
        speakers, rng = np.unique(scored.recordings.speakers, return_inverse=True)[1], np.random.default_rng(how.seed)
        few = thinned(scored.trials._replace(scores=scores), rng)
        return metrics.eer_interval(
            few.scores, few.is_target, speakers[few.enrol], speakers[few.test], rng=rng, num_draws=how.num_draws
        )

    return stress_test(
        make_conditions(levels, Setting(under_test, lengths, sample_rate, how.seed, noise)),
        scored.embedded.embeddings,
        scored.rows.is_target,
        embed=disturbed,
        score=scored.scorer,
        interval=interval if how.num_draws and can_be_drawn(scored.recordings.speakers) else None,
    )


def one_against_many(scored: Scored, options: Options, how: HowToMeasure) -> tuple[GalleryResult, ...]:
    """Open-set identification with the recordings of the evaluation, by the same back end."""
    return identification_test(
        scored.embedded.embeddings,
        [utterance.label for utterance in scored.inputs.data.utterances],
        options,
        seed=how.seed,
        threshold=None if scored.point is None else scored.point.threshold,
        num_draws=how.num_draws,
        score=by_back_end(scored.scorer.back_end),
    )
