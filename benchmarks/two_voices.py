"""How often a second voice is noticed, and how often one is suspected where there is none.

    python benchmarks/two_voices.py MODEL train.tsv dev.tsv [--num 300]

Of each list as many recordings of 9 to 15 s of speech are spliced, one half from turns of one speaker, the other from
turns of two who alternate; a turn is 1 to 4 s. Beside the windows of speaker_id.inference.voices stands the comparison
of a recording's first half with its second, which was there before.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from speaker_id import audio, checkpoint
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, read_list
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.voices import limit, speech_windows, two_groups
from speaker_id.vad.energy import Energy
from speaker_id.vad.stretches import cut

TURN, WHOLE, LEAST = (1.0, 4.0), (9.0, 15.0), 5.0  # seconds
SPEECH = Energy(min_pause_seconds=0.3, pad_seconds=0.05)
SEED = 2


class Spliced(NamedTuple):
    waveform: FloatArray
    share: float  # of the second speaker, at most a half; 0 where there is none


class Heard(NamedTuple):
    share: float
    num_windows: int
    score: float  # of the groups; 1 where there are no two
    halves: float


def turns(paths: list[str], rate: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """The speech of recordings in any order, in pieces."""
    for number in rng.permutation(len(paths)):
        waveform = audio.load(paths[number], rate)
        speech, start = cut(waveform, SPEECH(waveform, rate)), 0
        while len(speech) - start >= TURN[0] * rate:
            num = int(rng.uniform(*TURN) * rate)
            num = num if len(speech) - start - num >= TURN[0] * rate else len(speech) - start
            yield speech[start : start + num]
            start += num


def spliced(data: DataList, num: int, rate: int) -> Iterator[Spliced]:
    """One speaker and two, by turns."""
    rng, paths = np.random.default_rng(SEED), defaultdict(list)
    for utterance in data.utterances:
        paths[utterance.label].append(utterance.path)
    for number in range(num):
        who = rng.choice(sorted(paths), 1 + number % 2, replace=False)
        speaking, wanted = [turns(paths[one], rate, rng) for one in who], rng.uniform(*WHOLE) * rate
        said: list[FloatArray] = []
        while sum(map(len, said)) < wanted and (turn := next(speaking[len(said) % len(who)], None)) is not None:
            said.append(turn)
        whole = sum(map(len, said))
        if whole >= LEAST * rate:
            share = sum(map(len, said[1::2])) / whole if number % 2 else 0.0
            yield Spliced(np.concatenate(said), min(share, 1 - share))


def hear(one: Spliced, embedder: ModelEmbedder) -> Heard:
    rows = embedder.embed_parts(speech_windows(one.waveform, embedder.sample_rate))
    groups, middle = two_groups(rows), len(one.waveform) // 2
    first, second = embedder.embed_parts([one.waveform[:middle], one.waveform[middle:]])
    return Heard(one.share, len(rows), 1.0 if groups is None else groups.score, float(first @ second))


def report(name: str, heard: list[Heard], threshold: float) -> None:
    single, double = [one for one in heard if not one.share], [one for one in heard if one.share]
    slight = [one for one in double if one.share < 0.3]

    def noticed(some: list[Heard]) -> str:
        found = sum(one.score < limit(threshold, one.num_windows) for one in some)
        return f"{found} of {len(some)} ({found / max(1, len(some)):.1%})"

    def by_halves(some: list[Heard]) -> str:
        found = sum(one.halves < threshold for one in some)
        return f"{found} of {len(some)}"

    scores = np.array([one.score for one in double])
    strictest = float(np.quantile([one.score for one in single], 0.01))
    print(
        f"| {name} | {noticed(single)} | {noticed(double)} | {noticed(slight)} | {(scores < strictest).mean():.1%} | "
        f"{by_halves(single)}, {by_halves(double)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("lists", nargs="+")
    parser.add_argument("--num", type=int, default=300)
    given = parser.parse_args()
    loaded = checkpoint.load(given.model)
    assert loaded.operating_point is not None
    embedder, threshold = ModelEmbedder(loaded), loaded.operating_point.threshold
    print("| list | one voice, suspected | two, noticed | one < 30 % of it | at 1 % false alarms | halves: one, two |")
    print("|---|---|---|---|---|---|")
    for path in given.lists:
        begin, heard, seconds = time.process_time(), [], 0.0
        for one in spliced(read_list(path), given.num, embedder.sample_rate):
            heard.append(hear(one, embedder))
            seconds += len(one.waveform) / embedder.sample_rate
        report(path.rpartition("/")[2], heard, threshold)
        print(f"\n{seconds:.0f} s of sound in {time.process_time() - begin:.0f} s of CPU time", flush=True)


if __name__ == "__main__":
    main()
