"""What stress does to a test recording: one disturbance at one level, the same for a recording in every run."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import numpy as np

from speaker_id import audio
from speaker_id.augmentation.band import BandLimit
from speaker_id.augmentation.checks import check_at_least, check_range
from speaker_id.augmentation.clipping import Clipping
from speaker_id.augmentation.codec import Codec, at_bitrate
from speaker_id.augmentation.mixing import below_full_scale, noise_at_snr, with_power
from speaker_id.augmentation.noise import ColouredNoise
from speaker_id.augmentation.reverb import Reverb
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray, WaveformAugmentation
from speaker_id.data.dataset import Transform
from speaker_id.data.lengths import trim_length
from speaker_id.data.lists import DataList
from speaker_id.errors import ConfigError

NUM_TALKERS = 5  # of babble: nobody can be understood among so many
DRR_DB = 0.0  # of reverb, direct sound over echo: as far away as a voice is from a laptop across a table
SHORTEST_CUT = 0.5  # s, what the product refuses to go below

Level = float | str


class Condition(NamedTuple):
    """One disturbance of the test recordings at one level."""

    family: str  # "white noise", "cut", ...: conditions of one family make a curve
    words: str  # "white noise at 10 dB"
    level: float | None
    unit: str
    transform: Transform


class Setting(NamedTuple):
    """What the disturbances of an evaluation are made from."""

    data: DataList  # the recordings under test, babble's talkers
    lengths: Sequence[int]  # samples of the recordings that are disturbed, for those that a cut leaves as they are
    sample_rate: int
    seed: int
    noise: str | None  # folder or list of noise recordings, for the family `recorded_noise`


class Seeded:
    """An augmentation as a Transform: its random numbers follow from the seed and the recording's name alone."""

    def __init__(self, augmentation: WaveformAugmentation, seed: int) -> None:
        self.augmentation = augmentation
        self.seed = seed

    def length(self, num_samples: int) -> int:
        return num_samples

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        return self.augmentation(waveform, rng_of(self.seed, name))


