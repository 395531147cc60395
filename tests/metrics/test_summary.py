import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics
from speaker_id.errors import ConfigError, DataError

OF_SCALE = {"threshold", "accuracy_threshold", "min_total_error"}  # the only figures that a rising map may move


@given(tied_trials(), st.randoms())
def test_order_and_rising_maps_change_no_rate(trials: Trials, random: object) -> None:
    scores, flags = trials
    order = np.arange(scores.size)
    random.shuffle(order)  # type: ignore[attr-defined]
    before = metrics.verification_metrics(scores, flags)
    after = metrics.verification_metrics(np.exp(3 * scores[order]) - 10, flags[order])
    for name in ("eer", "tpr", "fpr", "min_dcf", "min_dcf_05"):
        assert getattr(before, name) == getattr(after, name), name


@given(tied_trials())
def test_the_summary_repeats_the_single_measures(trials: Trials) -> None:
    summary = metrics.verification_metrics(*trials)
    assert (summary.eer, summary.threshold) == metrics.eer(*trials)
    rates = metrics.rates_at(*trials, summary.threshold)
    assert (summary.tpr, summary.fpr) == pytest.approx((rates.tpr, rates.fpr))
    assert summary.min_dcf == metrics.min_dcf(*trials).min_dcf
    assert summary.min_dcf_05 == metrics.min_dcf(*trials, p_target=0.05).min_dcf
    counts = (summary.num_trials, summary.num_targets, summary.num_nontargets)
    assert counts == (trials[1].size, trials[1].sum(), (~trials[1]).sum())


def test_scores_and_labels_of_the_caller_stay_as_they_are() -> None:
    scores, flags = np.float32([3, 1, 2, 0]), np.array([True, False, True, False])
    metrics.verification_metrics(scores, flags)
    assert scores.tolist() == [3, 1, 2, 0]
    assert flags.tolist() == [True, False, True, False]


@given(tied_trials(), st.floats(-1, 1))
def test_every_figure_is_that_of_its_own_function(trials: Trials, threshold: float) -> None:
    llrs, rates = 9 * trials[0].astype(float) - 1, metrics.rates_at(*trials, threshold)
    at_eer = metrics.rates_at(*trials, metrics.eer(*trials).threshold)
    expected = {
        "eer": metrics.eer(*trials).eer,
        "threshold": metrics.eer(*trials).threshold,
        "tpr": at_eer.tpr,
        "fpr": at_eer.fpr,
        "min_dcf": metrics.min_dcf(*trials, p_target=0.01).min_dcf,
        "min_dcf_05": metrics.min_dcf(*trials, p_target=0.05).min_dcf,
        "act_dcf": metrics.act_dcf(llrs, trials[1], p_target=0.01),
        "act_dcf_05": metrics.act_dcf(llrs, trials[1], p_target=0.05),
        "cllr": metrics.cllr(llrs, trials[1]),
        "min_cllr": metrics.min_cllr(*trials),
        "tpr_at_fpr_001": metrics.tpr_at_fpr(*trials, 0.01),
        "tpr_at_fpr_0001": metrics.tpr_at_fpr(*trials, 0.001),
        "min_total_error": metrics.min_total_error(*trials).total_error,
        "accuracy": metrics.accuracy_threshold(*trials).accuracy,
        "accuracy_threshold": metrics.accuracy_threshold(*trials).threshold,
        "operating_tpr": rates.tpr,
        "operating_fpr": rates.fpr,
    }
    assert metrics.figures(*trials, llr=(9, -1), threshold=threshold) == pytest.approx(expected)


@given(tied_trials())
def test_rising_maps_move_no_figure_but_those_of_the_scale(trials: Trials) -> None:
    scores, flags = trials
    before, after = metrics.figures(scores, flags), metrics.figures(np.exp(3 * scores) - 10, flags)
    assert before.keys() == after.keys() >= OF_SCALE
    assert {name: before[name] for name in before.keys() - OF_SCALE} == {
        name: after[name] for name in after.keys() - OF_SCALE
    }


def test_the_names_of_figures_say_at_which_prior_and_rate_they_hold() -> None:
    trials = gaussian_trials(1.5, 9000, seed=1)
    llrs = 1.5 * trials[0] - 1.1
    found = metrics.figures(*trials, llr=(1.5, -1.1))
    assert found["tpr_at_fpr_001"] == metrics.tpr_at_fpr(*trials, 0.01)
    assert found["tpr_at_fpr_0001"] == metrics.tpr_at_fpr(*trials, 0.001) < found["tpr_at_fpr_001"]
    for suffix, p_target in (("", 0.01), ("_05", 0.05)):
        assert found[f"min_dcf{suffix}"] == metrics.min_dcf(*trials, p_target=p_target).min_dcf
        assert found[f"act_dcf{suffix}"] == metrics.act_dcf(llrs, trials[1], p_target=p_target)


def test_figures_of_ratios_and_of_a_chosen_threshold_are_there_only_when_asked_for() -> None:
    trials = gaussian_trials(1.0, 100, seed=0)
    plain, full = metrics.figures(*trials), metrics.figures(*trials, llr=(1, 0), threshold=0.5)
    assert full.keys() - plain.keys() == {"act_dcf", "act_dcf_05", "cllr", "operating_tpr", "operating_fpr"}
    assert {name: full[name] for name in plain} == plain


@given(tied_trials())
def test_every_figure_can_be_written_as_json(trials: Trials) -> None:
    json.dumps(metrics.figures(*trials, llr=(1, 0), threshold=np.inf), allow_nan=False)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="nan"):
        metrics.figures([0.1, 0.2], [0, 1], threshold=np.nan)


NO_RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("scores", "flags", "message"),
    [
        ([], [], "no trials"),
        ([0.1, 0.2], [True], "one length"),
        ([[0.1, 0.2]], [[True, False]], "one length"),
        ([0.1, np.nan], [True, False], "score 1 .* nan"),
        ([np.inf, 0.1], [True, False], "score 0 .* inf"),
        ([0.1, 0.2], [True, True], "all 2 trials are target"),
        ([0.1, 0.2], [0, 0], "all 2 trials are nontarget"),
        ([0.1, 0.2], [1, 2], "1 and 0"),
        ([0.1, 0.2], ["target", "nontarget"], "1 and 0"),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [
        metrics.error_rates,
        metrics.eer,
        metrics.rocch_eer,
        metrics.min_dcf,
        metrics.verification_metrics,
        metrics.figures,
        metrics.act_dcf,
        metrics.cllr,
        metrics.min_cllr,
        metrics.accuracy_threshold,
        metrics.min_total_error,
        lambda scores, flags: metrics.dcf_at(scores, flags, 0.0),
        lambda scores, flags: metrics.at_fpr(scores, flags, 0.1),
        lambda scores, flags: metrics.rates_at(scores, flags, 0.0),
        lambda scores, flags: metrics.tpr_at_fpr(scores, flags, 0.1),
        lambda scores, flags: metrics.eer_interval(scores, flags, flags, flags, rng=NO_RNG),
        lambda scores, flags: metrics.intervals(scores, flags, flags, flags, rng=NO_RNG),
        lambda scores, flags: metrics.paired_differences(scores, scores, flags, flags, flags, rng=NO_RNG),
    ],
)
def test_unusable_trials_are_refused_by_every_measure(measure, scores, flags, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        measure(scores, flags)
