"""Networks for concepts that `soundalike train concepts` wrote, as ONNX files that onnxruntime runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from soundalike.backbones.analysis.concept_settings import CONCEPT_KEY, ConceptGraph
from soundalike.core.errors import ModelError
from soundalike.core.onnx_files import check_sizes, open_onnx
from soundalike.core.types import FloatArray

__all__ = ["ConceptOnnx"]

_REMEDY = "give a file that `soundalike train concepts` wrote"


class ConceptOnnx:
    """The network of a file.

    Args:
        path: The file.
        code: Version of the code that uses it.

    Attributes:
        graph: What the file says about itself.
        version: A digest of the file and of `code`.

    Raises:
        ModelError: The file is missing, damaged, or of another kind.

    Example:
        >>> network = ConceptOnnx(Path("concepts/concepts.onnx"), code=1)
        >>> network({"mel": np.zeros((1, 128, 259), np.float32)}).shape
        (1, 384)
    """

    def __init__(self, path: Path, *, code: int) -> None:
        self._session, self.version = open_onnx(path, code=code, remedy=_REMEDY)
        text = self._session.get_modelmeta().custom_metadata_map.get(CONCEPT_KEY)
        if text is None:
            raise ModelError(f"{path} is a network of another kind: it has no settings of soundalike; {_REMEDY}")
        try:
            self.graph = ConceptGraph.from_json(text)
        except ValueError as error:
            raise ModelError(f"{path} is a network of another kind: {error}; {_REMEDY}") from error
        inputs = self.graph.inputs
        check_sizes(
            path,
            self._session,
            {name: [None, inputs.bins(name), inputs.frames] for name in inputs.names},
            {"embedding": [None, len(self.graph.concepts) * self.graph.dim]},
            _REMEDY,
        )

    def __call__(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Return the embeddings (n, D) of segments, whose inputs are (n, bins, frames) float32 by name."""
        embedding: FloatArray = self._session.run(["embedding"], dict(inputs))[0]
        return embedding
