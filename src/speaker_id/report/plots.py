"""DET curve, rates by threshold and score histogram.

matplotlib is imported when a plot is drawn, and no global figure is touched.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from speaker_id.errors import ConfigError
from speaker_id.metrics.cost import dcf_weights, lowest_cost
from speaker_id.metrics.equal_error import eer_of
from speaker_id.metrics.trials import Scores, SortedTrials, sorted_trials
from speaker_id.report.curves import spread
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
    trials = sorted_trials(*_joined(scores_target, scores_nontarget))
    result, cost = eer_of(trials), lowest_cost(trials, dcf_weights(0.01))
    cost_fpr, cost_fnr = trials.rates_at(cost.threshold)
    highest = float(np.clip(max(1.6 * result.eer, 1.1 * cost_fnr, 1.1 * cost_fpr), 0.5, 0.999))
    lowest = min(_lowest_rate(result.eer, trials.target.size, trials.nontarget.size), 1 - highest)

    def place(rate: Any, most: float = highest) -> Any:
        return ndtri(np.clip(rate, lowest, most))  # rates of 0 and 1 have no place on a probit axis

    figure, axes = _figure(width=6.4, height=6.4)
    axes.plot(*(place(rate, 1 - lowest) for rate in trials.rates(_thresholds(trials))), color=BLUE, linewidth=2)
    axes.plot(ndtri([lowest, highest]), ndtri([lowest, highest]), color="0.6", linewidth=0.8, linestyle=":")
    axes.plot(
        place(result.eer), place(result.eer), "o", color=BLACK, markersize=8, clip_on=False, zorder=3,
        label=f"EER {result.eer:.2%}, threshold {result.threshold:.3f}",
    )  # fmt: skip
    axes.plot(
        place(cost_fpr), place(cost_fnr), "D", color=ORANGE, markeredgecolor=BLACK, markersize=8,
        clip_on=False, zorder=3, label=f"minDCF {cost.min_dcf:.3f} at p(target) = 0.01",
    )  # fmt: skip
    _probit_scales(axes, lowest, highest)
    axes.set(xlabel="nontarget trials accepted (false accepts, %)", ylabel="target trials refused (misses, %)")
    axes.set(title=_title(trials), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save(figure, path)


def rates_by_threshold(target: ArrayLike, nontarget: ArrayLike, threshold: float, path: str | os.PathLike[str]) -> None:
    """Draw the shares of both kinds that are accepted, tpr and fpr, over the threshold; the chosen one is marked."""
    trials = sorted_trials(*_joined(target, nontarget))
    thresholds = _thresholds(trials)[:-1]  # the last lies at infinity
    fpr, fnr = trials.rates(thresholds)
    figure, axes = _figure(width=7.2, height=4.4)
    axes.plot(thresholds, 100 * (1 - fnr), color=ORANGE, linewidth=2, label="target trials accepted (tpr)")
    axes.plot(thresholds, 100 * fpr, color=BLUE, linewidth=2, linestyle="-.", label="nontarget trials accepted (fpr)")
    chosen_fpr, chosen_fnr = trials.rates_at(threshold)
    axes.axvline(threshold, color=BLACK, linewidth=1.4, linestyle="--", label=f"threshold {threshold:.3f}")
    axes.plot([threshold] * 2, [100 * (1 - chosen_fnr), 100 * chosen_fpr], "o", color=BLACK, markersize=7, zorder=3)
    axes.set(xlabel="threshold: a score from it on is accepted", ylabel="share of each kind (%)", ylim=(0, 101))
    axes.set(title=f"At {threshold:.3f}: tpr {1 - chosen_fnr:.2%}, fpr {chosen_fpr:.2%}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def score_histogram(target: ArrayLike, nontarget: ArrayLike, threshold: float, path: str | os.PathLike[str]) -> None:
    """Draw how the scores of both kinds are spread, each in per cent of its own trials, and the threshold."""
    scores, is_target = _joined(target, nontarget)
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
    axes.set(title=_title(sorted_trials(scores, is_target)), xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def tidy(axes: "Axes") -> None:
    """A light grid behind what is drawn, and no frame above it or on its right."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _joined(target: ArrayLike, nontarget: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    scores = np.concatenate([np.asarray(target), np.asarray(nontarget)])
    scores = scores.astype(np.result_type(scores, np.float32), copy=False)  # whole numbers have no infinity
    return scores, np.arange(scores.size) < np.size(target)


def _thresholds(trials: SortedTrials) -> Scores:
    """All distinct scores, or enough of them, and infinity."""
    distinct = np.unique(np.concatenate([spread(kind, NUM_POINTS) for kind in trials]))
    return np.append(distinct, distinct.dtype.type(np.inf))


def _probit_scales(axes: "Axes", lowest: float, highest: float) -> None:
    ticks = [rate for rate in PER_CENT if lowest <= rate / 100 <= highest]
    limits, positions, names = ndtri([lowest, highest]), ndtri(np.array(ticks) / 100), [f"{rate:g}" for rate in ticks]
    axes.set(xlim=limits, ylim=limits, xticks=positions, yticks=positions, xticklabels=names, yticklabels=names)


def _lowest_rate(rate: float, *sizes: int) -> float:
    """Lower end of the axes: what one trial of the larger kind is worth, but not more than a decade below need."""
    return float(np.clip(0.5 / max(sizes), 1e-5, max(1e-4, rate / 5)))


def _title(trials: SortedTrials) -> str:
    num_targets, num_nontargets = trials.target.size, trials.nontarget.size
    return f"EER {eer_of(trials).eer:.2%}: {num_targets:,} target and {num_nontargets:,} nontarget trials"


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    return figure, axes


def _save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in (known := figure.canvas.get_supported_filetypes()):
        raise ConfigError(f"{path}: a plot cannot be saved as {suffix!r}; choose one of {', '.join(sorted(known))}")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=suffix)
