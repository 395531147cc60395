from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.inference.quality import QualityLimits
from speaker_id.service.settings import Settings, settings_as_json, settings_from_json

CHANGED = {
    "model": Path("model"), "gallery": "postgresql://host/db", "keys": Path("keys.json"), "device": "cuda",
    "gallery_options": GalleryOptions(3, "env:KEY", timedelta(hours=36), keep_recordings=True, hnsw=True),
    "quality": QualityLimits(min_speech_seconds=2.5, min_snr_db=12.0), "threshold": 0.5, "prior": 0.125,
    "allow_embed": True, "origins": ("https://a.example", "https://b.example"),
}  # fmt: skip


def test_worker_processes_get_every_setting_as_it_was_given() -> None:
    numbers = {field.name: field.default + 1 for field in fields(Settings) if field.name not in CHANGED}
    settings = Settings(**CHANGED, **numbers)  # type: ignore[arg-type]
    assert settings_from_json(settings_as_json(settings)) == settings
    plain = Settings(Path("model"), "gallery.db")
    assert settings_from_json(settings_as_json(plain)) == plain


def test_a_gallery_given_as_a_path_stays_one_for_whoever_opens_it() -> None:
    assert settings_from_json(settings_as_json(Settings(Path("m"), Path("g.db")))).gallery == "g.db"


def test_a_gallerys_key_itself_is_not_put_into_the_environment() -> None:
    options = GalleryOptions(key=bytes(32))
    with pytest.raises(ConfigError, match="env:NAME"):
        settings_as_json(Settings(Path("m"), "g.db", gallery_options=options))
