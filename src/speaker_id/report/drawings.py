"""The charts of a report, each from its numbers."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from scipy.special import ndtri

from speaker_id.report.charts import Axis, Chart, named, round_ticks, tag
from speaker_id.report.curves import Histogram, Mark, Reliability, Sweep
from speaker_id.report.evaluation import StressResult
from speaker_id.report.findings import Statistics
from speaker_id.report.words import interval_text, out_of, percent

PER_CENT = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 99)
MARK_SHAPES = ("circle", "diamond", "square", "triangle", "triangle")
TALL = 400
MAX_REACH = 6  # powers of ten: beyond lies what no such number of trials shows


def det(sweep: Sweep, marks: Sequence[Mark], statistics: Statistics) -> Markup:
    """Miss over false-accept rate on probit axes (Martin et al., "The DET curve", 1997)."""
    eer = (marks[0].fpr + marks[0].fnr) / 2
    highest = float(np.clip(1.4 * max(max(mark.fpr, mark.fnr) for mark in marks), 0.2, 0.99))
    x = rate_axis(eer, statistics.num_nontargets, highest, "strangers let in (%)")
    y = rate_axis(eer, statistics.num_targets, highest, "true speakers refused (%)")
    chart = Chart(x, y, height=TALL)
    chart.line([max(x.low, y.low), highest], [max(x.low, y.low), highest], "diagonal")
    inside = (sweep.fpr > 0) & (sweep.fpr <= highest) & (sweep.fnr > 0) & (sweep.fnr <= highest)
    thresholds, fpr, fnr = (values[inside] for values in sweep)
    chart.line(fpr, fnr, "curve")
    some = slice(None, None, max(1, fpr.size // 80))
    tips = (at_threshold(*point) for point in zip(thresholds[some], fpr[some], fnr[some], strict=True))
    chart.hover(fpr[some], fnr[some], tips)
    for number in reversed(range(len(marks))):  # the first lies on top
        name, threshold, false_accepts, misses = marks[number]
        tip = f"{name}. {at_threshold(threshold, false_accepts, misses)}"
        chart.mark(false_accepts, misses, f"mark m{number}", tip, MARK_SHAPES[number])
    return chart.svg(f"Curve of both error rates; they are equal at {percent(eer)}.")


def at_threshold(threshold: float, fpr: float, fnr: float) -> str:
    return (
        f"Threshold {threshold:.3f}: {out_of(fpr)} strangers let in ({percent(fpr)}), "
        f"{out_of(fnr)} true speakers refused ({percent(fnr)})"
    )


def rate_axis(eer: float, num_trials: int, highest: float, label: str) -> Axis:
    """From what one trial is worth (rates of 0 have no place on a probit axis), but not far below the EER."""
    lowest = min(float(np.clip(0.5 / num_trials, 1e-5, max(1e-4, eer / 10))), 1 - highest)
    axis = Axis(lowest, highest, [], label, ndtri)
    kept: list[float] = []
    for rate in PER_CENT:  # as many as can be read side by side
        inside = lowest <= rate / 100 <= highest
        if inside and (not kept or axis.share(rate / 100) - axis.share(kept[-1] / 100) > 0.1):
            kept.append(rate)
    return axis._replace(ticks=[(rate / 100, f"{rate:g}") for rate in kept])


def score_histogram(histogram: Histogram, threshold: float) -> Markup:
    """Both kinds' scores; the page's script moves the line `explored`."""
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    top = 105 * float(max(histogram.target.max(), histogram.nontarget.max()))
    x = Axis(low, high, named(round_ticks(low, high)), "score: how alike the voices are")
    chart = Chart(x, Axis(0, top, named(round_ticks(0, top, 5)), "share of each kind (%)"), height=TALL)
    for shares, kind in ((histogram.nontarget, "nontarget"), (histogram.target, "target")):
        edges, heights = np.repeat(histogram.edges, 2), np.concatenate([[0], np.repeat(100 * shares, 2), [0]])
        chart.line(edges, heights, f"area {kind}")
    chart.line([threshold] * 2, [0, top], "threshold")
    (left, bottom), (right, ceiling) = chart.place([low, high], [0, top])
    place = {"data_left": left, "data_right": right, "data_top": ceiling, "data_bottom": bottom}
    chart.parts.append(tag("path", d="M0 0", id="explored", data_low=low, data_high=high, **place))
    return chart.svg(f"Strangers score lower than true speakers; the threshold between them is {threshold:.3f}.")


def reliability(found: Reliability) -> Markup:
    """What scores turned out to be worth, over what the calibration says; over the score where it says nothing."""
    worth = found.observed / np.log(10)
    reach = float(np.clip(np.ceil(np.abs(worth).max()), 1, MAX_REACH))
    powers = np.arange(-reach, reach + 1, 2 if reach > 3 else 1)
    ticks = [(float(power), ratio_name(power)) for power in powers]
    y = Axis(-reach, reach, ticks, "likelihood ratio found")
    if found.stated is None:
        low, high = float(found.low[0]), float(found.high[-1])
        high = high if high > low else low + 1
        chart = Chart(Axis(low, high, named(round_ticks(low, high)), "score"), y, height=TALL)
        chart.line([low, high], [0, 0], "diagonal")
        chart.line(np.stack([found.low, found.high], axis=1).ravel(), np.repeat(worth, 2), "curve")
        pools = zip(found.low, found.high, worth, strict=True)
        tips = [f"Scores {a:.3f} to {b:.3f}: {times(power)}" for a, b, power in pools]
        chart.hover((found.low + found.high) / 2, worth, tips)
        return chart.svg("What a score was worth; the model itself is not calibrated.")
    chart = Chart(Axis(-reach, reach, ticks, "likelihood ratio stated by the model"), y, height=TALL)
    chart.line([-reach, reach], [-reach, reach], "diagonal")
    stated = found.stated / np.log(10)
    chart.line(stated, worth, "curve")
    for a, b in zip(stated, worth, strict=True):
        chart.mark(a, b, "mark", f"Stated: {times(a)}. Found: {times(b)}")
    return chart.svg("What the model's likelihood ratios turned out to be; on the diagonal they are true.")


def ratio_name(power: float) -> str:
    """Ten to that power, as a short factor: "×100", "÷10k"."""
    if power == 0:
        return "even"
    size = abs(int(power))
    return f"{'×' if power > 0 else '÷'}{10 ** (size % 3)}{('', 'k', 'M')[size // 3]}"


def times(power: float) -> str:
    """Ten to that power, in words."""
    factor = 10 ** abs(power)
    which = "the same speaker" if power >= 0 else "two speakers"
    return f"{factor:,.{0 if factor >= 10 else 1}f} times likelier {which}"


def stress_curve(results: Sequence[StressResult], clean: StressResult | None, highest: float) -> Markup:
    """EER over the level of one disturbance, up to the `highest` rate of all, so that families can be compared."""
    ordered = sorted((result.level or 0.0, result) for result in results)
    low, high, margin = ordered[0][0], ordered[-1][0], 0.06 * (ordered[-1][0] - ordered[0][0] or 1)
    family, unit, top = results[0].family, results[0].unit, 108 * max(highest, 1e-4)
    ticks = named(level for level, _ in ordered)
    x = Axis(low - margin, high + margin, ticks, f"{family} ({unit})" if unit else family)
    chart = Chart(x, Axis(0, top, named(round_ticks(0, top, 5)), "equal error rate (%)"), height=250)
    if clean is not None:
        chart.line([x.low, x.high], [100 * clean.eer] * 2, "threshold")
    chart.line([level for level, _ in ordered], [100 * result.eer for _, result in ordered], "curve")
    for level, result in ordered:
        tip = f"{result.condition}: {percent(result.eer)}"
        if result.interval is not None:
            chart.line([level] * 2, [100 * result.interval.low, 100 * result.interval.high], "whisker")
            tip += f" (95 %: {interval_text(result.interval)})"
        chart.mark(level, 100 * result.eer, "mark", tip)
    return chart.svg(f"Equal error rate under {family}.")
