import numpy as np
import pytest

from scoring.voices import voices
from speaker_id import scoring
from speaker_id.errors import ConfigError, DataError
from speaker_id.scoring.lda import discriminant


def test_the_direction_that_tells_two_speakers_apart_worked_by_hand() -> None:
    # Both vary by 1 along x and 4 along y, and differ by 4 along both axes: W^-1 (4, 4) ~ (4, 1).
    session = np.array([[1, 0], [-1, 0], [0, 2], [0, -2]])
    rows = np.concatenate([session, session + 4]).astype(np.float32)
    found = discriminant(rows, np.repeat([0, 1], 4), 1)
    np.testing.assert_allclose(found.mean, [2, 2])
    direction = found.projection[:, 0]
    assert direction[0] / direction[1] == pytest.approx(4)


def test_projected_rows_are_those_of_the_generalised_eigenvectors() -> None:
    """Independent: scatter matrices by loops, the eigenvectors of W^-1 B by numpy."""
    cohort = voices(30, dim=6)
    rows, labels = cohort.rows.astype(float), np.array(cohort.speakers)
    mean, within, between = rows.mean(axis=0), np.zeros((6, 6)), np.zeros((6, 6))
    for speaker in np.unique(labels):
        group = rows[labels == speaker]
        within += (group - group.mean(axis=0)).T @ (group - group.mean(axis=0))
        between += len(group) * np.outer(group.mean(axis=0) - mean, group.mean(axis=0) - mean)
    values, vectors = np.linalg.eig(np.linalg.solve(within, between))
    vectors = vectors[:, np.argsort(-values)][:, :3]
    vectors /= np.sqrt(np.einsum("id,ij,jd->d", vectors, within, vectors))
    back_end = scoring.LdaCosine(dim=3)
    back_end.fit(*cohort)
    enrol, test = scoring.pair_indices(20)
    expected = scoring.score_trials(scoring.normalise((rows - mean) @ vectors), enrol, test)
    np.testing.assert_allclose(back_end.score(cohort.rows, enrol, test), expected, atol=1e-4)


@pytest.mark.parametrize(("dim", "most"), [(8, 7), (30, 7)])
def test_more_directions_than_speakers_allow_are_refused(dim: int, most: int) -> None:
    with pytest.raises(DataError, match=f"{dim} directions among 8 speakers and 24 dimensions: at most {most} "):
        scoring.LdaCosine(dim=dim).fit(*voices(8))


def test_more_directions_than_the_embedding_has_are_refused() -> None:
    with pytest.raises(DataError, match="at most 24 "):
        scoring.LdaCosine(dim=25).fit(*voices(40))


@pytest.mark.parametrize("options", [{"dim": 0}, {"dim": 3, "shrinkage": 1.5}, {"dim": 3, "shrinkage": -1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="dim"):
        scoring.LdaCosine(**options)


@pytest.mark.parametrize("shrinkage", [None, 0.05])
def test_lda_beats_the_cosine_where_speakers_and_sessions_vary_in_other_directions(shrinkage: float | None) -> None:
    back_end, evaluation = scoring.LdaCosine(dim=12, shrinkage=shrinkage), voices(60, seed=2)
    back_end.fit(*voices(200, seed=1))
    assert evaluation.eer(back_end) < evaluation.eer(scoring.Cosine()) / 1.5


def test_shrinkage_lets_few_recordings_find_directions_that_hold_for_others() -> None:
    evaluation, eers = voices(60, seed=2), []
    for shrinkage in (None, 0.3):
        back_end = scoring.LdaCosine(dim=12, shrinkage=shrinkage)
        back_end.fit(*voices(14, per_speaker=3, seed=1))
        eers.append(evaluation.eer(back_end))
    assert eers[1] < eers[0] - 0.02
