"""The whole main job on synthetic voices: corpus, training, evaluation on unseen voices, enrolment, identification."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from speaker_id.data.demo_corpus import CorpusSpec, DemoCorpus, build_demo_corpus
from speaker_id.data.lists import read_list
from speaker_id.errors import DataError

if TYPE_CHECKING:  # which brings torch, and a folder is refused without
    from speaker_id.inference.recognizer import Recognizer

NUM_ENROLLED, NUM_RECORDINGS = 3, 5  # users, and recordings that each is enrolled with
_NAMES = ("Ada", "Ben", "Chen")
_FULL = CorpusSpec()


class DemoResult(NamedTuple):
    """What a demo left behind, and how good its model is on voices that training never heard."""

    model: Path
    evaluation: Path
    gallery: Path
    num_trials: int
    eer: float
    seconds: float  # that all of it took


def run_demo(
    folder: Path = Path("demo"),
    *,
    rebuild: bool = False,
    epochs: int | None = None,
    spec: CorpusSpec = _FULL,
    words_to_stderr: bool = False,
) -> DemoResult:
    """Everything from nothing to an identified voice, in `folder`; a corpus that is there is used again.

    `rebuild` makes the corpus anew, `epochs` replaces the recipe's number. Raises DataError when `folder` holds
    something else or `espeakng-loader` is missing, SystemExit with the exit status of a step that failed.
    """
    _refuse_foreign(folder)
    timer = _Timer(Console(stderr=words_to_stderr, markup=False, emoji=False, highlight=False, soft_wrap=True))
    with timer.step("1/4  synthetic voices"):
        corpus = _make_corpus(timer.console, folder / "corpus", spec, rebuild)
    with timer.step("2/4  training"):
        _train(timer.console, corpus, folder / "run", epochs)
    with timer.step("3/4  evaluation on voices that training never heard"):
        metrics = _evaluate(timer.console, corpus, folder)
    with timer.step("4/4  using the model"):
        _use(timer.console, corpus, folder)
    _say_goodbye(timer, folder)
    seconds = sum(seconds for _, seconds in timer.spent)
    places = (folder / "run", folder / "evaluation", folder / "gallery.db")
    return DemoResult(*places, num_trials=metrics["num_trials"], eer=metrics["eer"], seconds=seconds)


class _Timer:
    """Titles the steps and keeps how long each took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.spent: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.console.rule(title, align="left")
        start = time.perf_counter()
        yield
        self.spent.append((title, time.perf_counter() - start))
        self.console.print(f"took {_clock(self.spent[-1][1])}", style="dim")


