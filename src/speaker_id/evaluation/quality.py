"""Would the length of a recording, or of its embedding, say more than the score alone?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import calibration, metrics
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError
from speaker_id.evaluation.calibration import LabelledTrials
from speaker_id.metrics import PairedDifference

QUALITIES = ("duration", "magnitude")


class Measures(NamedTuple):
    """What is known of each recording beside its embedding's direction, each (N,)."""

    seconds: FloatArray
    magnitudes: FloatArray  # lengths of the embeddings before they were normalised


class QualityGain(NamedTuple):
    """The score with qualities against the score alone, on trials that neither was fitted on."""

    qualities: tuple[str, ...]
    score_alone: dict[str, float]  # act_dcf, cllr, eer, ...
    with_quality: dict[str, float]
    differences: dict[str, PairedDifference]  # eer, min_dcf, min_dcf_05: with quality less score alone

    @property
    def helps(self) -> bool:
        """Whether the EER or minDCF fell, and other speakers would hardly turn that round."""
        return any(found.significant and found.difference < 0 for found in self.differences.values())


def check_qualities(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in QUALITIES]:
        raise ConfigError(f"quality={unknown[0]} does not exist; there are: {', '.join(QUALITIES)}")


def quality_gain(
    fitted: tuple[LabelledTrials, Measures],
    measured: tuple[LabelledTrials, Measures],
    qualities: Sequence[str],
    *,
    p_target: float,
    rng: np.random.Generator,
    num_draws: int,
) -> QualityGain:
    """Fit both calibrations on one set and judge them on the other. Raises DataError for qualities that never vary."""
    check_qualities(qualities)
    trials, speakers = measured[0].trials, np.asarray(measured[0].speakers)

    def llrs(names: Sequence[str]) -> NDArray[np.float64]:
        fit = calibration.fit_logistic(_columns(*fitted, names), fitted[0].trials.is_target, p_target=p_target)
        return fit.llr(_columns(*measured, names))

    alone, joined = llrs(()), llrs(qualities)
    figures = [metrics.figures(values, trials.is_target, llr=(1.0, 0.0)) for values in (alone, joined)]
    who = (speakers[trials.enrol], speakers[trials.test])
    differences = metrics.paired_differences(alone, joined, trials.is_target, *who, rng=rng, num_draws=num_draws)
    return QualityGain(tuple(qualities), figures[0], figures[1], differences)


def _columns(labelled: LabelledTrials, measures: Measures, qualities: Sequence[str]) -> NDArray[np.floating[Any]]:
    trials = labelled.trials
    if not qualities:
        return trials.scores[:, None]
    beside = calibration.quality_columns(
        trials.enrol,
        trials.test,
        seconds=measures.seconds if "duration" in qualities else None,
        magnitudes=measures.magnitudes if "magnitude" in qualities else None,
    )
    return np.column_stack([trials.scores, beside])
