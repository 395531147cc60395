from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from inference.tiny_model import RATE, recording, voice
from speaker_id import audio
from speaker_id.augmentation.chain import Chain
from speaker_id.augmentation.volume import Volume
from speaker_id.contracts import FloatArray, WaveformAugmentation
from speaker_id.data.dataset import EvaluationDataset, TrainingDataset, collate
from speaker_id.data.lists import DataList, Utterance
from speaker_id.data.sampler import Draw
from speaker_id.data.speech import Speech
from speaker_id.errors import AudioError, ConfigError, DataError
from speaker_id.vad.stretches import cut

SECONDS = [("ann", 0.3), ("bob", 2.0), ("ann", 1.0), ("cy", 1.234)]
CROP = RATE // 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataList:
    folder = tmp_path_factory.mktemp("recordings")
    rows = [
        Utterance(str(recording(folder / f"{row}.wav", 100 + 30 * row, seconds)), label, f"{row}.wav")
        for row, (label, seconds) in enumerate(SECONDS)
    ]
    return DataList("made.tsv", tuple(rows))


def training(
    data: DataList, *, speeds: tuple[float, ...] = (1.0,), augmentation: WaveformAugmentation | None = None
) -> TrainingDataset:
    return TrainingDataset(
        data, sample_rate=RATE, crop_seconds=0.5, speeds=speeds, augmentation=augmentation or Chain()
    )


def evaluation(data: DataList, *, min_seconds: float = 0.2, max_seconds: float = 60.0) -> EvaluationDataset:
    return EvaluationDataset(data, sample_rate=RATE, min_seconds=min_seconds, max_seconds=max_seconds)


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("speed", [0.5, 0.87, 0.9, 1.0, 1.1, 1.23, 2.0])
def test_every_crop_has_the_same_length(data: DataList, row: int, speed: float) -> None:
    for seed in range(3):
        waveform, _, _ = training(data, speeds=(speed,))[Draw(row, 0, seed)]
        assert waveform.shape == (CROP,)
        assert waveform.dtype == np.float32


def test_a_crop_is_a_stretch_of_the_recording(data: DataList) -> None:
    whole = audio.load(data.utterances[1].path, RATE)
    windows = np.lib.stride_tricks.sliding_window_view(whole, CROP)
    starts = set()
    for seed in range(8):
        waveform, _, _ = training(data)[Draw(1, 0, seed)]
        found = np.flatnonzero((windows == waveform).all(axis=1))
        assert len(found) == 1
        starts.add(int(found[0]))
    assert len(starts) == 8
    assert max(starts) - min(starts) > RATE // 2  # from all over the recording, not from its beginning


def test_the_last_sample_of_a_recording_can_be_drawn(tmp_path: Path) -> None:
    ramp = np.linspace(0, 0.5, CROP + 1, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, RATE, subtype="FLOAT")
    rows = tuple(Utterance(str(tmp_path / "ramp.wav"), label, "ramp.wav") for label in "ab")
    firsts = {float(training(DataList("x", rows))[Draw(0, 0, seed)][0][0]) for seed in range(20)}
    assert firsts == {float(ramp[0]), float(ramp[1])}


@pytest.mark.parametrize("speed", [0.9, 1.1, 2.0])
def test_a_hurried_crop_takes_more_of_the_recording_and_repeats_nothing(tmp_path: Path, speed: float) -> None:
    ramp = np.linspace(-0.5, 0.5, 4 * RATE, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, RATE, subtype="FLOAT")
    data = DataList("x", (Utterance(str(tmp_path / "ramp.wav"), "a", "ramp.wav"),))
    waveform, _, _ = training(data, speeds=(speed,))[Draw(0, 0, 3)]
    inside = waveform[200:-200]  # the ends ring
    np.testing.assert_allclose(np.diff(inside), speed / (4 * RATE - 1), atol=1e-6)
    assert waveform[-200] > inside[-201]


def test_a_short_recording_is_repeated(data: DataList) -> None:
    whole = audio.load(data.utterances[0].path, RATE)
    waveform, _, _ = training(data)[Draw(0, 0, 5)]
    np.testing.assert_array_equal(waveform[: len(whole)], whole)
    np.testing.assert_array_equal(waveform[len(whole) :], whole[: CROP - len(whole)])


def test_a_higher_speed_raises_the_pitch(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, subtype="FLOAT")
    data = DataList("x", (Utterance(str(tmp_path / "tone.wav"), "a", "tone.wav"),))
    for position, expected in enumerate((900, 1000, 1100)):
        waveform, _, _ = training(data, speeds=(0.9, 1.0, 1.1))[Draw(0, position, 0)]
        assert np.argmax(np.abs(np.fft.rfft(waveform))) * RATE / CROP == pytest.approx(expected, abs=2)


