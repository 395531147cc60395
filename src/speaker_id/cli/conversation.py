"""The loop at a microphone: enrol, identify, remove, in English or Chinese."""

import enum
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from speaker_id.cli.frame import (
    GALLERY,
    YES,
    Best,
    Device,
    GalleryFile,
    GalleryKey,
    Json,
    Model,
    Threshold,
    as_fields,
    errors,
    os_user,
    percent,
)
from speaker_id.cli.microphone import SAMPLE_RATE, DeviceName, Instead, Seconds, meter, opened_microphone
from speaker_id.cli.wording import TEXTS
from speaker_id.errors import SpeakerIdError, UnknownUser
from speaker_id.inference.galleries import GalleryOptions, shown_location
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path

if TYPE_CHECKING:
    from speaker_id.contracts import FloatArray
    from speaker_id.inference.microphone import Microphone
    from speaker_id.inference.recognizer import Recognizer
    from speaker_id.inference.results import Identification

Recording = tuple["FloatArray", int]


class Language(enum.StrEnum):
    EN = "en"
    ZH = "zh"


class Terminal(NamedTuple):
    """Asks in words, and answers in words or, for programs, in one JSON object a line; then questions go to stderr."""

    language: str
    as_json: bool

    def ask(self, key: str, **values: object) -> str:
        """The line that somebody types, without its spaces. Raises EOFError where there is none."""
        typer.echo(TEXTS[self.language][key].format(**values), nl=False, err=self.as_json)
        return input().strip()

    def say(self, key: str, fields: dict[str, Any], **values: object) -> None:
        text = TEXTS[self.language][key].format(**values)
        typer.echo(json.dumps({"event": key, **fields}) if self.as_json else text)

    def note(self, key: str, **values: object) -> None:
        """What is only for people."""
        typer.echo(TEXTS[self.language][key].format(**values), err=self.as_json)


def interactive(
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    best: Best = None,
    lang: Annotated[Language, typer.Option(help="Language of the conversation.")] = Language.EN,
    seconds: Seconds = 3.0,
    threshold: Threshold = None,
    device: Device = "cpu",
    device_name: DeviceName = None,
    instead: Instead = None,
    as_json: Json = False,
) -> None:
    """Enrol, identify and remove users at the microphone.

    Enter starts each recording. Recordings are not kept. With --json each
    result is one line on stdout, and questions are asked on stderr.

    Example: speaker-id interactive --model campplus-zh-en --lang zh
    """
    terminal = Terminal(lang.value, as_json)
    try:
        with errors(as_json):
            found = model_path(model)
            microphone = opened_microphone(device_name, instead)
            terminal.note("loading", model=found)
            from speaker_id.inference.recognizer import Recognizer

            options = GalleryOptions(key=gallery_key, best=best)
            with Recognizer.load(
                found, gallery=gallery, gallery_options=options, threshold=threshold, device=device
            ) as recognizer:
                terminal.note("ready", num=len(recognizer.users()), gallery=shown_location(gallery))
                converse(recognizer, terminal, lambda: listen(microphone, terminal, seconds))
    except (EOFError, KeyboardInterrupt):  # Ctrl-D and Ctrl-C are ways to leave
        typer.echo(err=as_json)
    terminal.note("goodbye")
    raise typer.Exit(YES)


def converse(recognizer: "Recognizer", terminal: Terminal, hear: Callable[[], Recording]) -> None:
    """Ask what to do and do it, until somebody leaves."""
    while (choice := terminal.ask("menu")) not in {"q", "Q"}:
        try:
            if choice == "0":
                enrol(recognizer, terminal, hear)
            elif choice == "1":
                identify(recognizer, terminal, hear)
            elif choice == "2":
                remove(recognizer, terminal)
            else:
                terminal.say("wrong_choice", {"choice": choice}, choice=shown(choice))
        except SpeakerIdError as error:  # a recording in which nobody spoke is no reason to leave
            text = " ".join(str(error).split())
            terminal.say("error", {"error": str(error), "type": type(error).__name__}, error=text)


def enrol(recognizer: "Recognizer", terminal: Terminal, hear: Callable[[], Recording]) -> None:
    recording = hear()
    if not (name := terminal.ask("whose_voice")):
        terminal.say("cancelled", {})
        return
    result = recognizer.enrol(name, recording, by=os_user())
    terminal.say("enrolled", asdict(result), user=shown(name), num=result.num_recordings)
    for warning in result.warnings:
        terminal.note("warning", warning=warning)


def identify(recognizer: "Recognizer", terminal: Terminal, hear: Callable[[], Recording]) -> None:
    result = recognizer.identify(hear())
    fields = as_fields(result)
    if result.score is None:
        terminal.say("nobody_enrolled", fields)
        return
    values = {"score": result.score, "threshold": result.threshold, "worth": _worth(result, terminal.language)}
    if result.user is not None:
        terminal.say("identified", fields, user=shown(result.user), **values)
    elif result.score < result.threshold:
        terminal.say("nobody", fields, **values)
    else:
        terminal.say("too_close", fields, **values)


def remove(recognizer: "Recognizer", terminal: Terminal) -> None:
    if not (name := terminal.ask("whom_to_remove")):
        terminal.say("cancelled", {})
        return
    try:
        recognizer.remove(name, by=os_user())
    except UnknownUser:
        terminal.say("unknown_user", {"user": name}, user=shown(name))
    else:
        terminal.say("removed", {"user": name}, user=shown(name))


def listen(microphone: "Microphone", terminal: Terminal, seconds: float) -> Recording:
    """One recording, as soon as somebody presses Enter; refused at once if nobody speaks in it."""
    from speaker_id.inference.quality import check_recording

    terminal.ask("press_enter", seconds=f"{seconds:g}")
    terminal.note("recording")
    with meter(seconds) as on_block:
        waveform = microphone.record(seconds, SAMPLE_RATE, on_block)
    terminal.note("recorded")
    check_recording(waveform, SAMPLE_RATE, name=TEXTS[terminal.language]["the_recording"])
    return waveform, SAMPLE_RATE


def _worth(result: "Identification", language: str) -> str:
    texts = TEXTS[language]
    if result.probability is None:
        return texts["uncalibrated"]
    return texts["probability"].format(probability=percent(result.probability), prior=result.prior)
