"""Going on: from a checkpoint of the same run, or from the weights of another."""

from pathlib import Path

import pytest
import torch

from commands.running import Corpus, Finished, run_here, tiny, weights_of

pytestmark = pytest.mark.slow


def go_on(corpus: Corpus, folder: Path, *arguments: str, model: str = "ecapa") -> Finished:
    return run_here("train", *corpus.lists, *tiny(model), *arguments, f"hydra.run.dir={folder}")


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    first = two_epochs / "checkpoints" / "epoch_000.ckpt"
    finished = go_on(corpus, tmp_path / "run", "trainer.max_epochs=2", f"ckpt_path={first}")
    assert finished.status == 0, finished.out
    assert "epoch 2/2, batch 2/2" in finished.out
    assert "epoch 1/2" not in finished.out
    resumed = weights_of(tmp_path / "run" / "checkpoints" / "last.ckpt")
    whole = weights_of(two_epochs / "checkpoints" / "last.ckpt")
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    before = weights_of(first)
    assert not all(torch.equal(before[name], whole[name]) for name in whole)  # the second epoch did something


def test_a_run_folder_stands_for_its_last_checkpoint(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    finished = go_on(corpus, tmp_path / "run", "trainer.max_epochs=3", f"ckpt_path={two_epochs}")
    assert finished.status == 0, finished.out
    assert "epoch 3/3, batch 2/2" in finished.out
    assert "epoch 2/3" not in finished.out


def mistakes(corpus: Corpus, run: Path) -> dict[str, tuple[list[str], str]]:
    last = f"{run}/checkpoints/last.ckpt"
    return {
        "no such file": (["ckpt_path=nowhere.ckpt"], "nowhere.ckpt: no such file"),
        "no checkpoint": ([f"ckpt_path={corpus.train}"], "train.tsv: not a readable checkpoint"),
        "no run folder": ([f"ckpt_path={corpus.folder}"], "no checkpoints/last.ckpt in it"),
        "another pooling": (["pooling=average", f"ckpt_path={last}"], "trained with another pooling"),
        "other speakers": (
            [f"data.train_list={corpus.folder}/all.tsv", "data.val_list=null", f"ckpt_path={last}"],
            "trained on other speakers",
        ),
        "pretrained strictly": (
            ["pooling=average", f"pretrained={run}"],
            "weights do not fit, the first: ",
        ),
    }


@pytest.mark.parametrize("mistake", mistakes(Corpus(*[Path()] * 3), Path()))
def test_what_cannot_be_gone_on_from_is_one_message(
    mistake: str, corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    arguments, message = mistakes(corpus, two_epochs)[mistake]
    finished = go_on(corpus, tmp_path / "run", *arguments)
    assert finished.status == 1
    assert finished.out.count("\n") == 1
    assert " ERROR " in finished.out
    assert message in finished.out


def test_pretrained_weights_are_where_the_training_begins(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    finished = go_on(corpus, tmp_path / "run", f"pretrained={two_epochs}", "optimizer.lr=0")
    assert finished.status == 0, finished.out
    assert "every weight was loaded" in finished.out
    assert "epoch 1/1" in finished.out  # the weights only: the epochs begin anew
    given = weights_of(two_epochs / "checkpoints" / "best.ckpt")
    after = weights_of(tmp_path / "run" / "checkpoints" / "last.ckpt")
    trained = [name for name in given if name.startswith("embedding_model.") and name.endswith(".weight")]
    assert trained
    assert all(torch.equal(given[name], after[name]) for name in trained)


def test_a_partial_load_shows_what_was_not_loaded_and_why(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    arguments = ["pretrained_strict=false", "model.projection.dim=10", f"pretrained={two_epochs}"]
    finished = go_on(corpus, tmp_path / "run", *arguments)
    assert finished.status == 0, finished.out
    assert "weights not loaded" in finished.out
    assert "projection" in finished.out
    assert "shape" in finished.out
    assert "not in" not in finished.out  # the rest fits
