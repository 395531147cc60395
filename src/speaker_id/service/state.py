"""What all requests share: model, gallery, decoders, batches and limits."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch

from speaker_id import checkpoint
from speaker_id.contracts import FloatArray, Gallery, OperatingPoint, UserDetails
from speaker_id.errors import ConfigError
from speaker_id.inference.decision import identified, moved
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.galleries import open_gallery
from speaker_id.inference.kept_recordings import files_to_keep
from speaker_id.inference.quality import Quality, check_recording, prepare
from speaker_id.inference.quality_enrolment import warnings_of
from speaker_id.inference.results import Enrolment, Identification
from speaker_id.inference.voices import judged_voices
from speaker_id.service.batching import Batcher
from speaker_id.service.counters import Counters
from speaker_id.service.decoding import Decoded, Decoders, Limits
from speaker_id.service.keys import Keyring
from speaker_id.service.limits import RateLimit, Room
from speaker_id.service.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Heard(NamedTuple):
    """Recordings that can be used, in the order in which they came."""

    waveforms: list[FloatArray]  # (S,) each, at the model's rate
    qualities: list[Quality]
    rows: FloatArray  # (N, E), unit vectors


class State:
    """Opened before the first request, closed after the last. Raises our errors for what cannot be opened."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        torch.set_num_threads(settings.threads)
        self.settings = settings
        self.counters = counters
        self.clock = time.monotonic
        self.rate_limit = RateLimit(settings.requests_per_minute)
        self.failures = RateLimit(settings.failures_per_minute)
        self.room = Room(settings.max_waiting)
        self.grace = settings.gallery_options.grace  # how long a removal can be undone
        self.changing = asyncio.Lock()  # of details, which are read before they are written
        self.keys = None if settings.keys is None else Keyring(settings.keys)
        self.embedder, self.point = _opened_model(settings)
        self.gallery = _opened_gallery(settings, self.embedder)
        limits = Limits(settings.decode_seconds, settings.decode_mb, settings.max_seconds, settings.quality)
        self._decoders = Decoders(settings.num_decoders, self.embedder.sample_rate, limits)
        self._decoding = ThreadPoolExecutor(settings.num_decoders, thread_name_prefix="decoding")
        self._storing = ThreadPoolExecutor(4, thread_name_prefix="gallery")
        self.batcher = Batcher(self.embedder, max_batch=settings.max_batch)

    def start(self) -> None:
        """Inside the event loop."""
        self._decoders.wait_ready()
        self.batcher.start()

    def point_for(self, threshold: float | None) -> OperatingPoint:
        """The operating point, with another threshold for one request."""
        return self.point if threshold is None else moved(self.point, threshold, "given with this request")

    async def hear(self, contents: Sequence[bytes], *, enrolling: bool = False) -> Heard:
        """The bytes of files -> sound and embeddings. Raises AudioError for what cannot be used.

        Where the limits of quality ask, a second voice is searched for; enrolling remarks one among its warnings.
        """
        names = ["the recording"] if len(contents) == 1 else _numbered(len(contents))
        found = await asyncio.gather(*map(self._hear_one, contents, names))
        decoded, rows = zip(*found, strict=True)
        waveforms, qualities = [one.waveform for one in decoded], [one.quality for one in decoded]
        qualities = await self._with_voices(waveforms, qualities, names, enrolling=enrolling)
        return Heard(waveforms, qualities, np.stack(rows))

    async def judged(self, waveform: FloatArray, name: str) -> Quality:
        """Sound (S,) that came as samples -> what it is like. Raises AudioError, which calls it `name`."""
        rate, limits = self.embedder.sample_rate, self.settings.quality
        judge = partial(check_recording, waveform, rate, name=name, limits=limits)
        quality = await asyncio.get_running_loop().run_in_executor(self._decoding, judge)
        (found,) = await self._with_voices([waveform], [quality], [name], enrolling=False)
        return found

    async def stored(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the gallery off the event loop; what has begun is finished even if the caller goes away."""
        work = asyncio.get_running_loop().run_in_executor(self._storing, lambda: function(*args, **kwargs))
        return await asyncio.shield(work)

    async def identify(
        self,
        row: FloatArray,
        point: OperatingPoint,
        *,
        prior: float,
        limit: int = 5,
        min_margin: float | None = None,
        gallery_size_rule: bool | None = None,
    ) -> Identification:
        """An embedding (E,) -> who of the users it is, or nobody."""
        (answer,) = await self.stored(
            identified,
            row[None],
            self.gallery,
            point,
            prior=prior,
            limit=limit,
            min_margin=min_margin,
            gallery_size_rule=gallery_size_rule,
        )
        return answer

    async def enrol(self, user: str, heard: Heard, *, details: UserDetails | None, strict: bool, by: str) -> Enrolment:
        """Keep recordings of a user. With `strict` raises DoubtfulEnrolment where it is doubtful who speaks."""
        waveforms, qualities, rows = heard
        warnings = await self.batcher.call(
            warnings_of, user, rows, waveforms, qualities, self.embedder, self.gallery, self.point, strict=strict
        )
        files = await self.stored(files_to_keep, self.gallery, waveforms, self.embedder.sample_rate)
        kept = await self.stored(self.gallery.enrol, user, rows, details=details, recordings=files, by=by)
        return Enrolment(user, num_recordings_added=len(rows), num_recordings=kept, warnings=warnings)

    async def close(self) -> None:
        await self.batcher.close()
        self._storing.shutdown()
        self._decoding.shutdown()
        self._decoders.close()
        self.gallery.close()

    async def _with_voices(
        self, waveforms: list[FloatArray], qualities: list[Quality], names: list[str], *, enrolling: bool
    ) -> list[Quality]:
        if (limits := self.settings.quality).second_voice == "ignore":
            return qualities
        return await self.batcher.call(
            judged_voices,
            waveforms,
            qualities,
            names,
            self.embedder,
            self.point.threshold,
            limits,
            enrolling=enrolling,
        )

    async def _hear_one(self, content: bytes, name: str) -> tuple[Decoded, FloatArray]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._decoding, self._decoders.decode, content, name)
        return found, await self.batcher.embed(found.waveform)


def check(settings: Settings) -> None:
    """Open what the service will open, and close it again: the operator's mistakes are told before it starts."""
    if settings.keys is not None:
        Keyring(settings.keys)
    prepare(settings.quality)
    embedder, _ = _opened_model(settings)
    _opened_gallery(settings, embedder).close()


def _opened_model(settings: Settings) -> tuple[ModelEmbedder, OperatingPoint]:
    loaded = checkpoint.load(settings.model)
    point = loaded.operating_point
    if settings.threshold is not None:
        point = moved(point, settings.threshold, "given when the service was started")
    if point is None:
        raise ConfigError(
            f"{settings.model} has no operating point, so nothing says which score is enough: give --threshold, or "
            "let `python -m speaker_id.calibrate` choose one"
        )
    return ModelEmbedder(loaded, device=settings.device), point


def _opened_gallery(settings: Settings, embedder: ModelEmbedder) -> Gallery:
    return open_gallery(
        settings.gallery, fingerprint=embedder.fingerprint, dim=embedder.dim, options=settings.gallery_options
    )


def _numbered(num: int) -> list[str]:
    return [f"recording {number} of {num}" for number in range(1, num + 1)]
