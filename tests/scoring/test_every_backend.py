"""What contracts.BackEnd promises, over every leaf of conf/backend."""

from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from scoring.voices import voices
from speaker_id import build, scoring
from speaker_id.errors import DataError

FOLDER = build.CONF_DIR / "backend"
LEAVES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SIZES = {"top_k": 20, "dim": 10}  # what 40 speakers of 24 dimensions can do
SYMMETRIC = sorted({*LEAVES} - {"z_norm", "t_norm"})
LEARNING = sorted({*LEAVES} - {"cosine"})

COHORT = voices(40, seed=1)
EVALUATION = voices(12, per_speaker=4, seed=2)


def made(leaf: str, **options: Any) -> scoring.PreparingBackEnd:
    config = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{leaf}.yaml"))
    assert isinstance(config, dict)
    config.update({key: size for key, size in SIZES.items() if key in config} | options)
    back_end = build.instantiate(config)
    assert isinstance(back_end, scoring.PreparingBackEnd)
    return back_end


def fitted(leaf: str, **options: Any) -> scoring.PreparingBackEnd:
    back_end = made(leaf, **options)
    back_end.fit(COHORT.rows, COHORT.speakers)
    return back_end


def test_the_folder_holds_the_back_ends_of_the_field() -> None:
    assert {"cosine", "centred", "as_norm", "s_norm", "z_norm", "t_norm", "lda", "plda"} <= {*LEAVES}


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_gives_every_option_of_its_class(leaf: str) -> None:
    config = OmegaConf.load(FOLDER / f"{leaf}.yaml")
    back_end = build.instantiate(config)
    assert back_end.learns_from in ("nothing", "recordings", "speakers")
    for key in config:
        if key != "_target_":
            assert getattr(back_end, key) == config[key]


