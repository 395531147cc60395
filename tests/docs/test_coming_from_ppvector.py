"""Whatever the two origins could do is on docs/coming-from-ppvector.md, and what the page tells one to type exists.

The items are numbered as in the list that was made of both documents: A of ppvector 0.3.7, B of the older one.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from speaker_id.cli import app
from speaker_id.commandline import check_overrides
from speaker_id.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coming-from-ppvector.md").read_text(encoding="utf-8")
COMMANDS, OPTIONS, OUTPUT, PYTHON, DATA, FEATURES, MODELS, AUGMENTATION, OPERATIONS, NUMBERS, INSTALLING = (
    "Commands",
    "Options and their defaults",
    "What it prints and leaves behind",
    "Python",
    "Data",
    "Features",
    "Models, poolings, losses",
    "Augmentation",
    "Operations on recordings",
    "What the numbers mean now",
    "Installing, and what it is built on",
)

# Item -> the rows that tell of it: a section, and some words of the row's left side.
ROWS_OF: dict[str, list[tuple[str, str]]] = {
    "A1": [(INSTALLING, "`pip install ppvector")],
    "A2": [(INSTALLING, "Python 3.5 to 3.9")],
    "A3": [(INSTALLING, "numba, resampy, soundcard")],
    "A4": [(INSTALLING, "`predict`, `trainer`, `data_utils`")],
    "A5": [(MODELS, "the list of five names")],
    "A6": [(INSTALLING, "branch `release/1.0`"), (INSTALLING, "preprocessing as operators")],
    "A7": [(INSTALLING, "sister versions"), (MODELS, "ArcFace explained")],
    "A8": [(MODELS, "`EcapaTdnn` · `TDNN` · `Res2Net` · `ResNetSE`")],
    "A9": [(MODELS, "`ASP` · `SAP` · `TSP` · `TAP`")],
    "A10": [(MODELS, "`AAMLoss` · `AMLoss` · `ARMLoss` · `CELoss`"), (OPTIONS, "`easy_margin: False`")],
    "A11": [(FEATURES, "`MelSpectrogram` (the default)"), (OPTIONS, "`feature_method`"), (OPTIONS, "`feature_conf`")],
    "A12": [(FEATURES, "another name is refused; the dimension follows")],
    "A13": [(NUMBERS, "table: tpr, fpr and eer of six models")],
    "A14": [(NUMBERS, "on the huge sets, such as 0.98540")],
    "A15": [(NUMBERS, "eer = fpr + 1 - tpr"), (NUMBERS, "`eer`: the least sum")],
    "A16": [(DATA, "zhvoice: 3242 speakers"), (DATA, "cleaning with `aukit`")],
    "A17": [(DATA, "`<path>\\t<integer label>`"), (DATA, "one function for each corpus")],
    "A18": [
        (COMMANDS, "`python create_data.py`"),
        (DATA, "mp3 to wav first"),
        (DATA, "items under 1.3 s"),
        (DATA, "processes over all cores"),
        (DATA, "every 200th item"),
    ],
    "A19": [(DATA, "the same speakers as in training")],
    "A20": [(DATA, "`dataset/train_list.txt`")],
    "A21": [(FEATURES, "`n_fft: 1024, hop_length: 320")],
    "A22": [(FEATURES, "`n_fft: 1024, hop_length: 320")],
    "A23": [(FEATURES, "`n_mfcc: 40`")],
    "A24": [(FEATURES, "the log-mel section headed MFCC")],
    "A25": [(FEATURES, "as trained: `n_fft: 400"), (FEATURES, "`f_max: 14000.0`")],
    "A26": [
        (OPTIONS, "`train_list`, `test_list`"),
        (OPTIONS, "`batch_size: 64`"),
        (OPTIONS, "`chunk_duration` or `max_duration: 3`"),
        (OPTIONS, "`min_duration: 0.5`"),
        (OPTIONS, "3242`, typed by hand"),
        (OPTIONS, "`num_workers: 4`"),
        (OPTIONS, "`sample_rate: 16000`"),
        (OPTIONS, "`do_vad: False`"),
        (OPTIONS, "`target_dB: -20`"),
    ],
    "A27": [(OPTIONS, "`lin_neurons: 192`"), (OPTIONS, "`pooling_type`")],
    "A28": [(OPTIONS, "`weight_decay: 1e-6`"), (OPTIONS, "`Adam` · `AdamW` · `Momentum`")],
    "A29": [(OPTIONS, "`log_interval: 100`"), (OPTIONS, "`max_epoch: 30`"), (OPTIONS, "`use_model`, `use_loss`")],
    "A30": [(COMMANDS, "`python train.py`"), (COMMANDS, "`CUDA_VISIBLE_DEVICES=0`"), (COMMANDS, "distributed.launch")],
    "A31": [
        (COMMANDS, "`--augment_conf_path"),
        (COMMANDS, "`--configs "),
        (COMMANDS, "`--pretrained_model`"),
        (COMMANDS, "`--resume_model`"),
        (COMMANDS, "`--save_model_path"),
        (COMMANDS, "`--use_gpu`"),
        (OUTPUT, "all arguments and the configuration"),
    ],
    "A32": [(OUTPUT, "`[date time.us LEVEL ]")],
    "A33": [(OUTPUT, "one line for each augmentation")],
    "A34": [(COMMANDS, "`visualdl"), (OUTPUT, "scalars `Train/Loss`")],
    "A35": [(OUTPUT, "`Train epoch: [1/30]")],
    "A36": [(OUTPUT, "means since the epoch began"), (OUTPUT, "speed of one GPU; eta")],
    "A37": [(OPTIONS, "warm-up over 5 epochs"), (OPTIONS, "the seed, 1000")],
    "A38": [(OUTPUT, "losses taken as `float(x)`")],
    "A39": [(OUTPUT, "two progress bars"), (OUTPUT, "`Test epoch: 1, time/epoch")],
    "A40": [
        (OUTPUT, "`models/ecapa_tdnn_MelSpectrogram/best_model`"),
        (OUTPUT, "every 10000 batches"),
        (OUTPUT, "`model.pdparams`"),
    ],
    "A41": [(COMMANDS, "resuming by itself from `last_model`"), (OUTPUT, "only rank 0 evaluates and saves")],
    "A42": [(COMMANDS, "loads what fits, warns of the rest")],
    "A43": [(AUGMENTATION, "`noise`: `min_snr_dB: 10`")],
    "A44": [(AUGMENTATION, "up to `repetition` random files")],
    "A45": [(AUGMENTATION, "no noise files")],
    "A46": [(AUGMENTATION, "`resample` to 8, 32, 44.1 or 48 kHz, and left there")],
    "A47": [(AUGMENTATION, "`speed`: 0.9 to 1.1")],
    "A48": [(AUGMENTATION, "`shift`: -5 to 5 ms")],
    "A49": [(AUGMENTATION, "`volume`: -15 to 15 dB")],
    "A50": [(AUGMENTATION, "`specaug`")],
    "A51": [(AUGMENTATION, "`specsub`: `max_t: 10`")],
    "A52": [(DATA, "a random crop, an error"), (AUGMENTATION, "five kinds"), (DATA, "before the change of speed")],
    "A53": [(DATA, "reading: VAD")],
    "A54": [
        (COMMANDS, "`python eval.py`"),
        (OUTPUT, "`evaluation took 65s"),
        (OUTPUT, "result.png`"),
        (OUTPUT, "no pair is of one speaker"),
        (NUMBERS, "every pair of the test list"),
    ],
    "A55": [(NUMBERS, "batches of `batch_size`")],
    "A56": [(COMMANDS, "`python infer_contrast.py")],
    "A57": [
        (COMMANDS, "`--threshold 0.6`"),
        (OUTPUT, "are not the same person"),
        (NUMBERS, "`>`"),
        (NUMBERS, "similarities"),
    ],
    "A58": [
        (PYTHON, "`MVectorPredictor("),
        (PYTHON, "`contrast(audio1, audio2)`"),
        (PYTHON, "two outputs, class scores and embedding"),
    ],
    "A59": [(PYTHON, "`predict`, `predict_batch`")],
    "A60": [
        (COMMANDS, "`python infer_recognition.py`"),
        (COMMANDS, "`--audio_db_path"),
        (COMMANDS, "`--record_seconds 3`"),
    ],
    "A61": [(OUTPUT, "`Loaded NAME audio.`"), (PYTHON, "only new files are embedded")],
    "A62": [(COMMANDS, "the menu, 0 register"), (OUTPUT, "whose voice? (empty cancels)")],
    "A63": [(PYTHON, "`register(user_name")],
    "A64": [(PYTHON, "`recognition(audio_data"), (PYTHON, "stays for the next, and 0 does not count")],
    "A65": [(PYTHON, "`remove_user(user_name)`")],
    "A66": [(PYTHON, "*absolute* cosine")],
    "A67": [(COMMANDS, "an app sends a recording")],
    "A68": [(PYTHON, "`BufferedReader`"), (PYTHON, "PyAV, video too")],
    "A69": [(COMMANDS, "the default microphone at 16 kHz mono, a path to save to")],
    "A70": [(OPERATIONS, "`from_file(path)`"), (OPERATIONS, "`crop(3")],
    "B1": [(INSTALLING, "(PyTorch 1.8.1)"), (INSTALLING, "librosa and pyaudio")],
    "B2": [(INSTALLING, "MobileFaceNet"), (MODELS, "ArcFace explained")],
    "B3": [(NUMBERS, "on the huge sets")],
    "B4": [(DATA, "all archives unpacked; others mixed in"), (DATA, "cleaning with `aukit`")],
    "B5": [(DATA, "`<path>\\t<integer label>`"), (DATA, "mp3 to wav first"), (DATA, "broken files removed")],
    "B6": [(FEATURES, "per-corpus means made beforehand")],
    "B7": [(FEATURES, "magnitude of the short-time spectrum")],
    "B8": [(FEATURES, "257 x 257"), (OPTIONS, "`input_shape: (1, 257, 257)`")],
    "B9": [(AUGMENTATION, "doubled and, three times in ten, reversed"), (DATA, "a random crop, an error")],
    "B10": [(MODELS, "modified resnet34"), (COMMANDS, "`python train.py`"), (OUTPUT, "a model for prediction")],
    "B11": [
        (COMMANDS, "`gpus '0'`"),
        (COMMANDS, "DataParallel"),
        (OPTIONS, "`batch_size: 64` (32)"),
        (OPTIONS, "`num_workers: 4`"),
        (OPTIONS, "`num_epoch: 50`"),
        (OPTIONS, "`num_classes: 3242`"),
        (OPTIONS, "SGD 0.9, decay 5e-4"),
        (OPTIONS, "`lr_step: 10`"),
        (OPTIONS, "`input_shape"),
        (OUTPUT, "the last three epochs"),
        (OUTPUT, "(TorchScript) each epoch"),
        (MODELS, "512 numbers"),
    ],
    "B12": [(OUTPUT, "(the older one without speed)"), (OUTPUT, "between rules of 70 `=`")],
    "B13": [(OUTPUT, "accuracy is highest: 0.999955"), (NUMBERS, "best accuracy over thresholds 0.01 apart")],
    "B14": [(COMMANDS, "`python infer_contrast.py"), (COMMANDS, "(0.71 in the older one)")],
    "B15": [(COMMANDS, "the menu, 0 register, 1 recognise"), (OUTPUT, "speaker is NAME, similarity")],
    "B16": [(PYTHON, "`load_audio_db()`"), (PYTHON, "`register("), (PYTHON, "`recognition(")],
    "B17": [(COMMANDS, "an app sends a recording to the back end"), (INSTALLING, "sister versions")],
    "B18": [(DATA, "sample recordings")],
}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """Left and right side of each row of its tables."""
    found = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| ")]
    return [row for row in found if row != ["there", "here"]]


def test_every_item_of_both_origins_has_its_rows() -> None:
    assert list(ROWS_OF) == [*(f"A{number}" for number in range(1, 71)), *(f"B{number}" for number in range(1, 19))]
    left = {name: [row[0] for row in rows(text)] for name, text in sections().items()}
    for item, places in ROWS_OF.items():
        for section, words in places:
            assert any(words in cell for cell in left[section]), f"{item}: no row of {section!r} begins with {words!r}"


def test_every_row_tells_of_some_item() -> None:
    told = {place for places in ROWS_OF.values() for place in places}
    for section, text in sections().items():
        for row in rows(text) if section != OPERATIONS else []:  # which tests/docs/test_sound_operations.py runs
            assert len(row) == 2, row
            assert any(place == section and words in row[0] for place, words in told), row[0]


SPANS = sorted(
    {span for text in sections().values() for row in rows(text) for span in re.findall(r"`([^`]+)`", row[-1])}
)
OVERRIDES = [span for span in SPANS if re.match(r"[a-z_.]+=", span)]


@pytest.mark.parametrize("span", OVERRIDES)
def test_every_override_is_one(span: str) -> None:
    refused = []
    for command in ("train", "eval", "calibrate", "extract"):
        try:
            check_overrides(command, [word for word in shlex.split(span) if not word.startswith("hydra.")])
        except ConfigError as error:
            refused.append(error)
        else:
            return
    raise AssertionError(refused)


@pytest.mark.parametrize("span", [span for span in SPANS if span.startswith("speaker-id ")])
def test_every_command_and_option_exists(span: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in shlex.split(span)[1:]:
        if word.startswith("--"):
            assert any(word in option.opts for option in command.params), span
        elif hasattr(command, "commands"):
            assert word in command.commands, span
            command = command.commands[word]
