import numpy as np
import pytest
import torch

from inference.tiny_model import RATE, recording, tiny_model
from speaker_id import audio
from speaker_id.data.dataset import EvaluationDataset
from speaker_id.data.lists import DataList, Utterance
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.extraction import embed_dataset, table_of
from speaker_id.scoring import normalise

SECONDS = [0.6, 1.0, 0.6, 2.31, 1.04, 0.75, 0.6]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EvaluationDataset:
    folder = tmp_path_factory.mktemp("recordings")
    rows = tuple(
        Utterance(str(recording(folder / f"{row}.wav", 100 + 17 * row, seconds)), "ann", f"{row}.wav")
        for row, seconds in enumerate(SECONDS)
    )
    return EvaluationDataset(DataList("made.tsv", rows), sample_rate=RATE, min_seconds=0.5, max_seconds=60.0)


@pytest.mark.parametrize("batch_seconds", [0.1, 1.2, 100.0])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_rows_are_those_of_each_recording_on_its_own(
    dataset: EvaluationDataset, batch_seconds: float, num_workers: int
) -> None:
    loaded = tiny_model()
    batches = embed_dataset(loaded, dataset, device=CPU, batch_seconds=batch_seconds, num_workers=num_workers)
    table = table_of(batches, len(dataset))
    assert table.shape == (7, 12)
    assert table.dtype == np.float32
    embedder = ModelEmbedder(loaded)
    alone = np.concatenate([embedder([audio.load(row.path, RATE)]) for row in dataset.data.utterances])
    np.testing.assert_allclose(normalise(table), alone, atol=1e-5)
    assert np.linalg.norm(alone[:, None] - alone, axis=-1)[np.triu_indices(7, 1)].min() > 1e-3  # they do differ


def test_batches_come_longest_first_and_name_their_rows(dataset: EvaluationDataset) -> None:
    batches = list(embed_dataset(tiny_model(), dataset, device=CPU, batch_seconds=1.2, num_workers=0))
    assert [rows for rows, _ in batches] == [[3], [1], [4], [5], [0, 2], [6]]
    assert all(embeddings.shape == (len(rows), 12) for rows, embeddings in batches)


def test_embeddings_are_not_normalised(dataset: EvaluationDataset) -> None:
    table = table_of(embed_dataset(tiny_model(), dataset, device=CPU, batch_seconds=9.0, num_workers=0), len(dataset))
    assert np.abs(np.linalg.norm(table, axis=1) - 1).min() > 1e-3


def test_the_table_puts_batches_into_the_order_of_the_list() -> None:
    batches = iter([([2], np.array([[2.0]], np.float32)), ([3, 0, 1], np.array([[3.0], [0.0], [1.0]], np.float32))])
    assert table_of(batches, 4).ravel().tolist() == [0.0, 1.0, 2.0, 3.0]
