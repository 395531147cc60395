"""Where in a database a gallery lies: its URL, less what is ours in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import shown_location

SCHEMA = "speaker_id"  # where a URL names no gallery
SCHEMA_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")  # what needs no quotes; pg_ is PostgreSQL's own
OURS = ("gallery", "hnsw", "ef_search", "connections")
SWITCH = {"on": True, "off": False}
MOST = {"ef_search": 1000, "connections": 1000}


class Address(NamedTuple):
    """How the database is reached, and the gallery's own PostgreSQL schema in it."""

    parameters: Mapping[str, str]  # libpq's, by name
    schema: str
    hnsw: bool  # search approximately
    ef_search: int  # how many neighbours HNSW looks at: more finds better and takes longer
    connections: int  # at most, of one process
    shown: str  # without password: for messages

    @property
    def password(self) -> str | None:
        return self.parameters.get("password")


def read_address(url: str) -> Address:
    """`postgresql://user@host/database?gallery=NAME`, with any parameter of libpq's. Raises GalleryError.

    Ours are `gallery` (a PostgreSQL schema, so that several galleries share a database), `hnsw`, `ef_search` and
    `connections`; all the others are libpq's own.
    """
    base, _, query = url.partition("?")
    items = [item.partition("=")[::2] for item in query.split("&") if item]
    ours = {name: unquote(value) for name, value in items if name in OURS}
    theirs = "&".join(f"{name}={value}" for name, value in items if name not in OURS)
    scheme, _, rest = base.partition("://")
    schema = ours.get("gallery", SCHEMA)
    if not SCHEMA_NAME.fullmatch(schema):
        raise GalleryError(f"gallery={schema} in the URL: use small letters, digits and _, and no pg_ at the beginning")
    if (hnsw := ours.get("hnsw", "off")) not in SWITCH:
        raise GalleryError(f"hnsw={hnsw} in the URL: say on or off")
    shown = shown_location(url)
    parameters = _parameters(f"{scheme.lower()}://{rest}?{theirs}", shown)
    ef_search, connections = _number(ours, "ef_search", 100), _number(ours, "connections", 8)
    return Address(parameters, schema, SWITCH[hnsw], ef_search, connections, shown)


def _parameters(conninfo: str, shown: str) -> dict[str, str]:
    """libpq's reading; its own complaints may show a password, and are not passed on."""
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    except psycopg.Error:
        found = None
    if (
        found is None
        or not re.fullmatch(r"[0-9,]*", found.get("port", ""))
        or any("@" in found.get(name, "") for name in ("host", "dbname"))
    ):
        raise GalleryError(
            f"{shown} cannot be read as postgresql://user:password@host:port/database?gallery=NAME: in user and "
            "password write @ : / ? # % as %40 %3A %2F %3F %23 %25, and check the names of the parameters"
        )
    return found


def _number(ours: Mapping[str, str], name: str, default: int) -> int:
    given = ours.get(name, str(default))
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= MOST[name]):
        raise GalleryError(f"{name}={given} in the URL: give a number from 1 to {MOST[name]}")
    return int(given)
