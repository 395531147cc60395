"""An evaluation with known truths planted in it, to look at and to test reports with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from scipy.optimize import minimize

from speaker_id import metrics, scoring
from speaker_id.contracts import OperatingPoint
from speaker_id.report.evaluation import Evaluation, Figure, Leakage, ModelCard, Recordings, StressResult, Trials

RATE = 16000
HOSTILE = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "' onmouseover='window.pwned=1",
    "{{ 7 * 7 }}",
    "<!-- <script>",
    "a|b `code` **bold** [link](javascript:window.pwned=1)",
    "שלום \u202e evil",
    "&lt;b&gt; &amp; \\ $x$ ~~struck~~",
    "very" * 40,
)
CARD = ModelCard(
    checkpoint="runs/quick/2026-01-05_10-31-07",
    fingerprint="5f1c0a9b",
    num_parameters=6_194_112,
    embedding_dim=192,
    feature={"_target_": "speaker_id.feature.fbank.Fbank", "sample_rate": 16000, "num_mels": 80},
    model={"_target_": "speaker_id.model.ecapa.Ecapa", "channels": 512},
    pooling={"_target_": "speaker_id.pooling.AttentiveStatisticsPooling"},
    num_training_speakers=200,
    evaluation_list="dev.tsv",
    evaluation_digest="3b1d7e9f0c4a5568",
    command="python -m speaker_id.eval checkpoint=runs/quick/2026-01-05_10-31-07 data.test_list=dev.tsv report=true",
    version="0.1.0",
    created="2026-01-05T11:02:33+00:00",
    vad={"_target_": "speaker_id.vad.energy.Energy", "pad_seconds": 0.05},
)


def evaluation(
    *,
    num_speakers: int = 60,
    per_speaker: int = 8,
    noise: float = 0.75,
    women: float = 1.5,
    calibrated: bool = True,
    labelled: bool = True,
    stress: bool = True,
    facts: bool = True,
    paths: Mapping[int, Path] | None = None,
    rename: Mapping[str, str] | None = None,
    leakage: Leakage | None = None,
    num_draws: int = 100,
    seed: int = 0,
) -> Evaluation:
    """All pairs of `num_speakers * per_speaker` embeddings: `women` times as noisy as men's, shorter ones noisier."""
    rng = np.random.default_rng(seed)
    names = [f"speaker{number:03d}" for number in range(num_speakers)]
    speakers = np.repeat(names, per_speaker)
    seconds = np.round(rng.gamma(3, 1.6, speakers.size) + 0.6, 1).astype(np.float32)
    is_woman = np.repeat(np.arange(num_speakers) % 2 == 0, per_speaker)
    spread = noise * np.where(is_woman, women, 1) * np.sqrt(3 / seconds + 0.3)
    centres = rng.normal(size=(num_speakers, 32)).repeat(per_speaker, axis=0)
    embeddings = scoring.normalise(centres + spread[:, None] * rng.normal(size=(speakers.size, 32)))
    enrol, test = scoring.pair_indices(speakers.size)
    scores = scoring.score_trials(embeddings, enrol, test)
    is_target = speakers[enrol] == speakers[test]
    renamed = dict(rename or {})
    recordings = Recordings(
        names=tuple(f"{renamed.get(who, who)}/{row % per_speaker:02d}.flac" for row, who in enumerate(speakers)),
        paths=tuple(str((paths or {}).get(row, f"missing/{row}.flac")) for row in range(speakers.size)),
        speakers=tuple(renamed.get(who, who) if labelled else "" for who in speakers),
        seconds=seconds,
        embeddings=embeddings,
    )
    llr = fitted(scores, is_target) if calibrated else None
    threshold = metrics.at_fpr(scores, is_target, 0.01).threshold
    point = OperatingPoint(threshold, "chosen for 1 % false accepts on 41,328 trials of val.tsv")
    if llr is not None:
        point = point._replace(llr_scale=llr.scale, llr_offset=llr.offset, target_fpr=0.01, num_nontargets=41_328)
    values = metrics.figures(scores, is_target, llr=llr, threshold=point.threshold)
    spans: dict[str, metrics.Interval] = {}
    if labelled:
        spans = metrics.intervals(
            scores, is_target, speakers[enrol], speakers[test],
            rng=rng, num_draws=num_draws, llr=llr, threshold=point.threshold,
        )  # fmt: skip
    return Evaluation(
        recordings=recordings,
        trials=Trials(enrol, test, scores, is_target),
        figures=tuple(Figure(name, value, spans.get(name)) for name, value in values.items()),
        back_end="cosine",
        crop="whole recordings",
        operating_point=point,
        speaker_facts=speaker_facts(names, renamed, rng) if facts and labelled else {},
        leakage=leakage or Leakage(True, (), (), (), False),
        card=CARD,
        stress=stress_results(values["eer"]) if stress else (),
    )


def fitted(scores: np.ndarray, is_target: np.ndarray) -> metrics.LlrMap:
    """The straight line of the lowest Cllr."""
    best = minimize(
        lambda line: metrics.cllr(line[0] * scores + line[1], is_target), (10.0, -4.0), method="Nelder-Mead"
    )
    return metrics.LlrMap(*map(float, best.x))


def speaker_facts(names: list[str], renamed: Mapping[str, str], rng: np.random.Generator) -> dict[str, dict[str, str]]:
    return {
        renamed.get(name, name): {
            "gender": "f" if number % 2 == 0 else "m",
            "age": str(int(rng.integers(6, 70))),
            "language": str(rng.choice(["English", "Mandarin", "Swahili"], p=[0.55, 0.4, 0.05])),
        }
        for number, name in enumerate(names)
    }


def stress_results(eer: float) -> tuple[StressResult, ...]:
    def result(family: str, words: str, level: float | None, unit: str, times: float) -> StressResult:
        rate = min(0.5, times * eer)
        return StressResult(family, words, level, unit, rate, metrics.Interval(0.85 * rate, 1.15 * rate), 10_000)

    return (
        result("clean", "as recorded", None, "", 1),
        *(result("white noise", f"white noise at {db} dB", db, "dB", 1 + (25 - db) / 8) for db in (20, 10, 5, 0)),
        *(result("cut", f"cut to {s} s", s, "s", 1 + 2 / s) for s in (1, 2, 3, 5)),
        *(result("mp3", f"mp3 of {rate} kbit/s", rate, "kbit/s", 1 + 8 / rate) for rate in (16, 32, 64)),
        result("telephone", "band of 300 to 3400 Hz", None, "", 1.6),
    )


def tone(path: Path, *, hertz: float = 220, seconds: float = 2) -> Path:
    """A recording to play; its pitch moves, as a voice's does."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * hertz * (time + 0.02 * np.sin(2 * np.pi * 3 * time)))
    soundfile.write(path, wave.astype(np.float32), RATE)
    return path
