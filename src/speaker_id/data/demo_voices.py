"""Who speaks in the demo corpus, and what is said: pure draws from a seed, no sound yet."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The voice variants of espeak-ng that sound like people (no whisper, robot, echo) and unlike each other: of near
# copies (Gene2, iven2 to iven4, steph2, klatt6 and adam, ...) one is here. Chosen from their parameter files alone,
# before anything was trained on them.
VARIANTS = (
    *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Gene", "Henrique", "Jacky", "Lee", "Marco", "Michael"),
    *("Mike", "Nguyen", "Reed", "Storm", "Tweaky", "adam", "anika", "antonio", "aunty", "belinda", "benjamin"),
    *("boris", "david", "ed", "edward", "f1", "f2", "f3", "f5", "grandma", "grandpa", "gustave", "ian", "iven"),
    *("kaukovalta", "klatt2", "klatt4", "linda", "m1", "m2", "m4", "m5", "m6", "m7", "marcelo", "max", "michel"),
    *("mike2", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "sandro", "shelby", "steph", "travis", "zac"),
)
# English as spoken in eight places, and read aloud by the rules of other languages: foreign accents.
ACCENTS = (
    *("en", "en-us", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc"),
    *("cs", "cy", "da", "de", "es", "es-419", "eu", "fi", "fr-be", "hr", "hu", "id"),
    *("it", "nb", "nl", "pl", "pt", "pt-br", "ro", "sv", "sw", "tr"),
)
_TEST_SHARE = 0.25  # of the variants
_TRACT = (0.85, 1.17)  # adults' vocal tracts are about 13 to 18 cm long
_PITCH = (25.0, 75.0)

_WHO = (
    *("The old captain", "My younger sister", "A tired waiter", "Our new neighbour", "The village doctor"),
    *("Every good student", "Somebody upstairs", "The quiet gardener", "His favourite uncle", "A famous painter"),
    *("The winter champion", "Your former teacher", "One brave farmer", "The busy engineer", "That cheerful judge"),
)
_DOES = (
    *("opened", "carried", "should have painted", "is looking for", "forgot about", "wants to borrow", "put away"),
    *("quickly washed", "never noticed", "will probably choose", "laughed at", "joined", "gave back", "broke"),
    "measured",
)
_WHAT = (
    *("a yellow umbrella", "the heavy wooden box", "three fresh apples", "the second chapter", "a pair of gloves"),
    *("this thin blue jacket", "the church window", "some hot vegetable soup", "the missing keys", "a cheap guitar"),
    *("the measuring tape", "both of the pictures", "an oily machine", "the garage door", "five silver spoons"),
)
_WHEN = (
    *("before the train left", "on a rainy Thursday", "near the harbour", "without a word", "at half past eight"),
    *("behind the school", "for the whole evening", "because of the noise", "in the middle of July", "with great joy"),
    *("when the phone rang", "under the bridge", "as usual", "after the show", "just to be sure"),
)
SENTENCE_PARTS = (_WHO, _DOES, _WHAT, _WHEN)


class Voice(NamedTuple):
    """One synthetic person: everything here stays the same from sentence to sentence.

    Two voices of one variant differ in all the rest; their tracts and pitches come from separate parts of the range.
    """

    name: str
    variant: str
    accent: str
    tract: float  # vocal tract length against the variant's own: all formants (and the pitch) move by 1 / tract
    pitch: float  # 0...100, 50 is the variant's own
    pitch_range: float  # 0...100
    rate: float  # words a minute
    tilt_db: float  # dB an octave added above 1 kHz and taken below: a bright or a dull voice


def draw_voices(num_train: int, num_test: int, seed: int) -> tuple[list[Voice], list[Voice]]:
    """Training and test voices. A quarter of the variants serves test voices alone: no timbre is heard in both."""
    rng = np.random.default_rng(seed)
    variants = [str(name) for name in rng.permutation(VARIANTS)]
    num_held_out = round(_TEST_SHARE * len(variants))
    return _voices(num_train, variants[num_held_out:], rng), _voices(num_test, variants[:num_held_out], rng)


def draw_sentences(count: int, rng: np.random.Generator) -> list[str]:
    """`count` different sentences of 2 to 5 s, out of 50 625."""
    sizes = [len(part) for part in SENTENCE_PARTS]
    rows = np.stack(np.unravel_index(rng.choice(np.prod(sizes), size=count, replace=False), sizes), axis=1)
    return [" ".join(part[i] for part, i in zip(SENTENCE_PARTS, row, strict=True)) + "." for row in rows]


def _voices(count: int, variants: Sequence[str], rng: np.random.Generator) -> list[Voice]:
    rounds = -(-count // len(variants))
    accents = [rng.permutation(ACCENTS)[:rounds] for _ in variants]
    tracts = [_spread(rounds, rng) for _ in variants]
    pitches = [_spread(rounds, rng) for _ in variants]
    voices = []
    for number in range(count):
        turn, who = divmod(number, len(variants))
        accent = str(accents[who][turn])
        voices.append(
            Voice(
                name=f"{variants[who]}.{accent}",
                variant=variants[who],
                accent=accent,
                tract=_TRACT[0] * (_TRACT[1] / _TRACT[0]) ** tracts[who][turn],
                pitch=_PITCH[0] + (_PITCH[1] - _PITCH[0]) * pitches[who][turn],
                pitch_range=rng.uniform(35, 70),
                rate=rng.uniform(155, 205),
                tilt_db=rng.uniform(-2, 2),
            )
        )
    return voices


def _spread(count: int, rng: np.random.Generator) -> list[float]:
    """`count` numbers in 0...1 in random order, one from the middle of each equal part."""
    return [float(x) for x in (rng.permutation(count) + rng.uniform(0.35, 0.65, count)) / count]