def test_every_speed_of_a_speaker_is_a_speaker_of_its_own(data: DataList) -> None:
    dataset = training(data, speeds=(0.9, 1.0, 1.1))
    assert dataset.labels == [0, 1, 0, 2]
    assert dataset.num_speakers == 9
    labels = {(row, speed): dataset[Draw(row, speed, 0)][1:] for row in range(4) for speed in range(3)}
    assert labels == {(row, speed): ([0, 1, 0, 2][row] + 3 * speed, row) for row in range(4) for speed in range(3)}
    assert len(dataset) == 4


def test_a_draw_gives_the_same_samples_whatever_was_drawn_before(data: DataList) -> None:
    loud = Volume(prob=1.0, min_db=-10, max_db=-1)
    order = [Draw(row, speed, seed) for row in range(4) for speed in range(2) for seed in (3, 4)]
    dataset = training(data, speeds=(1.0, 1.1), augmentation=loud)
    forwards = {draw: dataset[draw][0] for draw in order}
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    torch.manual_seed(1)
    other = training(data, speeds=(1.0, 1.1), augmentation=loud)
    for draw in reversed(order):
        np.testing.assert_array_equal(other[draw][0], forwards[draw])
    assert not np.array_equal(forwards[order[0]], forwards[order[1]])  # the seed does matter


