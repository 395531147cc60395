import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from containers import KINDS, encode
from hostile.mutations import mutated
from inference.tiny_model import RATE, voice
from service.running import encoded, flac
from speaker_id import audio
from speaker_id.errors import AudioError, NoSpeech, TooShort
from speaker_id.inference.quality import QualityLimits, measure
from speaker_id.service.decoding import Decoders, Limits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    found = Decoders(1, RATE, Limits(seconds=60.0, megabytes=256, max_recording_seconds=10.0))
    yield found
    found.close()


def process(decoders: Decoders) -> int:
    decoders.wait_ready()
    pid = decoders._all[0]._process.pid
    assert pid is not None
    return pid


def test_a_decoder_has_not_loaded_torch(decoders: Decoders) -> None:
    loaded = Path(f"/proc/{process(decoders)}/maps").read_text(encoding="utf-8")
    assert "libsndfile" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_samples_are_those_that_the_library_reads(decoders: Decoders, kind: str) -> None:
    content = encoded(voice(110.0, 1.0), kind)
    np.testing.assert_array_equal(decoders.decode(content).waveform, audio.load(content, RATE))


@pytest.mark.parametrize("name", ["m4a", "webm, live", "mp4, video", "amr"])
def test_recordings_of_phones_and_browsers_are_decoded_behind_the_same_limits(decoders: Decoders, name: str) -> None:
    before = process(decoders)
    content = encode(KINDS[name], audio.resample(voice(110.0, 1.0), RATE, KINDS[name].rate))
    np.testing.assert_array_equal(decoders.decode(content).waveform, audio.load(content, RATE))
    with pytest.raises(AudioError, match=r"^the recording is .*truncated"):
        decoders.decode(content[:-7])
    assert process(decoders) == before


def test_the_quality_is_the_one_that_the_library_measures(decoders: Decoders) -> None:
    assert decoders.decode(flac(seconds=2.0)).quality == measure(audio.load(flac(seconds=2.0), RATE), RATE)


def test_errors_keep_their_class_and_name_the_recording(decoders: Decoders) -> None:
    with pytest.raises(TooShort, match=r"^recording 3 is"):
        decoders.decode(flac(seconds=0.2), "recording 3")
    with pytest.raises(NoSpeech, match=r"^it is silent"):
        decoders.decode(encoded(np.zeros(RATE, np.float32), "WAV"), "it")
    with pytest.raises(AudioError, match=r"^the recording is an empty file"):
        decoders.decode(b"")


def test_a_recording_longer_than_allowed_is_not_decoded(decoders: Decoders) -> None:
    bomb = encoded(np.zeros(RATE * 600, np.float32), "FLAC")
    assert len(bomb) < RATE * 600 / 100  # ten minutes in few bytes
    with pytest.raises(AudioError, match=r"600\.0 s long, at most 10 s"):
        decoders.decode(bomb)


def test_a_header_that_lies_about_the_length_is_found_out(decoders: Decoders) -> None:
    lying = bytearray(flac())
    lying[21:26] = bytes([lying[21] & 0xF0, 0, 2, 0, 0])  # STREAMINFO: 131072 samples, 8 s
    with pytest.raises(AudioError, match=r"truncated|damaged"):
        decoders.decode(bytes(lying))


def test_a_decoder_that_hangs_costs_one_recording(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    before = process(decoders)
    os.kill(before, signal.SIGSTOP)
    decoder = decoders._all[0]
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_limits", decoder._limits._replace(seconds=0.2))
        with pytest.raises(AudioError, match=r"within 0\.2 s"):
            decoders.decode(flac())
    assert len(decoders.decode(flac()).waveform) == RATE
    assert process(decoders) != before


def test_a_decoder_that_died_while_idle_costs_nothing(decoders: Decoders) -> None:
    before = process(decoders)
    os.kill(before, signal.SIGKILL)
    decoders._all[0]._process.join()
    assert len(decoders.decode(flac()).waveform) == RATE
    assert process(decoders) != before


def test_memory_files_and_core_dumps_are_limited_and_death_costs_one_recording() -> None:
    decoders = Decoders(1, RATE, Limits(seconds=60.0, megabytes=48, max_recording_seconds=1e6))
    try:
        with Path(f"/proc/{process(decoders)}/limits").open(encoding="ascii") as file:
            limits = {line[:25].strip(): line[26:].split()[0] for line in file}
        assert (limits["Max file size"], limits["Max core file size"], limits["Max open files"]) == ("0", "0", "0")
        bomb = encoded(np.zeros(RATE * 1200, np.float32), "FLAC")  # 77 MB as samples
        with pytest.raises(AudioError, match=r"memory|made its decoder fail"):
            decoders.decode(bomb)
        assert len(decoders.decode(flac()).waveform) == RATE
    finally:
        decoders.close()


def test_the_service_being_told_to_stop_does_not_stop_a_decoder(decoders: Decoders) -> None:
    before = process(decoders)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(before, number)
    assert len(decoders.decode(flac()).waveform) == RATE
    assert process(decoders) == before


def test_mutated_files_give_sound_or_our_error_and_none_kills_the_decoder(decoders: Decoders) -> None:
    before, outcomes = process(decoders), set()
    for number in range(160):
        try:
            outcomes.add(decoders.decode(mutated(1, number).content).waveform.dtype)
        except AudioError:
            outcomes.add(AudioError)
    assert outcomes == {np.dtype(np.float32), AudioError}
    assert process(decoders) == before


def test_a_decoder_can_listen_with_silero_within_its_memory() -> None:
    limits = Limits(seconds=60.0, megabytes=200, max_recording_seconds=60.0, quality=QualityLimits(detector="silero"))
    decoders = Decoders(1, RATE, limits)
    try:
        with pytest.raises(NoSpeech, match=r"the recording holds no speech: .* without a voice"):
            decoders.decode(flac(seconds=20.0))  # which energy takes for one
    finally:
        decoders.close()


def test_what_libraries_in_c_say_of_a_damaged_file_does_not_reach_the_services_log() -> None:
    damaged = bytearray(encoded(voice(110.0, 1.0), "MP3"))
    damaged[1500:1600] = bytes(100)
    script = """if True:
        import sys
        from speaker_id.errors import AudioError
        from speaker_id.service.decoding import Decoders, Limits
        decoders = Decoders(1, 16000, Limits(seconds=60.0, megabytes=256, max_recording_seconds=10.0))
        try:
            decoders.decode(sys.stdin.buffer.read())
        except AudioError:
            print("refused")
        decoders.close()
    """
    done = subprocess.run([sys.executable, "-c", script], input=damaged, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"refused\n", b"")
