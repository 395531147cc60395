"""How a service is run: every limit has a default that is safe on an open network."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import GalleryLocation


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


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, which no other can reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
