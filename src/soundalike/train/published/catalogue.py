"""The models that `soundalike models install` knows: where their weights are, and which spaces they make.

Another model is one more entry of `PUBLISHED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from soundalike.backbones.analysis import clap_checkpoint, musicnn_checkpoint

__all__ = ["PUBLISHED", "PublishedModel", "PublishedSpace", "PublishedWeights"]


@dataclass(frozen=True, slots=True)
class PublishedSpace:
    """A space of a published model.

    Attributes:
        name: Its name.
        feature: The feature of the backbone that it projects.
        checkpoints: Where a folder of heads may have its checkpoint, in MERIT's format, in order of preference. Without
            any, the head is `identity`.
    """

    name: str
    feature: str
    checkpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """The weights of a backbone that others publish.

    Attributes:
        origin: Where they are by default: an id on the Hugging Face hub. None: the user gives a path, or `package`
            finds them.
        page: Where to look for them, for messages and people.
        authors: Whom to credit for them.
        files: The files of a folder of weights; of several alternatives, the first that exists. Empty: the weights are
            one file.
        package: Returns the folder of an installed Python package that has them; None if there is none.
        convert: Called with a file or folder that is not in the form that the backbone reads, and with the path of the
            file or folder to write.
    """

    origin: str | None
    page: str
    authors: str
    files: tuple[tuple[str, ...], ...] = ()
    package: Callable[[], Path | None] | None = None
    convert: Callable[[Path, Path], None] | None = None

    @property
    def credit(self) -> str:
        """What a model with these weights says about where they come from."""
        return f"{self.authors}, {self.page}"


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A model whose weights others publish.

    Attributes:
        name: Its name.
        summary: One sentence about it.
        licence: The licence of all its weights, an SPDX expression.
        terms: What the licence means for the user, one sentence.
        extra: The extra of this package that brings `modules`, or None.
        modules: The modules that the model needs besides those of the base installation.
        backbone: The name of its backbone.
        weights: The weights of the backbone; None if it needs none.
        spaces: Its spaces.
        heads: The id of the checkpoints of its heads on the hub, if it has any.
    """

    name: str
    summary: str
    licence: str
    terms: str
    extra: str | None
    modules: tuple[str, ...]
    backbone: str
    weights: PublishedWeights | None
    spaces: tuple[PublishedSpace, ...]
    heads: str | None = None


_TRANSFORMERS = ("torch", "transformers", "huggingface_hub")
_NON_COMMERCIAL = "Give credit; commercial use is not allowed."
_MERT, _CLAP = "MERT by Li et al., 2024", "LAION-CLAP by Wu et al., 2023"
_MUQ = "MuQ-MuLan by Zhu et al., 2025"
_HUB_FILES = (("config.json",), ("preprocessor_config.json",), ("model.safetensors", "pytorch_model.bin"))


def _on_hub(repository: str, authors: str) -> PublishedWeights:
    """Return weights that transformers reads, by their id on the hub."""
    return PublishedWeights(repository, f"https://huggingface.co/{repository}", authors, _HUB_FILES)


