"""A folder or list of sounds to mix in: noise, other talkers, room responses."""

import os
from pathlib import Path

import numpy as np
import soundfile

from speaker_id import audio
from speaker_id.contracts import FloatArray, as_path
from speaker_id.errors import AudioError, ConfigError, DataError

_EXTENSIONS = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {".aif", ".oga", ".opus"}
_TRIES = 10  # a corpus may hold some silence; ten silent draws in a row mean that it holds little else


class SoundFolder:
    """Random sounds at one sample rate, from all audio files of a folder and its subfolders, or from a list of files.

    A list is text, one `<path>` or `<path>\\t<label>` a line (a data list serves as it is); relative paths start at the
    list's folder, blank lines and lines that begin with # are passed over. A single audio file is a list of one.

    Of a sound only the stretch that is drawn is read. With `whole_files` each is read once as a whole and kept in
    memory, of every worker: for few or slow files, and the same samples.

    Raises ConfigError at once if folder or list is missing or holds no audio (`instead` says what else the option may
    be), DataError for a line whose file is not there; AudioError, naming the file, when a drawn file cannot be read,
    and when only silence is drawn.
    """

    def __init__(
        self, folder: str | os.PathLike[str], sample_rate: int, *, instead: str, whole_files: bool = False
    ) -> None:
        self.folder = as_path(folder)
        self.sample_rate = sample_rate
        self.whole_files = whole_files
        self._kept: dict[str, FloatArray] = {}
        if not self.folder.exists():
            raise ConfigError(f"augmentation folder {self.folder} does not exist; {instead}")
        self.paths = _sounds_under(self.folder)
        if not self.paths:
            kind = "folder" if self.folder.is_dir() else "list"
            raise ConfigError(f"augmentation {kind} {self.folder} holds no audio files; {instead}")

    def draw(self, num: int, rng: np.random.Generator) -> FloatArray:
        """A random stretch (num,) of a random file; a shorter file is repeated."""
        for _ in range(_TRIES):
            stretch = self._stretch(self._pick(rng), num, rng)
            if not audio.is_silent(stretch):
                return stretch
        raise AudioError(f"{_TRIES} random stretches of {self.folder} were all silent; remove its silent files")

    def draw_whole(self, rng: np.random.Generator) -> FloatArray:
        """A random file from its beginning to its end, (S,)."""
        path = self._pick(rng)
        sound = self._read(path)
        if audio.is_silent(sound):
            raise AudioError(f"{path} is silent; remove it from {self.folder}")
        return sound

    def _pick(self, rng: np.random.Generator) -> str:
        return self.paths[rng.integers(len(self.paths))]

    def _stretch(self, path: str, num: int, rng: np.random.Generator) -> FloatArray:
        length = self._length(path)
        if length > num:
            return self._read(path, int(rng.integers(length - num + 1)), num)
        sound = self._read(path)
        return np.resize(np.roll(sound, -int(rng.integers(len(sound)))), num)

    def _length(self, path: str) -> int:
        if self.whole_files:
            return len(self._whole(path))
        return audio.num_samples_at(audio.info(path), self.sample_rate)

    def _read(self, path: str, start: int = 0, num: int | None = None) -> FloatArray:
        if self.whole_files:
            return self._whole(path)[start:][:num]
        return audio.load(path, self.sample_rate, start=start, num=num)

    def _whole(self, path: str) -> FloatArray:
        if path not in self._kept:
            self._kept[path] = audio.load(path, self.sample_rate)
            self._kept[path].flags.writeable = False
        return self._kept[path]


def _sounds_under(place: Path) -> list[str]:
    if place.is_dir():
        # sorted: the order of a directory differs between machines, a seed must not
        return sorted(str(path) for path in place.rglob("*") if _is_sound(path))
    return [str(place)] if _is_sound(place) else _listed(place)


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in _EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _listed(source: Path) -> list[str]:
    try:
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: neither audio nor UTF-8 text ({error}); write one path a line") from None
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror or error}; check the path") from error
    base, paths = source.resolve().parent, []
    for number, line in enumerate(lines, start=1):
        name = line.partition("\t")[0].strip()
        if not line.strip() or line.startswith("#"):
            continue
        if not name or not (base / name).is_file():
            raise DataError(f"{source}:{number}: no such file: {base / name}; relative paths start at {base}")
        paths.append(str(base / name))
    return paths