@pytest.mark.parametrize("speeds", [(), (1.0, 1.0), (0.0,), (-1.0,), (3.0,), (float("nan"),)])
def test_speeds_that_are_no_different_factors_are_refused(data: DataList, speeds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"data.speeds must be different factors"):
        training(data, speeds=speeds)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_crop_without_samples_is_refused(data: DataList, seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"data.crop_seconds"):
        TrainingDataset(data, sample_rate=RATE, crop_seconds=seconds, speeds=[1.0], augmentation=Chain())


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_an_unreadable_recording_is_named_with_list_and_row(tmp_path: Path, data: DataList, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    rows = (*data.utterances, Utterance(str(tmp_path / "bad.wav"), "ann", "bad.wav"))
    broken = DataList("made.tsv", rows)
    with pytest.raises(DataError, match=r"^made.tsv, utterance 5 \(bad.wav\): "):
        training(broken)[Draw(4, 0, 0)]
    with pytest.raises(DataError, match=r"^made.tsv, utterance 5 \(bad.wav\): "):
        evaluation(broken)


def test_a_recording_that_goes_bad_after_its_header_was_read_is_named(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", 100)
    dataset = evaluation(DataList("made.tsv", (Utterance(str(path), "ann", "a.wav"),)))
    path.unlink()
    with pytest.raises(DataError, match=r"^made.tsv, utterance 1 \(a.wav\): "):
        dataset[0]


def test_evaluation_takes_whole_recordings_less_a_part_of_a_tenth_of_a_second(data: DataList) -> None:
    dataset = evaluation(data)
    assert dataset.lengths == [round(seconds * RATE) for seconds in (0.3, 2.0, 1.0, 1.2)]
    assert dataset.labels == [0, 1, 0, 2]
    for row, length in enumerate(dataset.lengths):
        waveform, label, index = dataset[row]
        np.testing.assert_array_equal(waveform, audio.load(data.utterances[row].path, RATE)[:length])
        assert (label, index) == (dataset.labels[row], row)


def test_long_recordings_are_cut_for_evaluation(data: DataList) -> None:
    dataset = evaluation(data, max_seconds=1.05)
    assert dataset.lengths == [round(seconds * RATE) for seconds in (0.3, 1.0, 1.0, 1.0)]
    assert len(dataset[1][0]) == RATE


class Tail:
    """The last `num` samples, under the recording's own name."""

    def __init__(self, num: int) -> None:
        self.num = num
        self.names: list[str] = []

    def length(self, num_samples: int) -> int:
        return min(num_samples, self.num)

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        self.names.append(name)
        return waveform[-self.num :]


def test_a_transform_gets_the_trimmed_recording_and_its_name_and_the_lengths_are_its_own(data: DataList) -> None:
    plain, tail = evaluation(data, max_seconds=1.05), Tail(round(0.4 * RATE))
    dataset = EvaluationDataset(data, sample_rate=RATE, min_seconds=0.2, max_seconds=1.05, transform=tail)
    assert dataset.lengths == [round(seconds * RATE) for seconds in (0.3, 0.4, 0.4, 0.4)]
    for row in range(4):
        waveform, label, index = dataset[row]
        np.testing.assert_array_equal(waveform, plain[row][0][-dataset.lengths[row] :])
        assert (label, index) == plain[row][1:]
    assert tail.names == [utterance.name for utterance in data.utterances]
    assert plain.lengths == [round(seconds * RATE) for seconds in (0.3, 1.0, 1.0, 1.0)]  # those without one stay


def test_a_transform_that_cannot_go_on_is_located_too(data: DataList) -> None:
    class Broken(Tail):
        def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
            raise AudioError("the noise is silent")

    dataset = EvaluationDataset(data, sample_rate=RATE, min_seconds=0.2, max_seconds=9, transform=Broken(9))
    with pytest.raises(DataError, match=r"^made.tsv, utterance 2 \(1.wav\): the noise is silent"):
        dataset[1]


def test_a_recording_that_is_too_short_is_refused_by_name_and_length(data: DataList) -> None:
    with pytest.raises(DataError, match=r"^made.tsv, utterance 1 \(0.wav\): 0.wav lasts 0.30 s, at least 0.5 s"):
        evaluation(data, min_seconds=0.5)
    assert len(evaluation(data, min_seconds=0.3)) == 4  # exactly as long as needed


@pytest.mark.parametrize(("low", "high"), [(0.0, 60.0), (0.05, 60.0), (2.0, 1.0), (0.5, float("nan"))])
def test_limits_that_allow_empty_recordings_are_refused(data: DataList, low: float, high: float) -> None:
    with pytest.raises(ConfigError, match=r"data.min_seconds=.* and data.max_seconds="):
        evaluation(data, min_seconds=low, max_seconds=high)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_lengths_from_the_header_hold_for_other_rates_and_channels(
    tmp_path: Path, rate: int, num_channels: int
) -> None:
    samples = np.stack([audio.resample(voice(150, 1.037), RATE, rate)] * num_channels, axis=1)
    soundfile.write(tmp_path / "x.flac", samples, rate)
    data = DataList("x", tuple(Utterance(str(tmp_path / "x.flac"), label, "x.flac") for label in "ab"))
    dataset = evaluation(data)
    assert dataset.lengths[0] == RATE
    assert dataset[0][0].shape == (RATE,)
    assert training(data)[Draw(0, 0, 1)][0].shape == (CROP,)


def test_collating_keeps_the_order_of_the_items() -> None:
    items = [(np.full(5, value, np.float32), 10 + row, row) for row, value in enumerate((0.1, 0.2, 0.3))]
    batch = collate(items)
    assert batch.waveforms.shape == (3, 5)
    assert batch.waveforms.dtype == torch.float32
    assert batch.waveforms[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (batch.labels.tolist(), batch.indices.tolist()) == ([10, 11, 12], [0, 1, 2])
    assert batch.labels.dtype == batch.indices.dtype == torch.int64


def test_recordings_of_different_lengths_are_never_padded_together() -> None:
    with pytest.raises(ValueError, match="same shape"):
        collate([(np.zeros(5, np.float32), 0, 0), (np.zeros(6, np.float32), 0, 1)])


# Recordings without their pauses


@pytest.fixture(scope="module")
def spoken(data: DataList) -> Speech:
    """Of each recording two stretches, a fifth and two fifths of it."""
    lengths = np.array([round(seconds * RATE) for _, seconds in SECONDS])
    parts = np.array([0.1, 0.3, 0.5, 0.9])
    return Speech((lengths[:, None] * parts).astype(np.int64).reshape(-1, 2), np.arange(0, 10, 2))


def test_crops_of_speech_come_from_the_stretches_end_to_end(data: DataList, spoken: Speech) -> None:
    made = TrainingDataset(data, sample_rate=RATE, crop_seconds=0.5, speeds=(1.0,), augmentation=Chain(), speech=spoken)
    whole = cut(audio.load(data.utterances[1].path, RATE), spoken.of_row(1))
    windows = np.lib.stride_tricks.sliding_window_view(whole, CROP)
    starts = set()
    for seed in range(8):
        (found,) = np.flatnonzero((windows == made[Draw(1, 0, seed)][0]).all(axis=1))
        starts.add(int(found))
    assert len(starts) == 8
    short = cut(audio.load(data.utterances[0].path, RATE), spoken.of_row(0))  # 0.18 s
    np.testing.assert_array_equal(made[Draw(0, 0, 1)][0], np.resize(short, CROP))


def test_evaluation_takes_speech_alone_and_measures_it(data: DataList, spoken: Speech) -> None:
    made = EvaluationDataset(data, sample_rate=RATE, min_seconds=0.1, max_seconds=1.0, speech=spoken)
    assert made.lengths == [1600, RATE, 9600, 11_200]  # 0.18, 1.2 (cut), 0.6, 0.74 s, in whole tenths
    for row, length in enumerate(made.lengths):
        whole = cut(audio.load(data.utterances[row].path, RATE), spoken.of_row(row))
        np.testing.assert_array_equal(made[row][0], whole[:length])
    with pytest.raises(DataError, match=r"made\.tsv, utterance 1 .*0\.wav holds speech of 0\.18 s, at least 0\.2 s"):
        EvaluationDataset(data, sample_rate=RATE, min_seconds=0.2, max_seconds=1.0, speech=spoken)
