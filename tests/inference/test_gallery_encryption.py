import base64
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from speaker_id.contracts import UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.gallery_seal import AesGcm, KeySource, read_key

DIM = 64
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
VOICE = (np.arange(1, DIM + 1, dtype=np.float32) / 100)[None]
DETAILS = UserDetails({"department": "cryptography"}, "signed in Zermatt", datetime(2050, 1, 1, tzinfo=UTC))
UNIT = (VOICE / np.linalg.norm(VOICE)).astype("<f4").tobytes()
SECRETS = (b"Grace Hopper", b"department", b"cryptography", b"Zermatt", UNIT[:16], UNIT[-16:])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


def opened(path: Path, key: KeySource | None = KEY) -> SqliteGallery:
    return SqliteGallery.open(path, fingerprint="f", dim=DIM, key=key)


def filled(path: Path, key: bytes | None = KEY) -> SqliteGallery:
    gallery = opened(path, key)
    gallery.enrol("Grace Hopper", VOICE, details=DETAILS)
    gallery.enrol("Ada Lovelace", -VOICE)
    return gallery


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def check_filled(gallery: SqliteGallery) -> None:
    assert gallery.users() == {"Ada Lovelace": 1, "Grace Hopper": 1}
    [best, _] = gallery.search(VOICE[0])
    assert (best.user, best.score) == ("Grace Hopper", pytest.approx(1.0))
    shown = gallery.enrolled("Grace Hopper")
    assert shown is not None
    assert shown.details == DETAILS


def test_nothing_of_a_user_is_readable_on_the_disk_with_a_key(path: Path) -> None:
    with filled(path, key=None):
        plain = on_disk(path)
    assert all(secret in plain for secret in SECRETS)  # otherwise this test could not fail
    sealed_path = path.with_name("sealed.db")
    with filled(sealed_path) as gallery:
        assert not [secret for secret in SECRETS if secret in on_disk(sealed_path)]
        check_filled(gallery)
    assert not [secret for secret in SECRETS if secret in on_disk(sealed_path)]
    with opened(sealed_path) as gallery:
        check_filled(gallery)


def test_the_same_voice_twice_is_two_different_records(path: Path) -> None:
    with opened(path) as gallery:
        gallery.enrol("Ada", np.concatenate([VOICE, VOICE]))
    [(first,), (second,)] = sqlite3.connect(path).execute("SELECT vector FROM embeddings").fetchall()
    assert first[:12] != second[:12]
    assert first[12:] != second[12:]


@pytest.mark.parametrize(
    ("key", "reason"), [(OTHER, "not the key"), (None, "is encrypted: give its key")], ids=["wrong", "none"]
)
def test_an_encrypted_gallery_opens_with_its_key_alone(path: Path, key: bytes | None, reason: str) -> None:
    filled(path).close()
    for model in ({"fingerprint": "f", "dim": DIM}, {}):
        with pytest.raises(GalleryError, match=reason):
            SqliteGallery.open(path, key=key, **model)
    with opened(path) as gallery:
        check_filled(gallery)


def test_a_key_for_a_gallery_that_is_not_encrypted_is_refused(path: Path) -> None:
    filled(path, key=None).close()
    with pytest.raises(GalleryError, match=r"not encrypted.*rotate_key"):
        opened(path)


MOVES = {
    "another user's voice": "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE user_id = 2)",
    "the name as a voice": "UPDATE embeddings SET vector = (SELECT content FROM texts WHERE user_id = 1)",
    "one byte": "UPDATE embeddings SET vector = CAST(substr(vector, 1, 40) || x'7F' || substr(vector, 42) AS BLOB)",
    "cut short": "UPDATE embeddings SET vector = substr(vector, 1, 5)",
}


@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES)
def test_records_that_were_moved_or_altered_are_refused(path: Path, statement: str) -> None:
    filled(path).close()
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with opened(path) as gallery, pytest.raises(GalleryError, match=r"embedding of user number 1 .*altered"):
        gallery.search(VOICE[0])


@pytest.mark.parametrize("new", [OTHER, None], ids=["rotated", "decrypted"])
def test_another_key_takes_the_place_of_the_old_one(path: Path, new: bytes | None) -> None:
    with filled(path) as gallery:
        old = [bytes(row) for (row,) in gallery._store.connection.execute("SELECT vector FROM embeddings")]
        gallery.search(VOICE[0])
        gallery.rotate_key(KEY, new)
        check_filled(gallery)
        gallery.enrol("Grace Hopper", VOICE)
        assert not [value for value in old if value[:24] in on_disk(path)]
    with pytest.raises(GalleryError, match=r"not the key|not encrypted"):
        opened(path, KEY)
    with opened(path, new) as gallery:
        assert gallery.users() == {"Ada Lovelace": 1, "Grace Hopper": 2}


