"""A self-supervised encoder as the feature: from the command to the recogniser, after the encoder's folder is gone."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from commands.running import Corpus, Finished, metrics_of, run_forked, run_here, tiny, weights_of
from feature.tiny_ssl import tiny_model
from speaker_id import checkpoint
from speaker_id.inference.recognizer import Recognizer

pytestmark = pytest.mark.slow
ENCODER, LAYERS = "feature.encoder.", "feature.layer_weights"


class Run(NamedTuple):
    folder: Path
    finished: Finished

    def weights(self, name: str = "last") -> dict[str, Tensor]:
        return weights_of(self.folder / "checkpoints" / f"{name}.ckpt")


def train(corpus: Corpus, model: Path, folder: Path, *arguments: str) -> Finished:
    ssl = ["feature=ssl", f"feature.name={model}"]
    return run_here("train", *corpus.lists, *tiny(), *ssl, *arguments, f"hydra.run.dir={folder}")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def frozen(corpus: Corpus, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs on the layer weights and the model above them; the folder that it was given is gone afterwards."""
    given = tmp_path_factory.mktemp("given") / "wavlm"
    shutil.copytree(model, given)
    folder = tmp_path_factory.mktemp("runs") / "frozen"
    finished = train(corpus, given, folder, "trainer.max_epochs=2")
    assert finished.status == 0, finished.out
    shutil.rmtree(given)
    return Run(folder, finished)


def moved(before: dict[str, Tensor], after: dict[str, Tensor], prefix: str) -> set[str]:
    return {name for name in before if name.startswith(prefix) and not torch.equal(before[name], after[name])}


def test_the_layer_weights_learn_and_a_frozen_encoder_is_saved_as_it_was(frozen: Run, model: Path) -> None:
    assert "feature: 0.01 M parameters, 3 of them learn" in frozen.finished.out
    given, saved = load_file(model / "model.safetensors"), frozen.weights()
    own = {name.removeprefix(ENCODER): tensor for name, tensor in saved.items() if name.startswith(ENCODER)}
    assert own.keys() == given.keys() - {"masked_spec_embed"}  # masking is feature augmentation's
    assert all(torch.equal(own[name], given[name]) for name in own)
    assert bool((saved[LAYERS] != 0).all())
    assert moved(frozen.weights("epoch_000"), saved, LAYERS) == {LAYERS}
    assert len(torch.load(frozen.folder / "checkpoints" / "last.ckpt")["optimizer_states"][0]["state"]) < len(saved)


def test_without_the_models_folder_the_run_is_evaluated_in_a_new_process(
    corpus: Corpus, frozen: Run, tmp_path: Path
) -> None:
    test = [f"data.test_list={corpus.val}", "data.num_workers=0", "interval_draws=0"]
    finished = run_forked("eval", f"checkpoint={frozen.folder}", *test, f"hydra.run.dir={tmp_path}/eval", cwd=tmp_path)
    assert finished.status == 0, finished.err
    assert finished.err == ""
    best = metrics_of(frozen.folder)["best_val_eer"]
    assert metrics_of(tmp_path / "eval")["eer"] == pytest.approx(best, abs=1e-6)


def test_a_recogniser_of_the_run_and_one_of_its_bundle_hear_the_same(
    corpus: Corpus, frozen: Run, tmp_path: Path
) -> None:
    bundle = checkpoint.save_bundle(checkpoint.load(frozen.folder), tmp_path / "bundle")
    run, portable = Recognizer.load(frozen.folder), Recognizer.load(bundle)
    assert checkpoint.load(bundle).fingerprint == checkpoint.load(frozen.folder).fingerprint
    names = [corpus.folder / "eli-0.wav", corpus.folder / "fay-0.wav"]
    first, second = (run.embed(name) for name in names)
    assert abs(float(first @ second)) < 0.9999
    for name, embedding in zip(names, (first, second), strict=True):
        torch.testing.assert_close(portable.embed(name), embedding, rtol=0, atol=0)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    corpus: Corpus, frozen: Run, model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, given := Path(checkpoint.load(frozen.folder).config["feature"]["name"]))
    first = f"ckpt_path={frozen.folder}/checkpoints/epoch_000.ckpt"
    finished = train(corpus, given, tmp_path / "run", "trainer.max_epochs=2", first)
    shutil.rmtree(given)
    assert finished.status == 0, finished.out
    assert "epoch 1/2" not in finished.out
    assert moved(frozen.weights(), Run(tmp_path / "run", finished).weights(), "") == set()


def test_fine_tuning_begins_at_the_frozen_runs_weights_and_moves_all_but_the_convolutions(
    corpus: Corpus, frozen: Run, model: Path, tmp_path: Path
) -> None:
    begin = ["feature.fine_tune=true", f"pretrained={frozen.folder}/checkpoints/last.ckpt"]
    finished = train(corpus, model, tmp_path / "run", *begin)
    assert finished.status == 0, finished.out
    assert "every weight was loaded" in finished.out
    before = {name: tensor for name, tensor in frozen.weights().items() if name.startswith("feature.")}
    after = Run(tmp_path / "run", finished).weights()
    assert moved(before, after, "feature.") == {name for name in before if ".feature_extractor." not in name}
    checkpoint.load(tmp_path / "run")


def test_a_model_that_is_not_there_is_one_message(corpus: Corpus, tmp_path: Path) -> None:
    finished = train(corpus, tmp_path / "nowhere", tmp_path / "run")
    assert finished.status == 1
    assert finished.out.count("\n") == 1
    assert f"feature.name='{tmp_path}/nowhere': no such folder" in finished.out
