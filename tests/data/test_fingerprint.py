from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from inference.tiny_model import RATE, voice
from speaker_id.contracts import FloatArray
from speaker_id.data import fingerprint as fingerprints
from speaker_id.data.fingerprint import (
    ListFingerprint,
    SeenData,
    fingerprint,
    from_arrays,
    name_key,
    overlap,
    sound_key,
    sound_keys,
    to_arrays,
)
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import DataError


def written(path: Path, waveform: FloatArray, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE, **how)
    return path


def listed(*rows: tuple[Path | str, str]) -> DataList:
    return DataList("made.tsv", tuple(Utterance(str(path), label, str(path)) for path, label in rows))


def silent_names(*speakers: str) -> DataList:
    """A list of files that nobody opens."""
    return listed(*((f"/corpus/{speaker}/1.wav", speaker) for speaker in speakers))


# --- what is shared ---------------------------------------------------------------------------------------------------


def test_speakers_recordings_and_sound_in_common_are_named_each_in_its_own_column(tmp_path: Path) -> None:
    first, second, third = (voice(pitch) for pitch in (100.0, 140.0, 200.0))
    one, two = written(tmp_path / "a" / "1.wav", first), written(tmp_path / "a" / "2.wav", second)
    seen = fingerprint(listed((one, "ann"), (two, "ann")), detail="full")
    copy, other = written(tmp_path / "b" / "copy.wav", second), written(tmp_path / "b" / "9.wav", third)
    data = listed((one, "anna"), (copy, "bob"), (other, "ann"))
    found = overlap(seen, data, sound_keys(data))
    assert found == (("ann",), (str(one),), (str(copy),))


def test_lists_with_nothing_in_common_share_nothing(tmp_path: Path) -> None:
    seen = fingerprint(listed((written(tmp_path / "1.wav", voice(100.0)), "ann")), detail="full")
    data = listed((written(tmp_path / "2.wav", voice(101.0)), "bob"))
    assert overlap(seen, data, sound_keys(data)) == ((), (), ())


def test_the_same_name_in_another_corpus_is_another_recording_where_both_were_listened_to(tmp_path: Path) -> None:
    seen_path = written(tmp_path / "x" / "wav" / "a" / "1.wav", voice(100.0))
    other = listed((written(tmp_path / "y" / "wav" / "a" / "1.wav", voice(150.0)), "bob"))
    full, names = (fingerprint(listed((seen_path, "ann")), detail=detail) for detail in ("full", "names"))  # type: ignore[arg-type]
    assert overlap(full, other, sound_keys(other)).recordings == ()
    assert overlap(full, other, None).recordings == (other.utterances[0].name,)
    assert overlap(names, other, sound_keys(other)).recordings == (other.utterances[0].name,)


def test_a_corpus_that_moved_is_known_by_the_last_three_parts_of_its_paths() -> None:
    assert name_key("/data/voxceleb/id1/abc/1.wav") == name_key("/mnt/x/../id1/abc/1.wav") == b"id1/abc/1.wav"
    assert name_key("/data/id1/abc/1.wav") != name_key("/data/id2/abc/1.wav")


def test_recordings_that_nobody_labelled_share_no_speaker() -> None:
    seen = fingerprint(silent_names("", "ann"), detail="names")
    assert overlap(seen, silent_names("", "bob"), None).speakers == ()


@given(st.lists(st.text(min_size=1), unique=True), st.lists(st.text(min_size=1), unique=True))
def test_shared_speakers_are_the_intersection_whatever_they_are_called(one: list[str], two: list[str]) -> None:
    seen = fingerprint(DataList("x", tuple(Utterance("/x", name, "x") for name in one)), detail="names")
    data = DataList("y", tuple(Utterance("/y", name, "y") for name in two))
    assert set(overlap(seen, data, None).speakers) == set(one) & set(two)


# --- sound ------------------------------------------------------------------------------------------------------------


def test_a_flac_of_a_wav_with_other_tags_is_the_same_sound(tmp_path: Path) -> None:
    samples = (voice(120.0, 2.5) * 32767).astype(np.int16)
    wav, flac = written(tmp_path / "a.wav", samples), written(tmp_path / "a.flac", samples)
    with soundfile.SoundFile(tmp_path / "tagged.flac", "w", RATE, 1, "PCM_16") as file:
        file.title = "another copy"
        file.write(samples)
    assert sound_key(str(wav)) == sound_key(str(flac)) == sound_key(str(tmp_path / "tagged.flac"))


def test_another_length_rate_or_middle_is_another_sound(tmp_path: Path) -> None:
    waveform = voice(120.0, 2.0)
    changed = waveform.copy()
    changed[RATE] += 0.01
    keys = [
        sound_key(str(written(tmp_path / "a.wav", waveform))),
        sound_key(str(written(tmp_path / "b.wav", np.append(waveform, np.zeros(2, np.float32))))),
        sound_key(str(written(tmp_path / "c.wav", changed))),
    ]
    soundfile.write(tmp_path / "d.wav", waveform, 2 * RATE)
    assert len({*keys, sound_key(str(tmp_path / "d.wav"))}) == 4


