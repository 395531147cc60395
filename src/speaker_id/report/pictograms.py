"""Small pictures: a thousand attempts, one group's interval in its row, a map of voices."""

from markupsafe import Markup

from speaker_id.metrics import Interval
from speaker_id.report.charts import Axis, Chart, tag
from speaker_id.report.speaker_map import SpeakerMap

WAFFLE = (50, 20)  # squares across and down: a thousand
MAP_SHAPES = ("circle", "square", "triangle")
NUM_COLOURS = 6


def waffle(rate: float, kind: str, description: str) -> Markup:
    """A thousand squares, as many of them coloured as attempts would go wrong."""
    across, down = WAFFLE
    squares = [f"M{8 * (i // down)} {8 * (i % down)}h6v6h-6z" for i in range(across * down)]
    wrong = min(round(rate * len(squares)), len(squares))
    parts = [
        tag("path", d="".join(chosen), class_=style)
        for chosen, style in ((squares[:wrong], f"wrong {kind}"), (squares[wrong:], "right"))
        if chosen
    ]
    box = f"0 0 {8 * across - 2} {8 * down - 2}"
    return tag("svg", *parts, viewBox=box, class_="waffle", role="img", aria_label=description)


def whisker(eer: float, interval: Interval | None, highest: float, overall: float) -> Markup:
    """A group's error rate and interval between 0 and `highest`; the rate of all as a line."""

    def left(rate: float) -> float:
        return round(5 + 170 * min(rate / highest, 1), 1)

    parts = [tag("path", d=f"M{left(overall)} 0V20", class_="overall")]
    if interval is not None:
        low, high = left(interval.low), left(interval.high)
        parts.append(tag("path", d=f"M{low} 10H{high}M{low} 6v8M{high} 6v8", class_="whisker"))
    parts.append(tag("circle", cx=left(eer), cy=10, r=4.5, class_="point"))
    return tag("svg", *parts, viewBox="0 0 180 20", class_="row", aria_hidden="true")


def voices(found: SpeakerMap) -> Markup:
    """One mark a recording; a speaker is a colour and a shape."""
    number = {speaker: index for index, speaker in enumerate(found.speakers)}
    chart = Chart(Axis(0, 1, [], ""), Axis(0, 1, [], ""), height=430)
    for place in found.places:
        style, shape = map_style(number[place.speaker])
        tip = f"{place.speaker}: {place.recording}"
        chart.mark(place.x, place.y, style, tip, shape, data_speaker=number[place.speaker])
    return chart.bare(f"{len(found.places)} recordings of {len(number)} speakers, alike ones near each other.", "map")


def map_style(index: int) -> tuple[str, str]:
    """Colour and shape of the speaker of that number."""
    return f"s{index % NUM_COLOURS}", MAP_SHAPES[index // NUM_COLOURS % len(MAP_SHAPES)]
