from pathlib import Path

import pytest

from service.certificates import self_signed
from speaker_id.errors import ConfigError
from speaker_id.service.certificate import check_certificate


def test_a_certificate_and_its_key_are_accepted(tmp_path: Path) -> None:
    check_certificate(*self_signed(tmp_path))


def test_each_file_that_is_wrong_is_named_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "a")
    _, of_another = self_signed(tmp_path / "b")
    _, protected = self_signed(tmp_path / "c", b"secret")
    junk, damaged = tmp_path / "junk.pem", tmp_path / "damaged.pem"
    junk.write_bytes(bytes(range(256)))
    damaged.write_text(certificate.read_text().replace("M", "N"))
    for given, said in [
        ((certificate, of_another), f"{of_another} is not the key of {certificate}"),
        ((certificate, protected), f"{protected} is protected by a passphrase"),
        ((certificate, junk), f"{junk} holds no private key"),
        ((junk, key), f"{junk} holds no certificate"),
        ((key, certificate), f"{key} holds no certificate"),
        ((damaged, key), f"{damaged} or {key} is damaged"),
        ((tmp_path / "none", key), f"cannot read {tmp_path / 'none'}: No such file"),
        ((certificate, tmp_path), f"cannot read {tmp_path}: Is a directory"),
    ]:
        with pytest.raises(ConfigError) as found:
            check_certificate(*given)
        assert str(found.value).startswith(said)
