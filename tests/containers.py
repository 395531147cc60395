"""Recordings as phones, browsers and cameras write them, made with the libraries that PyAV brings."""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray


class Kind(NamedTuple):
    """`muxer` and `codec` are ffmpeg's names; `loss` bounds what coding takes away, as a share of the sound's rms."""

    muxer: str
    codec: str
    rate: int
    video: bool = False
    options: tuple[tuple[str, str], ...] = ()
    delay: int = 0  # samples by which the sound comes late (or, below 0, begins late) where nothing states it
    loss: float = 0.1
    exact: bool = True  # the length is that of what was coded


KINDS = {
    "m4a": Kind("ipod", "aac", 44100),
    "m4a at 16 kHz": Kind("ipod", "aac", 16000),
    "m4a, header first": Kind("ipod", "aac", 44100, options=(("movflags", "faststart"),)),
    "m4a, lossless": Kind("ipod", "alac", 44100, loss=1e-4),
    "mp4 in fragments": Kind(
        "mp4", "aac", 44100, options=(("movflags", "frag_keyframe+empty_moov"),), delay=1024, exact=False
    ),
    "mp4, video": Kind("mp4", "aac", 48000, video=True),
    "mov, video": Kind("mov", "aac", 48000, video=True),
    "webm": Kind("webm", "libopus", 48000),
    "webm, live": Kind("webm", "libopus", 48000, options=(("live", "1"),)),  # as MediaRecorder writes it
    "mkv, video": Kind("matroska", "aac", 44100, video=True, exact=False),
    "aac": Kind("adts", "aac", 44100, delay=1024, exact=False),
    "wma": Kind("asf", "wmav2", 44100, delay=-2048, exact=False),
    "amr": Kind("amr", "libopencore_amrnb", 8000, delay=40, loss=0.4, exact=False),
    "3gp": Kind("3gp", "libopencore_amrnb", 8000, delay=-10, loss=0.4),
    "avi, pcm": Kind("avi", "pcm_s16le", 44100, loss=1e-3),
    "avi, video": Kind("avi", "ac3", 48000, video=True, delay=256, exact=False),
}


def encode(kind: Kind, sound: NDArray[np.float32]) -> bytes:
    """(S,) or (C, S) in [-1, 1] at the kind's rate -> the bytes of a file."""
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    path = Path(name)
    try:
        with av.open(name, "w", format=kind.muxer, options=dict(kind.options)) as container:
            _write(container, kind, np.atleast_2d(sound))
        return path.read_bytes()
    finally:
        path.unlink()


def _write(container: Any, kind: Kind, sound: NDArray[np.float32]) -> None:
    stream = container.add_stream(kind.codec, rate=kind.rate)
    stream.layout = "mono" if len(sound) == 1 else "stereo"
    if kind.codec in BIT_RATES:
        stream.bit_rate = BIT_RATES[kind.codec]
    if kind.video:
        write_video(container, sound.shape[1] / kind.rate)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=stream.layout.name)
    frame.sample_rate, frame.time_base, frame.pts = kind.rate, Fraction(1, kind.rate), 0
    context = stream.codec_context
    context.open(strict=False)
    frames = av.AudioResampler(context.format, stream.layout, kind.rate, context.frame_size)
    for part in [*frames.resample(frame), *frames.resample(None), None]:
        for packet in stream.encode(part):
            container.mux(packet)


BIT_RATES = {"wmav2": 64000, "libopencore_amrnb": 12200}


def write_video(container: Any, seconds: float) -> None:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    frames = [np.full((48, 64, 3), number % 256, np.uint8) for number in range(int(10 * seconds))]
    for picture in [*(av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames), None]:
        for packet in stream.encode(picture):
            container.mux(packet)
