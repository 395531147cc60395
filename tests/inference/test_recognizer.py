import dataclasses
import io
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import speaker_id
from inference.tiny_model import POINT, RATE, recording, tiny_bundle, voice
from speaker_id.audio import fetching
from speaker_id.contracts import FloatArray, Match, OperatingPoint, Source, UserDetails
from speaker_id.errors import (
    AudioError,
    CheckpointError,
    ConfigError,
    DoubtfulEnrolment,
    GalleryError,
    NoSpeech,
    TooShort,
    UnknownUser,
)
from speaker_id.inference.decision import for_gallery_size
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.quality import QualityLimits, SecondVoice
from speaker_id.inference.recognizer import Recognizer
from speaker_id.inference.results import Comparison, Identification

CALIBRATED = OperatingPoint(0.5, "by calibration", llr_scale=10.0, llr_offset=-4.0)


class AngleEmbedder:
    """A recording that peaks at p is the vector at p * 180 degrees: scores can be worked out by hand."""

    sample_rate = RATE
    dim = 2
    fingerprint = "angles"

    def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
        return self.embed_parts(waveforms)

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        angles = np.array([np.pi * waveform.max() for waveform in waveforms])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


VOICE = voice(130) / voice(130).max()  # its largest magnitude is negative, 1.001 times that


def at(degrees: float) -> Source:
    return (VOICE * np.float32(degrees / 180)).astype(np.float32), RATE


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[SqliteGallery]:
    with SqliteGallery.open(tmp_path / "gallery.db", fingerprint="angles", dim=2) as opened:
        yield opened


