"""How a service is run: every limit has a default that is safe on an open network."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import USUAL, GalleryLocation, GalleryOptions
from speaker_id.inference.quality import QualityLimits

USUAL_QUALITY = QualityLimits()


@dataclass(frozen=True)
class Settings:
    """Times in seconds, sizes in megabytes. `keys=None` asks nobody for a key: for the own machine only.

    Counts and limits are those of one worker process; several of them share the gallery and the keys.
    """

    model: Path
    gallery: GalleryLocation
    keys: Path | None = None
    device: str = "cpu"
    threshold: float | None = None  # in place of the model's own
    gallery_options: GalleryOptions = USUAL
    quality: QualityLimits = USUAL_QUALITY  # which recordings are refused
    prior: float = 0.5  # of one speaker, where probabilities are stated
    threads: int = 1  # of torch: more of them are slower, not faster, beside another busy process
    max_body_mb: float = 20.0  # of one request, read before anything is decoded
    max_seconds: float = 60.0  # of one recording
    max_recordings: int = 20  # of one enrolment
    upload_seconds: float = 30.0  # what a request's body may take to arrive, or a stream's next sound
    decode_seconds: float = 5.0  # what decoding one recording may take
    decode_mb: int = 512  # memory that decoding may take (Linux)
    num_decoders: int = 2  # processes
    requests_per_minute: int = 120  # of one key, or of one address where there are no keys
    failures_per_minute: int = 30  # requests without a valid key from one address, before it is told to wait
    max_waiting: int = 64  # requests between arrival and answer; beyond, callers are told to come back
    max_batch: int = 16  # recordings embedded at once
    allow_embed: bool = False  # POST /embed gives voiceprints away
    origins: tuple[str, ...] = ()  # other sites whose pages may call, for CORS

    def __post_init__(self) -> None:
        positive = (
            "threads", "max_body_mb", "max_seconds", "max_recordings", "upload_seconds", "decode_seconds", "decode_mb",
            "num_decoders", "requests_per_minute", "failures_per_minute", "max_waiting", "max_batch",
        )  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:  # NaN is not
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be positive")
        if not 0 < self.prior < 1:
            raise ConfigError(f"prior is {self.prior}: it must lie between 0 and 1, both excluded")
        if wrong := [origin for origin in self.origins if not origin.startswith(("https://", "http://"))]:
            raise ConfigError(f"origin {wrong[0]!r} names no site: give each whole, like https://app.example")

    @property
    def max_bytes(self) -> int:
        return int(self.max_body_mb * 2**20)


def settings_as_json(settings: Settings) -> str:
    """For worker processes. Raises ConfigError for a gallery's key in bytes: the environment is no place for it."""
    options = settings.gallery_options
    if isinstance(options.key, bytes):
        raise ConfigError("give the gallery's key as a file, or as env:NAME")
    fields = {
        **vars(settings),
        "model": str(settings.model),
        "gallery": os.fspath(settings.gallery),
        "keys": None if settings.keys is None else str(settings.keys),
        "gallery_options": {
            **options._asdict(),
            "key": None if options.key is None else os.fspath(options.key),
            "grace": options.grace.total_seconds(),
        },
        "quality": asdict(settings.quality),
    }
    return json.dumps(fields)


def settings_from_json(text: str) -> Settings:
    given = json.loads(text)
    options = given["gallery_options"]
    changed = {
        "model": Path(given["model"]),
        "keys": None if given["keys"] is None else Path(given["keys"]),
        "gallery_options": GalleryOptions(**{**options, "grace": timedelta(seconds=options["grace"])}),
        "quality": QualityLimits(**given["quality"]),
        "origins": tuple(given["origins"]),
    }
    return Settings(**{**given, **changed})


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, which no other can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
