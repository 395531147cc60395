"""Encoders of every family that fit into a test: random weights, a few channels, in folders as the library saves."""

import json
from pathlib import Path
from typing import Any

import torch

FAMILIES = ["wav2vec2", "wav2vec2-stable", "hubert", "wavlm", "wavlm-stable", "wav2vec2-bert"]
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
CONVOLUTIONAL = {**SIZE, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}


def tiny_encoder(family: str, **changes: Any) -> Any:
    """A random model; `-stable` are those that normalise before each layer, as the large ones do."""
    import transformers

    kind = family.removesuffix("-stable")
    name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "wav2vec2-bert": "Wav2Vec2Bert"}[kind]
    size = SIZE if kind == "wav2vec2-bert" else CONVOLUTIONAL
    if family.endswith("-stable"):
        size = {**size, "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    torch.manual_seed(0)
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**{**size, **changes})).eval()


def tiny_model(folder: Path, family: str = "wavlm", *, do_normalize: bool = True, **changes: Any) -> Path:
    """The folder of a model, as from the hub."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    tiny_encoder(family, **changes).save_pretrained(folder)
    logging.enable_progress_bar()
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": do_normalize}))
    return folder
