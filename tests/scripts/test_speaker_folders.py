import subprocess
import sys
from pathlib import Path

from inference.tiny_model import recording
from speaker_id.data.lists import read_list

SCRIPT = Path(__file__).parents[2] / "scripts" / "speaker_folders.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_folders_become_a_list_that_can_be_read(tmp_path: Path) -> None:
    for corpus in ("a", "b"):
        for speaker in ("1", "2"):
            folder = tmp_path / corpus / "deep" / speaker
            folder.mkdir(parents=True)
            recording(folder / "x.wav", 150)
            (folder / "notes.txt").write_text("not sound")
    done = run(tmp_path / "a", tmp_path / "b", "--output", tmp_path / "lists.tsv")
    assert done.returncode == 0, done.stderr
    data = read_list(tmp_path / "lists.tsv")
    assert data.speakers == ["a/1", "a/2", "b/1", "b/2"]
    assert "4 recordings of 4 speakers" in done.stderr


def test_an_empty_folder_and_a_stray_recording_are_refused_and_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray").mkdir()
    recording(tmp_path / "stray" / "x.wav", 150)
    for folder in ("empty", "stray"):
        done = run(tmp_path / folder, "--output", tmp_path / "list.tsv")
        assert done.returncode != 0
        assert done.stderr.startswith("error:")
        assert not (tmp_path / "list.tsv").exists()
