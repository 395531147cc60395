"""Run the service, and hand out keys to it."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from speaker_id.cli.frame import (
    GALLERY,
    YES,
    Best,
    Device,
    GalleryFile,
    GalleryKey,
    Grace,
    Json,
    KeepRecordings,
    MinSpeech,
    Model,
    QualityLimit,
    Threshold,
    answer,
    errors,
    limits_of,
)
from speaker_id.cli.times import duration
from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.pretrained.catalogue import model_path

KeyFile = Annotated[Path, typer.Option(help="File that keeps the keys' digests.", envvar="SPEAKER_ID_KEYS")]
KEYS = Path("keys.json")


class RoleName(enum.StrEnum):
    VERIFY = "verify"
    ENROL = "enrol"
    ADMIN = "admin"


keys = typer.Typer(help="Make and take back API keys of the service.", no_args_is_help=True, rich_markup_mode=None)


def serve(  # noqa: PLR0913  # every option of the service is one here
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    best: Best = None,
    grace: Grace = "0",
    keep_recordings: KeepRecordings = False,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys.", envvar="SPEAKER_ID_KEYS", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes, each with the model.", min=1)] = 1,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.", show_default=False)] = None,
    private_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", show_default=False)] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Address of a proxy in front, whose word on callers counts.", show_default=False)
    ] = None,
    threshold: Threshold = None,
    min_speech: MinSpeech = None,
    quality: QualityLimit = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="Site whose pages may call (CORS).", show_default=False)
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Longest recording taken.")] = 60.0,
    max_body_mb: Annotated[float, typer.Option(help="Largest request taken.")] = 20.0,
    requests_per_minute: Annotated[int, typer.Option(help="Of one key, or address.", min=1)] = 120,
    allow_embed: Annotated[bool, typer.Option("--allow-embed", help="Let POST /embed give voiceprints away.")] = False,
    device: Device = "cpu",
) -> None:
    """Answer over HTTP, with a web page that records.

    Beyond this machine it needs API keys, and TLS here or in front of it.

    Example: speaker-id serve --model campplus-zh-en --gallery gallery.db
    """
    with errors(as_json=False):
        options = GalleryOptions(key=gallery_key, best=best, grace=duration(grace), keep_recordings=keep_recordings)
        limits = limits_of(min_speech, quality)
        found = model_path(model)
        from speaker_id.service.run import serve as run
        from speaker_id.service.settings import Settings

        settings = Settings(
            found, gallery, keys, device, threshold, options, limits, max_seconds=max_seconds, max_body_mb=max_body_mb,
            requests_per_minute=requests_per_minute, allow_embed=allow_embed, origins=tuple(origin or ()),
        )  # fmt: skip
        run(
            settings,
            host=host,
            port=port,
            workers=workers,
            certificate=certificate,
            private_key=private_key,
            proxy=proxy,
        )


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whom it is for.", show_default=False)],
    role: Annotated[
        RoleName,
        typer.Argument(metavar="ROLE", help="verify, enrol or admin.", show_default=False, case_sensitive=True),
    ],
    *,
    file: KeyFile = KEYS,
    as_json: Json = False,
) -> None:
    """Make a key and show it this once.

    verify compares and identifies, enrol also enrols and lists, admin also
    removes.

    Example: speaker-id keys add front-door verify
    """
    from speaker_id.service.keys import new_key

    with errors(as_json):
        token = new_key(file, name, role.value)
    answer(token, {"name": name, "role": role.value, "key": token}, as_json, YES)


def holders(context: typer.Context) -> list[str]:
    """Completes the names in the file of keys."""
    from speaker_id.service.keys import read_keys

    try:
        return [key.name for key in read_keys(Path(context.params.get("file") or KEYS))]
    except ConfigError:
        return []


@keys.command("remove")
def take_back(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose it is.", show_default=False, autocompletion=holders)
    ],
    *,
    file: KeyFile = KEYS,
    as_json: Json = False,
) -> None:
    """Take a key back; it stops working at once.

    Example: speaker-id keys remove front-door
    """
    from speaker_id.service.keys import remove_key

    with errors(as_json):
        remove_key(file, name)
    answer(f"removed the key {name}", {"name": name, "removed": True}, as_json, YES)


@keys.command("list")
def list_keys(*, file: KeyFile = KEYS, as_json: Json = False) -> None:
    """Who has a key, and for what.

    Example: speaker-id keys list
    """
    from speaker_id.service.keys import read_keys

    with errors(as_json):
        found = read_keys(file)
    lines = [f"{key.role:7} {key.name}" for key in found]
    answer(
        "\n".join(lines) or f"nobody has a key in {file}",
        {"keys": [{"name": key.name, "role": key.role} for key in found]},
        as_json,
        YES,
    )