@pytest.mark.parametrize("leaf", LEAVES)
def test_one_finite_score_per_trial(leaf: str) -> None:
    scores = fitted(leaf).score(EVALUATION.rows, [0, 0, 5], [1, 47, 6])
    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert fitted(leaf).score(EVALUATION.rows, [], []).shape == (0,)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_score_depends_on_the_two_recordings_of_its_trial_alone(leaf: str) -> None:
    back_end = fitted(leaf)
    among_all = back_end.score(EVALUATION.rows, [3], [17])
    alone = back_end.score(EVALUATION.rows[[3, 17]], [0], [1])
    np.testing.assert_allclose(among_all, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("leaf", LEAVES)
def test_trials_pairs_and_matrix_tell_the_same_scores(leaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.scoring.prepared.BLOCK_SCORES", 500)  # blocks of ten rows
    prepared, num = fitted(leaf).prepare(EVALUATION.rows), len(EVALUATION.rows)
    enrol, test = scoring.pair_indices(num)
    by_trial = prepared.score(enrol, test)
    np.testing.assert_allclose(prepared.all_pairs(), by_trial, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(prepared.matrix(slice(num), slice(num))[enrol, test], by_trial, rtol=1e-4, atol=1e-4)
    some = prepared.matrix(np.array([4]), np.array([7, 9]))
    np.testing.assert_allclose(some[0], prepared.score([4, 4], [7, 9]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("leaf", SYMMETRIC)
def test_enrolment_and_test_may_change_places(leaf: str) -> None:
    prepared = fitted(leaf).prepare(EVALUATION.rows)
    np.testing.assert_allclose(prepared.score([0, 2], [9, 30]), prepared.score([9, 30], [0, 2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_order_of_what_it_learns_from_does_not_matter(leaf: str) -> None:
    order = np.random.default_rng(3).permutation(len(COHORT.rows))
    shuffled = made(leaf)
    shuffled.fit(COHORT.rows[order], np.array(COHORT.speakers)[order])
    scores = [one.prepare(EVALUATION.rows).all_pairs() for one in (fitted(leaf), shuffled)]
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("leaf", LEAVES)
def test_names_of_speakers_are_only_names(leaf: str) -> None:
    renamed = made(leaf)
    numbers = {name: 1000 - number for number, name in enumerate(dict.fromkeys(COHORT.speakers))}
    renamed.fit(COHORT.rows, [numbers[name] for name in COHORT.speakers])
    scores = [one.prepare(EVALUATION.rows).all_pairs() for one in (fitted(leaf), renamed)]
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("leaf", LEAVES)
def test_neither_cohort_nor_embeddings_are_changed(leaf: str) -> None:
    cohort, rows = COHORT.rows.copy(), EVALUATION.rows.copy()
    fitted(leaf).prepare(EVALUATION.rows).all_pairs()
    np.testing.assert_array_equal(COHORT.rows, cohort)
    np.testing.assert_array_equal(EVALUATION.rows, rows)


@pytest.mark.parametrize("leaf", LEAVES)
def test_fitting_again_forgets_the_first_time(leaf: str) -> None:
    again = made(leaf)
    again.fit(*voices(45, seed=7))
    again.fit(COHORT.rows, COHORT.speakers)
    scores = [one.prepare(EVALUATION.rows).all_pairs() for one in (fitted(leaf), again)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("leaf", LEARNING)
def test_one_that_learns_refuses_to_score_before_it_did(leaf: str) -> None:
    with pytest.raises(DataError, match="learnt nothing yet"):
        made(leaf).score(EVALUATION.rows, [0], [1])


@pytest.mark.parametrize("leaf", LEARNING)
def test_embeddings_of_another_size_are_refused(leaf: str) -> None:
    with pytest.raises(DataError, match="size 24"):
        fitted(leaf).prepare(EVALUATION.rows[:, :10])


@pytest.mark.parametrize("leaf", LEARNING)
def test_an_empty_cohort_is_refused(leaf: str) -> None:
    with pytest.raises(DataError, match="recordings"):
        made(leaf).fit(np.empty((0, 24), np.float32), [])


def test_whoever_learns_from_speakers_needs_one_for_each_recording() -> None:
    for leaf in [leaf for leaf in LEAVES if made(leaf).learns_from == "speakers"]:
        with pytest.raises(DataError, match="240 embeddings need 240 speaker labels"):
            made(leaf).fit(COHORT.rows, COHORT.speakers[1:])
        with pytest.raises(DataError, match=r"recording 0 .*has no speaker"):
            made(leaf).fit(COHORT.rows, ["", *COHORT.speakers[1:]])


def test_back_ends_say_in_words_what_they_do() -> None:
    assert str(fitted("as_norm")) == "AS-norm, 20 nearest of 40 speakers"
    assert str(fitted("as_norm", per_speaker=False, centre=True)) == "AS-norm, 20 nearest of 240 recordings, centred"
    assert str(made("as_norm")) == "AS-norm, 20 nearest of a cohort"
    assert str(fitted("z_norm")) == "Z-norm, 240 recordings"
    assert str(made("plda", lda_dim=10)) == "PLDA after LDA to 10 dimensions"
    assert len({str(fitted(leaf)) for leaf in LEAVES}) == len(LEAVES)


def test_the_cosine_back_end_is_the_cosine() -> None:
    enrol, test = scoring.pair_indices(len(EVALUATION.rows))
    expected = scoring.score_trials(EVALUATION.rows, enrol, test)
    np.testing.assert_array_equal(fitted("cosine").score(EVALUATION.rows, enrol, test), expected)


def test_centring_worked_by_hand() -> None:
    back_end = scoring.CentredCosine()
    back_end.fit(np.float32([[1, 0], [0, 1]]), ["a", "b"])  # mean (1/2, 1/2)
    scores = back_end.score(np.float32([[1, 0], [0, 1], [0.6, 0.8]]), [0, 0], [1, 2])
    # (1/2, -1/2) and (-1/2, 1/2) are opposite; with (0.1, 0.3) it is (0.05 - 0.15) / sqrt(0.5 * 0.1)
    np.testing.assert_allclose(scores, [-1, -0.1 / 0.05**0.5], atol=1e-6)


def test_centring_beats_the_cosine_where_all_voices_share_a_direction() -> None:
    back_end = scoring.CentredCosine()
    back_end.fit(*voices(40, shift=3, seed=1))
    evaluation = voices(30, shift=3, seed=2)
    assert evaluation.eer(back_end) < evaluation.eer(scoring.Cosine()) - 0.02
