import json
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.errors import ConfigError, SpeakerIdError
from speaker_id.inference.ranks import Rank, further_ranks, rank_of

LAUNCHED = {
    "torchrun": ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Rank(5, 8, 1)),
    "srun": ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "2"}, Rank(3, 4, 2)),
    "mpirun": (
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, Rank(0, 2, 0),
    ),
    "torchrun within a step of srun": (
        {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
        Rank(1, 2, 1),
    ),
    "a batch script that starts no step": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, Rank(0, 1, 0)),
    "nobody": ({"WORLD_SIZE": "2"}, Rank(0, 1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_a_launchers_variables_say_which_process_this_is(launcher: str) -> None:
    environment, rank = LAUNCHED[launcher]
    assert rank_of(environment) == rank


@pytest.mark.parametrize(("number", "world"), [("2", "2"), ("-1", "2"), ("0", "0"), ("one", "2"), ("", "")])
def test_variables_without_sense_are_named(number: str, world: str) -> None:
    with pytest.raises(ConfigError, match=rf"RANK={number} and WORLD_SIZE={world}: unset both"):
        rank_of({"RANK": number, "WORLD_SIZE": world})


@given(st.lists(st.integers(0, 99), unique=True), st.integers(1, 9))
def test_every_number_is_one_processs_own_whatever_else_is_missing(numbers: list[int], world: int) -> None:
    shares = [Rank(number, world).share(numbers) for number in range(world)]
    assert sorted(number for share in shares for number in share) == sorted(numbers)
    whole = [Rank(number, world).share(range(100)) for number in range(world)]
    assert all(set(share) <= set(all_of_it) for share, all_of_it in zip(shares, whole, strict=True))


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Rank(4 + local, 8, local).device("auto") for local in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert Rank(1, 2, 1).device("cuda") == "cuda:1"
    assert Rank(1, 2, 1).device("cuda:0") == "cuda:0"
    assert Rank(1, 2, 1).device("cpu") == "cpu"
    assert Rank().device("auto") == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Rank(1, 2, 1).device("auto") == "auto"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_further_ranks_know_their_numbers_and_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ["RANK", "WORLD_SIZE", "LOCAL_RANK"]
    code = f"import json, os; json.dump([os.environ[key] for key in {keys}], open(os.environ['RANK'], 'w'))"
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with further_ranks(python(code), 3) as check:
        check()
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}
    assert json.loads((tmp_path / "2").read_text()) == ["2", "3", "2"]
    assert dict(os.environ) == before


def test_one_process_has_no_further_ones() -> None:
    with further_ranks(["no-such-command"], 1) as check:
        check()


FAILS = """
import os, sys, time
if os.environ["RANK"] == "2":
    print("2026-11-22 05:57:52 ERROR the disk is full")
    sys.exit(1)
time.sleep(600)
"""


@pytest.mark.parametrize("working", [True, False], ids=["rank 0 works", "rank 0 waits"])
def test_a_rank_that_fails_ends_all_with_its_last_words(working: bool) -> None:
    def work() -> None:
        with further_ranks(python(FAILS), 3) as check:
            while working:
                check()
                time.sleep(0.01)

    began = time.monotonic()
    with pytest.raises(SpeakerIdError, match=r"^process 3 of 3 stopped: the disk is full$"):
        work()
    assert time.monotonic() - began < 300


def test_a_rank_without_words_is_told_by_its_status() -> None:
    with (
        pytest.raises(SpeakerIdError, match=r"^process 2 of 2 stopped: exit status 7$"),
        further_ranks(python("raise SystemExit(7)"), 2),
    ):
        pass


def test_an_error_in_rank_0_ends_the_others() -> None:
    with pytest.raises(ZeroDivisionError), further_ranks(python("import time; time.sleep(600)"), 2):
        _ = 1 // 0
