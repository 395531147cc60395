from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from inference.tiny_model import RATE, recording, voice
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance, read_list
from speaker_id.errors import ConfigError, DataError
from speaker_id.inference.recordings import Failure, Recordings, Stretch, collate
from speaker_id.vad.energy import Energy
from speaker_id.vad.stretches import cut

SECONDS = [0.6, 1.04, 0.6, 2.31, 1.0, 0.75, 0.6]


def data_of(folder: Path, *names: str) -> DataList:
    return DataList("made.tsv", tuple(Utterance(str(folder / name), "", name) for name in names))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recordings")
    for row, seconds in enumerate(SECONDS):
        recording(made / f"{row}.wav", 100 + 17 * row, seconds)
    return made


def recordings(
    data: DataList, *, skip_failures: bool = False, min_seconds: float = 0.5, max_seconds: float = 60.0
) -> Recordings:
    return Recordings(
        data, sample_rate=RATE, min_seconds=min_seconds, max_seconds=max_seconds, skip_failures=skip_failures
    )


def listed(folder: Path) -> DataList:
    return data_of(folder, *(f"{row}.wav" for row in range(len(SECONDS))))


def tenths(stretch: Stretch) -> tuple[int, float]:
    return stretch.row, stretch.num_samples / (RATE // 10)


def test_batches_lie_within_a_part_hold_one_length_and_are_trimmed_to_tenths(folder: Path) -> None:
    parts = [range(0, 3), range(3, 7)]
    found = list(recordings(listed(folder)).batches(parts, max_batch_samples=2 * RATE))
    assert [[tenths(stretch) for stretch in batch] for batch in found] == [
        [(1, 10)], [(0, 6), (2, 6)], [(3, 23)], [(4, 10)], [(5, 7)], [(6, 6)],
    ]  # fmt: skip


def test_long_recordings_are_cut(folder: Path) -> None:
    cut = recordings(listed(folder), max_seconds=0.95)
    assert {s.num_samples for b in cut.batches([range(3, 5)], max_batch_samples=1) for s in b} == {round(0.9 * RATE)}
    row, waveform = cut[Stretch(3, round(0.9 * RATE))]
    assert row == 3
    np.testing.assert_array_equal(waveform, voice(100 + 17 * 3, 2.31)[: round(0.9 * RATE)])


def test_headers_are_read_when_a_part_comes_up_and_not_before(folder: Path) -> None:
    data = data_of(folder, "0.wav", "1.wav", "2.wav", "nowhere.wav")
    batches = recordings(data).batches([range(0, 1), range(1, 2), range(2, 4)], max_batch_samples=1)
    assert [next(batches)[0].row for _ in range(2)] == [0, 1]
    with pytest.raises(DataError, match=r"^made.tsv, utterance 4 \(nowhere.wav\): .*nowhere.wav cannot be opened"):
        next(batches)


@pytest.mark.parametrize(("low", "high"), [(0.05, 60.0), (2.0, 1.0)])
def test_limits_must_rise(low: float, high: float, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.min_seconds=.* must rise"):
        recordings(listed(folder), min_seconds=low, max_seconds=high)


def short(path: Path) -> None:
    recording(path, 120, 0.3)


def silent(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE, np.float32), RATE)


def text(path: Path) -> None:
    path.write_text("no sound\n")


def not_finite(path: Path) -> None:
    soundfile.write(path, np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")


def missing(path: Path) -> None:
    assert not path.exists()


BAD: dict[Callable[[Path], None], str] = {
    short: "lasts 0.30 s, at least 0.5 s are needed",
    silent: "is silent",
    text: "is not audio in a known format",
    not_finite: "NaN or infinite",
    missing: "cannot be opened",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_cannot_be_embedded_stops_or_is_passed_over_with_its_reason(
    spoil: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    recording(tmp_path / "good.wav", 120)
    spoil(tmp_path / "bad.wav")
    data = data_of(tmp_path, "good.wav", "bad.wav")
    strict, lenient = recordings(data), recordings(data, skip_failures=True)
    with pytest.raises(DataError, match=rf"^made.tsv, utterance 2 \(bad.wav\): .*{BAD[spoil]}"):
        read_all(strict)
    (good,), (failure,) = (list(found) for found in read_all(lenient))
    assert good[0] == 0
    np.testing.assert_array_equal(good[1], voice(120))
    assert failure.row == 1
    assert BAD[spoil] in failure.reason


def read_all(dataset: Recordings) -> tuple[list[tuple[int, FloatArray]], list[Failure]]:
    rows = range(len(dataset.data.utterances))
    items = [dataset[s] for batch in dataset.batches([rows], max_batch_samples=1) for s in batch]
    return [i for i in items if not isinstance(i, Failure)], [i for i in items if isinstance(i, Failure)]


def test_a_batch_keeps_failures_apart_even_when_there_is_nothing_else() -> None:
    ones, twos = np.ones(3, np.float32), np.full(3, 2, np.float32)
    mixed = collate([(4, ones), Failure(5, "why"), (7, twos)])
    assert (mixed.rows, mixed.failures) == ([4, 7], [Failure(5, "why")])
    assert mixed.waveforms.tolist() == [[1, 1, 1], [2, 2, 2]]
    alone = collate([Failure(5, "why")])
    assert (alone.rows, alone.failures, alone.waveforms.numel()) == ([], [Failure(5, "why")], 0)


def test_a_list_for_embedding_may_name_paths_alone_and_files_that_are_not_there(folder: Path) -> None:
    (folder / "list.txt").write_text("0.wav\nnowhere.wav\n1.wav\tann\n")
    found = read_list(folder / "list.txt", labelled=False, existing=False).utterances
    assert [(row.name, row.label) for row in found] == [("0.wav", ""), ("nowhere.wav", ""), ("1.wav", "ann")]
    with pytest.raises(DataError, match=r"list.txt:2: no such file: .*nowhere.wav"):
        read_list(folder / "list.txt", labelled=False)
    with pytest.raises(DataError, match=r"list.txt:1: no tab"):
        read_list(folder / "list.txt", existing=False)


@pytest.mark.parametrize("line", ["0.wav\t", "\tann", "0.wav\tann\tbob"])
def test_a_tab_promises_a_path_and_a_label_all_the_same(line: str, folder: Path) -> None:
    (folder / "list.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"list.txt:1: needs exactly a path, a tab and a label"):
        read_list(folder / "list.txt", labelled=False)


# Without pauses


def test_only_speech_is_read_where_a_detector_is_given(tmp_path: Path) -> None:
    pause = np.zeros(RATE // 2, np.float32)
    spoken = np.concatenate([pause, voice(120, 0.9), pause, voice(150, 0.7), pause])
    soundfile.write(tmp_path / "spoken.wav", spoken, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", np.concatenate([pause, voice(120, 0.3), pause]), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE, subtype="FLOAT")
    data, detector = (
        data_of(tmp_path, "spoken.wav", "short.wav", "hiss.wav"),
        Energy(min_pause_seconds=0.2, pad_seconds=0),
    )
    made = Recordings(data, sample_rate=RATE, min_seconds=0.5, max_seconds=60.0, skip_failures=True, vad=detector)
    ((first, *failed),) = [[stretch for batch in made.batches([range(3)], max_batch_samples=RATE) for stretch in batch]]
    assert tenths(first)[1] in (16, 17)
    row, waveform = made[first]
    assert row == 0
    np.testing.assert_array_equal(waveform, cut(spoken, detector(spoken, RATE))[: first.num_samples])
    reasons = [made[stretch] for stretch in failed]
    assert reasons[1] == Failure(2, "hiss.wav holds no speech")
    assert reasons[0].reason.startswith("short.wav holds speech of 0.3")
