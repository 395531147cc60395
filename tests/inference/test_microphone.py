"""A sound card that exists on paper only: what our side does with PortAudio's."""

import builtins
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import pytest
import soundfile

from inference.tiny_model import RATE, recording, voice
from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, ConfigError
from speaker_id.inference.microphone import SILENT_DB, FileMicrophone, SoundDeviceMicrophone, peak_db


class PortAudioError(Exception):
    pass


class Card(ModuleType):
    """The part of `sounddevice` that we call, with one card: it plays `sound`, and only at its own rate."""

    PortAudioError = PortAudioError

    def __init__(self, sound: FloatArray, rate: int = RATE, *, overflows_at: int | None = None) -> None:
        super().__init__("sounddevice")
        self.sound, self.rate, self.overflows_at = sound, rate, overflows_at
        self.opened: list[dict[str, Any]] = []
        self.num_closed = 0

    def check_input_settings(self, *, device: object, samplerate: int, **_: object) -> None:
        self._known(device)
        if samplerate != self.rate:
            raise PortAudioError("Invalid sample rate")

    def query_devices(self, device: object = None, kind: str | None = None) -> Any:
        if kind is None:
            speaker = {"index": 0, "name": "Loudspeaker", "max_input_channels": 0}
            return [speaker, {"index": 1, "name": "Paper card", "max_input_channels": 1}]
        self._known(device)
        return {"default_samplerate": float(self.rate)}

    def InputStream(self, **options: Any) -> "Stream":
        self.opened.append(options)
        return Stream(self)

    @staticmethod
    def _known(device: object) -> None:
        if device not in (None, 1, "Paper"):
            raise ValueError(f"No input device matching {device!r}")


class Stream:
    def __init__(self, card: Card) -> None:
        self.card, self.position = card, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.card.num_closed += 1

    def read(self, num: int) -> tuple[FloatArray, bool]:
        first, self.position = self.position, self.position + num
        lost = self.card.overflows_at is not None and self.position > self.card.overflows_at
        return self.card.sound[first : self.position, None], lost


def plugged_in(monkeypatch: pytest.MonkeyPatch, card: Card) -> Card:
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


def test_every_sample_is_recorded_once_and_seen_by_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    card = plugged_in(monkeypatch, Card(voice(120, 3.0)))
    blocks: list[FloatArray] = []
    heard = SoundDeviceMicrophone().record(1.25, RATE, blocks.append)
    np.testing.assert_array_equal(heard, card.sound[: round(1.25 * RATE)])
    np.testing.assert_array_equal(np.concatenate(blocks), heard)
    assert [len(block) for block in blocks] == [1600] * 12 + [800]
    assert card.num_closed == 1
    assert (card.opened[0]["channels"], card.opened[0]["samplerate"]) == (1, RATE)


def test_a_card_with_another_rate_is_converted_to_the_right_length_and_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    time = np.arange(3 * 44_100) / 44_100
    tone = (0.5 * np.sin(2 * math.pi * 440 * time)).astype(np.float32)
    card = plugged_in(monkeypatch, Card(tone, rate=44_100))
    heard = SoundDeviceMicrophone().record(2.0, RATE, lambda _: None)
    expected = 0.5 * np.sin(2 * math.pi * 440 * np.arange(2 * RATE) / RATE)
    assert heard.shape == (2 * RATE,)
    np.testing.assert_allclose(heard[200:-200], expected[200:-200], atol=1e-3)
    assert card.opened[0]["samplerate"] == 44_100


@pytest.mark.parametrize(("given", "device"), [(None, None), ("1", 1), ("Paper", "Paper")])
def test_the_device_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch, given: str | None, device: object) -> None:
    card = plugged_in(monkeypatch, Card(voice(120)))
    SoundDeviceMicrophone(given).record(0.5, RATE, lambda _: None)
    assert card.opened[0]["device"] == device


def test_an_unknown_device_is_answered_with_the_microphones_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged_in(monkeypatch, Card(voice(120)))
    with pytest.raises(ConfigError, match=r"no such microphone: .*'Gold'; there are: 1 Paper card$"):
        SoundDeviceMicrophone("Gold").record(0.5, RATE, lambda _: None)


def test_a_recording_with_a_gap_is_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    card = plugged_in(monkeypatch, Card(voice(120), overflows_at=4000))
    with pytest.raises(AudioError, match="lost a part"):
        SoundDeviceMicrophone().record(1.0, RATE, lambda _: None)
    assert card.num_closed == 1


def test_a_card_that_refuses_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    card = plugged_in(monkeypatch, Card(voice(120)))

    def gone(**_: object) -> None:
        raise PortAudioError("Device unavailable")

    monkeypatch.setattr(card, "InputStream", gone)
    with pytest.raises(AudioError, match=r"cannot be used \(Device unavailable\)"):
        SoundDeviceMicrophone().record(1.0, RATE, lambda _: None)


@pytest.mark.parametrize(("error", "remedy"), [(ImportError, r"speaker-id\[mic\]"), (OSError, "libportaudio2")])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, error: type[Exception], remedy: str) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "sounddevice":
            raise error("PortAudio library not found")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=remedy):
        SoundDeviceMicrophone().record(1.0, RATE, lambda _: None)


def test_files_stand_for_the_microphone_in_turn(tmp_path: Path) -> None:
    files = [recording(tmp_path / "a.wav", 100, 2.0), recording(tmp_path / "b.wav", 200, 2.0)]
    stereo = np.stack([voice(300), voice(300)], axis=1)
    soundfile.write(tmp_path / "c.wav", stereo, RATE, subtype="FLOAT")
    microphone, blocks = FileMicrophone([*files, tmp_path / "c.wav"]), list[FloatArray]()
    for pitch in (100, 200, 300, 100):
        blocks.clear()
        heard = microphone.record(0.75, RATE, blocks.append)
        np.testing.assert_array_equal(heard, voice(pitch, 2.0 if pitch < 300 else 1.0)[:12_000])
        np.testing.assert_array_equal(np.concatenate(blocks), heard)


def test_a_microphone_without_files_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one recording"):
        FileMicrophone([])


def test_a_level_in_decibels() -> None:
    assert peak_db(np.array([0.0, -1.0], np.float32)) == 0.0
    assert peak_db(np.array([0.1], np.float32)) == pytest.approx(-20.0, abs=1e-5)
    assert peak_db(np.zeros(5, np.float32)) == pytest.approx(-100.0)
    assert peak_db(np.zeros(0, np.float32)) == pytest.approx(-100.0)


def test_silence_is_the_same_to_the_microphone_as_to_the_door_for_sound() -> None:
    assert pytest.approx(20 * math.log10(audio.SILENCE_PEAK)) == SILENT_DB