def _make_corpus(console: Console, folder: Path, spec: CorpusSpec, rebuild: bool) -> DemoCorpus:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("espeak-ng speaks, voices done", total=None)
        corpus = build_demo_corpus(
            folder, spec, rebuild=rebuild, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(
        f"{spec.num_train_voices} voices to train on, {spec.num_test_voices} other ones to test with, "
        f"{spec.num_sentences} sentences each: {'made in' if corpus.built else 'found in'} {folder}"
    )
    return corpus


def _train(console: Console, corpus: DemoCorpus, run: Path, epochs: int | None) -> None:
    shutil.rmtree(run, ignore_errors=True)  # an older run's checkpoints must not mix with this one's
    length = [] if epochs is None else [f"trainer.max_epochs={epochs}"]
    paths = [override("data.train_list", corpus.train_list), override("hydra.run.dir", run)]
    run_module(console, "training", "speaker_id.train", ["experiment=demo", *paths, *length])


def _evaluate(console: Console, corpus: DemoCorpus, folder: Path) -> dict[str, Any]:
    results = folder / "evaluation"
    shutil.rmtree(results, ignore_errors=True)
    model, trials = override("checkpoint", folder / "run"), override("data.test_list", corpus.test_list)
    run_module(console, "evaluation", "speaker_id.eval", [model, trials, override("hydra.run.dir", results)])
    metrics: dict[str, Any] = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    console.print(
        f"{metrics['num_trials']:,} pairs of recordings: EER {metrics['eer']:.2%}. "
        f"At threshold {metrics['threshold']:.3f} it accepts {metrics['tpr']:.2%} of the pairs of one voice (tpr) "
        f"and {metrics['fpr']:.2%} of the pairs of two voices (fpr); minDCF {metrics['min_dcf']:.3f}."
    )
    return metrics


def _use(console: Console, corpus: DemoCorpus, folder: Path) -> None:
    gallery = folder / "gallery.db"
    for old in folder.glob("gallery.db*"):  # SQLite's own companions too
        old.unlink()
    from speaker_id.inference.recognizer import Recognizer

    with Recognizer.load(folder / "run", gallery=gallery) as recognizer:
        try_recognizer(console, recognizer, recordings_by_voice(corpus.test_list))


def try_recognizer(console: Console, recognizer: "Recognizer", voices: Mapping[str, Sequence[Path]]) -> None:
    """Compare, enrol, identify, refuse a stranger, remove: each in plain words.

    The first voices are enrolled with their first recordings, the next voice is the stranger. The recordings asked
    about are the last of each voice, which are never enrolled.
    """
    *known, stranger = list(voices)[: NUM_ENROLLED + 1]
    first, second = voices[known[0]], voices[known[1]]
    _compare(console, recognizer, "two recordings of one voice", first[0], first[-1], True)
    _compare(console, recognizer, "recordings of two voices", first[0], second[0], False)
    for name, voice in zip(_NAMES, known, strict=True):
        kept = recognizer.enrol(name, *voices[voice][:NUM_RECORDINGS]).num_recordings
        console.print(f"enrol {name}: {kept} recordings of voice {voice}")
    _identify(console, recognizer, f"a new recording of {_NAMES[0]}", first[-1], _NAMES[0])
    _identify(console, recognizer, "a stranger", voices[stranger][-1], None)
    recognizer.remove(_NAMES[0])
    console.print(f"remove {_NAMES[0]}: {' and '.join(recognizer.users())} are left")
    _identify(console, recognizer, f"{_NAMES[0]} again", first[-1], None)


def recordings_by_voice(test_list: Path) -> dict[str, list[Path]]:
    """The recordings of every voice, in the order of the list."""
    voices: dict[str, list[Path]] = {}
    for utterance in read_list(test_list).utterances:
        voices.setdefault(utterance.label, []).append(Path(utterance.path))
    return voices


def run_module(console: Console, step: str, module: str, arguments: Sequence[str]) -> None:
    """`python -m module arguments` with the console's terminal; SystemExit with its status when it fails."""
    command = [sys.executable, "-m", module, *arguments]
    console.print(f"$ python {shlex.join(command[1:])}", style="dim")
    status = subprocess.run(command, check=False, stdout=2 if console.stderr else None).returncode
    if status != 0:
        print(
            f"error: the demo stopped because {step} failed (exit status {status}); its message is above",
            file=sys.stderr,
        )
        raise SystemExit(status if status > 0 else 128 - status)  # negative: ended by a signal


def override(key: str, path: Path) -> str:
    """A Hydra override that gives `path` whole, whatever characters it holds."""
    if re.fullmatch(r"[\w./-]+", str(path), re.ASCII):
        return f"{key}={path}"
    # Between quotes a backslash stands for itself, except before a quote and at the end.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), str(path))
    return f"{key}='{escaped}'"


def next_commands(folder: Path) -> list[list[str]]:
    """Three commands for the reader's own recordings."""
    model, gallery = ["--model", str(folder / "run")], ["--gallery", str(folder / "gallery.db")]
    return [
        ["compare", "a.wav", "b.wav", *model],
        ["enrol", "Ada", "ada-1.wav", "ada-2.wav", *model, *gallery],
        ["identify", "somebody.wav", *model, *gallery],
    ]


def _compare(console: Console, recognizer: "Recognizer", what: str, a: Path, b: Path, right: bool) -> None:
    result = recognizer.compare(a, b)
    verdict, sign = ("the same speaker", ">=") if result.accepted else ("not accepted as the same speaker", "<")
    remark = "" if result.accepted == right else " - a mistake"
    console.print(
        f"compare {what}: {verdict} (score {result.score:.3f} {sign} threshold {result.threshold:.3f}){remark}"
    )


def _identify(console: Console, recognizer: "Recognizer", what: str, recording: Path, right: str | None) -> None:
    result = recognizer.identify(recording)
    remark = "" if result.user == right else f" - a mistake, {right or 'nobody'} is right"
    console.print(f"identify {what}: {result.user or 'nobody'} (best score {result.score:.3f}){remark}")


def _say_goodbye(timer: _Timer, folder: Path) -> None:
    console = timer.console
    console.rule("done", align="left")
    for title, seconds in timer.spent:
        console.print(f"{_clock(seconds):>6}  {title}")
    console.print(f"{_clock(sum(seconds for _, seconds in timer.spent)):>6}  in all\n")
    console.print(f"model       {folder / 'run'}")
    console.print(f"evaluation  {folder / 'evaluation'}: metrics.json, scores.tsv, det.png, ...")
    console.print(f"gallery     {folder / 'gallery.db'}\n")
    console.print("Try your own recordings (a model for people needs people's voices: see the README):")
    program = "speaker-id" if shutil.which("speaker-id") else f"{shlex.quote(sys.executable)} -m speaker_id"
    for command in next_commands(folder):
        console.print(f"  {program} {shlex.join(command)}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _refuse_foreign(folder: Path) -> None:
    """Old results in the demo's own folder are deleted, so it must be its own."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: the demo needs a folder of its own")
    ours = any((folder / name).is_dir() for name in ("corpus", "corpus.partial"))
    if not ours and folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} holds files that are not of the demo: choose a new folder with --folder")