def test_a_gallery_can_be_encrypted_later_and_nothing_readable_stays(path: Path) -> None:
    with filled(path, key=None) as gallery:
        gallery.rotate_key(None, KEY)
        assert not [secret for secret in SECRETS if secret in on_disk(path)]
        check_filled(gallery)
    with opened(path) as gallery:
        check_filled(gallery)


def test_log_copies_and_recordings_are_sealed_and_follow_the_key(path: Path) -> None:
    secrets = (b"who did it", b"tape in the safe", b"fLaC of Grace")
    with SqliteGallery.open(path, fingerprint="f", dim=DIM, key=KEY, keep_recordings=True) as gallery:
        gallery.enrol("Grace Hopper", np.concatenate([VOICE, VOICE]), recordings=[None, secrets[2]], by="who did it")
        gallery.record_copy("tape in the safe", by="who did it")
        before = gallery.events(), gallery.copies()
        assert not [secret for secret in secrets if secret in on_disk(path)]
        gallery.rotate_key(KEY, OTHER, by="who did it")
        rotated, *others = gallery.events()
        assert (rotated.action, rotated.user_tag, rotated.by) == ("rotate key", None, "who did it")
        assert (others, gallery.copies()) == before
        assert gallery.events(user="Grace Hopper") == others[1:]
        assert gallery.recordings("Grace Hopper") == [None, secrets[2]]
        with pytest.raises(GalleryError, match="1 recordings are kept, and these are never stored without a key"):
            gallery.rotate_key(OTHER, None)
    with opened(path, OTHER) as gallery:
        assert gallery.recordings("Grace Hopper") == [None, secrets[2]]
        assert gallery.remove("Grace Hopper")
        gallery.rotate_key(OTHER, None)
        assert gallery.copies() == before[1]
    assert secrets[1] in on_disk(path)


def test_a_wrong_old_key_changes_nothing(path: Path) -> None:
    with filled(path) as gallery:
        for old in (OTHER, None):
            with pytest.raises(GalleryError, match="old key"):
                gallery.rotate_key(old, OTHER)
        check_filled(gallery)
    with opened(path) as gallery:
        check_filled(gallery)


def test_a_rotation_that_fails_half_way_changes_nothing(path: Path) -> None:
    with filled(path) as gallery:
        # The last user's record cannot be opened, so everything before it was sealed anew in vain.
        gallery._store.connection.execute("UPDATE embeddings SET vector = x'00' WHERE user_id = 2")
        before = gallery._store.connection.execute("SELECT * FROM texts").fetchall()
        with pytest.raises(GalleryError, match="altered"):
            gallery.rotate_key(KEY, OTHER)
        assert gallery._store.connection.execute("SELECT * FROM texts").fetchall() == before
        assert gallery.enrolled("Grace Hopper") is not None


def test_who_has_the_gallery_open_during_a_rotation_is_told(path: Path) -> None:
    with filled(path) as first, opened(path) as second:
        second.search(VOICE[0])
        first.rotate_key(KEY, OTHER)
        for call in (second.users, lambda: second.search(VOICE[0]), lambda: second.enrol("Bob", VOICE)):
            with pytest.raises(GalleryError, match=r"key .*was changed: open it again"):
                call()
        check_filled(first)


def test_a_key_comes_as_bytes_from_a_file_or_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [KEY, KEY.hex().encode() + b"\n", base64.b64encode(KEY), base64.urlsafe_b64encode(b"\xff" * 32)]
    for i, text in enumerate(texts):
        (tmp_path / str(i)).write_bytes(text)
    assert [read_key(tmp_path / str(i)) for i in range(4)] == [KEY, KEY, KEY, b"\xff" * 32]
    monkeypatch.setenv("GALLERY_KEY", KEY.hex())
    assert read_key("env:GALLERY_KEY") == read_key(KEY) == KEY


@pytest.mark.parametrize("content", [b"", b"secret", KEY[:31], KEY.hex().encode()[:-2], b"z" * 64, b"=" * 44])
def test_what_is_no_key_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(GalleryError, match=r"32 random bytes") as caught:
        read_key(tmp_path / "key")
    assert not content or content.decode("latin-1") not in str(caught.value)
    with pytest.raises(GalleryError, match="32 random bytes"):
        read_key(content)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    for missing in ("env:NO_SUCH_KEY", tmp_path / "missing"):
        with pytest.raises(GalleryError, match=r"NO_SUCH_KEY|missing"):
            read_key(missing)


def test_a_sealed_value_is_plain_aes_256_gcm_under_an_hkdf_subkey() -> None:
    """The format, by the library's own parts, so that another program can read a gallery with its key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    subkey = HKDFExpand(SHA256(), 32, b"speaker-id gallery: seal").derive(KEY)
    sealed = AesGcm(KEY).close(b"voice", 7, "embedding")
    assert AESGCM(subkey).decrypt(sealed[:12], sealed[12:], b"embedding:7") == b"voice"
