"""espeak-ng through ctypes: text -> a synthetic voice. Only the demo, its notebook and their tests need it.

The library and its voices come in the pip package `espeakng-loader` (extra `demo`); nothing else is installed.
C interface: `espeak-ng/speak_lib.h` of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from speaker_id.contracts import FloatArray
from speaker_id.errors import DataError

_SYNCHRONOUS, _DONT_EXIT = 2, 0x8000  # espeak_Initialize: output mode, and no exit() of our process on an error
_BY_CHARACTER, _UTF8 = 1, 1  # espeak_Synth: how a position is counted, and the encoding
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_SetParameter
_MAX_PATH = 160  # longer data paths are cut inside the library

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Prosody(NamedTuple):
    """How a sentence is said; 50 is the voice's own pitch and range (0...100), rate is in words a minute (80...450)."""

    pitch: int = 50
    pitch_range: int = 50
    rate: int = 160


_PLAIN = Prosody()


class Espeak:
    """The espeak-ng engine. One at a time in a process: its state is global and not thread-safe.

    The same calls in the same order in a *fresh process* give the same samples for the same seed; what was said before
    in a process leaves traces in the library (breath noise, flutter).
    Raises DataError when `espeakng-loader` is not installed, or its voices cannot be read.
    """

    _in_use: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        if Espeak._in_use:
            raise DataError("espeak-ng is already open in this process: it can speak for one user at a time")
        library_path, data_path = _locate()
        self._variants = {path.name for path in Path(data_path, "voices", "!v").iterdir()}
        self._library = _declare(ctypes.CDLL(library_path))
        self._blocks: list[FloatArray] = []
        self._callback = _Callback(self._receive)  # C keeps only a pointer: our reference keeps it alive
        self.sample_rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), _DONT_EXIT))
        if self.sample_rate <= 0:
            raise DataError(_unreadable(data_path))
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(seed)  # without it the time of day is the seed
        Espeak._in_use = True

    def speak(self, text: str, voice: str, prosody: Prosody = _PLAIN) -> FloatArray:
        """Text -> (S,) at `sample_rate`. `voice` is a language, or `language+variant` as in `en-us+f3`.

        Raises DataError for a voice that espeak-ng does not have.
        """
        self._select(voice, prosody)
        self._blocks = []
        encoded = text.encode()
        status = self._library.espeak_Synth(encoded, len(encoded) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        if status != 0 or not self._blocks:
            raise DataError(f"espeak-ng could not say {text!r} with voice {voice!r} (status {status})")
        return np.concatenate(self._blocks)

    def close(self) -> None:
        self._library.espeak_Terminate()
        Espeak._in_use = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _select(self, voice: str, prosody: Prosody) -> None:
        _, plus, variant = voice.partition("+")
        # The library itself takes an unknown variant without a word and speaks with the plain voice.
        unknown = plus and variant not in self._variants
        if unknown or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise DataError(f"espeak-ng has no voice {voice!r}; write language or language+variant, as in 'en-us+f3'")
        for parameter, value in ((_RATE, prosody.rate), (_PITCH, prosody.pitch), (_RANGE, prosody.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def _receive(self, samples: Any, num_samples: int, _events: Any) -> int:
        if num_samples > 0:
            block = np.ctypeslib.as_array(samples, shape=(num_samples,))  # C's own buffer, reused for the next block
            self._blocks.append(block.astype(np.float32) / np.float32(32768))
        return 0  # 0: go on


def require_espeak() -> None:
    """Raises DataError when `espeakng-loader` is not installed."""
    _locate()


def _locate() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        message = "the demo's voices need the package espeakng-loader: pip install 'speaker-id[demo]'"
        raise DataError(message) from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


def _unreadable(data_path: str) -> str:
    if len(data_path) >= _MAX_PATH:
        return f"espeak-ng cannot read paths of {_MAX_PATH} or more characters, install elsewhere: {data_path}"
    return f"espeak-ng could not read its voices in {data_path}: reinstall espeakng-loader"


def _declare(library: Any) -> Any:
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    library.espeak_Initialize.argtypes = [integer, integer, text, integer]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_SetVoiceByName.argtypes = [text]
    library.espeak_SetParameter.argtypes = [integer, integer, integer]
    unsigned = ctypes.c_uint
    library.espeak_Synth.argtypes = [text, ctypes.c_size_t, unsigned, integer, unsigned, unsigned, pointer, pointer]
    return library
