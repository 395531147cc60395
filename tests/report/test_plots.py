import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics import eer
from speaker_id.report import plots

RNG = np.random.default_rng(0)
TARGET = RNG.normal(0.5, 0.15, 300).astype(np.float32)
NONTARGET = RNG.normal(0.1, 0.15, 4000).astype(np.float32)
SCORES, IS_TARGET = np.concatenate([TARGET, NONTARGET]), np.arange(4300) < 300


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every figure that is saved, to look inside."""
    saved: list[Any] = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: saved.append(figure))
    return saved


def test_det_curve_passes_through_the_eer_and_names_it(figures: list[Any], tmp_path: Path) -> None:
    plots.det_curve(TARGET, NONTARGET, tmp_path / "det.png")
    axes = figures[0].axes[0]
    curve, _, mark, cost = axes.lines
    rate = eer(SCORES, IS_TARGET).eer
    assert axes.get_title() == f"EER {rate:.2%}: 300 target and 4,000 nontarget trials"
    assert mark.get_xdata()[0] == mark.get_ydata()[0] == pytest.approx(ndtri(rate))
    fpr, fnr = curve.get_data()
    assert np.abs(fpr - ndtri(rate) + 1j * (fnr - ndtri(rate))).min() < 0.02
    assert np.abs(fpr - cost.get_xdata()[0] + 1j * (fnr - cost.get_ydata()[0])).min() < 0.02
    assert "%" in axes.get_xlabel()
    assert "%" in axes.get_ylabel()


def test_det_curve_of_many_trials_is_drawn_from_few_points(figures: list[Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target, nontarget = rng.normal(2, 1, 20_000), rng.normal(0, 1, 200_000)
    plots.det_curve(target, nontarget, tmp_path / "det.png")
    fpr, fnr = figures[0].axes[0].lines[0].get_data()
    assert fpr.size < 2 * plots.NUM_POINTS + 2
    inside = (fpr > -2.5) & (fnr > -2.5)
    np.testing.assert_allclose((fpr + fnr)[inside], -2, atol=0.1)  # two Gaussians: a straight line on probit axes


def test_histogram_shares_add_up_to_the_whole_of_each_kind(figures: list[Any], tmp_path: Path) -> None:
    plots.score_histogram(TARGET, NONTARGET, 0.3, tmp_path / "histogram.png")
    axes = figures[0].axes[0]
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(100)
    assert axes.lines[0].get_xdata() == [0.3, 0.3]
    assert "EER" in axes.get_title()


def test_rates_by_threshold_worked_by_hand(figures: list[Any], tmp_path: Path) -> None:
    plots.rates_by_threshold([0.2, 0.6, 0.8, 0.9], [0.0, 0.1, 0.2, 0.7], 0.6, tmp_path / "rates.png")
    axes = figures[0].axes[0]
    tpr, fpr, line, chosen = axes.lines
    thresholds = [0.0, 0.1, 0.2, 0.6, 0.7, 0.8, 0.9]
    np.testing.assert_allclose(tpr.get_data(), [thresholds, [100, 100, 100, 75, 50, 50, 25]])
    np.testing.assert_allclose(fpr.get_data(), [thresholds, [100, 75, 50, 25, 25, 0, 0]])
    assert line.get_xdata() == [0.6, 0.6]
    np.testing.assert_allclose(chosen.get_data(), [[0.6, 0.6], [75, 25]])
    assert axes.get_title() == "At 0.600: tpr 75.00%, fpr 25.00%"


@pytest.mark.parametrize(
    ("target", "nontarget"),
    [
        ([0.9, 0.8], [0.1, 0.2, 0.3]),  # separated: rates of 0 have no place on a probit axis
        ([1, 1], [1]),  # all equal, and whole numbers
        ([0.1, 0.2], [0.8, 0.9]),  # all wrong
    ],
)
def test_extreme_scores_are_drawn_too(tmp_path: Path, target: list[float], nontarget: list[float]) -> None:
    plots.det_curve(target, nontarget, tmp_path / "det.png")
    plots.score_histogram(target, nontarget, 0.5, tmp_path / "histogram.png")
    plots.rates_by_threshold(target, nontarget, 0.5, tmp_path / "rates.png")
    for name in ("det.png", "histogram.png", "rates.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    plots.score_histogram(TARGET, NONTARGET, 0.3, tmp_path / "histogram.svg")
    assert "<svg" in (tmp_path / "histogram.svg").read_text()


def test_an_unknown_format_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"det\.xyz.* png"):
        plots.det_curve(TARGET, NONTARGET, tmp_path / "det.xyz")
    assert list(tmp_path.iterdir()) == []


def test_one_kind_alone_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both kinds"):
        plots.det_curve(TARGET, [], tmp_path / "det.png")


def test_importing_the_report_loads_no_matplotlib_and_drawing_no_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; from speaker_id.report import plots, tables; assert 'matplotlib' not in sys.modules; "
        f"plots.det_curve([1.0], [0.0], {str(tmp_path / 'det.png')!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
