import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rich
import torch
from rich.console import Console

from speaker_id.contracts import FeatureBatch
from speaker_id.training import progress as progress_module
from speaker_id.training.progress import ConsoleHandler, TrainingProgress
from speaker_id.training.verification import Verification
from training.tiny_run import datamodule, module, trainer

NUMBER = r"(\d+\.\d+)"
LINE = re.compile(
    rf"epoch (\d+)/2, batch (\d+)/3, loss {NUMBER}, accuracy {NUMBER}, learning rate (\d\.\d{{3}}e[-+]\d\d), "
    rf"{NUMBER} utterances/s \((\d+) % waiting for data\), \d+:\d\d:\d\d left"
)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == progress_module.__name__]


def test_a_run_writes_a_line_every_few_batches_and_one_for_each_validation(
    tmp_path: Path, data_list: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run = trainer(tmp_path, Verification(), TrainingProgress(every_n_batches=2), enable_progress_bar=True)
        run.fit(module(), datamodule(data_list))
    written = lines(caplog)
    training = [match for line in written if (match := LINE.fullmatch(line))]
    validation = [line for line in written if "validation" in line]
    assert len(written) == 6 == len(training) + len(validation)
    assert [(match[1], match[2]) for match in training] == [("1", "2"), ("1", "3"), ("2", "2"), ("2", "3")]
    for match in training:
        assert float(match[3]) > 0
        assert 0 <= float(match[4]) <= 1
        assert float(match[5]) > 0
        assert float(match[6]) > 0
        assert 0 <= int(match[7]) <= 100
    values = {name: float(value) for name, value in run.callback_metrics.items()}
    assert validation[1].startswith(
        f"epoch 2/2, validation: EER {100 * values['val/eer']:.2f} %, tpr {100 * values['val/tpr']:.2f} %, fpr "
        f"{100 * values['val/fpr']:.2f} % at threshold {values['val/threshold']:.4f}, "
        f"minDCF {values['val/min_dcf']:.4f}, took 0:0"
    )


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def fake_trainer(**changes: Any) -> Any:
    options = {
        "global_step": 0,
        "is_global_zero": True,
        "sanity_checking": False,
        "world_size": 1,
        "estimated_stepping_batches": 20,
        "current_epoch": 0,
        "max_epochs": 2,
        "num_training_batches": 10,
        "optimizers": [SimpleNamespace(param_groups=[{"lr": 1e-3}])],
        "callback_metrics": {},
    }
    return SimpleNamespace(**{**options, **changes})


def two_batches(monkeypatch: pytest.MonkeyPatch, *, enabled: bool = True, **changes: Any) -> None:
    """Two batches of 8: each waits 1 s for data and computes for 3 s."""
    clock, run, nobody = Clock(), fake_trainer(**changes), SimpleNamespace()
    monkeypatch.setattr(progress_module, "time", clock)
    callback = TrainingProgress(every_n_batches=2)
    if not enabled:
        callback.disable()
    callback.setup(run, nobody, "fit")  # type: ignore[arg-type]
    callback.on_train_start(run, nobody)  # type: ignore[arg-type]
    callback.on_train_epoch_start(run, nobody)  # type: ignore[arg-type]
    batch = FeatureBatch(torch.zeros(8, 1, 1), torch.zeros(8), torch.zeros(8))
    for index, (loss, accuracy) in enumerate([(2.0, 0.25), (1.0, 0.5)]):
        clock.now += 1
        callback.on_train_batch_start(run, nobody, batch, index)  # type: ignore[arg-type]
        clock.now += 3
        run.global_step += 1
        outputs = {"loss": torch.tensor(loss), "accuracy": torch.tensor(accuracy)}
        callback.on_train_batch_end(run, nobody, outputs, batch, index)  # type: ignore[arg-type]


def test_the_numbers_of_a_line_worked_by_hand(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        two_batches(monkeypatch, world_size=2)
    # 2 ranks x 2 batches x 8 in 8 s; 2 s of them waiting; 18 of 20 steps are left at 4 s each.
    assert lines(caplog) == [
        "epoch 1/2, batch 2/10, loss 1.5000, accuracy 0.3750, learning rate 1.000e-03, 4.0 utterances/s "
        "(25 % waiting for data), 0:01:12 left"
    ]


def test_the_time_left_of_a_resumed_run_counts_its_own_steps_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        two_batches(monkeypatch, global_step=8)
    assert lines(caplog)[0].endswith("0:00:40 left")  # 10 of 20 steps at 4 s each


@pytest.mark.parametrize("changes", [{"is_global_zero": False}, {"enabled": False}])
def test_other_ranks_and_a_disabled_progress_say_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    with caplog.at_level(logging.INFO):
        two_batches(monkeypatch, **changes)
    assert lines(caplog) == []


def test_a_validation_is_one_line_of_rank_0(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    values = {"eer": 0.0725, "tpr": 0.93, "fpr": 0.07, "threshold": 0.31416, "min_dcf": 0.5}
    metrics = {f"val/{name}": torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    nobody: Any = SimpleNamespace()
    with caplog.at_level(logging.INFO):
        for changes in ({}, {"is_global_zero": False}, {"sanity_checking": True}):
            callback, run = TrainingProgress(every_n_batches=2), fake_trainer(callback_metrics=metrics, **changes)
            callback.on_validation_start(run, nobody)
            clock.now += 48.6
            callback.on_validation_end(run, nobody)
        TrainingProgress(every_n_batches=2).on_validation_end(fake_trainer(), nobody)  # nothing was measured
    assert lines(caplog) == [
        "epoch 1/2, validation: EER 7.25 %, tpr 93.00 %, fpr 7.00 % at threshold 0.3142, minDCF 0.5000, took 0:00:49"
    ]


def test_the_console_prints_a_record_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=20, record=True, force_terminal=False)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    text = "[bold]no markup[/bold] :smile: " + "and a line that is longer than the screen"
    with console.capture() as captured:
        ConsoleHandler().emit(logging.LogRecord("x", logging.INFO, "x", 1, text, None, None))
    assert captured.get() == text + "\n"
