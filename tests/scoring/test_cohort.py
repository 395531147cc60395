import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.voices import Voices, voices
from speaker_id import scoring
from speaker_id.errors import ConfigError, DataError

# Two recordings, along both axes, and a cohort at angles whose cosines are easy: the x and y of each row.
ROWS = np.float32([[1, 0], [0, 1]])
COHORT = np.float32([[0.6, 0.8], [-0.6, 0.8], [0.8, 0.6], [0, 1]])
# Scores of row 0: 0.6 -0.6 0.8 0    mean 0.2, deviation sqrt(0.34 - 0.04) = sqrt(0.3)
# Scores of row 1: 0.8 0.8 0.6 1     mean 0.8, deviation sqrt(0.66 - 0.64) = sqrt(0.02)
Z, T = (0 - 0.2) / 0.3**0.5, (0 - 0.8) / 0.02**0.5


def fitted(back_end: scoring.PreparingBackEnd) -> scoring.PreparingBackEnd:
    back_end.fit(COHORT, ["a", "b", "c", "d"])
    return back_end


@pytest.mark.parametrize(
    ("back_end", "expected"),
    [(scoring.ZNorm(), Z), (scoring.TNorm(), T), (scoring.SNorm(), (Z + T) / 2)],
    ids=["z", "t", "s"],
)
def test_normalised_scores_worked_by_hand(back_end: scoring.PreparingBackEnd, expected: float) -> None:
    # The cosine of the two rows is 0; row 0 is enrolled, row 1 is the test.
    assert fitted(back_end).score(ROWS, [0], [1])[0] == pytest.approx(expected, abs=1e-5)


def test_adaptive_scores_worked_by_hand_measure_each_side_by_its_own_nearest() -> None:
    # The nearest two of row 0 score 0.6 and 0.8: mean 0.7, deviation 0.1. Those of row 1 score 0.8 and 1: 0.9 and 0.1.
    back_end = fitted(scoring.AsNorm(top_k=2))
    assert back_end.score(ROWS, [0], [1])[0] == pytest.approx((-7 - 9) / 2, abs=1e-4)
    assert back_end.score(ROWS, [0], [0])[0] == pytest.approx((1 - 0.7) / 0.1, abs=1e-4)


def test_adaptive_normalisation_by_everybody_is_s_norm() -> None:
    adaptive, symmetric = (fitted(one).score(ROWS, [0], [1]) for one in (scoring.AsNorm(top_k=4), scoring.SNorm()))
    np.testing.assert_allclose(adaptive, symmetric)


def test_s_norm_is_the_mean_of_z_and_t_norm() -> None:
    rows, cohort = voices(5).rows, voices(30, seed=1)
    scores = []
    for back_end in (scoring.SNorm(), scoring.ZNorm(per_speaker=True), scoring.TNorm()):
        back_end.fit(*cohort)
        scores.append(back_end.prepare(rows).all_pairs())
    np.testing.assert_allclose(scores[0], (scores[1] + scores[2]) / 2, rtol=1e-4, atol=1e-4)


def test_z_norm_with_places_changed_is_t_norm() -> None:
    z, t = (fitted(one) for one in (scoring.ZNorm(per_speaker=True), scoring.TNorm()))
    np.testing.assert_allclose(z.score(ROWS, [0], [1]), t.score(ROWS, [1], [0]))


def slow_as_norm(a: np.ndarray, b: np.ndarray, cohort: np.ndarray, top_k: int) -> float:
    """One trial, as the definition reads."""
    parts = []
    for row in (a, b):
        nearest = sorted((float(np.dot(row, other)) for other in cohort), reverse=True)[:top_k]
        parts.append((float(np.dot(a, b)) - np.mean(nearest)) / np.std(nearest))
    return float(np.mean(parts))


