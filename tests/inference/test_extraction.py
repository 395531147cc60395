import numpy as np
import pytest
import torch

from inference.tiny_model import RATE, recording, tiny_model
from speaker_id import audio
from speaker_id.checkpoint import LoadedModel
from speaker_id.data.dataset import EvaluationDataset
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import CheckpointError, ConfigError, DataError
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.extraction import EmbeddedBatch, embed_dataset, embed_parts, gather, table_of
from speaker_id.inference.parts import Part, to_bytes
from speaker_id.inference.recordings import Failure, Recordings
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


# --- parts of a list --------------------------------------------------------------------------------------------------


def recordings_of(
    dataset: EvaluationDataset, *, skip_failures: bool = False, extra: tuple[str, ...] = ()
) -> Recordings:
    """The same list, with rows that cannot be read at its end."""
    rows = (*dataset.data.utterances, *(Utterance(f"/nowhere/{name}", "", name) for name in extra))
    return Recordings(
        DataList("made.tsv", rows), sample_rate=RATE, min_seconds=0.5, max_seconds=60.0, skip_failures=skip_failures
    )


def parts_of(
    recordings: Recordings,
    parts: list[range],
    loaded: LoadedModel | None = None,
    *,
    batch_seconds: float = 1.2,
    num_workers: int = 0,
    normalise: bool = False,
) -> list[Part]:
    batches = embed_parts(
        loaded or tiny_model(),
        recordings,
        parts,
        device=CPU,
        batch_seconds=batch_seconds,
        num_workers=num_workers,
        normalise=normalise,
    )
    return list(gather(batches, parts))


def test_a_part_is_gathered_from_its_batches_in_the_order_of_the_list() -> None:
    late, early = Failure(2, "silent"), Failure(0, "missing")
    batches = [
        EmbeddedBatch([3, 1], np.array([[3.0], [1.0]], np.float32), 1.5, [late]),
        EmbeddedBatch([], np.zeros((0, 1), np.float32), 0.0, [early]),
        EmbeddedBatch([4], np.array([[4.0]], np.float32), 0.5, []),
    ]
    first, second = gather(iter(batches), [range(0, 4), range(4, 5)])
    assert (first.rows.tolist(), first.embeddings.tolist()) == ([1, 3], [[1.0], [3.0]])
    assert (first.seconds.tolist(), first.failures) == ([1.5, 1.5], (early, late))
    assert (second.rows.tolist(), second.seconds.tolist(), second.failures) == ([4], [0.5], ())


@pytest.mark.parametrize("num_workers", [0, 1])
def test_parts_hold_the_rows_of_the_list_in_its_order(dataset: EvaluationDataset, num_workers: int) -> None:
    parts = parts_of(recordings_of(dataset), [range(0, 4), range(4, 7)], num_workers=num_workers)
    assert [part.rows.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6]]
    assert np.concatenate([part.seconds for part in parts]).tolist() == [0.6, 1.0, 0.6, 2.3, 1.0, 0.7, 0.6]
    assert not any(part.failures for part in parts)
    whole = table_of(embed_dataset(tiny_model(), dataset, device=CPU, batch_seconds=9.0, num_workers=0), len(dataset))
    np.testing.assert_allclose(np.concatenate([part.embeddings for part in parts]), whole, rtol=1e-4, atol=1e-5)


def test_a_part_is_the_same_to_the_last_bit_whatever_came_before_it(dataset: EvaluationDataset) -> None:
    ranges = [range(0, 3), range(3, 5), range(5, 7)]
    together = parts_of(recordings_of(dataset), ranges)
    for own, part in zip(ranges, together, strict=True):
        (alone,) = parts_of(recordings_of(dataset), [own])
        assert to_bytes(alone) == to_bytes(part)


def test_rows_that_fail_are_left_out_of_their_part_and_told(dataset: EvaluationDataset) -> None:
    lenient = recordings_of(dataset, skip_failures=True, extra=("x.wav", "y.wav", "z.wav"))
    first, second = parts_of(lenient, [range(5, 9), range(9, 10)])
    assert first.rows.tolist() == [5, 6]
    assert [failure.row for failure in first.failures] == [7, 8]
    assert all("cannot be opened" in failure.reason for failure in first.failures)
    assert (second.rows.tolist(), second.embeddings.shape, len(second.failures)) == ([], (0, 12), 1)
    (good,) = parts_of(recordings_of(dataset), [range(5, 7)])
    np.testing.assert_array_equal(first.embeddings, good.embeddings)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_row_that_fails_stops_unless_it_may_be_skipped(dataset: EvaluationDataset, num_workers: int) -> None:
    with pytest.raises(DataError, match=r"made.tsv, utterance 8 \(x.wav\): .*cannot be opened"):
        parts_of(recordings_of(dataset, extra=("x.wav",)), [range(8)], num_workers=num_workers)


def test_parts_are_unit_rows_on_request(dataset: EvaluationDataset) -> None:
    (raw,), (unit,) = (parts_of(recordings_of(dataset), [range(7)], normalise=wish) for wish in (False, True))
    np.testing.assert_allclose(np.linalg.norm(unit.embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit.embeddings, normalise(raw.embeddings), atol=1e-6)
    assert np.abs(np.linalg.norm(raw.embeddings, axis=1) - 1).min() > 1e-3


def test_weights_that_are_not_finite_are_no_embedding(dataset: EvaluationDataset) -> None:
    loaded = tiny_model()
    with torch.no_grad():
        next(loaded.embedding_model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite: its weights are unusable"):
        parts_of(recordings_of(dataset), [range(7)], loaded)


def test_a_gpu_without_room_says_which_option_to_lower(dataset: EvaluationDataset) -> None:
    class Full(torch.nn.Module):
        out_dim = 12

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ConfigError, match=r"too little memory for 1 recordings of 36800 samples .* data.batch_seconds"):
        parts_of(recordings_of(dataset), [range(7)], tiny_model()._replace(embedding_model=Full()))
