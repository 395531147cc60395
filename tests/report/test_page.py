import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from report.planted import HOSTILE, evaluation, tone
from speaker_id.contracts import OperatingPoint
from speaker_id.errors import ConfigError, DataError, SpeakerIdError
from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Evaluation, Figure, Leakage, Trials
from speaker_id.report.findings import Findings, find, plain
from speaker_id.report.glance import headline, report
from speaker_id.report.page import json_for_page, write_report

PLANTED = evaluation(num_speakers=24, num_draws=20)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Rough intervals do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.report.breakdowns.NUM_DRAWS", 40)
        yield


class Text(HTMLParser):
    """What a page says, what its elements are, and which attributes they carry."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def of_scores(targets: list[float], nontargets: list[float], *, eer: float) -> Evaluation:
    """The planted recordings with other scores; figures say the EER only."""
    scores = np.array([*targets, *nontargets], np.float32)
    rows = np.arange(scores.size, dtype=np.intp) % 100
    trials = Trials(rows, rows + 1, scores, np.arange(scores.size) < len(targets))
    recordings = replace(PLANTED.recordings, speakers=("",) * len(PLANTED.recordings.names))
    return replace(
        PLANTED, trials=trials, recordings=recordings, figures=(Figure("eer", eer, None),), operating_point=None,
        speaker_facts={}, stress=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def findings() -> Findings:
    return find(PLANTED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(PLANTED, folder)
    return folder


def test_three_files_are_written_and_the_page_is_returned(tmp_path: Path) -> None:
    assert write_report(of_scores([0.9], [0.1], eer=0), tmp_path / "new") == tmp_path / "new" / "report.html"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"report.html", "report.md", "report.json"}


def test_the_headline_counts_attempts_as_people_do(findings: Findings) -> None:
    threshold = findings.marks[0].threshold
    assert headline(findings._replace(figures=(Figure("eer", 0.0493, Interval(0.041, 0.058)),))) == (
        "Of 1000 strangers' attempts about 49 would be let in, and as many of 1000 true ones refused, "
        f"at the threshold {threshold:.3f}."
    )
    rare = headline(findings._replace(figures=(Figure("eer", 0.00021, None),)))
    assert rare.startswith("Of 10,000 strangers' attempts about 2 would")


def test_no_error_in_few_trials_is_not_called_perfect() -> None:
    told = report(find(of_scores([0.9] * 59, [0.1] * 299, eer=0)))
    assert told.headline.startswith("All 358 attempts were decided rightly")
    assert "up to 1.00\u202f% of strangers' and 4.95\u202f% of true" in told.details[0]  # 1 - 0.05 ** (1 / n)


def test_page_markdown_and_json_say_the_same(folder: Path, findings: Findings) -> None:
    page = Text((folder / "report.html").read_text(encoding="utf-8")).text
    rendered = MarkdownIt("commonmark").enable("table").render((folder / "report.md").read_text(encoding="utf-8"))
    markdown = Text(rendered).text
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for said in (page, markdown):
        assert numbers["headline"] in said
        for figure in numbers["figures"]:
            assert said.count(f"{100 * figure['value']:.2f}") or said.count(f"{figure['value']:.4f}"), figure
        for mistake in (*numbers["mistakes"]["targets"], *numbers["mistakes"]["nontargets"]):
            assert f"{mistake['score']:.3f}" in said
            assert mistake["enrol"] in said
        for mark in numbers["marks"]:
            assert mark["name"] in said
        assert numbers["card"]["command"] in said
    for section in report(findings).sections:
        for block in section.blocks:
            for row in getattr(block, "rows", ()):
                for cell in row:
                    assert " ".join(cell.text.split()) in page
                    assert " ".join(cell.text.split()) in markdown


def test_json_holds_every_figure_and_where_it_comes_from(folder: Path) -> None:
    numbers = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {figure["name"]: figure["value"] for figure in numbers["figures"]} == {
        figure.name: pytest.approx(figure.value, rel=1e-8) for figure in PLANTED.figures
    }
    assert numbers["card"]["feature"] == PLANTED.card.feature
    assert numbers["card"]["vad"] == PLANTED.card.vad
    assert numbers["statistics"]["num_targets"] == np.count_nonzero(PLANTED.trials.is_target)
    assert numbers["leakage"] == PLANTED.leakage._asdict() | {
        name: [] for name in ("speakers", "recordings", "audio", "cohort", "selection")
    }
    assert [result["condition"] for result in numbers["stress"]] == [result.condition for result in PLANTED.stress]


def test_what_json_cannot_hold_becomes_null_and_numpy_becomes_plain() -> None:
    value = {"a": np.float32(0.5), "b": float("inf"), "c": np.arange(2), "d": (True, None), "e": Interval(0.1, np.nan)}
    assert plain(value) == {"a": 0.5, "b": None, "c": [0, 1], "d": [True, None], "e": {"low": 0.1, "high": None}}


def test_the_page_needs_nothing_from_elsewhere(folder: Path) -> None:
    markup = (folder / "report.html").read_text(encoding="utf-8")
    page = Text(markup)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags) - {"link"}
    addresses = [value for name, value in page.attributes if name in ("src", "href", "action", "data")]
    assert all(value is not None and value.startswith(("#", "data:")) for value in addresses), addresses
    assert not re.search(r"url\(|@import|https?:", markup)


def test_the_same_evaluation_gives_the_same_page(folder: Path, tmp_path: Path) -> None:
    again = write_report(PLANTED, tmp_path)
    for name in ("report.html", "report.md", "report.json"):
        assert (again.parent / name).read_bytes() == (folder / name).read_bytes()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    rename = {f"speaker{number:03d}": name for number, name in enumerate(HOSTILE)}
    told = evaluation(num_speakers=len(HOSTILE), rename=rename, num_draws=5, noise=2)
    facts = {name: {"</script>": name, "gender": name} for name in rename.values()}
    leakage = Leakage(True, HOSTILE, HOSTILE, (), True)
    card = replace(told.card, command=HOSTILE[0], checkpoint=f"a\n    {HOSTILE[1]}", evaluation_list=HOSTILE[2])
    write_report(replace(told, speaker_facts=facts, leakage=leakage, card=card), folder)
    return folder


def test_names_are_text_in_the_page(hostile: Path) -> None:
    markup = (hostile / "report.html").read_text(encoding="utf-8")
    page = Text(markup)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(" ".join(name.split()) in page.text for name in HOSTILE)
    assert page.text.count("{{ 7 * 7 }}") > 0


def test_names_are_text_in_markdown(hostile: Path) -> None:
    source = (hostile / "report.md").read_text(encoding="utf-8")
    page = Text(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source))
    assert not {"script", "img", "a", "strong", "s"} & (set(page.tags) - {"strong"})
    assert page.tags.count("strong") == 1  # the headline's own
    assert all(" ".join(name.split()) in page.text for name in HOSTILE)
    widths = {line.replace("\\|", "").count("|") for line in source.splitlines() if line.startswith("| ")}
    assert widths <= {3, 4, 5, 6, 8}  # a bar in a name begins no column


def test_data_in_the_page_cannot_end_its_element() -> None:
    text = json_for_page({"a": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--"}


@pytest.mark.parametrize("calibrated", [False, True])
def test_an_uncalibrated_model_is_called_so_and_told_what_to_do(calibrated: bool) -> None:
    told = report(find(evaluation(num_speakers=6, calibrated=calibrated, num_draws=5)))
    (section,) = [section for section in told.sections if section.key == "calibration"]
    commands = [getattr(block, "command", "") for block in section.blocks]
    assert any("python -m speaker_id.calibrate checkpoint=runs/quick" in command for command in commands) != calibrated
    assert ("Uncalibrated" in {badge.text for badge in told.badges}) != calibrated


@pytest.mark.parametrize(
    ("leakage", "level", "words"),
    [
        (Leakage(True, (), (), (), False), "good", "share no speaker"),
        (Leakage(False, (), (), (), False), "unknown", "was not checked"),
        (Leakage(True, ("anna",), (), ("a.wav", "b.wav"), True), "bad", "1 speakers, 2 sounds"),
        (Leakage(True, (), (), (), False, cohort=("anna",)), "bad", "1 cohort"),
    ],
)
def test_the_verdict_on_leakage_stands_at_the_top_and_in_its_section(
    findings: Findings, leakage: Leakage, level: str, words: str
) -> None:
    told = report(findings._replace(leakage=leakage))
    assert told.badges[0].level == level
    (section,) = [section for section in told.sections if section.key == "trials"]
    note: Any = section.blocks[0]
    assert note.level == level
    assert words in note.text
    assert ("allow_leakage=true" in note.text) == leakage.allowed


def test_without_stress_facts_and_labels_the_sections_say_less() -> None:
    told = report(find(evaluation(num_speakers=6, labelled=False, stress=False)))
    assert {"robustness", "map"}.isdisjoint(section.key for section in told.sections)
    assert "Speakers unknown: no intervals" in {badge.text for badge in told.badges}


def test_sound_is_in_the_page_alone_and_can_be_left_out(tmp_path: Path) -> None:
    sound = tone(tmp_path / "tone.wav")
    told = evaluation(num_speakers=6, paths=dict.fromkeys(range(48), sound), num_draws=5)
    page = write_report(told, tmp_path / "with")
    assert "data:audio/mpeg;base64," in page.read_text(encoding="utf-8")
    assert "pass it on only to those who may hear them" in page.read_text(encoding="utf-8")
    silent = write_report(told, tmp_path / "without", with_audio=False)
    assert "data:audio/" not in silent.read_text(encoding="utf-8")
    assert "button" not in Text(silent.read_text(encoding="utf-8")).tags
    for name in ("report.md", "report.json"):
        assert (page.parent / name).read_bytes() == (silent.parent / name).read_bytes()


def test_a_recording_that_is_gone_is_said_to_be(folder: Path) -> None:
    assert re.search(
        r"no sound: missing/\d+\.flac cannot be opened", (folder / "report.html").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("targets", "nontargets", "eer"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3], 0.0),  # separated: nothing between the hills
        ([0.5, 0.5], [0.5], 0.5),  # all alike
        ([0.1, 0.2], [0.8, 0.9], 1.0),  # all wrong
        ([1.0], [0.0], 0.0),
    ],
)
def test_extreme_scores_are_reported_too(
    tmp_path: Path, targets: list[float], nontargets: list[float], eer: float
) -> None:
    told = of_scores(targets, nontargets, eer=eer)
    for point in (None, OperatingPoint(0.45, "by hand"), OperatingPoint(0.45, "by hand", 8.0, -3.0, 0.01, 100)):
        markup = write_report(replace(told, operating_point=point), tmp_path).read_text(encoding="utf-8")
        assert "nan" not in markup.lower().replace("nanum", "")
        assert not re.search(r'd="M?"', markup)


def test_one_kind_of_trials_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both kinds"):
        write_report(of_scores([0.5], [], eer=0), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_unknown_projection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="report_map=pca does not exist; there are: tsne, umap"):
        write_report(PLANTED, tmp_path, projection="pca")  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_to_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpeakerIdError, match="could not write"):
        write_report(of_scores([0.9], [0.1], eer=0), tmp_path / "file")
