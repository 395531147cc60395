import numpy as np
import pytest

from metrics.drawn_trials import repeated, speaker_trials
from speaker_id import metrics
from speaker_id.errors import DataError


def two_systems(num_speakers: int, noise: float, seed: int) -> tuple[np.ndarray, ...]:
    """The trials of `speaker_trials` with a second column of scores, which is the first with `noise` added."""
    scores, *rest = speaker_trials(num_speakers, 4, seed)
    return scores, scores + noise * np.random.default_rng(seed).normal(size=scores.size), *rest


def test_differences_of_a_draw_are_those_of_the_drawn_speakers_written_out() -> None:
    a, b, *rest = two_systems(7, 1.0, seed=1)
    found = metrics.paired_differences(a, b, *rest, rng=np.random.default_rng(4), num_draws=1)
    drawn = np.random.default_rng(4).integers(7, size=7)
    (of_a, flags), (of_b, _) = (repeated((scores, *rest), drawn) for scores in (a, b))
    for name, p_target in (("min_dcf", 0.01), ("min_dcf_05", 0.05)):
        moved = [metrics.min_dcf(scores, flags, p_target=p_target).min_dcf for scores in (of_a, of_b)]
        assert found[name].interval == pytest.approx((moved[1] - moved[0],) * 2)
    moved = [metrics.eer(scores, flags).eer for scores in (of_a, of_b)]
    assert found["eer"].interval == pytest.approx((moved[1] - moved[0],) * 2)


def test_the_figures_compared_are_those_of_each_system() -> None:
    a, b, *rest = two_systems(10, 1.0, seed=2)
    found = metrics.paired_differences(a, b, *rest, rng=np.random.default_rng(0), num_draws=5)
    assert found.keys() == {"eer", "min_dcf", "min_dcf_05"}
    for name, figures in found.items():
        of_a, of_b = (metrics.figures(scores, rest[0])[name] for scores in (a, b))
        assert figures[:3] == pytest.approx((of_a, of_b, of_b - of_a))


def test_a_system_does_not_differ_from_itself_nor_from_a_rising_map_of_itself() -> None:
    a, _, *rest = two_systems(8, 1.0, seed=3)
    found = metrics.paired_differences(a, np.exp(a), *rest, rng=np.random.default_rng(0), num_draws=50)
    for figures in found.values():
        assert figures.interval == (0.0, 0.0)
        assert figures.p_value == 1.0
        assert not figures.significant


def test_much_added_noise_is_told_from_chance_and_the_sign_says_who_is_better() -> None:
    a, b, *rest = two_systems(25, 2.0, seed=4)
    worse = metrics.paired_differences(a, b, *rest, rng=np.random.default_rng(0), num_draws=199)["eer"]
    better = metrics.paired_differences(b, a, *rest, rng=np.random.default_rng(0), num_draws=199)["eer"]
    assert worse.significant
    assert 0 < worse.interval.low < worse.difference < worse.interval.high
    assert worse.p_value == pytest.approx(2 / 200)  # no draw says otherwise: 2 (0 + 1) / (199 + 1)
    assert better.interval == pytest.approx((-worse.interval.high, -worse.interval.low))
    assert better.p_value == worse.p_value


def test_drawing_the_same_speakers_for_both_makes_the_interval_narrower() -> None:
    a, b, *rest = two_systems(25, 0.3, seed=5)
    paired = metrics.paired_differences(a, b, *rest, rng=np.random.default_rng(0), num_draws=200)["eer"].interval
    alone = [metrics.eer_interval(s, *rest, rng=np.random.default_rng(0), num_draws=200) for s in (a, b)]
    assert paired.high - paired.low < 0.6 * np.hypot(*(high - low for low, high in alone))


def test_two_equally_noisy_systems_are_seldom_told_apart() -> None:
    found = 0
    for seed in range(25):
        scores, *rest = speaker_trials(12, 3, seed)
        rng = np.random.default_rng(seed)
        a, b = (scores + rng.normal(size=scores.size) for _ in range(2))
        found += metrics.paired_differences(a, b, *rest, rng=rng, num_draws=60)["eer"].significant
    assert found <= 5  # 1 is expected, at 5 %


def test_scores_of_different_number_are_refused() -> None:
    a, _, *rest = two_systems(3, 1.0, seed=0)
    with pytest.raises(DataError, match="one length"):
        metrics.paired_differences(a, a[:-1], *rest, rng=np.random.default_rng(0))
