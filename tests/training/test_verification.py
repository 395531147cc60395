import socket
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, multiprocessing

from speaker_id.contracts import FeatureBatch
from speaker_id.training.verification import Verification, gathered
from training.tiny_run import datamodule, module, trainer

Part = tuple[Tensor, Tensor, Tensor]


def parts_of(rows: list[list[int]], *, seed: int = 0) -> list[Part]:
    """Batches of (rows, labels, embeddings): row r has label r % 3 and embedding r of one fixed table."""
    table = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed))
    return [(torch.tensor(batch), torch.tensor(batch) % 3, table[batch]) for batch in rows]


def test_rows_come_back_in_their_order() -> None:
    embeddings, labels = gathered(parts_of([[4, 0], [3], [1, 2]]))
    expected = parts_of([[0, 1, 2, 3, 4]])[0]
    np.testing.assert_array_equal(embeddings, expected[2].numpy())
    assert labels.tolist() == [0, 1, 2, 0, 1]


def test_a_row_seen_twice_counts_once() -> None:
    embeddings, labels = gathered(parts_of([[2, 0, 1], [0, 1], [2]]))
    assert embeddings.shape == (3, 6)
    assert labels.tolist() == [0, 1, 2]


def simple_eer(scores: list[float], targets: list[bool]) -> float:
    """Where the two rates cross, from the definition: every threshold tried, neighbours joined by a line."""
    points = []
    for threshold in sorted({*scores, np.inf}):
        misses = sum(score < threshold for score, target in zip(scores, targets, strict=True) if target)
        accepts = sum(score >= threshold for score, target in zip(scores, targets, strict=True) if not target)
        points.append((accepts / targets.count(False), misses / targets.count(True)))
    for (fpr_0, fnr_0), (fpr_1, fnr_1) in pairwise(points):
        if fnr_1 >= fpr_1:
            part = (fpr_0 - fnr_0) / ((fpr_0 - fnr_0) + (fnr_1 - fpr_1))
            return float(fpr_0 + part * (fpr_1 - fpr_0))
    raise AssertionError("the rates always cross")


def test_the_logged_metrics_are_those_of_all_pairs() -> None:
    logged: dict[str, float] = {}
    callback = Verification()
    fake: Any = SimpleNamespace(sanity_checking=False)
    holder: Any = SimpleNamespace(log=lambda name, value, **how: logged.update({name: value}))
    callback.on_validation_epoch_start(fake, holder)
    for rows, labels, embeddings in parts_of([[8, 2, 5], [0, 1], [3, 4, 6, 7], [0, 8]]):
        batch = FeatureBatch(torch.zeros(len(rows), 1, 1), labels, rows)
        callback.on_validation_batch_end(fake, holder, embeddings, batch, 0)
    callback.on_validation_epoch_end(fake, holder)

    table = parts_of([list(range(9))])[0][2].double()
    scores, targets = [], []
    for i in range(9):
        for j in range(i + 1, 9):
            scores.append(float(torch.nn.functional.cosine_similarity(table[i], table[j], dim=0)))
            targets.append(i % 3 == j % 3)
    assert set(logged) == {"val/eer", "val/tpr", "val/fpr", "val/threshold", "val/min_dcf"}
    assert logged["val/eer"] == pytest.approx(simple_eer(scores, targets), abs=1e-6)
    accepted = [score >= logged["val/threshold"] - 1e-6 for score in scores]
    for name, kind in (("val/tpr", True), ("val/fpr", False)):
        rate = np.mean([a for a, target in zip(accepted, targets, strict=True) if target == kind])
        assert logged[name] == pytest.approx(rate)
    costs = [1.0]
    for threshold in scores:
        miss = np.mean([s < threshold for s, t in zip(scores, targets, strict=True) if t])
        accept = np.mean([s >= threshold for s, t in zip(scores, targets, strict=True) if not t])
        costs.append(float((0.01 * miss + 0.99 * accept) / 0.01))
    assert logged["val/min_dcf"] == pytest.approx(min(costs), abs=1e-6)


def test_a_new_epoch_forgets_the_last() -> None:
    callback, anything = Verification(), SimpleNamespace()
    callback.parts = parts_of([[0, 1]])
    callback.on_validation_epoch_start(anything, anything)  # type: ignore[arg-type]
    assert callback.parts == []


def test_a_sanity_check_logs_nothing() -> None:
    callback = Verification()
    callback.parts = parts_of([[0, 1]])  # one batch of a list need not hold both kinds of trial
    callback.on_validation_epoch_end(SimpleNamespace(sanity_checking=True), SimpleNamespace())  # type: ignore[arg-type]


def test_a_run_validates_every_recording_once(tmp_path: Path, data_list: Path) -> None:
    callback = Verification()
    run = trainer(tmp_path, callback, max_epochs=1)
    run.fit(module(), datamodule(data_list))
    assert sorted(row for rows, _, _ in callback.parts for row in rows.tolist()) == list(range(12))
    assert {"val/eer", "val/threshold"} <= set(run.callback_metrics)
    assert 0 <= float(run.callback_metrics["val/eer"]) <= 1


def one_rank(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        rows = [[[0, 7], [2]], [[1, 5, 6], [3, 4], [0]]][rank]  # row 0 on both, as a padding sampler would
        embeddings, labels = gathered(parts_of(rows))
        np.savez(Path(folder) / f"{rank}.npz", embeddings=embeddings, labels=labels)
    finally:
        torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_gather_what_one_would_have(tmp_path: Path) -> None:
    # Fork: spawned processes would import Lightning again, ten seconds of it.
    multiprocessing.start_processes(one_rank, args=(free_port(), str(tmp_path)), nprocs=2, start_method="fork")
    embeddings, labels = gathered(parts_of([list(range(8))]))
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            np.testing.assert_array_equal(found["embeddings"], embeddings)
            np.testing.assert_array_equal(found["labels"], labels)
