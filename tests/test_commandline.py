"""A mistyped option is found before anything starts, and the message names what was meant."""

import logging
import sys
from collections.abc import Callable

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from speaker_id import build
from speaker_id.commandline import check_overrides, is_group, options, quoted, reported, run_command
from speaker_id.errors import ConfigError, DataError

LIST = "data.train_list=train.tsv"

MISTAKES = [
    # a group's option
    (["model=ecpa"], r"^model=ecpa does not exist; did you mean 'ecapa'\? there are: campplus, dvector, ecapa, "),
    (
        ["pooling=attentive"],
        r"pooling=attentive does not exist; .*there are: attentive_statistics, attentive_statistics_local, average, ",
    ),
    (["experiment=quik"], r"experiment=quik does not exist; did you mean 'quick'\?"),
    (["model=zzz"], r"^model=zzz does not exist; there are: "),
    # a group, or a key at the top
    (["modell=ecapa"], r"^modell does not exist; did you mean 'model'\?"),
    (["sed=1"], r"^sed does not exist; did you mean 'seed'\?"),
    # a nested key: the first step that is wrong
    (["model.backbone.chanels=256"], r"^model.backbone.chanels does not exist; did you mean 'channels'\?"),
    (["model.bakbone.channels=256"], r"^model.bakbone does not exist; did you mean 'backbone'\?"),
    (["trainer.max_epoch=3"], r"^trainer.max_epoch does not exist; did you mean 'max_epochs'\?"),
    (["data.train_lst=x"], r"^data.train_lst does not exist; did you mean 'train_list'\?"),
    # a key that another choice would have had
    (["loss=softmax", "loss.margin=0.3"], r"^loss.margin does not exist"),
    (["loss.margin=0.3", "loss=softmax"], r"^loss.margin does not exist"),
    (["model=xvector", "model.backbone.scale=4"], r"^model.backbone.scale does not exist"),
    # within a sweep
    (["model=ecapa,xvectr"], r"^model=xvectr does not exist; did you mean 'xvector'\?"),
    (["model=choice(ecapa,xvectr)"], r"^model=xvectr does not exist"),
    (["model=glob(z*)"], r"model=glob\(z\*\) matches nothing; there are: campplus, dvector, ecapa, "),
    (["model=ecapa,xvector", "sed=1,2"], r"^sed does not exist"),
    (["model.backbone.chanels=128,256"], r"^model.backbone.chanels does not exist"),
    (["optimizer.l=interval(0.1,1)"], r"^optimizer.l does not exist"),
    # deletions
    (["~loger"], r"^loger does not exist; did you mean 'logger'\?"),
    (["~callbacks.progres"], r"^callbacks.progres does not exist; did you mean 'progress'\?"),
    (["~model=xvector"], r"Could not delete 'model=xvector'"),
    (["debug=null"], r"^debug=null: leave a group out by ~debug; there are: "),
    # grammar
    (["seed"], r"^cannot understand seed \(missing EQUAL .*\): write KEY=VALUE"),
    (["data.speeds=[1.0"], r"^cannot understand data.speeds=\[1.0 \(.*in quotes: 'KEY=\"VALUE\"'$"),
    (["+experiment=quick"], r"override experiment"),
]

RIGHT = [
    [],
    ["model=xvector", "pooling=statistics", "feature=mfcc"],
    ["experiment=quick", "debug=fast", "model.backbone.scale=4"],
    ["seed=7", "model.backbone.channels=256"],
    ["seed=1,2,3", "model=ecapa,xvector"],
    ["model=glob(*)", "seed=range(1,4)"],
    ["optimizer.lr=interval(0.001,0.1)"],
    ["name=second", "callbacks.best.dirpath=/tmp/elsewhere"],  # in place of interpolations only a run can resolve
    ["augmentation=noise", "augmentation.waveform.noise.sample_rate=8000"],
    ['seed="7"', "name='two words'", r"data.root='/a b/c=d'"],
    ["data.speeds=[0.9,1.0,1.1]", "model.backbone.kernel_sizes=[5,3,3,3]"],
    ["~callbacks.progress", "~logger"],
    ["~logger=default"],
    ["+trainer.limit_train_batches=3", "++trainer.max_epochs=2", "+whatever.it.is=1"],
    ["hydra.run.dir=/tmp/x", "hydra/launcher=basic", "hydra.job.chdir=true"],
    ["data.val_list=null"],
]


@pytest.mark.parametrize(
    "value",
    [
        "录音/列表.tsv",
        "my voices (1)/train.tsv",
        "~/train.tsv",
        "größe;ж&#!.tsv",
        "a'b.tsv",
        "a b=c.tsv",
        "C:\\x\\y.tsv",
    ],
)
def test_any_path_can_be_typed_as_it_is(value: str) -> None:
    parsed = OverridesParser.create().parse_override(quoted(f"data.train_list={value}")).value()
    assert (parsed.text if isinstance(parsed, QuotedString) else str(parsed)) == value