_MODELS = (
    PublishedModel(
        name="merit",
        summary="MERIT: heads for melody, rhythm and timbre on layers 3, 4, 5, 6 and 23 of MERT-v1-330M.",
        licence="CC-BY-NC-4.0",
        terms=_NON_COMMERCIAL,
        extra="mert",
        modules=_TRANSFORMERS,
        backbone="mert",
        weights=_on_hub("m-a-p/MERT-v1-330M", _MERT),
        spaces=(
            PublishedSpace("melody", "layers", ("head_mel/best_head.pt", "melody/best_head.pt")),
            PublishedSpace("rhythm", "layers", ("head_rhy/best_head.pt", "rhythm/best_head.pt")),
            PublishedSpace("timbre", "layers", ("head_tim/best_head.pt", "timbre/best_head.pt")),
        ),
        heads="amaai-lab/merit",
    ),
    PublishedModel(
        name="mert",
        summary="MERT-v1-330M without heads: layers 3, 4, 5, 6 and 23.",
        licence="CC-BY-NC-4.0",
        terms=_NON_COMMERCIAL,
        extra="mert",
        modules=_TRANSFORMERS,
        backbone="mert",
        weights=_on_hub("m-a-p/MERT-v1-330M", _MERT),
        spaces=(PublishedSpace("overall", "layers"),),
    ),
    PublishedModel(
        name="mert-95m",
        summary="MERT-v1-95M without heads: layers 3, 4, 5, 6 and 11.",
        licence="CC-BY-NC-4.0",
        terms=_NON_COMMERCIAL,
        extra="mert",
        modules=_TRANSFORMERS,
        backbone="mert",
        weights=_on_hub("m-a-p/MERT-v1-95M", _MERT),
        spaces=(PublishedSpace("overall", "layers"),),
    ),
    PublishedModel(
        name="clap",
        summary="LAION-CLAP: the projected audio embedding of clap-htsat-unfused.",
        licence="Apache-2.0",
        terms="Free for any use; keep the copyright notice.",
        extra="mert",
        modules=_TRANSFORMERS,
        backbone="clap",
        weights=replace(_on_hub("laion/clap-htsat-unfused", _CLAP), convert=clap_checkpoint.convert),
        spaces=(PublishedSpace("overall", "embedding"),),
    ),
    PublishedModel(
        name="muq",
        summary="MuQ-MuLan: the joint embedding of the audio tower of MuQ-MuLan-large.",
        licence="CC-BY-NC-4.0",
        terms=_NON_COMMERCIAL,
        extra="mert",
        modules=_TRANSFORMERS,
        backbone="muq",
        weights=replace(_on_hub("OpenMuQ/MuQ-MuLan-large", _MUQ), files=(_HUB_FILES[0], _HUB_FILES[-1])),
        spaces=(PublishedSpace("overall", "embedding"),),
    ),
    PublishedModel(
        name="musicnn",
        summary="musicnn: 200 units before the tags of MagnaTagATune, from the PyPI package.",
        licence="ISC",
        terms="Free for any use; keep the copyright notice.",
        extra=None,
        modules=(),
        backbone="musicnn",
        weights=PublishedWeights(
            None,
            "https://pypi.org/project/musicnn (pip install --no-deps musicnn)",
            "musicnn by Pons and Serra, 2019",
            package=musicnn_checkpoint.installed_package,
            convert=musicnn_checkpoint.convert,
        ),
        spaces=(PublishedSpace("overall", "embedding"),),
    ),
    PublishedModel(
        name="efficientat",
        summary="EfficientAT: the embedding of a MobileNetV3 that tags AudioSet.",
        licence="MIT",
        terms="Free for any use; keep the copyright notice.",
        extra="mert",
        modules=("torch",),
        backbone="efficientat",
        weights=PublishedWeights(
            None,
            "https://github.com/fschmid56/EfficientAT/releases (mn04_as_mAP_432.pt)",
            "EfficientAT by Schmid, Koutini and Widmer, 2023",
        ),
        spaces=(PublishedSpace("overall", "embedding"),),
    ),
    PublishedModel(
        name="openl3",
        summary="OpenL3: the embedding of 512 for music, with 256 mel bands.",
        licence="Apache-2.0",
        terms="Free for any use; keep the copyright notice.",
        extra="mert",
        modules=("torch",),
        backbone="openl3",
        weights=PublishedWeights(
            None,
            "https://github.com/torchopenl3/torchopenl3-models (torchopenl3_mel256_music_512.pth.tar)",
            "OpenL3 by Cramer et al., 2019, in torchopenl3",
        ),
        spaces=(PublishedSpace("overall", "embedding"),),
    ),
    PublishedModel(
        name="mfcc",
        summary="MFCC: mean and standard deviation of 20 mel-frequency cepstral coefficients, a baseline.",
        licence="Apache-2.0",
        terms="Free for any use; keep the copyright notice.",
        extra=None,
        modules=(),
        backbone="mfcc",
        weights=None,
        spaces=(PublishedSpace("overall", "mfcc"),),
    ),
)
PUBLISHED: Mapping[str, PublishedModel] = MappingProxyType({model.name: model for model in _MODELS})
"""The models by name."""