@given(st.integers(0, 1000), st.integers(5, 40))
def test_scores_are_those_of_a_slow_reference_whatever_the_block(seed: int, block: int) -> None:
    rows, cohort = voices(2, per_speaker=3, seed=seed).rows, voices(15, per_speaker=1, seed=seed + 1)
    back_end = scoring.AsNorm(top_k=5, per_speaker=False)
    back_end.fit(*cohort)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.scoring.cohort.BLOCK_SCORES", block)
        scores = back_end.prepare(rows).all_pairs()
    pairs = zip(*scoring.pair_indices(len(rows)), strict=True)
    expected = [slow_as_norm(rows[i], rows[j], cohort.rows, 5) for i, j in pairs]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_a_speaker_of_the_cohort_counts_once_when_asked_to() -> None:
    # Speaker b's two recordings have their mean along (0, 1): both cohorts have the scores 0.6 and 0, and 0.8 and 1.
    once, twice = scoring.SNorm(per_speaker=True), scoring.SNorm(per_speaker=True)
    once.fit(np.float32([[0.6, 0.8], [0, 1]]), ["a", "b"])
    twice.fit(np.float32([[0.6, 0.8], [0.6, 0.8], [-0.6, 0.8]]), ["a", "b", "b"])
    np.testing.assert_allclose(once.score(ROWS, [0], [1]), twice.score(ROWS, [0], [1]), rtol=1e-5)
    each = scoring.SNorm(per_speaker=False)
    each.fit(np.float32([[0.6, 0.8], [0.6, 0.8], [-0.6, 0.8]]), ["a", "b", "b"])
    with pytest.raises(DataError, match=r"embedding 1 .* scores alike"):
        each.score(ROWS, [0], [1])  # row 1 has the score 0.8 three times


def test_labels_do_not_matter_when_each_recording_counts() -> None:
    back_end = scoring.AsNorm(top_k=2, per_speaker=False)
    back_end.fit(COHORT, ["", "", "", ""])
    assert back_end.score(ROWS, [0], [1])[0] == pytest.approx(-8, abs=1e-4)


def test_centring_comes_before_the_cohort() -> None:
    rows, cohort = voices(6).rows, voices(30, seed=1)
    centred = scoring.AsNorm(top_k=10, per_speaker=False, centre=True)
    centred.fit(*cohort)
    mean = cohort.rows.mean(axis=0)
    by_hand = scoring.AsNorm(top_k=10, per_speaker=False)
    by_hand.fit(scoring.normalise(cohort.rows - mean), cohort.speakers)
    expected = by_hand.prepare(scoring.normalise(rows - mean)).all_pairs()
    np.testing.assert_allclose(centred.prepare(rows).all_pairs(), expected, rtol=1e-3, atol=1e-3)


def test_cohort_statistics_worked_by_hand() -> None:
    everybody, nearest = (scoring.cohort_statistics(ROWS, COHORT, top_k=top_k) for top_k in (None, 2))
    np.testing.assert_allclose(everybody.mean, [0.2, 0.8], atol=1e-6)
    np.testing.assert_allclose(everybody.deviation, [0.3**0.5, 0.02**0.5], atol=1e-6)
    np.testing.assert_allclose(nearest, [[0.7, 0.9], [0.1, 0.1]], atol=1e-6)
    np.testing.assert_allclose(fitted(scoring.AsNorm(top_k=2)).statistics(ROWS), nearest)


@pytest.mark.parametrize(
    ("top_k", "per_speaker", "advice"),
    [
        (5, True, "5 speakers, got 4: .*smaller top_k, or per_speaker=false"),
        (5, False, "5 recordings, got 4: .*top_k$"),
    ],
)
def test_a_cohort_too_small_for_its_nearest_is_refused(top_k: int, per_speaker: bool, advice: str) -> None:
    with pytest.raises(DataError, match=advice):
        fitted(scoring.AsNorm(top_k=top_k, per_speaker=per_speaker))


def test_a_cohort_of_one_speaker_has_no_deviation() -> None:
    with pytest.raises(DataError, match="S-norm needs a cohort of at least 2 speakers, got 1"):
        scoring.SNorm().fit(COHORT, ["a"] * 4)


@pytest.mark.parametrize("top_k", [1, 0, -3])
def test_a_single_nearest_is_refused(top_k: int) -> None:
    with pytest.raises(ConfigError, match=f"top_k .*{top_k}"):
        scoring.AsNorm(top_k=top_k)


def crowds(num_speakers: int, seed: int) -> Voices:
    """Half of the speakers are a crowd of voices much alike, the others differ more: cosines mean other things."""
    rng = np.random.default_rng(seed)
    alike = np.repeat(np.arange(num_speakers) % 2 == 0, 4)[:, None]
    people = np.repeat(rng.normal(size=(num_speakers, 24)), 4, axis=0)
    rows = np.where(alike, 4, -4) * np.eye(24)[0] + np.where(alike, 0.4, 1) * (
        people + 0.7 * rng.normal(size=people.shape)
    )
    return Voices(scoring.normalise(rows), [f"s{i // 4}" for i in range(len(rows))])


def test_adaptive_normalisation_beats_the_cosine_where_some_voices_are_more_alike_than_others() -> None:
    back_end, evaluation = scoring.AsNorm(top_k=40), crowds(60, seed=2)
    back_end.fit(*crowds(200, seed=1))
    assert evaluation.eer(back_end) < evaluation.eer(scoring.Cosine()) - 0.02
