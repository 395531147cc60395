"""How the detectors of conf/vad differ on speech, on noise, and on speech in noise.

    python benchmarks/voice_activity.py SPEECH NOISE [--every 2]

SPEECH and NOISE are folders of recordings. Speech is mixed with noise (one clip after the other, tiled) at an SNR over
the whole recording. Nobody has labelled the speech: what a detector finds in the mixture is compared with what silero
finds in the clean recording.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from speaker_id import audio, build
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, NoSpeech
from speaker_id.inference.quality import QualityLimits, check_recording
from speaker_id.vad.stretches import to_frames

RATE, HOP = 16000, 160
DETECTORS = ("energy", "silero")
SNRS = (None, 20, 10, 0)


def mixed(waveform: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    noise = np.resize(noise, len(waveform))
    ratio = np.mean(waveform.astype(np.float64) ** 2) / np.mean(noise.astype(np.float64) ** 2)
    return np.clip(waveform + noise * np.float32(np.sqrt(ratio / 10 ** (snr_db / 10))), -1, 1)


def verdict(waveform: FloatArray, detector: str) -> str:
    """What the gate says: fine, no speech, or refused for another reason."""
    try:
        check_recording(waveform, RATE, name="x", limits=QualityLimits(detector=detector))
    except NoSpeech:
        return "no speech"
    except AudioError:
        return "too short"
    return "fine"


def beside_the_package(waveforms: list[FloatArray]) -> str:
    """Our Silero and the package's own loop over windows, with the package's defaults, in one run."""
    import silero_vad
    import torch

    model, own = silero_vad.load_silero_vad(), build.speech_detector("silero")
    assert own is not None
    begin = time.process_time()
    theirs = [silero_vad.get_speech_timestamps(torch.from_numpy(waveform), model) for waveform in waveforms]
    middle = time.process_time()
    ours = [own(waveform, RATE) for waveform in waveforms]
    end = time.process_time()
    same = sum(
        mine.tolist() == [[each["start"], each["end"]] for each in other]
        for mine, other in zip(ours, theirs, strict=True)
    )
    ratio = (middle - begin) / (end - middle)
    return f"the package's loop takes {ratio:.1f} times as long; the same stretches in {same} of {len(waveforms)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path)
    parser.add_argument("noise", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every n-th recording of the speech")
    given = parser.parse_args()
    clean = [audio.load(path, RATE) for path in sorted(given.speech.rglob("*.flac"))[:: given.every]]
    noises = [audio.load(path, RATE) for path in sorted(given.noise.rglob("*.flac"))]
    leaves = {name: build.speech_detector(name) for name in DETECTORS}

    def flags(waveform: FloatArray, name: str) -> np.ndarray:
        found = leaves[name](waveform, RATE)  # type: ignore[misc]
        return to_frames(found, len(waveform) // HOP, hop=HOP, size=HOP)

    for name in DETECTORS:
        flags(clean[0], name)  # loads
        begin = time.process_time()
        for waveform in clean:
            flags(waveform, name)
        hours = sum(map(len, clean)) / RATE / 3600
        print(f"{name}: {(time.process_time() - begin) / hours:.1f} s of CPU time for an hour of sound")

    print(beside_the_package(clean[:40]))
    reference = [flags(waveform, "silero") for waveform in clean]
    print(f"{len(clean)} recordings, {sum(map(len, clean)) / RATE:.0f} s; {len(noises)} clips of noise\n")
    print("| speech | detector | speech found | of the speech, found | of its pauses, taken for speech | refused |")
    print("|---|---|---|---|---|---|")
    for snr in SNRS:
        waveforms = clean if snr is None else [mixed(w, noises[i % len(noises)], snr) for i, w in enumerate(clean)]
        for name in DETECTORS:
            found = [flags(waveform, name) for waveform in waveforms]
            every, truth = np.concatenate(found), np.concatenate(reference)
            refused = sum(verdict(waveform, name) != "fine" for waveform in waveforms)
            what = "clean" if snr is None else f"{snr} dB SNR"
            print(
                f"| {what} | `{name}` | {every.mean():.1%} | {every[truth].mean():.1%} | {every[~truth].mean():.1%} | "
                f"{refused} of {len(waveforms)} |"
            )
    print("\n| noise alone | judged as without speech | taken for speech |\n|---|---|---|")
    for name in DETECTORS:
        silent = sum(verdict(noise, name) != "fine" for noise in noises)
        share = np.concatenate([flags(noise, name) for noise in noises]).mean()
        print(f"| `{name}` | {silent} of {len(noises)} | {share:.1%} |")


if __name__ == "__main__":
    main()
