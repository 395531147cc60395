"""The report of an evaluation: one HTML file that needs nothing beside it, and the same as Markdown and JSON."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from speaker_id.report.charts import SHAPES
from speaker_id.report.document import Report
from speaker_id.report.evaluation import Evaluation
from speaker_id.report.files import whole_file
from speaker_id.report.findings import Findings, find, plain
from speaker_id.report.glance import report
from speaker_id.report.markdown import markdown
from speaker_id.report.sounds import Sounds, in_turn, sounds
from speaker_id.report.speaker_map import Projection

TEMPLATES = Path(__file__).parent / "page_files"


def write_report(
    evaluation: Evaluation, folder: Path, *, with_audio: bool = True, projection: Projection = "tsne"
) -> Path:
    """Write report.html, report.md and report.json into `folder` and return the first.

    The page holds the beginnings of the recordings in its hardest trials as sound, unless `with_audio` is false;
    the other two never do. Raises `DataError` when the trials are of one kind, `ConfigError` for a projection that is
    not installed, `SpeakerIdError` when the disk refuses.
    """
    findings = find(evaluation, projection=projection)
    told = report(findings)
    heard = played(findings, evaluation) if with_audio else None
    numbers = {"headline": told.headline, **plain(findings)}
    for name, text in (
        ("report.json", json.dumps(numbers, indent=1, allow_nan=False, ensure_ascii=False) + "\n"),
        ("report.md", markdown(told)),
        ("report.html", html(told, findings, heard)),
    ):
        with whole_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / "report.html"


def played(findings: Findings, evaluation: Evaluation) -> Sounds:
    """The recordings that the page plays, the hardest first."""
    found = findings.mistakes
    rankings = [[row for m in kind for row in (m.enrol_row, m.test_row)] for kind in (found.targets, found.nontargets)]
    rows = in_turn(*rankings, (outlier.row for outlier in found.outliers))
    return sounds({row: evaluation.recordings.paths[row] for row in rows})


def html(told: Report, findings: Findings, heard: Sounds | None) -> str:
    """The page's text. Names are not trusted: the template escapes them, and no script runs but the page's own."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    sweep = {name: [float(f"{value:.5g}") for value in values] for name, values in findings.sweep._asdict().items()}
    return environment.get_template("page.html").render(
        report=told,
        style=style,
        script=script,
        allowed={"style": fingerprint(style), "script": fingerprint(script)},
        data=json_for_page({"sweep": sweep, "sounds": {} if heard is None else heard.uris}),
        heard=heard,
        shapes=SHAPES,
    )


def json_for_page(value: Any) -> str:
    """JSON that no name in it can turn into the end of its element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def fingerprint(text: str) -> str:
    """As a content security policy names what may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