@pytest.fixture
def recognizer(gallery: SqliteGallery) -> Recognizer:
    return Recognizer(AngleEmbedder(), gallery=gallery, operating_point=OperatingPoint(0.5, "by hand"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


# Decisions, by hand


def test_a_comparison_is_the_raw_cosine_against_the_models_own_threshold(recognizer: Recognizer) -> None:
    near = recognizer.compare(at(10), at(40))
    assert near.score == pytest.approx(cos(30), abs=1e-6)
    assert (near.threshold, near.accepted, near.threshold_source) == (0.5, True, "uncalibrated: by hand")
    far = recognizer.compare(at(10), at(100))
    assert far.score == pytest.approx(0.0, abs=1e-6)
    assert far.accepted is False


def test_a_strongly_negative_cosine_is_not_a_match(recognizer: Recognizer) -> None:
    opposite = recognizer.compare(at(1), at(180))
    assert opposite.score == pytest.approx(cos(179), abs=1e-6)
    assert opposite.accepted is False


def test_a_score_equal_to_the_threshold_is_accepted(recognizer: Recognizer) -> None:
    score = recognizer.compare(at(10), at(40)).score
    assert recognizer.compare(at(10), at(40), threshold=score).accepted is True
    assert recognizer.compare(at(10), at(40), threshold=np.nextafter(score, 2)).accepted is False
    recognizer.enrol("Ada", at(10))
    best = recognizer.identify(at(40), threshold=-1.0).score
    assert best is not None
    assert recognizer.identify(at(40), threshold=best).user == "Ada"
    assert recognizer.identify(at(40), threshold=np.nextafter(best, 2)).user is None


def test_the_best_user_is_named_with_margin_and_candidates(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10), at(30))  # mean direction 20 degrees
    recognizer.enrol("Bob", at(90))
    recognizer.enrol("Cyd", at(170))
    found = recognizer.identify(at(30), limit=2)
    assert (found.user, found.reason, found.threshold) == ("Ada", "accepted", 0.5)
    assert found.threshold_source == "uncalibrated: by hand"
    assert found.score == pytest.approx(cos(10), abs=1e-6)
    assert found.margin == pytest.approx(cos(10) - cos(60), abs=1e-6)
    assert [match.user for match in found.candidates] == ["Ada", "Bob"]
    assert found.candidates[1].score == pytest.approx(cos(60), abs=1e-6)


def test_below_the_threshold_it_is_nobody_and_the_reason_says_so(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    found = recognizer.identify(at(80))
    assert found.user is None
    assert found.reason == "best score 0.342 is below the threshold 0.500"  # cos 70 degrees
    assert found.candidates == (Match("Ada", pytest.approx(cos(70), abs=1e-6)),)


def test_with_one_user_there_is_no_margin_and_with_a_limit_of_one_there_still_is(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    assert recognizer.identify(at(10)).margin is None
    recognizer.enrol("Bob", at(100))
    found = recognizer.identify(at(10), limit=1)
    assert found.margin == pytest.approx(1.0, abs=1e-6)
    assert len(found.candidates) == 1


def test_an_empty_gallery_knows_nobody(recognizer: Recognizer) -> None:
    found = recognizer.identify(at(10), threshold=-1.0)
    assert (found.user, found.score, found.margin, found.candidates) == (None, None, None, ())
    assert found.reason == "nobody is enrolled"


@settings(max_examples=40, deadline=None)
@given(
    users=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 180), max_size=5),
    query=st.integers(1, 180),
    threshold=st.floats(-1, 1),
)
def test_identify_names_a_user_exactly_when_the_best_score_reaches_the_threshold(
    users: dict[str, int], query: int, threshold: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("gallery") / "gallery.db"
    with SqliteGallery.open(path, fingerprint="angles", dim=2) as gallery:
        recognizer = Recognizer(AngleEmbedder(), gallery=gallery)
        for name, degrees in users.items():
            recognizer.enrol(name, at(degrees))
        found = recognizer.identify(at(query), threshold=threshold)
        assert (found.user is not None) == (found.score is not None and found.score >= threshold)
        if users:
            assert found.score == pytest.approx(max(cos(degrees - query) for degrees in users.values()), abs=1e-6)


# Thresholds


def test_a_threshold_for_one_call_changes_nothing_afterwards(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    before = (recognizer.compare(at(10), at(80)), recognizer.identify(at(80)))
    assert recognizer.compare(at(10), at(80), threshold=0.0).accepted is True
    assert recognizer.identify(at(80), threshold=0.0).user == "Ada"
    assert recognizer.compare(at(10), at(80), threshold=0.0).threshold_source == "uncalibrated: given for this call"
    assert (recognizer.compare(at(10), at(80)), recognizer.identify(at(80))) == before


def test_the_call_comes_before_the_loading_and_the_loading_before_the_model(bundle: Path) -> None:
    a, b = (voice(100), RATE), (voice(200), RATE)
    from_model = Recognizer.load(bundle).compare(a, b)
    assert (from_model.threshold, from_model.threshold_source) == (POINT.threshold, f"uncalibrated: {POINT.source}")
    loaded = Recognizer.load(bundle, threshold=0.0)
    assert loaded.compare(a, b).threshold == 0.0
    assert loaded.compare(a, b).threshold_source == "uncalibrated: given when the recognizer was loaded"
    assert loaded.compare(a, b, threshold=-0.5).threshold == -0.5


def test_without_any_threshold_nothing_is_decided(gallery: SqliteGallery) -> None:
    recognizer = Recognizer(AngleEmbedder(), gallery=gallery)
    recognizer.enrol("Ada", at(10))
    for decide in (lambda: recognizer.compare(at(10), at(10)), lambda: recognizer.identify(at(10))):
        with pytest.raises(ConfigError, match=r"no operating point.*pass threshold="):
            decide()
    assert recognizer.compare(at(10), at(10), threshold=0.0).accepted is True


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf, 80.0, -1.01])
def test_a_threshold_that_is_no_cosine_is_refused(recognizer: Recognizer, bundle: Path, threshold: float) -> None:
    with pytest.raises(ConfigError, match="between -1 and 1"):
        recognizer.compare(at(10), at(10), threshold=threshold)
    with pytest.raises(ConfigError, match="between -1 and 1"):
        Recognizer.load(bundle, threshold=threshold)


# Calibration


def test_without_calibration_every_decision_says_so(recognizer: Recognizer, bundle: Path) -> None:
    recognizer.enrol("Ada", at(10))
    decisions: list[Comparison | Identification] = [
        recognizer.compare(at(10), at(40)),
        recognizer.identify(at(40)),
        recognizer.identify(at(40), threshold=0.1),
        Recognizer.load(bundle).compare((voice(100), RATE), (voice(200), RATE)),
        Recognizer.load(bundle, threshold=0.1).compare((voice(100), RATE), (voice(200), RATE)),
    ]
    for decision in decisions:
        assert (decision.calibrated, decision.llr, decision.probability) == (False, None, None)
        assert decision.threshold_source.startswith("uncalibrated: ")


def test_a_calibrated_model_says_what_its_scores_are_worth(gallery: SqliteGallery) -> None:
    recognizer = Recognizer(AngleEmbedder(), gallery=gallery, operating_point=CALIBRATED)
    recognizer.enrol("Ada", at(10))
    recognizer.enrol("Bob", at(100))
    for decision in (recognizer.compare(at(10), at(40), prior=0.1), recognizer.identify(at(40), prior=0.1)):
        assert (decision.calibrated, decision.prior, decision.threshold_source) == (True, 0.1, "by calibration")
        llr = 10 * cos(30) - 4
        assert decision.llr == pytest.approx(llr, abs=1e-5)
        assert decision.probability == pytest.approx(1 / (1 + 9 * math.exp(-llr)), abs=1e-6)


def test_a_threshold_of_ones_own_leaves_the_calibration_alone(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", operating_point=CALIBRATED)
    a, b = (voice(100), RATE), (voice(200), RATE)
    usual = Recognizer.load(bundle).compare(a, b)
    at_loading, at_the_call = Recognizer.load(bundle, threshold=0.3), Recognizer.load(bundle)
    for moved in (at_loading.compare(a, b), at_the_call.compare(a, b, threshold=0.3)):
        assert (moved.llr, moved.probability, moved.calibrated) == (usual.llr, usual.probability, True)
        assert moved.threshold == 0.3
        assert moved.threshold_source.startswith("given ")


@pytest.mark.parametrize("prior", [0.0, 1.0, math.nan])
def test_a_prior_that_leaves_no_doubt_is_refused(recognizer: Recognizer, prior: float) -> None:
    recognizer.enrol("Ada", at(10))
    with pytest.raises(ConfigError, match="prior is"):
        recognizer.compare(at(10), at(10), prior=prior)
    with pytest.raises(ConfigError, match="prior is"):
        recognizer.identify(at(10), prior=prior)


# The number of users, and the next best


def test_a_calibrated_rate_is_kept_however_many_users_there_are(gallery: SqliteGallery) -> None:
    """llr = 10 score - 5, threshold 0.6: llr 1, which 1 % of strangers reach. For two users see test_decision."""
    point = OperatingPoint(0.6, "by calibration", llr_scale=10.0, llr_offset=-5.0, target_fpr=0.01)
    recognizer = Recognizer(AngleEmbedder(), gallery=gallery, operating_point=point)
    recognizer.enrol("Ada", at(10))
    alone = recognizer.identify(at(60))
    assert (alone.user, alone.threshold, alone.threshold_source) == ("Ada", 0.6, "by calibration")  # cos 50 = 0.643
    recognizer.enrol("Bob", at(175))
    raised = recognizer.identify(at(60))
    assert raised.user is None
    assert raised.threshold == pytest.approx(for_gallery_size(point, 2).threshold)
    assert raised.threshold > 0.643
    assert "raised by" in raised.threshold_source
    assert "2 users" in raised.threshold_source
    assert recognizer.identify(at(60), gallery_size_rule=False).user == "Ada"
    given = recognizer.identify(at(60), threshold=0.6)
    assert (given.user, given.threshold) == ("Ada", 0.6)  # what the caller says counts as it is
    assert recognizer.compare(at(10), at(60)).threshold == 0.6


def test_without_calibration_the_number_of_users_changes_nothing_and_cannot(recognizer: Recognizer) -> None:
    for number in range(5):
        recognizer.enrol(f"user {number}", at(170 + number))
    assert recognizer.identify(at(10)).threshold == 0.5
    with pytest.raises(ConfigError, match="only where the model is calibrated"):
        recognizer.identify(at(10), gallery_size_rule=True)


def test_two_users_too_close_to_choose_between_are_nobody_if_a_margin_is_asked_for(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    recognizer.enrol("Bob", at(16))
    assert recognizer.identify(at(11)).user == "Ada"
    near = recognizer.identify(at(11), min_margin=0.05)
    assert near.user is None
    assert near.reason == "two users are too close: Ada 1.000 and Bob 0.996, a margin of 0.05 is asked for"
    assert recognizer.identify(at(100), min_margin=0.05).reason.startswith("best score")
    assert recognizer.identify(at(11), min_margin=0.003).user == "Ada"  # 1.000 - 0.996
    with pytest.raises(ConfigError, match="min_margin is -1"):
        recognizer.identify(at(11), min_margin=-1)


def test_many_are_identified_as_each_alone(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    recognizer.enrol("Bob", at(100))
    sources = [at(20), at(90), at(179)]
    many = recognizer.identify_many(sources)
    assert [one.user for one in many] == ["Ada", "Bob", None]
    for one, source in zip(many, sources, strict=True):
        alone = recognizer.identify(source)
        assert one.score == pytest.approx(alone.score, abs=1e-6)
        assert (one.candidates[0].user, one.quality) == (alone.candidates[0].user, alone.quality)
    assert recognizer.identify_many([]) == []


# Quality


def test_answers_carry_the_quality_of_their_recordings(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(90))
    assert [one.peak for one in recognizer.compare(at(90), at(45)).quality] == pytest.approx([0.5, 0.25], rel=0.01)
    quality = recognizer.identify(at(45)).quality
    assert quality is not None
    assert (quality.seconds, quality.peak) == (1.0, pytest.approx(0.25, rel=0.01))


def test_limits_count_for_every_recording(gallery: SqliteGallery) -> None:
    limits = QualityLimits(min_speech_seconds=2.0)
    recognizer = Recognizer(AngleEmbedder(), gallery=gallery, operating_point=POINT, limits=limits)
    for operation in (
        lambda: recognizer.compare(at(10), at(10)),
        lambda: recognizer.identify(at(10)),
        lambda: recognizer.enrol("Ada", at(10)),
        lambda: recognizer.embed(at(10)),
    ):
        with pytest.raises(TooShort, match=r"holds 0\.9. s of speech in 1\.00 s, at least 2 s are needed"):
            operation()


# Doubts when enrolling


def identity(warnings: tuple[str, ...]) -> list[str]:
    return [one for one in warnings if "two people" in one or "same person" in one]


def test_two_people_under_one_name_are_noticed(recognizer: Recognizer) -> None:
    result = recognizer.enrol("Ada", at(10), at(100), at(20))  # cos 80 and 90 degrees are below 0.5
    (warning,) = identity(result.warnings)
    assert warning.startswith("the recordings are not alike: recordings 1, 3 against recording 2")
    assert recognizer.users() == {"Ada": 3}


def test_recordings_linked_by_a_third_belong_together(recognizer: Recognizer) -> None:
    assert identity(recognizer.enrol("Ada", at(10), at(80), at(45)).warnings) == []  # cos 70 < 0.5 < cos 35


def test_a_recording_unlike_those_kept_is_noticed(recognizer: Recognizer) -> None:
    assert identity(recognizer.enrol("Ada", at(10)).warnings) == []
    assert identity(recognizer.enrol("Ada", at(40)).warnings) == []
    (warning,) = identity(recognizer.enrol("Ada", at(120)).warnings)
    assert warning.startswith("no recording is like those kept")


def test_one_person_under_two_names_is_noticed_and_never_oneself(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    (warning,) = identity(recognizer.enrol("Bob", at(30)).warnings)
    assert warning.startswith("Ada is already enrolled and as alike as the same person (score 0.940 >= 0.500)")
    assert identity(recognizer.enrol("Cyd", at(100)).warnings) == []
    assert identity(recognizer.enrol("Cyd", at(105)).warnings) == []


class MedianEmbedder(AngleEmbedder):
    """The angle by the median magnitude: half of a recording counts, not its loudest moment."""

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        usual = np.median(np.abs(VOICE))
        return super().embed_parts([np.median(np.abs(waveform), keepdims=True) / usual for waveform in waveforms])


def test_two_voices_in_one_recording_are_noticed_when_each_speaks_long_enough(gallery: SqliteGallery) -> None:
    def speaking(num: int, *degrees: float) -> Source:
        return np.concatenate([np.tile(VOICE, num) * d / 180 for d in degrees]).astype(np.float32), RATE

    recognizer = Recognizer(MedianEmbedder(), gallery=gallery, operating_point=OperatingPoint(0.5, "by hand"))
    warnings = recognizer.enrol("Ada", at(100), speaking(5, 40, 160)).warnings
    (warning,) = [one for one in warnings if "voices" in one]
    assert warning.startswith("recording 2 seems to hold two voices, one of them in 50% of it (score -0.")
    assert warning.endswith(" < 0.573)")  # of 12 windows: a quarter of 7 / 12 of the way from 0.5 to 1
    assert not any("voices" in one for one in recognizer.enrol("Bob", speaking(5, 100, 100)).warnings)
    assert not any("voices" in one for one in recognizer.enrol("Cyd", speaking(2, 40, 160)).warnings)


def test_people_who_take_turns_all_the_time_are_noticed_too(gallery: SqliteGallery) -> None:
    turns = [np.tile(VOICE, 2) * degrees / 180 for degrees in (40, 160) * 4]
    recognizer = Recognizer(MedianEmbedder(), gallery=gallery, operating_point=OperatingPoint(0.5, "by hand"))
    source = (np.concatenate(turns).astype(np.float32), RATE)
    assert any("seems to hold two voices" in one for one in recognizer.enrol("Ada", source).warnings)


def test_a_second_voice_is_searched_for_where_the_limits_ask(gallery: SqliteGallery) -> None:
    def listening(second_voice: SecondVoice) -> Recognizer:
        limits, point = QualityLimits(second_voice=second_voice), OperatingPoint(0.5, "by hand")
        return Recognizer(MedianEmbedder(), gallery=gallery, operating_point=point, limits=limits)

    two = np.concatenate([np.tile(VOICE, 4) * degrees / 180 for degrees in (40, 160)]).astype(np.float32), RATE
    one = np.tile(VOICE, 8) * np.float32(40 / 180), RATE
    said = "seems to hold two voices, one of them in "
    first, second = listening("remark").compare(two, one).quality
    assert first.remarks[-1].startswith(said)
    assert not any(said in remark for remark in second.remarks)
    assert not any(said in remark for remark in listening("ignore").compare(two, one).quality[0].remarks)
    with pytest.raises(AudioError, match=f"recording 2 of 2 {said}.*: record one person alone"):
        listening("refuse").compare(one, two)
    with pytest.raises(AudioError, match=said):
        listening("refuse").identify(two)
    with pytest.raises(AudioError, match=said):
        listening("refuse").enrol("Ada", two)
    assert len([warning for warning in listening("remark").enrol("Ada", two).warnings if said in warning]) == 1
    blind = Recognizer(MedianEmbedder(), gallery=gallery, limits=QualityLimits(second_voice="remark"))
    with pytest.raises(ConfigError, match="no operating point"):
        blind.embed(two)


def test_strict_enrolling_keeps_nothing_while_there_is_a_doubt(recognizer: Recognizer) -> None:
    with pytest.raises(DoubtfulEnrolment, match=r"Ada is not enrolled, nothing is kept: the recordings are not alike"):
        recognizer.enrol("Ada", at(10), at(100), strict=True)
    recognizer.enrol("Bob", at(10), strict=True)
    with pytest.raises(DoubtfulEnrolment, match="Bob is already enrolled"):
        recognizer.enrol("Ada", at(10), strict=True)
    assert recognizer.users() == {"Bob": 1}


def test_without_an_operating_point_there_are_no_doubts_and_strict_cannot_be(gallery: SqliteGallery) -> None:
    recognizer = Recognizer(AngleEmbedder(), gallery=gallery)
    assert identity(recognizer.enrol("Ada", at(10), at(100)).warnings) == []
    with pytest.raises(ConfigError, match="no operating point"):
        recognizer.enrol("Ada", at(10), strict=True)


def test_poor_recordings_are_kept_with_a_remark(recognizer: Recognizer) -> None:
    warnings = recognizer.enrol("Ada", at(90)).warnings
    assert "recording 1: little speech: 1.0 s without the pauses" in warnings


def test_details_travel_to_the_gallery(recognizer: Recognizer) -> None:
    assert recognizer.enrolled("Ada") is None
    recognizer.enrol("Ada", at(10), details=UserDetails(consent="form 7"))
    recognizer.enrol("Ada", at(12))
    known = recognizer.enrolled("Ada")
    assert known is not None
    assert (known.num_recordings, known.details.consent) == (2, "form 7")
    recognizer.update("Ada", UserDetails(metadata={"site": "B"}))
    known = recognizer.enrolled("Ada")
    assert known is not None
    assert (dict(known.details.metadata), known.details.consent) == ({"site": "B"}, None)
    with pytest.raises(UnknownUser, match="nobody called Bob"):
        recognizer.update("Bob", UserDetails())


# Users


def test_enrolling_is_all_or_nothing(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.enrol("Ada", at(10))
    for bad, error in (
        ((np.zeros(RATE, np.float32), RATE), NoSpeech),
        ((np.ones(100, np.float32), RATE), TooShort),
        (tmp_path / "missing.wav", AudioError),
    ):
        with pytest.raises(error):
            recognizer.enrol("Ada", at(20), bad)
        with pytest.raises(error):
            recognizer.enrol("Bob", at(20), bad)
    assert recognizer.users() == {"Ada": 1}


def test_an_enrolment_counts_what_was_added_and_what_is_kept(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    assert dataclasses.astuple(recognizer.enrol("Ada", at(20), at(30)))[:3] == ("Ada", 2, 3)


def test_enrolling_nothing_and_listing_no_candidates_are_refused(recognizer: Recognizer) -> None:
    with pytest.raises(ConfigError, match="at least one recording"):
        recognizer.enrol("Ada")
    with pytest.raises(ConfigError, match="at least one candidate"):
        recognizer.identify(at(10), limit=0)


def test_a_removed_user_is_unknown(recognizer: Recognizer) -> None:
    recognizer.enrol("Ada", at(10))
    recognizer.remove("Ada")
    assert recognizer.users() == {}
    with pytest.raises(UnknownUser, match="nobody called Ada"):
        recognizer.remove("Ada")


def test_without_a_gallery_only_comparing_works(bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    source = (voice(100), RATE)
    for operation in (
        lambda: recognizer.enrol("Ada", source),
        lambda: recognizer.identify(source),
        lambda: recognizer.remove("Ada"),
        recognizer.users,
    ):
        with pytest.raises(GalleryError, match="gallery="):
            operation()
    assert recognizer.compare(source, source).accepted is True
    recognizer.close()


# The whole way, with a real model


def test_every_kind_of_source_gives_the_same_embedding(bundle: Path, tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 130, 1.1)
    recognizer = Recognizer.load(bundle)
    row = recognizer.embed(path)
    assert row.shape == (12,)
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-6)
    sources: list[Source] = [str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), (voice(130, 1.1), RATE)]
    for source in sources:
        np.testing.assert_array_equal(recognizer.embed(source), row)


def test_comparing_is_symmetric_and_a_recording_is_like_itself(bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    a, b = (voice(100, 1.3), RATE), (voice(170, 0.9), RATE)
    assert recognizer.compare(a, b).score == pytest.approx(recognizer.compare(b, a).score, abs=1e-6)
    assert recognizer.compare(a, a).score == pytest.approx(1.0, abs=1e-6)
    assert recognizer.compare(a, b).score < 0.9999


def test_a_recognizer_finds_its_users_again_after_reopening(bundle: Path, tmp_path: Path) -> None:
    sources = {name: recording(tmp_path / f"{name}.wav", pitch) for name, pitch in (("Ada", 90), ("Bob", 260))}
    with Recognizer.load(bundle, gallery=tmp_path / "gallery.db") as recognizer:
        for name, path in sources.items():
            recognizer.enrol(name, path)
    with speaker_id.Recognizer.load(str(bundle), gallery=str(tmp_path / "gallery.db")) as recognizer:
        for name, path in sources.items():
            found = recognizer.identify(path)
            assert (found.user, found.score) == (name, pytest.approx(1.0, abs=1e-6))
        assert recognizer.users() == {"Ada": 1, "Bob": 1}


def test_asking_changes_neither_the_answers_nor_the_gallery(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    with Recognizer.load(bundle, gallery=path) as recognizer:
        recognizer.enrol("Ada", (voice(90), RATE))
    before = path.read_bytes()
    with Recognizer.load(bundle, gallery=path) as recognizer:
        answers = [recognizer.identify((voice(120), RATE), threshold=t) for t in (None, 0.0, None)]
    assert answers[0] == answers[2]
    assert path.read_bytes() == before


def test_a_gallery_of_another_model_is_refused(bundle: Path, tmp_path: Path, gallery: SqliteGallery) -> None:
    Recognizer.load(bundle, gallery=tmp_path / "g.db").close()
    other = tiny_bundle(tmp_path / "other", seed=1)
    with pytest.raises(GalleryError, match="another gallery file"):
        Recognizer.load(other, gallery=tmp_path / "g.db")
    with pytest.raises(GalleryError, match="gallery of this model"):
        Recognizer.load(bundle, gallery=gallery)


def test_errors_name_the_recording(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(bundle)
    good, short = recording(tmp_path / "good.wav", 100), recording(tmp_path / "short.wav", 100, 0.3)
    with pytest.raises(TooShort, match=r"short\.wav is 0\.300 s long"):
        recognizer.compare(good, short)
    with pytest.raises(TooShort, match="recording 2 of 2"):
        recognizer.compare(good, short.read_bytes())


def test_a_model_that_is_not_there_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing-here"):
        Recognizer.load(tmp_path / "nothing-here")


def test_inference_is_imported_without_the_training_stack() -> None:
    code = (
        "import sys, speaker_id.inference.recognizer; print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'pytorch_lightning', 'lightning', 'tensorboard', 'matplotlib', 'sklearn', 'librosa'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_fetched_model_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="speaker-id pretrained get campplus-zh-en"):
        Recognizer.load("campplus-zh-en")
    bundle = tiny_bundle(tmp_path / "models" / "campplus-zh-en")
    (bundle / "ABOUT.txt").write_text("as if fetched")
    assert Recognizer.load("campplus-zh-en").embed((voice(120), RATE)).shape == (12,)


def test_an_address_is_fetched_for_who_asked_and_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    soundfile.write(file, VOICE / 4, RATE, format="WAV", subtype="FLOAT")
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return file.getvalue() if "good" in url else b"<html>"

    monkeypatch.setattr(fetching, "fetch", fetch)
    good, bad = "https://example.org/good.wav?key=secret", "https://example.org/bad.wav?key=secret"
    recognizer = Recognizer(AngleEmbedder(), allow_urls=True)
    np.testing.assert_allclose(recognizer.embed(good), recognizer.embed((VOICE / 4, RATE)), atol=1e-6)
    with pytest.raises(AudioError, match=r"^https://example\.org/bad\.wav is not audio"):
        recognizer.embed(bad)
    assert asked == [good, bad]
    with pytest.raises(AudioError, match=r"^https://example\.org/good\.wav is an address on the web"):
        Recognizer(AngleEmbedder()).embed(good)
    assert asked == [good, bad]
