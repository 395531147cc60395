import json
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cli.command import files_in, run
from inference.tiny_model import RATE, recording, tiny_bundle
from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.recognizer import Recognizer

DETAILS = UserDetails({"department": "B"}, "signed on paper", datetime(2999, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an origin's `audio_db`: two users in folders, one as a flat file, and its index."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(bundle))
    for path, pitch in [("ada/0.wav", 90), ("ada/10.wav", 110), ("ada/2.wav", 100), ("bob/0.wav", 260)]:
        (tmp_path / "audio_db" / path).parent.mkdir(parents=True, exist_ok=True)
        recording(tmp_path / "audio_db" / path, pitch)
    recording(tmp_path / "audio_db" / "王 小明.wav", 180)
    # A pickle that writes a file when it is read; the names are those that the origins give it.
    for name in ("audio_indexes.bin", "index.pkl"):
        (tmp_path / "audio_db" / name).write_bytes(b"cbuiltins\nopen\n(S'pwned'\nS'w'\ntR.")
    return tmp_path


def kept(path: str = "gallery.db") -> dict[str, int]:
    with SqliteGallery.open(path) as gallery:
        return gallery.users()


def unit(*rows: int) -> FloatArray:
    return np.eye(12, dtype=np.float32)[list(rows)]


def test_a_folder_becomes_users_with_their_recordings_in_order(folder: Path, bundle: Path) -> None:
    result = run("import", "audio_db")
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if not line.startswith("    note: ")] == [
        "imported            3  ada",
        "imported            1  bob",
        "imported            1  王 小明",
        "not read: audio_db/audio_indexes.bin",
        "not read: audio_db/index.pkl",
        "3 of 3 users imported into gallery.db",
    ]
    assert kept() == {"ada": 3, "bob": 1, "王 小明": 1}
    recognizer = Recognizer.load(bundle)
    with SqliteGallery.open("gallery.db") as gallery:
        rows = gallery.embeddings("ada")
    for row, name in zip(rows, ("0.wav", "2.wav", "10.wav"), strict=True):
        np.testing.assert_allclose(row, recognizer.embed(folder / "audio_db" / "ada" / name), atol=1e-5)
    assert not (folder / "pwned").exists()


@pytest.mark.usefixtures("folder")
def test_whom_the_folder_brought_is_identified() -> None:
    run("import", "audio_db")
    assert run("identify", "audio_db/bob/0.wav").stdout.startswith("bob: accepted")


def test_one_unusable_recording_keeps_its_user_out_and_nobody_else(folder: Path) -> None:
    soundfile.write(folder / "audio_db/ada/11.wav", np.zeros(RATE), RATE)
    (folder / "audio_db/ada/12.mp3").write_bytes(b"no sound")
    (folder / "audio_db/bob/notes.txt").write_text("not sound")
    result = run("import", "audio_db", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    ada, bob, wang = answer["users"]
    assert (ada["user"], ada["verdict"], ada["num_recordings"]) == ("ada", "refused", 0)
    assert ["11.wav is silent" in ada["reasons"][0], "12.mp3" in ada["reasons"][1], len(ada["reasons"])] == [1, 1, 2]
    assert bob == bob | {"user": "bob", "verdict": "imported", "num_recordings": 1, "reasons": []}
    assert wang["verdict"] == "imported"
    assert (answer["num_imported"], answer["dry_run"]) == (2, False)
    assert [Path(path).name for path in answer["ignored"]] == ["audio_indexes.bin", "notes.txt", "index.pkl"]
    assert kept() == {"bob": 1, "王 小明": 1}


def test_a_dry_run_says_the_same_and_writes_nothing(folder: Path) -> None:
    (folder / "audio_db/ada/12.wav").write_bytes(b"no sound")
    before = files_in(folder)
    dry = json.loads(run("import", "audio_db", "--dry-run", "--json").stdout)
    assert files_in(folder) == before
    real = json.loads(run("import", "audio_db", "--json").stdout)
    assert (dry.pop("dry_run"), real.pop("dry_run")) == (True, False)
    for user in (*dry["users"], *real["users"]):
        user.pop("warnings")  # a dry run embeds nothing
    assert dry == real
    (folder / "audio_db/ada/12.wav").unlink()
    again = run("import", "audio_db", "--dry-run")
    assert again.stdout.splitlines()[0] == "imported            3  ada"
    assert again.stdout.splitlines()[-1] == "1 of 3 users would be imported into gallery.db"
    assert kept() == {"bob": 1, "王 小明": 1}


@pytest.mark.usefixtures("folder")
def test_whoever_is_enrolled_is_left_alone_unless_told_otherwise() -> None:
    run("enrol", "bob", "audio_db/ada/0.wav")
    first = run("import", "audio_db")
    assert first.exit_code == 1
    assert "already enrolled    0  bob" in first.stdout
    assert kept() == {"ada": 3, "bob": 1, "王 小明": 1}
    with SqliteGallery.open("gallery.db") as gallery:
        gallery.update("bob", DETAILS)
    assert run("import", "audio_db", "--add").exit_code == 0
    assert kept() == {"ada": 6, "bob": 2, "王 小明": 2}
    with SqliteGallery.open("gallery.db") as gallery:
        assert (found := gallery.enrolled("bob"))
        assert found.details == DETAILS


def test_doubts_about_who_speaks_are_told(folder: Path) -> None:
    (folder / "audio_db/ada 2").mkdir()
    recording(folder / "audio_db/ada 2/0.wav", 90)
    result = run("import", "audio_db")
    assert result.exit_code == 0
    assert "    note: ada is already enrolled and as alike as the same person" in result.stdout


def test_names_are_data_and_a_bad_one_keeps_only_its_user_out(folder: Path) -> None:
    for name in ("..x", "-rf", "two\nlines", "\x1b[31mred"):
        (folder / "audio_db" / name).mkdir()
        recording(folder / "audio_db" / name / "0.wav", 150)
    try:
        Path(b"audio_db/\xff\xfe".decode(errors="surrogateescape")).mkdir()
    except OSError:
        pytest.skip("needs a file system that takes any bytes as a name")
    (folder / "audio_db/bob/0.wav").rename(b"audio_db/\xff\xfe/0.wav".decode(errors="surrogateescape"))
    result = run("import", "audio_db")
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "is not valid Unicode text" in result.stdout
    assert set(kept()) == {"ada", "王 小明", "..x", "-rf", "two\nlines", "\x1b[31mred"}


def test_a_flat_file_and_a_folder_of_one_name_are_one_user(folder: Path) -> None:
    recording(folder / "audio_db" / "bob.wav", 250)
    run("import", "audio_db")
    assert kept()["bob"] == 2


def test_what_cannot_be_imported_is_one_line_and_exit_code_3(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "text").write_text("hello")
    before = files_in(folder)
    for arguments, part in [
        (("empty",), "holds no recordings"),
        (("missing",), "cannot read missing"),
        (("text",), "is no exported gallery"),
        (("audio_db/audio_indexes.bin",), "is no exported gallery"),
        (("audio_db", "--model", "no-model"), "no-model"),
    ]:
        result = run("import", *arguments)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1), arguments
        assert part in result.stderr
    assert files_in(folder) == before


def test_a_gallery_of_another_model_is_refused_before_anything_is_embedded(folder: Path) -> None:
    SqliteGallery.open("gallery.db", fingerprint="f" * 64, dim=12).close()
    for dry in ((), ("--dry-run",)):
        result = run("import", "audio_db", *dry)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "use another gallery file" in result.stderr
    assert kept() == {}
    assert (folder / "audio_db").is_dir()


def exported(path: str = "voices.safetensors") -> None:
    with SqliteGallery.open("old.db", fingerprint="a" * 64, dim=12) as gallery:
        gallery.enrol("Ada", unit(0, 1), details=DETAILS)
        gallery.enrol("two\nlines", unit(2))
    assert run("export-gallery", path, "--gallery", "old.db").exit_code == 0


def test_a_gallery_goes_through_the_file_unchanged(folder: Path) -> None:
    exported()
    assert stat.S_IMODE((folder / "voices.safetensors").stat().st_mode) == 0o600
    result = run("import", "voices.safetensors", "--gallery", "new.db", "--model", "no-model-is-needed")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "2 of 2 users imported into new.db"
    with SqliteGallery.open("new.db", fingerprint="a" * 64, dim=12) as gallery:
        assert gallery.users() == {"Ada": 2, "two\nlines": 1}
        np.testing.assert_array_equal(gallery.embeddings("Ada"), unit(0, 1))
        np.testing.assert_array_equal(gallery.embeddings("two\nlines"), unit(2))
        ada, other = gallery.enrolled("Ada"), gallery.enrolled("two\nlines")
    assert ada
    assert other
    assert (ada.details, other.details) == (DETAILS, UserDetails())
    again = run("import", "voices.safetensors", "--gallery", "new.db")
    assert (again.exit_code, kept("new.db")) == (1, {"Ada": 2, "two\nlines": 1})


@pytest.mark.usefixtures("folder")
def test_adding_an_export_keeps_the_details_of_whoever_is_there() -> None:
    exported()
    own = UserDetails({"department": "mine"})
    with SqliteGallery.open("new.db", fingerprint="a" * 64, dim=12) as gallery:
        gallery.enrol("Ada", unit(5), details=own)
    assert run("import", "voices.safetensors", "--gallery", "new.db", "--add").exit_code == 0
    with SqliteGallery.open("new.db") as gallery:
        assert (ada := gallery.enrolled("Ada"))
        assert (ada.num_recordings, ada.details) == (3, own)


def test_an_export_goes_into_galleries_of_its_model_only(folder: Path) -> None:
    exported()
    SqliteGallery.open("new.db", fingerprint="b" * 64, dim=12).close()
    result = run("import", "voices.safetensors", "--gallery", "new.db")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "model" in result.stderr
    assert kept("new.db") == {}
    run("import", "voices.safetensors", "--gallery", "none.db", "--dry-run")
    assert not (folder / "none.db").exists()


def test_whoever_expired_on_the_way_stays_out(folder: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=60)
    with SqliteGallery.open("old.db", fingerprint="a" * 64, dim=12) as gallery:
        gallery.enrol("Ada", unit(0), details=UserDetails(expires=soon))
        gallery.enrol("Bob", unit(1))
    run("export-gallery", "voices", "--gallery", "old.db")
    content = (folder / "voices").read_bytes()
    over = soon.replace(year=2001).isoformat().encode()
    assert content.count(soon.isoformat().encode()) == 1
    (folder / "voices").write_bytes(content.replace(soon.isoformat().encode(), over))
    result = run("import", "voices", "--gallery", "new.db")
    assert result.exit_code == 1
    assert "is over" in result.stdout
    assert kept("new.db") == {"Bob": 1}


def test_an_export_overwrites_nothing_unless_told_to(folder: Path) -> None:
    exported()
    (folder / "voices.safetensors").write_bytes(b"old")
    result = run("export-gallery", "voices.safetensors", "--gallery", "old.db")
    assert (result.exit_code, "exists already" in result.stderr) == (3, True)
    assert (folder / "voices.safetensors").read_bytes() == b"old"
    forced = run("export-gallery", "voices.safetensors", "--gallery", "old.db", "--force", "--json")
    assert json.loads(forced.stdout) == {"file": "voices.safetensors", "num_users": 2, "num_recordings": 3}
    assert run("import", "voices.safetensors", "--gallery", "new.db").exit_code == 0


def test_asking_for_an_export_creates_no_gallery(folder: Path) -> None:
    assert run("export-gallery", "voices", "--gallery", "none.db").exit_code == 3
    assert "none.db" not in files_in(folder)
    assert "voices" not in files_in(folder)


@pytest.mark.usefixtures("folder")
def test_an_empty_gallery_goes_through_too() -> None:
    SqliteGallery.open("old.db", fingerprint="a" * 64, dim=12).close()
    assert run("export-gallery", "voices", "--gallery", "old.db").exit_code == 0
    assert run("import", "voices", "--gallery", "new.db").exit_code == 0
    assert kept("new.db") == {}


@pytest.mark.usefixtures("folder")
def test_moving_an_exported_gallery_needs_no_torch() -> None:
    exported()
    for arguments in (["export-gallery", "again", "--gallery", "old.db"], ["import", "again", "--gallery", "new.db"]):
        code = (
            f"import sys, speaker_id.cli as cli; sys.argv = {['x', *arguments]!r}\n"
            "try: cli.main()\n"
            "finally: print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("False\n")
