"""Which folders a model was trained on, so that an evaluation on them is marked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import content_hash, read_json

__all__ = ["training_note"]

_SPLIT_FILE = "split.json"


def training_note(model: str | None, anchors: Mapping[str, Path]) -> str | None:
    """Say how many of some triplet folders a model was trained or selected on.

    `soundalike train heads` keeps its split in the folder of the model, with a hash of every anchor.

    Args:
        model: The name or folder of the model.
        anchors: The anchor of each triplet folder.

    Returns:
        A remark for a report; None if the model saw none of the folders, or does not say.

    Example:
        >>> training_note("mine", {"melody/triplets_1": Path("triplets/melody/triplets_1/triplet/anchor.wav")})
        'The model was trained on 1 of these 1 folders: ...'
    """
    path = Path(model or "") / _SPLIT_FILE
    if not model or not path.is_file():
        return None
    body = read_json(path)
    known = body.get("anchors") if isinstance(body, dict) else None
    if not isinstance(known, dict):
        raise UsageError(f"{path} is not the split of soundalike train heads; train the model again")
    seen = {digest for part in ("train", "validation") for digest in known.get(part, ())}
    try:
        found = sum(content_hash(anchor) in seen for anchor in anchors.values())
    except AudioError:
        return None  # encoding the clips reports it
    if not found:
        return None
    return (
        f"The model was trained on {found:,} of these {len(anchors):,} folders; the values do not hold for other "
        f"music. Its split is in {_SPLIT_FILE} of its folder; give that as --split."
    )