class Cut:
    """A stretch of `num` samples around a random sample that is not silent; shorter recordings stay as they are."""

    def __init__(self, num: int, seed: int) -> None:
        self.num = num
        self.seed = seed

    def length(self, num_samples: int) -> int:
        return min(num_samples, self.num)

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        heard = np.flatnonzero(np.abs(waveform) >= audio.SILENCE_PEAK)
        middle = int(rng_of(self.seed, name).choice(heard))
        start = min(max(0, middle - self.num // 2), max(0, len(waveform) - self.num))
        return waveform[start : start + self.num]


class Talkers:
    """Babble at one ratio, of the evaluation's own recordings of other speakers (where nobody says who speaks: of
    other recordings): a Transform. Every level of a recording has the same talkers.
    """

    def __init__(self, data: DataList, *, snr_db: float, sample_rate: int, seed: int) -> None:
        check_range("snr_db", snr_db, snr_db)
        self.paths = [utterance.path for utterance in data.utterances]
        # An unlabelled recording is a speaker of its own, called by its path: no label is one.
        labels = [utterance.label or f"\t{utterance.path}" for utterance in data.utterances]
        self.speakers = np.unique(labels, return_inverse=True)[1]
        self.row = {utterance.name: row for row, utterance in enumerate(data.utterances)}
        self.snr_db = snr_db
        self.sample_rate = sample_rate
        self.seed = seed
        if len(set(labels)) < 2:
            raise ConfigError(f"{data.source} holds no recording of another speaker to make babble from")

    def length(self, num_samples: int) -> int:
        return num_samples

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        rng = rng_of(self.seed, name)
        others = np.flatnonzero(self.speakers != self.speakers[self.row[name]])
        babble = np.zeros_like(waveform)
        for row in rng.choice(others, NUM_TALKERS, replace=len(others) < NUM_TALKERS):
            babble += with_power(self._stretch(self.paths[row], len(waveform), rng), 1.0)
        return below_full_scale(waveform + noise_at_snr(waveform, babble, self.snr_db))

    def _stretch(self, path: str, num: int, rng: np.random.Generator) -> FloatArray:
        """(num,) from a random place; a shorter recording is repeated."""
        total = audio.num_samples_at(audio.info(path), self.sample_rate)
        if total > num:
            return audio.load(path, self.sample_rate, start=int(rng.integers(total - num + 1)), num=num)
        return np.resize(np.roll(audio.load(path, self.sample_rate), int(rng.integers(total))), num)


def rng_of(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, *name.encode()])


class _Sounds(Protocol):
    def draw(self, num: int, rng: np.random.Generator) -> FloatArray: ...


class _NoiseAt(NamedTuple):
    sounds: _Sounds
    snr_db: float

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        return below_full_scale(waveform + noise_at_snr(waveform, self.sounds.draw(len(waveform), rng), self.snr_db))


class _Gain(NamedTuple):
    db: float

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Clipped at full scale, as by a recorder whose level is set wrongly."""
        louder: FloatArray = waveform * np.float32(10 ** (self.db / 20))
        return louder.clip(-1, 1)


class _AtBitrate(NamedTuple):
    codec: str
    kbit: float
    sample_rate: int

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        return at_bitrate(waveform, self.sample_rate, self.codec, self.kbit)


def make_conditions(levels: Mapping[str, Sequence[Level]], setting: Setting) -> list[Condition]:
    """The conditions of `stress_conditions`: levels by family, in its order; a family without levels is left out.

    Recorded noise is left out too where the setting has none. Raises ConfigError, naming the family and the level.
    """
    if unknown := sorted(levels.keys() - FAMILIES.keys()):
        raise ConfigError(f"stress_conditions knows no {unknown[0]!r}; there are: {', '.join(FAMILIES)}")
    wanted = [(family, level) for family, values in levels.items() for level in values or ()]
    return [_made(family, level, setting) for family, level in wanted if family != "recorded_noise" or setting.noise]


def _made(family: str, level: Level, setting: Setting) -> Condition:
    where = f"stress_conditions.{family}={level}"
    if isinstance(level, str) != (family == "telephone") or isinstance(level, bool):
        raise ConfigError(f"{where}: levels are numbers, except telephone's: {', '.join(LINES)}")
    try:
        return FAMILIES[family](family.replace("_", " "), level, setting)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _noise(family: str, level: Level, setting: Setting) -> Condition:
    snr_db = cast(float, level)
    check_range("snr_db", snr_db, snr_db)
    sounds: _Sounds
    if family == "recorded noise":
        sounds = SoundFolder(cast(str, setting.noise), setting.sample_rate, instead="give another stress_noise=FOLDER")
    else:
        slope = {"white noise": 0.0, "pink noise": 1.0}[family]
        sounds = ColouredNoise(setting.sample_rate, min_slope=slope, max_slope=slope)
    transform = Seeded(_NoiseAt(sounds, snr_db), setting.seed)
    return Condition(family, f"{family} at {snr_db:g} dB", snr_db, "dB", transform)


def _babble(family: str, level: Level, setting: Setting) -> Condition:
    snr_db = cast(float, level)
    talkers = Talkers(setting.data, snr_db=snr_db, sample_rate=setting.sample_rate, seed=setting.seed)
    return Condition(family, f"babble of {NUM_TALKERS} others at {snr_db:g} dB", snr_db, "dB", talkers)


def _reverb(family: str, level: Level, setting: Setting) -> Condition:
    rt60 = cast(float, level)
    room = Reverb(
        prob=1, min_rt60=rt60, max_rt60=rt60, min_drr_db=DRR_DB, max_drr_db=DRR_DB,
        sample_rate=setting.sample_rate, folder=None,
    )  # fmt: skip
    return Condition(family, f"room that echoes for {rt60:g} s", rt60, "s", Seeded(room, setting.seed))


def _telephone(family: str, level: Level, setting: Setting) -> Condition:
    name = str(level)
    if name not in LINES:
        raise ConfigError(f"there are: {', '.join(LINES)}")
    line: WaveformAugmentation
    if name == "band":
        line = BandLimit(
            prob=1, min_low_hz=300, max_low_hz=300, min_high_hz=3400, max_high_hz=3400, sample_rate=setting.sample_rate
        )
    else:
        line = Codec(prob=1, codecs=[name], min_compression=0, max_compression=0, sample_rate=setting.sample_rate)
    return Condition(family, LINES[name], None, "", Seeded(line, setting.seed))


def _codec(family: str, level: Level, setting: Setting) -> Condition:
    kbit = cast(float, level)
    at_bitrate(np.zeros(setting.sample_rate // 10, np.float32), setting.sample_rate, family, kbit)  # refuses now
    transform = Seeded(_AtBitrate(family, kbit, setting.sample_rate), setting.seed)
    return Condition(family, f"{family} of {kbit:g} kbit/s", kbit, "kbit/s", transform)


def _clipping(family: str, level: Level, setting: Setting) -> Condition:
    db = cast(float, level)
    clipping = Clipping(prob=1, min_fraction=None, max_fraction=None, min_gain_db=db, max_gain_db=db)
    return Condition(family, f"peaks clipped by {db:g} dB", db, "dB", Seeded(clipping, setting.seed))


def _gain(family: str, level: Level, setting: Setting) -> Condition:
    db = cast(float, level)
    check_range("db", db, db)
    return Condition(family, f"gain of {db:+g} dB", db, "dB", Seeded(_Gain(db), setting.seed))


def _cut(family: str, level: Level, setting: Setting) -> Condition:
    seconds = cast(float, level)
    check_at_least("a cut in seconds", seconds, SHORTEST_CUT)
    num = trim_length(round(seconds * setting.sample_rate), setting.sample_rate)
    shorter = sum(length < num for length in setting.lengths)
    note = f" ({shorter} of {len(setting.lengths)} recordings are shorter)" if shorter else ""
    return Condition(family, f"cut to {seconds:g} s{note}", seconds, "s", Cut(num, setting.seed))


LINES = {
    "band": "band of 300 to 3400 Hz",
    "mulaw": "telephone line, G.711 mu-law",
    "alaw": "telephone line, G.711 A-law",
    "gsm": "telephone line, GSM 06.10",
}
FAMILIES: dict[str, Callable[[str, Level, Setting], Condition]] = {
    "white_noise": _noise,
    "pink_noise": _noise,
    "recorded_noise": _noise,
    "babble": _babble,
    "reverb": _reverb,
    "telephone": _telephone,
    "mp3": _codec,
    "opus": _codec,
    "clipping": _clipping,
    "gain": _gain,
    "cut": _cut,
}
