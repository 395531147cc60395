"""Record from the microphone, with a level meter."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speaker_id.cli.frame import YES, Json, answer, errors
from speaker_id.inference.private_file import refuse_existing, write_private

if TYPE_CHECKING:
    from speaker_id.contracts import FloatArray
    from speaker_id.inference.microphone import Microphone

SAMPLE_RATE = 16_000
METER_DB, METER_WIDTH = 60, 30  # the meter shows that many decibels below full scale, in as many characters

Seconds = Annotated[float, typer.Option(help="How long to listen.", min=0.5, max=600)]
DeviceName = Annotated[
    str | None, typer.Option(help="The microphone: its number, or a part of its name.", show_default=False)
]
Instead = Annotated[  # tests, and whoever has no sound card
    str | None,
    typer.Option("--from", help="Files in place of the microphone.", envvar="SPEAKER_ID_MICROPHONE", hidden=True),
]


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The wav file to write.", show_default=False)],
    *,
    seconds: Seconds = 3.0,
    device_name: DeviceName = None,
    instead: Instead = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Record from the microphone, with a level meter.

    The file is 16 kHz, mono, readable by you alone, and written whole at the
    end or not at all.

    Example: speaker-id record ada-1.wav --seconds 3
    """
    with errors(as_json):
        refuse_existing(file, replace=force)
        from speaker_id.errors import NoSpeech
        from speaker_id.inference.microphone import SILENT_DB, peak_db

        with meter(seconds) as on_block:
            waveform = opened_microphone(device_name, instead).record(seconds, SAMPLE_RATE, on_block)
        peak = peak_db(waveform)
        if peak < SILENT_DB:
            raise NoSpeech("the microphone heard nothing at all, and nothing was written: is it switched off?")
        write_private(file, _as_wav(waveform), replace=force)
    clipped = peak > -0.01
    text = f"recorded {seconds:g} s into {file}, peak {peak:.1f} dB"
    if clipped:
        text += "\ntoo loud: it reaches full scale; move away or turn the microphone down"
    fields = {"file": str(file), "seconds": seconds, "sample_rate": SAMPLE_RATE, "peak_db": peak, "clipped": clipped}
    answer(text, fields, as_json, YES)


def opened_microphone(device_name: str | None, instead: str | None) -> "Microphone":
    """The machine's microphone; or the files, separated as in PATH, that stand for it."""
    from speaker_id.inference.microphone import FileMicrophone, SoundDeviceMicrophone

    if instead:
        return FileMicrophone([Path(file) for file in instead.split(os.pathsep) if file])
    return SoundDeviceMicrophone(device_name)


@contextmanager
def meter(seconds: float) -> Iterator[Callable[["FloatArray"], None]]:
    """Shows on stderr how loud each block is; where nobody watches, it draws nothing."""
    from rich.console import Console
    from rich.live import Live

    from speaker_id.inference.microphone import BLOCK_SECONDS, peak_db

    num_blocks = 0

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:

        def show(block: "FloatArray") -> None:
            nonlocal num_blocks
            num_blocks += 1
            passed = min(num_blocks * BLOCK_SECONDS, seconds)
            live.update(f"recording {passed:4.1f} of {seconds:g} s  {bar(peak_db(block))}", refresh=True)

        yield show


def bar(level_db: float) -> str:
    """A level as a line of METER_WIDTH characters and a number: empty at -60 dB, full at 0 dB."""
    share = min(max(1 + level_db / METER_DB, 0.0), 1.0)
    filled = round(share * METER_WIDTH)
    return f"{'#' * filled}{'.' * (METER_WIDTH - filled)} {level_db:4.0f} dB"


def _as_wav(waveform: "FloatArray") -> bytes:
    import soundfile

    file = io.BytesIO()  # not the disk: soundfile cannot say that one is full
    soundfile.write(file, waveform, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()
