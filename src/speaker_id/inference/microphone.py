"""A recording from the microphone, or from files in its place. Imports neither torch nor PortAudio before it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, ConfigError

BLOCK_SECONDS = 0.1  # between two looks at the level
SILENT_DB = -80.0  # of full scale: audio.SILENCE_PEAK, whose import would cost seconds

OnBlock = Callable[[FloatArray], None]


class Microphone(Protocol):
    def record(self, seconds: float, sample_rate: int, on_block: OnBlock) -> FloatArray:
        """Listen for `seconds` -> mono (S,) in [-1, 1] at `sample_rate`; all of it, or an error.

        `on_block` sees every (s,) as it comes, at whatever rate. Raises AudioError, ConfigError.
        """
        ...


class SoundDeviceMicrophone:
    """A microphone of this machine, through PortAudio.

    `device` is its number, or a part of its name that no other has; None is the system's own choice. One that does not
    know the rate asked for is recorded at its own and converted.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = int(device) if device is not None and device.isdecimal() else device

    def record(self, seconds: float, sample_rate: int, on_block: OnBlock) -> FloatArray:
        sounddevice = _sounddevice()
        with _microphone_errors(sounddevice):
            rate = self._usable_rate(sounddevice, sample_rate)
            waveform = self._listen(sounddevice, round(seconds * rate), rate, on_block)
        if rate != sample_rate:
            from speaker_id import audio

            waveform = audio.resample(waveform, rate, sample_rate)[: round(seconds * sample_rate)]
        return np.clip(waveform, -1.0, 1.0, out=waveform)

    def _usable_rate(self, sounddevice: Any, wanted: int) -> int:
        try:
            sounddevice.check_input_settings(device=self._device, channels=1, dtype="float32", samplerate=wanted)
        except sounddevice.PortAudioError:
            return round(float(sounddevice.query_devices(self._device, "input")["default_samplerate"]))
        return wanted

    def _listen(self, sounddevice: Any, num: int, rate: int, on_block: OnBlock) -> FloatArray:
        waveform = np.zeros(num, np.float32)
        step = round(BLOCK_SECONDS * rate)
        with sounddevice.InputStream(
            samplerate=rate, channels=1, dtype="float32", device=self._device, latency="high"
        ) as stream:
            for first in range(0, num, step):
                block, overflowed = stream.read(min(step, num - first))
                if overflowed:
                    raise AudioError("the machine was too busy and lost a part of the recording: record again")
                waveform[first : first + len(block)] = block[:, 0]
                on_block(block[:, 0])
        return waveform


class FileMicrophone:
    """Files in place of a microphone: each recording hears the beginning of the next one, after the last the first."""

    def __init__(self, files: Sequence[Path]) -> None:
        if not files:
            raise ConfigError("no file was given to stand for the microphone: give at least one recording")
        self._files = tuple(files)
        self._num_recorded = 0

    def record(self, seconds: float, sample_rate: int, on_block: OnBlock) -> FloatArray:
        from speaker_id import audio

        file = self._files[self._num_recorded % len(self._files)]
        self._num_recorded += 1
        waveform = audio.load(file, sample_rate, num=round(seconds * sample_rate))
        for first in range(0, len(waveform), step := round(BLOCK_SECONDS * sample_rate)):
            on_block(waveform[first : first + step])
        return waveform


def peak_db(waveform: FloatArray) -> float:
    """The largest sample of (S,) in decibels of full scale, not below -100."""
    return float(20 * np.log10(max(np.abs(waveform).max(initial=0.0), 1e-5)))


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise ConfigError("recording needs the extra `mic`: pip install 'speaker-id[mic]'") from error
    except OSError as error:  # the package is there, the library that it calls is not
        raise ConfigError(
            "recording needs the library PortAudio, which is not installed: install libportaudio2 (Debian, Ubuntu), "
            "portaudio (Fedora, Homebrew)"
        ) from error
    return sounddevice


@contextmanager
def _microphone_errors(sounddevice: Any) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # no device has that name, or several have
        names = [f"{device['index']} {device['name']}" for device in _inputs(sounddevice)]
        raise ConfigError(f"no such microphone: {error}; there are: {', '.join(names) or 'none'}") from error
    except sounddevice.PortAudioError as error:
        raise AudioError(f"the microphone cannot be used ({error}): is one connected, and may you use it?") from error


def _inputs(sounddevice: Any) -> list[Any]:
    return [device for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
