"""Whatever bytes are handed in: sound as promised, or our AudioError; no other error, no hang."""

import io
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostile.mutations import mutated
from hostile.sounds import originals
from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

RATES = (8000, 16000, 44100)
MAGIC = (
    b"RIFF\x24\x00\x00\x00WAVEfmt ", b"RIFX", b"RF64", b"fLaC\x00\x00\x00\x22", b"OggS\x00\x02", b"ID3\x04\x00\x00",
    b"\xff\xfb\x90\x64", b"FORM\x00\x00\x10\x00AIFF", b".snd\x00\x00\x00\x18", b"caff\x00\x01\x00\x00",
    b"riff\x2e\x91\xcf\x11",
    b"\x00\x00\x00\x18ftypM4A ", b"\x00\x00\x00\x08moov", b"\x1a\x45\xdf\xa3\x01\x00", b"0&\xb2u\x8ef\xcf\x11\xa6\xd9",
    b"#!AMR\n", b"#!AMR-WB\n", b"\xff\xf1\x50\x80", b"RIFF\x24\x00\x00\x00AVI LIST", b"#EXTM3U\n", b"",
)  # fmt: skip
IN_TIME = settings(
    deadline=timedelta(seconds=20),  # on a busy machine; a hang lasts for ever
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)


def check(content: bytes, rate: int) -> FloatArray | None:
    """The sound, or None for an AudioError; raises any other error, and fails where a promise is not kept."""
    try:
        stated = audio.num_samples_at(audio.info(content), rate)
        whole = audio.load(content, rate)
    except AudioError:
        return None
    assert (whole.dtype, whole.shape) == (np.float32, (stated,))
    assert np.isfinite(whole).all()
    assert np.abs(whole).max() <= 1
    with suppress(AudioError):  # a seek may meet the damage
        assert len(audio.load(io.BytesIO(content), rate, start=stated // 3, num=1 + stated // 5)) == 1 + stated // 5
    return whole


@IN_TIME
@given(magic=st.sampled_from(MAGIC), rest=st.binary(max_size=400), rate=st.sampled_from(RATES))
@example(magic=b"", rest=b"", rate=8000)
def test_any_bytes_are_sound_or_an_error_of_ours(magic: bytes, rest: bytes, rate: int) -> None:
    check(magic + rest, rate)


@IN_TIME
@given(seed=st.integers(0, 9), number=st.integers(0, 10**6), rate=st.sampled_from(RATES))
def test_any_damaged_recording_is_sound_or_an_error_of_ours(seed: int, number: int, rate: int) -> None:
    check(mutated(seed, number).content, rate)


@IN_TIME
@given(data=st.data(), rate=st.sampled_from(RATES))
def test_any_recording_with_a_few_bytes_changed_is_sound_or_an_error_of_ours(data: st.DataObject, rate: int) -> None:
    content = bytearray(data.draw(st.sampled_from(originals()), label="of").content)
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        where = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content) - 1, 200)), label="where")
        value = data.draw(st.binary(min_size=1, max_size=8), label="value")
        content[where : where + len(value)] = value
    check(bytes(content), rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_crop_of_every_kind_of_recording_holds_the_samples_of_the_whole(rate: int) -> None:
    for original in originals():
        whole = check(original.content, rate)
        assert whole is not None
        start, num = len(whole) // 3, len(whole) // 5
        crop = audio.load(original.content, rate, start=start, num=num)
        np.testing.assert_allclose(crop, whole[start : start + num], atol=2e-6)
