"""What the service's page says: in every language the same keys with the same places, none missing, none idle."""

import re

import pytest

from speaker_id.service import app, schemas

PAGE = app.PAGE
LANGUAGES = ("en", "zh")


def words(language: str) -> dict[str, str]:
    text = (PAGE / "words.js").read_text(encoding="utf-8")
    block = re.search(rf"^  {language}: \{{$(.*?)^  \}},$", text, re.DOTALL | re.MULTILINE)
    assert block
    pairs = re.findall(r'(\w+):\s*"([^"\n]*)",', block[1])
    found = dict(pairs)
    assert len(found) == len(pairs), "a key is there twice"
    return found


def source(*endings: str) -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in PAGE.iterdir() if p.suffix in endings and p.stem != "words")


def test_every_language_says_the_same_keys_with_the_same_places() -> None:
    english, chinese = words("en"), words("zh")
    assert len(english) > 60
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[key])), key


def test_chinese_is_chinese_and_english_is_english() -> None:
    assert all(re.search(r"[\u4e00-\u9fff]", text) for key, text in words("zh").items() if key != "unseen")
    assert all(text.isascii() or key in {"working", "looking", "opening"} for key, text in words("en").items())


@pytest.mark.parametrize("attribute", ["data-word", "data-label", "data-title"])
def test_every_key_that_the_document_names_exists(attribute: str) -> None:
    named = re.findall(rf'{attribute}="([^"]*)"', source(".html"))
    assert named
    assert set(named) <= set(words("en"))


def test_every_key_that_the_scripts_name_exists_and_every_key_is_named_somewhere() -> None:
    scripts = source(".js")
    said = set(re.findall(r'\b(?:say|tell|judge)\("(\w+)"', scripts))
    quoted = set(re.findall(r'"(\w+)"', scripts + source(".html")))
    errors = {key for key in words("en") if key.startswith("error")}  # made from the service's answers
    assert said <= set(words("en"))
    assert set(words("en")) - errors <= quoted


def test_the_page_reads_only_fields_that_the_service_answers() -> None:
    answered = {
        name
        for answer in (schemas.CompareAnswer, schemas.IdentifyAnswer, schemas.EnrolAnswer, schemas.UsersAnswer)
        for name in answer.model_fields
    }
    read = set(re.findall(r"\bresult\.(\w+)", source(".js")))
    assert read
    assert read <= answered


def test_the_document_has_no_inline_script_or_style_that_its_policy_would_refuse() -> None:
    document = source(".html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:", document)
    assert not re.search(r"\binnerHTML|\beval\(|https?://(?!www\.w3\.org/2000/svg)", source(".js"))
