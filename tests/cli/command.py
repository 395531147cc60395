"""Runs a command in this process, as a person would type it."""

from pathlib import Path

from typer.testing import CliRunner, Result

from speaker_id.cli import app


def run(*arguments: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