def test_of_a_sweep_each_path_is_quoted_by_itself() -> None:
    parsed = OverridesParser.create().parse_override(quoted("data.train_list=录/a.tsv,音/b.tsv"))
    assert parsed.is_choice_sweep()
    assert [choice.text for choice in parsed.value().list] == ["录/a.tsv", "音/b.tsv"]


@pytest.mark.parametrize(
    "override",
    ["seed=7", "seed=1,2", "data.speeds=[1.0", "~logger", "seed", "model=glob(z*)", "data.root='/a b/c=d'", "+x=1"],
)
def test_what_can_be_read_or_not_be_mended_stays_as_it_was_typed(override: str) -> None:
    assert quoted(override) == override


@pytest.mark.parametrize(
    ("overrides", "message"), MISTAKES, ids=lambda value: str(value) if isinstance(value, list) else ""
)
def test_a_mistake_names_what_was_meant(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_overrides("train", [LIST, *overrides])


@pytest.mark.parametrize("overrides", RIGHT, ids=str)
def test_what_hydra_allows_is_allowed(overrides: list[str]) -> None:
    check_overrides("train", [LIST, *overrides])


def test_the_evaluation_has_keys_of_its_own() -> None:
    check_overrides("eval", ["checkpoint=runs/x", "data.test_list=test.tsv"])
    with pytest.raises(ConfigError, match=r"checkpont does not exist; did you mean 'checkpoint'\?"):
        check_overrides("eval", ["checkpont=runs/x"])


def test_every_folder_of_the_config_tree_is_a_group() -> None:
    folders = [path.name for path in build.CONF_DIR.iterdir() if path.is_dir()]
    assert folders
    assert all(is_group(name) and options(name) for name in folders)
    assert not is_group("train")
    assert not is_group("model.backbone")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs `run_command` on a command line; gives back what was started."""

    def run(*arguments: str) -> list[str]:
        started: list[str] = []
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        run_command(lambda: started.append("run"), config_name="train")
        return started

    return run


def test_a_right_command_line_is_handed_to_hydra(command: Callable[..., list[str]]) -> None:
    assert command(LIST, "model=xvector") == ["run"]
    assert command("-m", LIST, "model=ecapa,xvector") == ["run"]


def test_a_mistyped_option_ends_with_status_2_and_one_line(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(LIST, "model=ecpa")
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: model=ecpa does not exist; did you mean 'ecapa'?")
    assert printed.err.count("\n") == 1


def test_a_config_folder_of_ones_own_is_left_to_hydra(command: Callable[..., list[str]]) -> None:
    assert command("--config-dir", "/somewhere", "model=mine") == ["run"]


@pytest.mark.parametrize("option", ["--data.train_list=train.tsv", "--train_list"])
def test_options_with_dashes_are_refused_with_how_they_are_written(
    option: str, command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(option, "model=ecapa")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {option}: options have no dashes in front: write KEY=VALUE")


def test_an_option_of_another_choice_is_said_to_be_one() -> None:
    with pytest.raises(ConfigError, match=r"noise does not exist; .*another choice of augmentation= may have it$"):
        check_overrides("train", [LIST, "augmentation.waveform.noise.prob=0.5"])


def test_help_is_left_to_hydra(command: Callable[..., list[str]]) -> None:
    assert command("--help", "model=mine") == ["run"]


def test_a_single_value_where_a_list_stands_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.speeds=3: needs a list, like data\.speeds=\[3\]"):
        check_overrides("train", ["data.speeds=3"])
    check_overrides("train", ["data.speeds=[0.9,1.0]"])


def test_an_error_of_ours_is_one_log_line_and_status_1(caplog: pytest.LogCaptureFixture) -> None:
    @reported
    def task() -> None:
        raise DataError("train.tsv:3: no label")

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as stopped:
        task()
    assert stopped.value.code == 1
    assert [record.getMessage() for record in caplog.records] == ["train.tsv:3: no label"]
    assert caplog.records[0].exc_info is None


def test_a_bug_keeps_its_traceback() -> None:
    @reported
    def task() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        task()


def test_a_task_keeps_its_arguments_and_its_result() -> None:
    @reported
    def task(number: int, *, factor: int) -> int:
        return number * factor

    assert task(6, factor=7) == 42
    assert task.__name__ == "task"


def test_a_command_line_in_another_script_is_handed_to_hydra_in_quotes(command: Callable[..., list[str]]) -> None:
    assert command("data.train_list=录音/a b.tsv", "hydra.run.dir=runs/我的") == ["run"]
    assert sys.argv[1:] == ['data.train_list="录音/a b.tsv"', 'hydra.run.dir="runs/我的"']
