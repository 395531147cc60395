"""docs/coming-from-ppvector.md says how each operation of the origin is written here: every line of it runs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

DOCUMENT = Path(__file__).parents[2] / "docs/coming-from-ppvector.md"
SECTION = DOCUMENT.read_text(encoding="utf-8").split("## Operations on recordings\n")[1].split("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)\(.*?\)`[^|]*\| `([^`]+)`(.*) \|$", SECTION, re.MULTILINE)
ORIGIN = """
    from_file slice_from_file from_bytes from_pcm_bytes from_ndarray concatenate make_silence to_wav_file superimpose
    to_bytes gain_db change_speed normalize resample pad_silence shift subsegment random_subsegment add_noise vad crop
"""
RATE = 16000


@pytest.fixture
def names(tmp_path: Path) -> dict[str, Any]:
    """What the document says its lines may use, with its own imports."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.uniform(-0.5, 0.5, (3, 4 * RATE)).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, a, RATE, subtype="FLOAT")
    found: dict[str, Any] = {
        "path": path, "content": path.read_bytes(), "pcm": (a * 32767).astype("<i2").tobytes(), "channels": 2,
        "array": a, "a": a, "b": b, "noise": noise[:RATE], "rate": RATE, "start": 5, "rng": rng,
    }  # fmt: skip
    (imports,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(imports, found)
    return found


def test_every_operation_of_the_origin_has_its_line() -> None:
    assert [name for name, _, _ in ROWS] == ORIGIN.split()


EXPECTED_SECONDS = {
    "slice_from_file": 1.0, "from_pcm_bytes": 2.0, "concatenate": 8.0, "make_silence": 0.5, "change_speed": 4 / 1.1,
    "resample": 2.0, "pad_silence": 5.0, "subsegment": 0.5, "random_subsegment": 0.5, "crop": 3.0,
}  # fmt: skip


@pytest.mark.parametrize(("operation", "line"), [row[:2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_line_does_what_it_says(names: dict[str, Any], operation: str, line: str) -> None:
    result = eval(line, names)
    a = names["a"]
    if operation == "to_wav_file":
        np.testing.assert_allclose(soundfile.read(names["path"])[0], a, atol=1 / 32767)
        return
    if operation == "to_bytes":
        np.testing.assert_allclose(np.frombuffer(result, "<i2") / 32767, a, atol=0.6 / 32767)
        return
    assert len(result) == round(RATE * EXPECTED_SECONDS.get(operation, 4.0))
    assert result.dtype == np.float32
    assert np.abs(result).max() <= 1


def level_db(waveform: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(waveform, dtype=np.float64))))


def test_levels_are_those_that_the_lines_name(names: dict[str, Any]) -> None:
    line = {name: expression for name, expression, _ in ROWS}
    a = names["a"]
    assert level_db(eval(line["normalize"], names)) == pytest.approx(-20, abs=1e-3)
    assert level_db(eval(line["gain_db"], names)) - level_db(a) == pytest.approx(-6, abs=1e-3)
    noisy = eval(line["add_noise"], names)
    added = noisy * (np.dot(a, a) / np.dot(a, noisy)) - a  # the noise is independent of a, the mix may be turned down
    assert level_db(a) - level_db(added) == pytest.approx(10, abs=0.2)
    shifted = eval(line["shift"], names)
    np.testing.assert_array_equal(shifted[1600:], a[:-1600])
