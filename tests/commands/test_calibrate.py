"""What calibrating says, and what it changes: the operating point in the checkpoint, and nothing else."""

import hashlib
import json
import os
import shutil
import signal
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from commands.running import Corpus, Finished, contents, run_here, sway
from forked import run_python
from inference.tiny_model import RATE, tiny_bundle
from speaker_id import checkpoint
from speaker_id.inference.recognizer import Recognizer

pytestmark = pytest.mark.slow

NUM_SPEAKERS = 24  # 12 in a half make 66 pairs, which support 30 / 66 = 45.5 %
QUICK = ["data.num_workers=0", "interval_draws=20", "target_fpr=0.5"]


class Calibration(NamedTuple):
    run: Path
    folder: Path
    before: bytes
    finished: Finished


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of people whom no model was trained on."""
    folder, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(1)
    rows = []
    for speaker in range(NUM_SPEAKERS):
        for number in range(2):
            name = f"{speaker}-{number}.wav"
            soundfile.write(folder / name, sway(85 + 8 * speaker, 0.7 + 0.1 * number, rng), RATE)
            rows.append(f"{name}\tperson {speaker}\n")
    (folder / "all.tsv").write_text("".join(rows))
    rest = [row for row in rows if int(row.partition("-")[0]) % 6 == 0]  # low voices and high ones
    (folder / "rest.tsv").write_text("".join(rest))
    (folder / "most.tsv").write_text("".join(row for row in rows if row not in rest))
    return folder


@pytest.fixture
def trained(two_epochs: Path, tmp_path: Path) -> Path:
    """A run folder of one's own: others use the shared one."""
    (tmp_path / "run").mkdir()
    shutil.copytree(two_epochs / "checkpoints", tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def calibration(people: Path, two_epochs: Path, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    run = tmp_path_factory.mktemp("calibrated") / "run"
    shutil.copytree(two_epochs / "checkpoints", run / "checkpoints")
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    folder = tmp_path_factory.mktemp("calibration")
    finished = calibrate(run, people / "all.tsv", folder, "quality=[duration,magnitude]")
    assert finished.status == 0, finished.out
    return Calibration(run, folder, before, finished)


def calibrate(model: Path, data_list: Path, folder: Path, *arguments: str) -> Finished:
    lists = [f"checkpoint={model}", f"data.test_list={data_list}", f"hydra.run.dir={folder}"]
    return run_here("calibrate", *lists, *QUICK, *arguments)


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    return record


def members(archive: Path) -> dict[str, bytes]:
    """The parts of a checkpoint file: weights and optimiser are stored as they are, one part a tensor."""
    with zipfile.ZipFile(archive) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def test_the_checkpoint_then_decides_by_what_was_found(calibration: Calibration) -> None:
    point, found = checkpoint.load(calibration.run).operating_point, record_of(calibration.folder)
    assert point is not None
    assert point._asdict() == found["operating_point"]
    assert point.calibrated
    assert point.target_fpr == 0.5
    assert point.num_nontargets == 24 * 23 // 2 - 12
    assert point.source == "calibrated for 50 % false accepts, on 264 nontarget trials of 12 speakers"
    assert f"accepts from a score of {point.threshold:.4f} on" in calibration.finished.out


def test_nothing_else_in_the_checkpoint_changes(calibration: Calibration, tmp_path: Path) -> None:
    (tmp_path / "before.ckpt").write_bytes(calibration.before)
    after = calibration.run / "checkpoints" / "best.ckpt"
    old, new = members(tmp_path / "before.ckpt"), members(after)
    assert set(old) == set(new)
    assert [name for name in old if name.startswith("data/") and old[name] != new[name]] == []
    assert sum(name.startswith("data/") for name in old) > 50
    loaded, earlier = checkpoint.load(calibration.run), checkpoint.load(tmp_path / "before.ckpt")
    assert loaded.fingerprint == earlier.fingerprint
    assert loaded.speakers == earlier.speakers
    assert not list(calibration.run.rglob("*.partial"))


def test_what_was_found_lies_beside_the_checkpoint_and_in_the_folder(calibration: Calibration, people: Path) -> None:
    found = record_of(calibration.folder)
    assert record_of(calibration.run / "checkpoints") == found
    assert found["fingerprint"] == checkpoint.load(calibration.run).fingerprint
    digest = hashlib.sha256((people / "all.tsv").read_bytes()).hexdigest()
    for part in ("chosen_on", "measured_on"):
        assert (found[part]["list"], found[part]["sha256"]) == (f"{people}/all.tsv", digest)
        assert (found[part]["num_speakers"], found[part]["num_targets"], found[part]["num_nontargets"]) == (12, 12, 264)
    for name in ("operating_fpr", "operating_tpr", "act_dcf", "min_dcf", "cllr", "min_cllr"):
        low, high = found["figures"][name]["interval"]
        assert low <= high
    assert found["figures"]["min_dcf"]["value"] <= found["figures"]["act_dcf"]["value"]
    assert found["figures"]["min_cllr"]["value"] <= found["figures"]["cllr"]["value"]
    assert [leakage["speakers"] for leakage in found["leakage"]] == [[], []]


def test_it_shows_one_table_and_says_whether_qualities_help(calibration: Calibration) -> None:
    said = calibration.finished.out
    assert said.count("measured on other speakers") == 1
    for words in ("nontargets accepted (fpr)", "actDCF, p(target) = 0.01", "Cllr, bits", "12 speakers"):
        assert words in said
    assert "duration and magnitude beside the score would" in said
    assert record_of(calibration.folder)["quality"]["qualities"] == ["duration", "magnitude"]


def test_the_product_then_says_what_scores_are_worth(calibration: Calibration, people: Path) -> None:
    point = checkpoint.load(calibration.run).operating_point
    assert point is not None
    result = Recognizer.load(calibration.run).compare(people / "0-0.wav", people / "0-1.wav")
    assert result.calibrated
    assert result.llr == pytest.approx(point.llr_scale * result.score + point.llr_offset)
    assert result.threshold_source.startswith("calibrated for 50 %")


def test_a_gallery_from_before_stays_valid(trained: Path, people: Path, tmp_path: Path) -> None:
    with Recognizer.load(trained, gallery=tmp_path / "gallery.db") as recognizer:
        recognizer.enrol("Ada", people / "0-0.wav")
        assert not recognizer.identify(people / "0-0.wav", threshold=0.9).calibrated
    assert calibrate(trained, people / "all.tsv", tmp_path / "out").status == 0
    with Recognizer.load(trained, gallery=tmp_path / "gallery.db") as recognizer:
        found = recognizer.identify(people / "0-0.wav", threshold=0.9)
    assert (found.user, found.calibrated) == ("Ada", True)


def test_another_list_can_be_measured_on_and_everybody_of_the_first_counts_then(
    trained: Path, people: Path, tmp_path: Path
) -> None:
    lists = [f"data.report_list={people}/rest.tsv", "target_fpr=0.2"]  # 20 speakers: 190 pairs support 15.8 %
    assert calibrate(trained, people / "most.tsv", tmp_path / "out", *lists, "write=false").status == 0
    found = record_of(tmp_path / "out")
    assert (found["chosen_on"]["num_speakers"], found["measured_on"]["num_speakers"]) == (20, 4)
    assert found["measured_on"]["list"] == f"{people}/rest.tsv"


def test_a_bundle_is_calibrated_too_and_its_weights_are_not_written_again(people: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    before = checkpoint.load(bundle)
    weights = bundle / "model.safetensors"
    written = (weights.read_bytes(), weights.stat().st_mtime_ns)
    assert calibrate(bundle, people / "all.tsv", tmp_path / "out").status == 0
    after = checkpoint.load(bundle)
    assert after.operating_point is not None
    assert after.operating_point.calibrated
    assert (after.fingerprint, after.config) == (before.fingerprint, before.config)
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == written
    assert record_of(bundle) == record_of(tmp_path / "out")


def test_write_false_reports_and_leaves_the_run_alone(trained: Path, people: Path, tmp_path: Path) -> None:
    before = contents(trained)
    finished = calibrate(trained, people / "all.tsv", tmp_path / "out", "write=false")
    assert finished.status == 0
    assert "write=false: the checkpoint is as it was" in finished.out
    assert contents(trained) == before
    assert record_of(tmp_path / "out")["operating_point"]["target_fpr"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["target_fpr=0.001"], "the threshold would be chosen on 12 of them, and 246 are needed, 234 more"),
        (["target_fpr=0.4"], "target_fpr=0.46 at the lowest; all of them count when data.report_list=FILE names"),
        (["target_fpr=0"], "target_fpr=0: give a number between 0 and 1"),
        (["p_target=1"], "p_target=1: give a number between 0 and 1"),
        (["interval_draws=0"], "interval_draws=0: without draws nothing tests the promise"),
        (["seed=-1"], "seed=-1: give a whole number from 0 on"),
        (["quality=[age]"], "quality=age does not exist; there are: duration, magnitude"),
        (["data.report_list={people}/rest.tsv"], "shares 4 speakers with"),
    ],
    ids=["fpr too low", "advice", "no fpr", "no prior", "no draws", "no seed", "no quality", "the same people"],
)
def test_what_cannot_be_promised_is_refused_in_one_line_and_changes_nothing(
    arguments: list[str], part: str, trained: Path, people: Path, tmp_path: Path
) -> None:
    before = contents(trained)
    filled = [argument.format(people=people) for argument in arguments]
    finished = calibrate(trained, people / "all.tsv", tmp_path / "out", *filled)
    assert finished.status == 1
    assert finished.out.count(" ERROR ") == 1
    assert part in finished.out
    assert contents(trained) == before
    assert not (tmp_path / "out" / "calibration.json").exists()


def test_a_promise_that_others_contradict_is_reported_and_not_written(
    trained: Path, people: Path, tmp_path: Path
) -> None:
    """Twenty people who sound apart choose a threshold that four with one voice laugh at."""
    rng = np.random.default_rng(2)
    rows = []
    for speaker in range(4):
        for number in range(2):
            soundfile.write(tmp_path / f"{speaker}-{number}.wav", sway(120, 0.7, rng), RATE)
            rows.append(f"{speaker}-{number}.wav\talike {speaker}\n")
    (tmp_path / "alike.tsv").write_text("".join(rows))
    before = contents(trained)
    lists = [f"data.report_list={tmp_path}/alike.tsv", "target_fpr=0.2"]
    finished = calibrate(trained, people / "most.tsv", tmp_path / "out", *lists)
    assert finished.status == 1
    assert "chosen for 20 % false accepts, the threshold lets 100 % through here" in finished.out
    assert contents(trained) == before
    assert record_of(tmp_path / "out")["figures"]["operating_fpr"]["value"] == 1.0


def test_speakers_of_the_training_stop_it_unless_they_are_allowed(
    trained: Path, corpus: Corpus, people: Path, tmp_path: Path
) -> None:
    mixed = [f"{people}/{line}" for line in (people / "all.tsv").read_text().splitlines()]
    mixed += [f"{corpus.folder}/{line}" for line in corpus.train.read_text().splitlines()]
    (tmp_path / "mixed.tsv").write_text("\n".join(mixed) + "\n")
    before = contents(trained)
    finished = calibrate(trained, tmp_path / "mixed.tsv", tmp_path / "out")
    assert finished.status == 1
    assert "shares with the training of" in finished.out
    assert "measured on other speakers" not in finished.out  # no figure is shown
    assert contents(trained) == before
    allowed = calibrate(trained, tmp_path / "mixed.tsv", tmp_path / "allowed", "allow_leakage=true", "write=false")
    assert allowed.status == 0, allowed.out
    shared = {name for leakage in record_of(tmp_path / "allowed")["leakage"] for name in leakage["speakers"]}
    assert shared == {"ada", "ben", "cho", "dov"}


def test_a_model_that_training_replaced_meanwhile_is_left_alone(
    trained: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    bundle, other = tiny_bundle(tmp_path / "bundle"), tiny_bundle(tmp_path / "other", seed=1)
    load, loads = checkpoint.load, []

    def load_and_train_on(path: str) -> checkpoint.LoadedModel:
        loads.append(path)
        return load(bundle if len(loads) == 1 else other)

    monkeypatch.setattr(checkpoint, "load", load_and_train_on)
    before = best.read_bytes()
    finished = calibrate(trained, people / "all.tsv", tmp_path / "out")
    assert finished.status == 1
    assert "holds another model than when this began" in finished.out
    assert best.read_bytes() == before
    assert not (best.parent / "calibration.json").exists()


def test_killed_while_writing_it_leaves_the_old_checkpoint_whole(trained: Path, people: Path, tmp_path: Path) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    before = best.read_bytes()
    arguments = [f"checkpoint={trained}", f"data.test_list={people}/all.tsv", f"hydra.run.dir={tmp_path}/out", *QUICK]
    (tmp_path / "calibrate_and_die.py").write_text(
        "import os, signal, torch, speaker_id.calibrate as command\n"
        "save = torch.save\n"
        "def killed(content, path):\n"
        "    save(content, path)\n"
        "    os.truncate(path, os.path.getsize(path) // 2)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.save = killed\n"
        "command.main()\n"
    )
    done = run_python("-m", "calibrate_and_die", *arguments, cwd=tmp_path, environment=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert best.read_bytes() == before
    assert checkpoint.load(trained).operating_point is not None
    assert calibrate(trained, people / "all.tsv", tmp_path / "again").status == 0
    point = checkpoint.load(trained).operating_point
    assert point is not None
    assert point.calibrated
    assert not list(trained.rglob("*.partial"))
