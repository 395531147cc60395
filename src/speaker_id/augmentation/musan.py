"""The three classes of MUSAN, and what a television makes of two of them."""

import os
from collections.abc import Mapping
from pathlib import Path

from speaker_id.augmentation.babble import Babble
from speaker_id.augmentation.chain import Chain, OneOf
from speaker_id.augmentation.noise import AddNoise
from speaker_id.contracts import as_path
from speaker_id.errors import ConfigError


class Musan(OneOf):
    """Adds babble, music or noise from MUSAN (Snyder et al. 2015), one of them a call: (S,), rng -> (S,).

    `folder` is the corpus as it is unpacked, with speech/, music/ and noise/. The classes are drawn by their weights;
    one of weight 0 is left out, its folder need not be there. Speech is babble of several talkers, music and noise are
    a single recording each; `television` is speech and then music, each at its own ratio, as in the recipes that draw
    from five kinds. All ratios are uniform in dB.
    """

    def __init__(
        self,
        *,
        prob: float,
        folder: str | os.PathLike[str],
        sample_rate: int,
        speech_weight: float,
        min_speech_snr_db: float,
        max_speech_snr_db: float,
        min_talkers: int,
        max_talkers: int,
        music_weight: float,
        min_music_snr_db: float,
        max_music_snr_db: float,
        noise_weight: float,
        min_noise_snr_db: float,
        max_noise_snr_db: float,
        television_weight: float = 0.0,
    ) -> None:
        weights = {
            "speech": speech_weight, "music": music_weight, "noise": noise_weight, "television": television_weight,
        }  # fmt: skip
        folders = _folders(as_path(folder), weights, needed=prob > 0)
        on = float(prob > 0)  # a part that is off needs no folder

        def single(kind: str, min_snr_db: float, max_snr_db: float) -> AddNoise:
            return AddNoise(
                prob=on,
                min_snr_db=min_snr_db,
                max_snr_db=max_snr_db,
                max_layers=1,
                sample_rate=sample_rate,
                folder=folders.get(kind),
            )

        speech = Babble(
            prob=on,
            min_snr_db=min_speech_snr_db,
            max_snr_db=max_speech_snr_db,
            min_talkers=min_talkers,
            max_talkers=max_talkers,
            sample_rate=sample_rate,
            folder=folders.get("speech"),
        )
        music = single("music", min_music_snr_db, max_music_snr_db)
        noise = single("noise", min_noise_snr_db, max_noise_snr_db)
        television = Chain(speech=speech, music=music)
        super().__init__(prob=prob, weights=weights, speech=speech, music=music, noise=noise, television=television)


def _folders(root: Path, weights: Mapping[str, float], *, needed: bool) -> dict[str, Path]:
    """Of the classes that are drawn, television's two included; ConfigError for one that is `needed` and not there."""
    drawn = [kind for kind in ("speech", "music", "noise") if weights[kind]]
    drawn += [kind for kind in ("speech", "music") if weights["television"] and kind not in drawn]
    lacking = [kind for kind in drawn if not (root / kind).is_dir()]
    if lacking and needed:
        raise ConfigError(
            f"augmentation folder {root} has no {' and no '.join(f'{kind}/' for kind in lacking)}; give the folder "
            "that MUSAN unpacks into (openslr.org/17), or choose `augmentation=noise` or `augmentation=none`"
        )
    return {kind: root / kind for kind in drawn}
