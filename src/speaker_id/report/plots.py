"""DET curve and score histogram. matplotlib is imported when a plot is drawn, and no global figure is touched."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from speaker_id.errors import ConfigError
from speaker_id.metrics import eer, min_dcf
from speaker_id.report.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette: told apart with every kind of colour vision, and in grey by lightness.
BLUE, ORANGE, BLACK = "#0072B2", "#E69F00", "#222222"
PER_CENT = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 99, 99.9)
NUM_POINTS = 2000  # thresholds drawn at most, spread evenly on the probit axis


def det_curve(scores_target: ArrayLike, scores_nontarget: ArrayLike, path: str | os.PathLike[str]) -> None:
    """Draw miss over false-accept rate on probit axes, with the EER and the minDCF (p = 0.01) point marked.

    Martin et al., "The DET curve in assessment of detection task performance", 1997. The suffix of `path` says which
    image format (`ConfigError` for an unknown one). Raises `DataError` as `speaker_id.metrics` does, `SpeakerIdError`
    when the file cannot be written.
    """
    scores, is_target = _joined(scores_target, scores_nontarget)
    target, nontarget = np.sort(scores[is_target]), np.sort(scores[~is_target])
    result, cost = eer(scores, is_target), min_dcf(scores, is_target)

    def rates(threshold: Any) -> tuple[Any, Any]:
        accepted = nontarget.size - np.searchsorted(nontarget, threshold)
        return accepted / nontarget.size, np.searchsorted(target, threshold) / target.size

    figure, axes = _figure(width=6.4, height=6.4)
    cost_fpr, cost_fnr = rates(scores.dtype.type(cost.threshold))
    highest = float(np.clip(max(1.6 * result.eer, 1.1 * cost_fnr, 1.1 * cost_fpr), 0.5, 0.999))
    lowest = min(_lowest_rate(result.eer, target.size, nontarget.size), 1 - highest)

    def place(rate: Any, most: float = highest) -> Any:
        return ndtri(np.clip(rate, lowest, most))  # rates of 0 and 1 have no place on a probit axis

    axes.plot(*(place(rate, 1 - lowest) for rate in rates(_thresholds(target, nontarget))), color=BLUE, linewidth=2)
    axes.plot(ndtri([lowest, highest]), ndtri([lowest, highest]), color="0.6", linewidth=0.8, linestyle=":")
    axes.plot(
        place(result.eer), place(result.eer), "o", color=BLACK, markersize=8, clip_on=False, zorder=3,
        label=f"EER {result.eer:.2%}, threshold {result.threshold:.3f}",
    )  # fmt: skip
    axes.plot(
        place(cost_fpr), place(cost_fnr), "D", color=ORANGE, markeredgecolor=BLACK, markersize=8,
        clip_on=False, zorder=3, label=f"minDCF {cost.min_dcf:.3f} at p(target) = 0.01",
    )  # fmt: skip
    ticks = [rate for rate in PER_CENT if lowest <= rate / 100 <= highest]
    limits = ndtri([lowest, highest])
    positions, names = ndtri(np.array(ticks) / 100), [f"{rate:g}" for rate in ticks]
    axes.set(xlim=limits, ylim=limits, xticks=positions, yticks=positions, xticklabels=names, yticklabels=names)
    axes.set(xlabel="nontarget trials accepted (false accepts, %)", ylabel="target trials refused (misses, %)")
    axes.set(title=_title(result.eer, target.size, nontarget.size), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def score_histogram(target: ArrayLike, nontarget: ArrayLike, threshold: float, path: str | os.PathLike[str]) -> None:
    """Draw how the scores of both kinds are spread, each in per cent of its own trials, and the threshold."""
    scores, is_target = _joined(target, nontarget)
    result = eer(scores, is_target)
    low, high = float(min(scores.min(), threshold)), float(max(scores.max(), threshold))
    num_bins = int(np.clip(2 * np.sqrt(min(is_target.sum(), (~is_target).sum())), 20, 80))
    edges = np.linspace(low, high if high > low else low + 1, num_bins + 1)
    figure, axes = _figure(width=7.2, height=4.4)
    for kind, colour, name, hatch in ((~is_target, BLUE, "nontarget", None), (is_target, ORANGE, "target", "///")):
        percent = 100 * np.histogram(scores[kind], edges)[0] / np.count_nonzero(kind)
        axes.stairs(percent, edges, fill=True, facecolor=colour + "55", edgecolor=colour, linewidth=0, hatch=hatch)
        axes.stairs(percent, edges, color=colour, linewidth=1.8, label=f"{name} trials")
    axes.axvline(threshold, color=BLACK, linewidth=1.4, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set(xlabel="score", ylabel=f"share of each kind per bin of {edges[1] - edges[0]:.2g} (%)")
    axes.set(title=_title(result.eer, int(is_target.sum()), int((~is_target).sum())), xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _joined(target: ArrayLike, nontarget: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    scores = np.concatenate([np.asarray(target), np.asarray(nontarget)])
    scores = scores.astype(np.result_type(scores, np.float32), copy=False)  # whole numbers have no infinity
    return scores, np.arange(scores.size) < np.size(target)


def _thresholds(target: NDArray[Any], nontarget: NDArray[Any]) -> NDArray[Any]:
    """All distinct scores, or order statistics spaced evenly in probit, so that both tails are drawn finely."""
    chosen = []
    for kind in (target, nontarget):
        ranks = ndtr(np.linspace(ndtri(0.5 / kind.size), -ndtri(0.5 / kind.size), NUM_POINTS)) * kind.size
        chosen.append(kind if kind.size <= NUM_POINTS else kind[np.unique(ranks.astype(np.intp))])
    return np.append(np.unique(np.concatenate(chosen)), target.dtype.type(np.inf))


def _lowest_rate(rate: float, *sizes: int) -> float:
    """Lower end of the axes: what one trial of the larger kind is worth, but not more than a decade below need."""
    return float(np.clip(0.5 / max(sizes), 1e-5, max(1e-4, rate / 5)))


def _title(rate: float, num_targets: int, num_nontargets: int) -> str:
    return f"EER {rate:.2%}: {num_targets:,} target and {num_nontargets:,} nontarget trials"


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in (known := figure.canvas.get_supported_filetypes()):
        raise ConfigError(f"{path}: a plot cannot be saved as {suffix!r}; choose one of {', '.join(sorted(known))}")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=suffix)
