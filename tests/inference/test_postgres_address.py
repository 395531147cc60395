"""The URL of a gallery in PostgreSQL, and the password that nobody gets to see."""

import traceback

import pytest

from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import open_gallery
from speaker_id.inference.postgres.address import read_address
from speaker_id.inference.postgres.gallery import PostgresGallery


def test_our_parameters_are_taken_out_and_the_others_are_libpqs() -> None:
    address = read_address(
        "postgres://ana:p%40ss@db.example:5433/voices?gallery=front_door&sslmode=require&hnsw=on&ef_search=40&connections=3"
    )
    assert address.parameters == {
        "user": "ana",
        "password": "p@ss",
        "host": "db.example",
        "port": "5433",
        "dbname": "voices",
        "sslmode": "require",
    }
    assert address[1:5] == ("front_door", True, 40, 3)
    assert address.shown == "postgres://ana@db.example:5433/voices?gallery=front_door"


def test_what_is_not_said_is_the_usual() -> None:
    address = read_address("POSTGRESQL:///voices?host=/run/postgresql")
    assert address[1:5] == ("speaker_id", False, 100, 8)
    assert address.parameters == {"dbname": "voices", "host": "/run/postgresql"}
    assert address.shown == "postgresql:///voices"


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("gallery=Front-Door", "small letters"),
        ("gallery=pg_catalog", "no pg_"),
        ("gallery=a%22%3B%20DROP", "small letters"),
        ("gallery=", "small letters"),
        (f"gallery={'a' * 64}", "small letters"),
        ("hnsw=yes", "say on or off"),
        ("ef_search=0", "from 1 to 1000"),
        ("ef_search=many", "from 1 to 1000"),
        ("connections=1001", "from 1 to 1000"),
        ("galery=front_door", "names of the parameters"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(parameter: str, reason: str) -> None:
    with pytest.raises(GalleryError, match=reason):
        read_address(f"postgresql://db/voices?{parameter}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:hush@127.0.0.1:1/voices",  # nobody listens there
        "postgresql://ana@127.0.0.1:1/voices?password=hush",
        "postgresql://ana:%68ush@127.0.0.1:1/voices",
        "postgresql://ana:p@hush@127.0.0.1:1/voices",
        "postgresql://ana:p/hush@127.0.0.1:1/voices",
        "postgresql://ana:hush%zz@127.0.0.1:1/voices",
        "postgresql://ana:p?hush@127.0.0.1:1/voices",
        "postgresql://ana:p#hush@127.0.0.1:1/voices",
        "postgresql://ana:p:hush@127.0.0.1:port/voices",
        "postgresql://ana:hush@[::1/voices",
        "postgresql://ana:hush@no such host/voices",
        "postgresql://ana:hush@127.0.0.1:1/voices?gallery=No",
    ],
)
def test_no_message_holds_the_password_however_it_is_written(url: str) -> None:
    with pytest.raises(GalleryError) as caught:
        open_gallery(url)
    assert "hush" not in str(caught.value)
    assert "hush" not in "".join(traceback.format_exception_only(caught.value))
    assert "hush" not in str(caught.value.__cause__)


def test_a_server_that_cannot_be_reached_is_named_with_the_reason() -> None:
    with pytest.raises(GalleryError, match=r"postgresql://ana@127.0.0.1:1/voices: .*refused"):
        PostgresGallery.open("postgresql://ana:hush@127.0.0.1:1/voices")
