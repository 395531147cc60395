import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.voices import voices
from speaker_id import scoring
from speaker_id.errors import DataError

ROWS = np.float32([[1, 0], [0, 1], [-0.6, 0.8], [0.8, 0.6]])


def test_a_model_is_the_direction_of_its_recordings_mean() -> None:
    means = scoring.model_means(ROWS, [[0, 1], [2], [1, 0, 1]])
    np.testing.assert_allclose(means, [[0.5**0.5, 0.5**0.5], [-0.6, 0.8], [0.2**0.5, 0.8**0.5]], atol=1e-6)
    assert means.dtype == np.float32


def test_a_model_scored_by_all_of_its_recordings_worked_by_hand() -> None:
    # Model 0 is rows 0 and 1: against row 3 they score 0.8 and 0.6. Model 1 is row 2: -0.48 + 0.48 = 0.
    scores = scoring.score_models(scoring.Cosine().prepare(ROWS).score, [[0, 1], [2]], [0, 1, 0], [3, 3, 0], num=4)
    np.testing.assert_allclose(scores, [0.7, 0, 0.5], atol=1e-6)


@given(st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=5), min_size=1, max_size=6), st.integers(1, 12))
def test_models_are_scored_as_the_definition_reads_whatever_the_block(groups: list[list[int]], block: int) -> None:
    rows = voices(5, per_speaker=4).rows
    model_index = np.arange(40) % len(groups)
    test_index = np.arange(40) % 20
    prepared = scoring.Cosine().prepare(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.scoring.models.BLOCK_TRIALS", block)
        scores = scoring.score_models(prepared.score, groups, model_index, test_index, num=20)
    expected = [np.mean(rows[groups[m]] @ rows[t]) for m, t in zip(model_index, test_index, strict=True)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_models_of_one_recording_are_that_recording() -> None:
    rows = voices(3).rows
    np.testing.assert_allclose(scoring.model_means(rows, [[i] for i in range(len(rows))]), rows, atol=1e-6)


def test_no_models_and_no_trials_are_fine() -> None:
    assert scoring.model_means(ROWS, []).shape == (0, 2)
    assert scoring.score_models(scoring.Cosine().prepare(ROWS).score, [], [], [], num=4).shape == (0,)


def test_models_that_cannot_be_are_refused() -> None:
    score = scoring.Cosine().prepare(ROWS).score
    with pytest.raises(DataError, match=r"model 1 .* has no recording"):
        scoring.model_means(ROWS, [[0], []])
    with pytest.raises(DataError, match="rows 0 to 4, but the recordings are rows 0 to 3"):
        scoring.model_means(ROWS, [[0, 4]])
    with pytest.raises(DataError, match="rows -1 to 0"):
        scoring.model_means(ROWS, [[0, -1]])
    with pytest.raises(DataError, match="models 0 to 2, but there are 2"):
        scoring.score_models(score, [[0], [1]], [0, 2], [1, 1], num=4)
    with pytest.raises(DataError, match="1 models and 2 test"):
        scoring.score_models(score, [[0], [1]], [0], [1, 1], num=4)
    with pytest.raises(DataError, match="zeros"):
        scoring.model_means(np.float32([[1, 0], [-1, 0]]), [[0, 1]])
