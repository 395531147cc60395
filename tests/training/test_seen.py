from pathlib import Path
from typing import Any

import pytest

from inference.tiny_model import tiny_bundle, tiny_model
from speaker_id import checkpoint
from speaker_id.data.fingerprint import SeenData, fingerprint, overlap, sound_keys
from speaker_id.data.lists import read_list
from speaker_id.errors import ConfigError
from speaker_id.training.seen import seen_data
from training.tiny_run import corpus, datamodule


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus"))


def seen(lists: Path, *, pretrained: str | None = None, **changes: Any) -> SeenData:
    found = seen_data(datamodule(lists, **changes), pretrained=pretrained)
    assert found is not None
    return found


def test_held_out_speakers_are_no_training_speakers(lists: Path) -> None:
    found = seen(lists, val_list=None, val_fraction=0.5)
    training, selection = found.lists
    data = read_list(lists)
    shared, held = overlap(training, data, sound_keys(data)), overlap(selection, data, None)
    assert (training.role, selection.role) == ("training", "selection")
    assert len(shared.speakers) == len(held.speakers) == 2
    assert set(shared.speakers) | set(held.speakers) == set(data.speakers)
    assert (len(shared.recordings), len(held.recordings)) == (6, 6)
    assert found.complete


@pytest.mark.parametrize(("detail", "listened"), [("full", True), ("names", False)])
def test_only_a_full_fingerprint_listens_and_never_to_the_validation_list(
    lists: Path, detail: str, listened: bool
) -> None:
    training, selection = seen(lists, fingerprint=detail).lists
    assert (training.sounds is not None) is listened
    assert selection.sounds is None


def test_who_wants_none_gets_none(lists: Path) -> None:
    assert seen_data(datamodule(lists, fingerprint="none"), pretrained=None) is None


def test_a_detail_that_does_not_exist_is_refused(lists: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data.fingerprint=name: did you mean 'names'\? there are: full, names, none"
    ):
        datamodule(lists, fingerprint="name")


def test_what_the_weights_have_seen_that_a_run_starts_from_is_seen_too(lists: Path, tmp_path: Path) -> None:
    before = SeenData((fingerprint(read_list(lists), detail="names"),), complete=True)
    bundle = checkpoint.save_bundle(tiny_model()._replace(seen=before), tmp_path / "bundle")
    found = seen(lists, pretrained=str(bundle))
    assert found.lists[2:] == before.lists
    assert found.complete


def test_weights_that_say_nothing_leave_the_fingerprint_incomplete(lists: Path, tmp_path: Path) -> None:
    found = seen(lists, pretrained=str(tiny_bundle(tmp_path / "bundle")))
    assert len(found.lists) == 2
    assert not found.complete