def test_recordings_that_are_silent_in_the_middle_are_told_apart_by_the_rest(tmp_path: Path) -> None:
    def hushed(pitch: float) -> FloatArray:
        waveform = voice(pitch, 3.0)
        waveform[RATE - 10 : -RATE + 10] = 0
        return waveform

    one, two = (written(tmp_path / f"{pitch}.wav", hushed(pitch)) for pitch in (100.0, 140.0))
    assert sound_key(str(one)) != sound_key(str(two))
    assert sound_key(str(one)) == sound_key(str(written(tmp_path / "copy.wav", hushed(100.0))))


def test_recordings_shorter_than_a_second_are_listened_to_whole(tmp_path: Path) -> None:
    one, two = voice(100.0, 0.3), voice(100.0, 0.3)
    two[-1] += 0.01
    assert sound_key(str(written(tmp_path / "1.wav", one))) != sound_key(str(written(tmp_path / "2.wav", two)))


def test_an_empty_recording_is_left_to_whoever_wants_to_use_it(tmp_path: Path) -> None:
    assert len(sound_key(str(written(tmp_path / "empty.wav", np.zeros(0, np.float32))))) == 16


def test_keys_come_in_the_order_of_the_list(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.wav", voice(100.0 + number)) for number in range(20)]
    data = listed(*((path, "ann") for path in paths))
    assert sound_keys(data) == [sound_key(str(path)) for path in paths]


def test_a_recording_that_cannot_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    data = listed((written(tmp_path / "1.wav", voice(100.0)), "ann"), (tmp_path / "bad.wav", "ann"))
    with pytest.raises(DataError, match=r"made.tsv, utterance 2 \(.*bad.wav\)"):
        fingerprint(data, detail="full")
    assert fingerprint(data, detail="names").sounds is None  # nobody listened


# --- what a checkpoint tells ------------------------------------------------------------------------------------------


def test_two_fingerprints_of_one_list_have_no_digest_in_common() -> None:
    one, two = (fingerprint(silent_names("ann", "bob", "cy"), detail="names") for _ in range(2))
    assert one.salt != two.salt
    assert not set(np.frombuffer(one.speakers, "<i8")) & set(np.frombuffer(two.speakers, "<i8"))


def test_no_name_stands_in_a_fingerprint() -> None:
    found = fingerprint(silent_names("Anna Schmidt"), detail="names")
    assert len(found.speakers) == len(found.names) == 8
    assert b"Anna" not in found.speakers + found.names


def test_the_order_of_a_list_cannot_be_read_back() -> None:
    names = [f"speaker {number}" for number in range(50)]
    digests = np.frombuffer(fingerprint(silent_names(*names), detail="names").speakers, "<i8")
    assert (np.diff(digests) > 0).all()


def some_lists() -> tuple[ListFingerprint, ...]:
    return (
        ListFingerprint("training", b"s" * 16, b"12345678" * 2, b"abcdefgh", b"ABCDEFGH" * 3),
        ListFingerprint("selection", b"t" * 16, b"", b"xxxxxxxx", None),
        *(ListFingerprint("training", bytes([number]) * 16, b"", b"", b"") for number in range(10)),
    )


@pytest.mark.parametrize("seen", [SeenData(some_lists(), complete=True), SeenData((), complete=False)])
def test_arrays_bring_back_what_was_seen(seen: SeenData) -> None:
    assert from_arrays(to_arrays(seen)) == seen


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("complete"),
        lambda a: a.pop("0.training.salt"),
        lambda a: a.update({"0.training.salt": np.zeros(3, np.uint8)}),
        lambda a: a.update({"0.training.names": np.zeros((2, 2), "<i8")}),
        lambda a: a.update({"0.training.names": np.zeros(2, np.float32)}),
        lambda a: a.update({"0.other.names": np.zeros(2, "<i8")}),
        lambda a: a.update({"weights": np.zeros(2, "<i8")}),
        lambda a: a.update({"x.training.names": np.zeros(2, "<i8")}),
    ],
)
def test_arrays_that_are_no_fingerprint_are_refused(change: Any) -> None:
    arrays = to_arrays(SeenData(some_lists()[:1], complete=True))
    change(arrays)
    with pytest.raises(DataError, match="fingerprint"):
        from_arrays(arrays)


def test_eight_bytes_a_recording_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(data: DataList) -> Sequence[bytes]:
        return [str(number).encode() for number in range(len(data.utterances))]

    monkeypatch.setattr(fingerprints, "sound_keys", keys)
    many = listed(*((f"/x/y/{number}.wav", f"s{number % 7}") for number in range(1000)))
    arrays = to_arrays(SeenData((fingerprint(many, detail="full"),), complete=True))
    assert sum(array.nbytes for array in arrays.values()) == 8 * (1000 + 1000 + 7) + 16 + 1
