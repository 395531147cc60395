"""Addresses of the web where a path may stand: telling one from the other, and naming both."""

import os
import re

_URL = re.compile(r"https?:/", re.IGNORECASE)  # one slash: a Path has made one of two


def is_url(source: object) -> bool:
    return _URL.match(str(source)) is not None


def shown(source: str | os.PathLike[str]) -> str:
    """A path, or an address without password and query, which may be secrets: as messages name it."""
    url = os.fspath(source)
    if not is_url(url):
        return url
    scheme, _, rest = url.partition(":")
    host, slash, path = rest.lstrip("/").partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{re.split('[?#]', path)[0]}"
