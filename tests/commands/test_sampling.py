"""Losses that compare utterances: a run without batches for them is refused, one with them trains."""

from pathlib import Path

import pytest

from commands.running import Corpus, metrics_of, run_here, tiny
from leaves import alone, leaves
from speaker_id import build

BALANCED = ["data.sampling=balanced", "data.utterances_per_speaker=4"]
COMPARING = [
    leaf for leaf in leaves("loss") if hasattr(build.target_class(alone("loss", leaf)), "utterances_per_speaker")
]


def refused(corpus: Corpus, folder: Path, *overrides: str) -> str:
    """What the command says; nothing was trained or saved."""
    finished = run_here("train", *corpus.lists, *tiny(), *overrides, f"hydra.run.dir={folder}/run")
    assert finished.status == 1
    assert "Traceback" not in finished.out
    assert not (folder / "run" / "config.yaml").exists()
    assert not (folder / "run" / "checkpoints").exists()
    return finished.out.splitlines()[-1]


@pytest.mark.parametrize("loss", COMPARING)
def test_a_loss_that_compares_utterances_is_refused_with_the_overrides_it_needs(
    loss: str, corpus: Corpus, tmp_path: Path
) -> None:
    told = f"ERROR loss={loss} needs batches of several utterances a speaker: add {' '.join(BALANCED)}"
    assert refused(corpus, tmp_path, f"loss={loss}").endswith(told)
    assert refused(
        corpus, tmp_path, f"loss={loss}", BALANCED[0], "data.utterances_per_speaker=1", "data.batch_size=4"
    ).endswith(told)


def test_batches_of_one_speaker_are_refused_with_the_size_they_need(corpus: Corpus, tmp_path: Path) -> None:
    told = refused(corpus, tmp_path, "loss=ge2e", "data.sampling=balanced", "data.utterances_per_speaker=8")
    assert told.endswith(
        "data.batch_size=8 holds one at data.utterances_per_speaker=8: take data.batch_size=16 or more"
    )


def test_a_size_that_is_no_multiple_is_refused_with_both_numbers(corpus: Corpus, tmp_path: Path) -> None:
    told = refused(corpus, tmp_path, *BALANCED, "data.batch_size=10")
    assert "data.batch_size=10 is no multiple of data.utterances_per_speaker=4" in told


@pytest.mark.slow
@pytest.mark.parametrize("loss", COMPARING)
def test_with_these_overrides_it_trains(loss: str, corpus: Corpus, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finished = run_here("train", f"loss={loss}", *corpus.lists, *tiny(), *BALANCED, f"hydra.run.dir={folder}")
    assert finished.status == 0, finished.out
    assert "epoch 1/1, batch 2/2, loss " in finished.out  # 16 utterances by 8
    assert 0 <= metrics_of(folder)["val/eer"] <= 1
