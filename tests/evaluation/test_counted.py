from typing import Any

import numpy as np
import pytest

from speaker_id import metrics, scoring
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.data.trials import Trials
from speaker_id.errors import ConfigError
from speaker_id.evaluation import counted
from speaker_id.evaluation.embedding import Crop, Embedded, HowToEmbed
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.pipeline import HowToScore

NUM, SPEAKERS = 120, 15
HOW = HowToScore(HowToEmbed("cpu", 0.5, 60.0, 60.0, 0, Crop("whole", 3.0, 5)), "mean", "some_leaf")


def listed(num: int = NUM) -> DataList:
    return DataList("made.tsv", tuple(Utterance(f"/{n}", f"s{n % SPEAKERS}", f"{n}") for n in range(num)))


def planted(num: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(SPEAKERS, 16))
    return scoring.normalise(centres[np.arange(num) % SPEAKERS] + 1.2 * rng.normal(size=(num, 16)))


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(loaded: Any, data: DataList, how: Any, *, words: str = "") -> Embedded:
        rows = planted(len(data.utterances), seed=int(words == "cohort"))
        return Embedded(rows, np.ones(len(rows), np.float32))

    monkeypatch.setattr(counted, "embed", embed)


@pytest.mark.parametrize("back_end", [scoring.Cosine(), scoring.CentredCosine(), scoring.AsNorm(top_k=5)])
def test_counted_figures_are_the_exact_ones_within_what_they_say(
    back_end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speaker_id.scoring.pairs.BLOCK_SCORES", 7 * NUM)  # seven rows at a time
    cohort = None if isinstance(back_end, scoring.Cosine) else listed(60)
    counts = counted.count_pairs(None, Inputs(listed(), None, None, cohort), back_end, HOW)  # type: ignore[arg-type]
    figures, found = counted.measure_counts(counts, target_fpr=0.05)
    values = {figure.name: figure.value for figure in figures}

    labels = np.arange(NUM) % SPEAKERS
    enrol, test = scoring.pair_indices(NUM)
    scores, is_target = back_end.score(planted(NUM, 0), enrol, test), labels[enrol] == labels[test]
    exact = metrics.figures(scores, is_target)
    assert found.num_trials == NUM * (NUM - 1) // 2
    assert found.num_targets == is_target.sum()
    assert abs(values["eer"] - exact["eer"]) <= found.eer_max_error + 1e-9
    assert found.eer_max_error < 0.01
    assert abs(values["min_dcf"] - exact["min_dcf"]) <= found.min_dcf_max_error + 1e-9
    assert values["tpr_at_fpr_001"] == pytest.approx(exact["tpr_at_fpr_001"], abs=0.01)
    at = metrics.rates_at(scores, is_target, values["threshold_at_target_fpr"])
    assert values["tpr_at_target_fpr"] == pytest.approx(at.tpr, abs=1e-6)
    assert at.fpr <= 0.05 + 1e-6


def test_listed_trials_are_never_too_many() -> None:
    trials = Trials(["0"], ["1"], np.array([True]))
    assert not counted.is_too_long(Inputs(listed(), trials, None, None), 1)
    pairs = NUM * (NUM - 1) // 2
    assert not counted.is_too_long(Inputs(listed(), None, None, None), pairs)
    assert counted.is_too_long(Inputs(listed(), None, None, None), pairs - 1)


def test_what_needs_every_score_is_refused_by_name() -> None:
    counted.refuse_every_score(10_000, [])
    with pytest.raises(
        ConfigError, match=r"stress=true .* 10,000 recordings make 49,995,000 pairs: .* max_exact_trials"
    ):
        counted.refuse_every_score(10_000, ["stress"])
