"""A folder of sounds to mix in: noise, other talkers, room responses."""

import os
from pathlib import Path

import numpy as np
import soundfile

from speaker_id import audio
from speaker_id.contracts import FloatArray, as_path
from speaker_id.errors import AudioError, ConfigError

_EXTENSIONS = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {".aif", ".oga", ".opus"}
_TRIES = 10  # a corpus may hold some silence; ten silent draws in a row mean that it holds little else


class SoundFolder:
    """Random sounds from all audio files of a folder and its subfolders, at one sample rate.

    Raises ConfigError at once if the folder is missing or holds no audio (`instead` says what else the option may be);
    AudioError, naming the file, when a drawn file cannot be read, and when only silence is drawn.
    """

    def __init__(self, folder: str | os.PathLike[str], sample_rate: int, *, instead: str) -> None:
        self.folder = as_path(folder)
        self.sample_rate = sample_rate
        if not self.folder.is_dir():
            raise ConfigError(f"augmentation folder {self.folder} does not exist; {instead}")
        # sorted: the order of a directory differs between machines, a seed must not
        self.paths = sorted(str(path) for path in self.folder.rglob("*") if _is_sound(path))
        if not self.paths:
            raise ConfigError(f"augmentation folder {self.folder} holds no audio files; {instead}")

    def draw(self, num: int, rng: np.random.Generator) -> FloatArray:
        """A random stretch (num,) of a random file: only that is read; a shorter file is repeated."""
        for _ in range(_TRIES):
            stretch = self._stretch(self._pick(rng), num, rng)
            if not audio.is_silent(stretch):
                return stretch
        raise AudioError(f"{_TRIES} random stretches of {self.folder} were all silent; remove its silent files")

    def draw_whole(self, rng: np.random.Generator) -> FloatArray:
        """A random file from its beginning to its end, (S,)."""
        path = self._pick(rng)
        sound = audio.load(path, self.sample_rate)
        if audio.is_silent(sound):
            raise AudioError(f"{path} is silent; remove it from {self.folder}")
        return sound

    def _pick(self, rng: np.random.Generator) -> str:
        return self.paths[rng.integers(len(self.paths))]

    def _stretch(self, path: str, num: int, rng: np.random.Generator) -> FloatArray:
        length = audio.num_samples_at(audio.info(path), self.sample_rate)
        if length > num:
            start = int(rng.integers(length - num + 1))
            return audio.load(path, self.sample_rate, start=start, num=num)
        sound = audio.load(path, self.sample_rate)
        return np.resize(np.roll(sound, -int(rng.integers(len(sound)))), num)


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in _EXTENSIONS and not path.name.startswith(".") and path.is_file()
