"""Findings -> the sections of a report, in words that need no training in the field."""

from speaker_id.report import drawings, pictograms
from speaker_id.report.calibration_section import calibration
from speaker_id.report.document import Drawing, Key, Section, Table, cells
from speaker_id.report.evaluation import CLEAN, StressResult
from speaker_id.report.findings import Findings
from speaker_id.report.group_section import groups
from speaker_id.report.listening_section import listening
from speaker_id.report.origin_sections import model, trials
from speaker_id.report.words import count, interval_text, number, percent, plural, value_of, words_of

NAMES = {"mp3": "MP3"}
KINDS = (Key("target", "same speaker"), Key("nontarget", "strangers"))


def sections(findings: Findings) -> tuple[Section, ...]:
    """In the order of the page; what there is nothing to say about is left out."""
    made = (figures, errors, calibration, groups, robustness, listening, embedding_map, trials, model)
    return tuple(section for make in made if (section := make(findings)) is not None)


def figures(findings: Findings) -> Section:
    rows = tuple(
        cells(words.label, value_of(figure), interval_text(figure.interval, figure.name), words.meaning)
        for words, figure in ((words_of(figure.name), figure) for figure in findings.figures)
    )
    table = Table("", ("measure", "value", "95 % interval", "what it means"), "lrrw", rows)
    lead = (
        "An interval says where the figure would lie, 19 times in 20, with other speakers of the same kind: "
        "speakers are drawn anew, not trials."
    )
    if all(figure.interval is None for figure in findings.figures):
        lead = (
            "There are no intervals: they need to know who speaks in each recording (data.test_list with labels), and "
            "three speakers or more."
        )
    return Section("figures", "Figures", lead, blocks=(table,))


def errors(findings: Findings) -> Section:
    marked = findings.marks
    keys = tuple(Key(f"m{i}", mark.name, drawings.MARK_SHAPES[i]) for i, mark in enumerate(marked))
    det = Drawing(
        "Letting strangers in against refusing true speakers",
        drawings.det(findings.sweep, marked, findings.statistics), keys,
        "Every point is a threshold; a strict one lies high on the left. Nearer to the corner below left is better.",
    )  # fmt: skip
    scores = Drawing(
        "Scores", drawings.score_histogram(findings.histogram, marked[0].threshold),
        (*KINDS, Key("threshold", "threshold at the equal error rate")),
        "A good system keeps the two hills apart. What lies on the wrong side of the threshold is an error.",
    )  # fmt: skip
    rows = tuple(cells(mark.name, number(mark.threshold), percent(mark.fpr), percent(mark.fnr)) for mark in marked)
    columns = ("threshold chosen for", "score", "strangers let in", "true speakers refused")
    lead = (
        "One threshold decides: a score at or above it is accepted. Which one is right depends on what an error costs."
    )
    table = Table("Thresholds", columns, "lrrr", rows)
    return Section("errors", "Errors and thresholds", lead, (det, scores), (table,))


def robustness(findings: Findings) -> Section | None:
    if not findings.stress:
        return None
    clean = next((result for result in findings.stress if result.family == CLEAN), None)
    families: dict[str, list[StressResult]] = {}
    for result in findings.stress:
        if result.level is not None:
            families.setdefault(result.family, []).append(result)
    highest = max(result.interval.high if result.interval else result.eer for result in findings.stress)
    charts = tuple(
        Drawing(NAMES.get(family, family.capitalize()), drawings.stress_curve(results, clean, highest))
        for family, results in families.items()
        if len(results) > 1
    )
    rows = tuple(
        cells(
            result.condition, percent(result.eer), interval_text(result.interval),
            f"{result.eer / clean.eer:.1f}" if clean and clean.eer else "", count(result.num_trials),
        )
        for result in findings.stress
    )  # fmt: skip
    columns = ("test recordings", "EER", "95 % interval", "times clean", "trials")
    table = Table("All conditions", columns, "lrrrr", rows)
    lead = (
        "The same trials with every test recording disturbed; enrolment stays clean. The dashed line is the "
        "undisturbed rate."
    )
    return Section("robustness", "Robustness", lead, charts, (table,))


def embedding_map(findings: Findings) -> Section | None:
    found = findings.map
    if found is None:
        return None
    drawn = found.speakers
    styles = (pictograms.map_style(index) for index in range(len(drawn)))
    keys = tuple(Key(style, speaker, shape) for speaker, (style, shape) in zip(drawn, styles, strict=True))
    some = f"{len(drawn)} of {found.num_speakers}" if len(drawn) < found.num_speakers else str(len(drawn))
    title = f"{some} speakers, {plural(len(found.places), 'recording')}"
    caption = f"{found.method}. Neighbours are alike; distances between islands mean nothing."
    lead = "Each mark is a recording, placed by its voice. Speakers who make islands of their own are told apart."
    return Section("map", "Map of voices", lead, (Drawing(title, pictograms.voices(found), keys, caption),))
