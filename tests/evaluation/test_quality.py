import numpy as np
import pytest

from evaluation.test_calibration import NONTARGET_MEAN, TARGET_MEAN
from speaker_id.errors import ConfigError
from speaker_id.evaluation.calibration import LabelledTrials
from speaker_id.evaluation.quality import Measures, QualityGain, check_qualities, quality_gain
from speaker_id.evaluation.trial_rows import all_pairs
from speaker_id.report.evaluation import Trials

NUM_SPEAKERS, NUM_RECORDINGS = 20, 6


def drawn(seed: int, *, short_is_low: bool) -> tuple[LabelledTrials, Measures]:
    """Scores of two normal distributions; those of short recordings may lie lower, of either kind of trial."""
    rng = np.random.default_rng(seed)
    speakers = [f"{number // NUM_RECORDINGS}" for number in range(NUM_SPEAKERS * NUM_RECORDINGS)]
    seconds = rng.choice([1.0, 10.0], len(speakers)).astype(np.float32)
    pairs = all_pairs(speakers)
    scores = rng.normal(np.where(pairs.is_target, TARGET_MEAN, NONTARGET_MEAN), 0.1)
    if short_is_low:
        scores -= 0.4 * (np.minimum(seconds[pairs.enrol], seconds[pairs.test]) == 1.0)
    trials = Trials(pairs.enrol, pairs.test, scores.astype(np.float32), pairs.is_target)
    magnitudes = rng.uniform(1, 2, len(speakers)).astype(np.float32)
    return LabelledTrials("drawn", trials, tuple(speakers)), Measures(seconds, magnitudes)


def gain(*qualities: str, short_is_low: bool) -> QualityGain:
    sets = (drawn(seed, short_is_low=short_is_low) for seed in (0, 1))
    return quality_gain(*sets, qualities, p_target=0.5, rng=np.random.default_rng(0), num_draws=100)


def test_the_duration_helps_where_short_recordings_score_lower() -> None:
    found = gain("duration", short_is_low=True)
    assert found.helps
    assert found.with_quality["eer"] < 0.5 * found.score_alone["eer"]
    assert found.with_quality["cllr"] < found.score_alone["cllr"]
    assert found.differences["eer"].difference == found.with_quality["eer"] - found.score_alone["eer"]


def test_what_has_nothing_to_do_with_the_scores_does_not_help() -> None:
    found = gain("duration", "magnitude", short_is_low=False)
    assert not found.helps
    assert found.with_quality["cllr"] == pytest.approx(found.score_alone["cllr"], abs=0.02)


def test_a_magnitude_that_says_nothing_of_durations_does_not_replace_them() -> None:
    assert not gain("magnitude", short_is_low=True).helps


def test_the_score_alone_is_judged_on_the_other_set() -> None:
    """Two kinds of the same deviation: at 2.5 deviations from the middle, 0.62 % lie on the wrong side."""
    found = gain("magnitude", short_is_low=False)
    assert found.score_alone["eer"] == pytest.approx(0.0062, abs=0.006)
    assert found.score_alone["cllr"] == pytest.approx(found.score_alone["min_cllr"], abs=0.02)


def test_a_quality_that_does_not_exist_is_refused() -> None:
    check_qualities(["duration", "magnitude"])
    with pytest.raises(ConfigError, match="quality=age does not exist; there are: duration, magnitude"):
        check_qualities(["duration", "age"])
