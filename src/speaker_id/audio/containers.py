"""Recordings that libsndfile does not read: phones' and browsers' own, and the sound track of videos.

ffmpeg's libraries read them, which PyAV brings inside its wheel. They get an open file and nothing else: its first
bytes choose the one demuxer, only decoders of sound may run, and no protocol may open a second file or an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from speaker_id.audio.recording import AudioInfo, Recording, check_rate, checked, full_scale, mix_down
from speaker_id.audio.whole import missing_bytes
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

SUFFIXES = frozenset({".m4a", ".mp4", ".3gp", ".mov", ".aac", ".webm", ".mkv", ".wma", ".amr", ".avi"})

_KEPT = 1 << 24  # samples kept from counting them, 64 MB; what is read of a longer recording is decoded again
_CODECS = {
    "aac", "ac3", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "alac", "amrnb", "amrwb", "eac3", "flac", "mp2float",
    "mp3float", "opus", "pcm_alaw", "pcm_f32be", "pcm_f32le", "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be",
    "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_u8", "vorbis", "wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice",
}  # fmt: skip


class Container(NamedTuple):
    kind: str  # as people call it
    demuxer: str  # as ffmpeg does


_CONTAINERS = (
    (re.compile(rb"....(?:ftyp|moov|mdat|wide|free|skip)", re.DOTALL), Container("MP4/M4A", "mov")),
    (re.compile(rb"\x1aE\xdf\xa3"), Container("WebM/Matroska", "matroska")),
    (re.compile(rb"0&\xb2u\x8ef\xcf\x11"), Container("WMA", "asf")),
    (re.compile(rb"#!AMR(?:-WB)?\n"), Container("AMR", "amr")),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), Container("AAC", "aac")),  # no layer of MPEG audio has these bits
    (re.compile(rb"RIFF....AVI ", re.DOTALL), Container("AVI", "avi")),
)
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,amr,aac,avi"


def sniffed(head: bytes) -> Container | None:
    """What the first 16 bytes of a file announce, if it is one of these."""
    return next((container for magic, container in _CONTAINERS if magic.match(head)), None)


def available() -> bool:
    """Whether PyAV is installed. Imports it with all that it would import at its first file."""
    try:
        import av.audio.codeccontext
        import av.subtitles.codeccontext
        import av.video.codeccontext  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def opened_container(file: BinaryIO, name: str, container: Container) -> Iterator[Recording]:
    """A seekable file -> its best sound track, which is decoded to be counted: no header states its samples exactly."""
    if not available():
        raise AudioError(
            f"{name} is {container.kind}, which is read with PyAV only: pip install 'speaker-id[formats]', or convert "
            "it with `ffmpeg -i INPUT -ac 1 -ar 16000 output.wav`"
        )
    if missing := missing_bytes(file, container.demuxer):
        raise AudioError(f"{name} is truncated: {missing} bytes are missing at its end; copy it again")
    track = _Track(file, name, container)
    kept: list[FloatArray] = []
    total = 0
    for block in track.blocks():
        total += len(block)
        if total <= _KEPT:
            kept.append(block)
        else:
            kept.clear()

    def read(first: int, num: int) -> FloatArray:
        return checked(_stretch(kept if total <= _KEPT else track.blocks(), first, num), name)

    yield Recording(name, AudioInfo(total, max(1, track.sample_rate), track.num_channels), read)


def _stretch(blocks: Iterator[FloatArray] | list[FloatArray], first: int, num: int) -> FloatArray:
    """Samples `first` ... `first + num` of what the blocks make up together."""
    parts, position = [], 0
    for block in blocks:
        if position + len(block) > first:
            parts.append(block[max(0, first - position) : first + num - position])
        position += len(block)
        if position >= first + num:
            break
    return np.concatenate(parts)


class _Track:
    """The best sound track of an open file; its rate and channels are known when a block has been drawn."""

    def __init__(self, file: BinaryIO, name: str, container: Container) -> None:
        self.sample_rate = self.num_channels = 0
        self._file = file
        self._name = name
        self._container = container

    def blocks(self) -> Iterator[FloatArray]:
        """The whole track as mono (S,), frame by frame. Raises AudioError where it is damaged."""
        import av

        options = {"protocol_whitelist": "none", "format_whitelist": _FORMATS, "codec_whitelist": ",".join(_CODECS)}
        self._file.seek(0)
        try:
            with av.open(
                self._file, "r", format=self._container.demuxer, options=options, metadata_errors="replace"
            ) as opened:
                yield from self._decoded(opened)
        except (av.FFmpegError, OSError, ValueError, OverflowError) as error:  # a seek before the beginning, too
            reason = getattr(error, "strerror", None) or error
            raise AudioError(
                f"{self._name} is {self._container.kind}, but damaged or truncated ({reason}); copy it again"
            ) from error

    def _decoded(self, opened: InputContainer) -> Iterator[FloatArray]:
        stream = self._chosen(opened)
        position = 0
        for frame in _frames(opened, stream):
            self._note_rate(frame)
            block = _mono(frame, self._name)
            if self._container.demuxer == "mov" and stream.duration is not None and stream.time_base is not None:
                # The last frame is filled up to a full one; only MP4 says exactly where the recording ends.
                stated = round(stream.duration * stream.time_base * frame.sample_rate)
                if 0 < position < stated < position + len(block):
                    block = block[: stated - position]
            position += len(block)
            if len(block):
                yield block

    def _chosen(self, opened: InputContainer) -> AudioStream:
        from av import AudioStream
        from av.stream import Discard

        stream = opened.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise AudioError(f"{self._name} is {self._container.kind} without a sound track; send one that has sound")
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        if codec not in _CODECS:
            raise AudioError(
                f"{self._name} is {self._container.kind} with sound coded as {codec}, which is not read; convert it "
                "with `ffmpeg -i INPUT -ac 1 -ar 16000 output.wav`"
            )
        for other in opened.streams:
            other.discard = Discard.default if other is stream else Discard.all
        return stream

    def _note_rate(self, frame: AudioFrame) -> None:
        if self.sample_rate == 0:
            check_rate(frame.sample_rate, self._name)
            self.sample_rate, self.num_channels = frame.sample_rate, frame.layout.nb_channels
        if frame.sample_rate != self.sample_rate:
            raise AudioError(
                f"{self._name} changes its sample rate from {self.sample_rate} to {frame.sample_rate} Hz; convert it "
                "with `ffmpeg -i INPUT -ac 1 -ar 16000 output.wav`"
            )


def _frames(opened: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    for packet in opened.demux(stream):
        if packet.is_corrupt:
            raise ValueError("a packet is not whole")
        yield from packet.decode()


def _mono(frame: AudioFrame, name: str) -> FloatArray:
    samples = frame.to_ndarray()  # (C, S), or (1, S * C) with the channels in turns
    return mix_down(
        full_scale(samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T, name)
    )
