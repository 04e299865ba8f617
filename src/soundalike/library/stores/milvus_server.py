"""The connection to a Milvus server: addresses, collections, retries, and errors of one line.

Calls that fail because the server cannot be reached are repeated, with growing pauses; all of them can be, because they
have the same effect twice. Every call has a timeout, so that a cut connection ends as an error and never hangs.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from soundalike.core.errors import LibraryError, UsageError, one_line
from soundalike.core.types import FloatArray

__all__ = ["INDEXES", "MOST", "SETTLED", "Field", "MilvusAddress", "MilvusServer"]

TOKEN = "SOUNDALIKE_MILVUS_TOKEN"
MOST = 16_384
"""The most entities that Milvus returns from one search or query, by default."""
INDEXES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "FLAT": ({}, {}),
    "IVF_FLAT": ({"nlist": 1024}, {"nprobe": 256}),
    "HNSW": ({"M": 32, "efConstruction": 200}, {"ef": 1024}),
}
"""The indexes of vectors, with their settings for building and for searching; FLAT scans all rows and is exact."""
CALL = 60.0
"""Seconds that a call may take, its retries included."""
SETTLED = 10.0
"""Seconds after which readers take what Milvus shows without waiting, twice its `gracefulTime`."""
_CONNECT, _LONGEST_PAUSE = 10.0, 2.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}", re.ASCII)
_FULL = re.compile(r"no space left|file too large|disk quota|quota exceeded|quota exhausted|force deny", re.IGNORECASE)
_UNREACHABLE = re.compile(r"unavailable|fail connecting|failed to connect|deadline.exceeded|retry", re.IGNORECASE)
# The deadlines of calls notice a cut connection. pymilvus would ping every 10 s, which gRPC servers that keep the
# defaults answer by closing the connection. Channels of a process share what they know of an address, unless told not
# to: after a failure, a new one would fail too while the server is back.
_CHANNEL = {"grpc.keepalive_time_ms": 330_000, "grpc.use_local_subchannel_pool": 1}


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where a library is: the host and port of the server, and the name of the library there."""

    host: str
    port: int
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `milvus://HOST:PORT/NAME`; the port may be left out.

        Raises:
            UsageError: It is not such an address.

        Example:
            >>> MilvusAddress.parse("milvus://localhost/music")
            MilvusAddress(host='localhost', port=19530, name='music')
        """
        found = re.fullmatch(r"milvus://(\[[0-9A-Fa-f:]+\]|[^/:@\[\]]+)(?::([0-9]{1,5}))?/([^/]+)", text)
        if found is None:
            raise UsageError(f"{text!r} is not the address of a library in Milvus; expected milvus://HOST:PORT/NAME")
        host, port, name = found[1], int(found[2] or 19530), found[3]
        if not 1 <= port <= 65535:
            raise UsageError(f"{text!r}: the port is {port}, expected 1 to 65535")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{text!r}: the name is {name!r}, expected letters, digits and _, beginning with a letter or _"
            )
        return cls(host, port, name)

    @property
    def server(self) -> str:
        """The host and port, for messages."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"milvus://{self.server}/{self.name}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection besides its key `id`: an integer, a text of at most `size` bytes, or a vector."""

    name: str
    kind: str
    size: int = 0


class MilvusServer:
    """A server, open for the collections of one library. Any number of threads may use it."""

    def __init__(self, address: MilvusAddress, *, reads_only: bool = False) -> None:
        """Connect.

        Args:
            address: The address.
            reads_only: Show what was written before now. Calls then need not wait until Milvus has taken in all that
                is being written, which it reports every 0.2 s.

        Raises:
            UsageError: pymilvus is not installed.
            LibraryError: The server cannot be reached.
        """
        self.address, self._reads_only, self._since = address, reads_only, time.monotonic()
        try:
            import pymilvus
        except ImportError as error:
            raise UsageError("Milvus needs pymilvus, which is not installed: pip install soundalike[milvus]") from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # errors are raised as well
        self._pymilvus = pymilvus
        self._client = self._call("connect", self._connect, patience=0.0)

    def _connect(self) -> Any:
        return self._pymilvus.MilvusClient(
            uri=f"http://{self.address.server}", token=os.environ.get(TOKEN, ""), timeout=min(_CONNECT, CALL),
            grpc_options=_CHANNEL, dedicated=True,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def collection(self, part: str) -> str:
        """The name of a collection of the library."""
        return f"{self.address.name}_{part}"

    def has(self, part: str) -> bool:
        """Whether there is a collection. Raises LibraryError."""
        name = self.collection(part)
        return bool(self._call("look up a collection", lambda: self._client.has_collection(name, timeout=CALL)))

    def create(self, part: str, fields: Sequence[Field], index: str) -> None:
        """Make a collection with an index of its vectors by inner product, and load it. Raises LibraryError."""
        name, kinds = self.collection(part), self._pymilvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        for field in fields:
            options = {"VARCHAR": {"max_length": field.size}, "FLOAT_VECTOR": {"dim": field.size}}
            schema.add_field(field.name, kinds[field.kind], **options.get(field.kind, {}))
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type=index, metric_type="IP", params=dict(INDEXES[index][0]))
        self._call(
            "make a collection",
            lambda: self._client.create_collection(
                name, schema=schema, index_params=indexes, consistency_level="Strong", timeout=CALL
            ),
        )

    def open(self, part: str, fields: Sequence[Field]) -> None:
        """Load an existing collection.

        Raises:
            LibraryError: It has other fields, or cannot be loaded.
        """
        name = self.collection(part)
        described = self._call("open a collection", lambda: self._client.describe_collection(name, timeout=CALL))
        found = described["fields"]
        kinds = {field["name"]: field["type"].name for field in found}
        dims = {field["name"]: int(field.get("params", {}).get("dim", 0)) for field in found}
        if kinds != {"id": "INT64", **{field.name: field.kind for field in fields}}:
            listed = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
            raise LibraryError(
                f"the collection {name} of Milvus at {self.address.server} is none of soundalike's (it has "
                f"{listed}); use another name"
            )
        for field in fields:
            if field.kind == "FLOAT_VECTOR" and dims[field.name] != field.size:
                raise LibraryError(
                    f"the collection {name} of Milvus at {self.address.server} has vectors of {dims[field.name]} "
                    f"dims, expected {field.size}; it was made for other models: use another name"
                )
        self._call("load a collection", lambda: self._client.load_collection(name, timeout=CALL))

    def upsert(self, part: str, entities: Sequence[Mapping[str, Any]]) -> None:
        """Write entities, in place of those with the same ids; durable when it returns. Raises LibraryError."""
        if entities:
            self._call("write", lambda: self._client.upsert(self.collection(part), list(entities), timeout=CALL))

    def seal(self, part: str) -> None:
        """Let Milvus build the index of everything that was written so far. Raises LibraryError."""
        self._call("build an index", lambda: self._client.flush(self.collection(part), timeout=CALL))

    def delete(self, part: str, condition: str) -> None:
        """Delete the entities that meet a condition. Raises LibraryError."""
        self._call("delete", lambda: self._client.delete(self.collection(part), filter=condition, timeout=CALL))

    def query(self, part: str, condition: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """The entities, at most `MOST`, that meet a condition, with some fields. Raises LibraryError."""
        found = self._call(
            "read",
            lambda: self._client.query(
                self.collection(part), filter=condition, output_fields=["id", *fields], timeout=CALL,
                consistency_level=self._consistency(),
            ),
        )  # fmt: skip
        return list(found)

    def search(
        self, part: str, vector: FloatArray, limit: int, condition: str, index: str
    ) -> tuple[list[int], list[float]]:
        """The ids and inner products of the entities nearest to a vector (d,), best first. Raises LibraryError."""
        settings = dict(INDEXES[index][1])
        if "ef" in settings:
            settings["ef"] = max(settings["ef"], limit)
        (hits,) = self._call(
            "search",
            lambda: self._client.search(
                self.collection(part), [vector], filter=condition, limit=limit, output_fields=["id"],
                search_params={"metric_type": "IP", "params": settings}, timeout=CALL,
                consistency_level=self._consistency(),
            ),
        )  # fmt: skip
        return [hit["id"] for hit in hits], [hit["distance"] for hit in hits]

    def _consistency(self) -> str:
        """Return how fresh an answer must be. "Bounded" leaves out what is younger than 5 s, and so nothing older than
        this connection, after `SETTLED`.
        """
        return "Bounded" if self._reads_only and time.monotonic() - self._since > SETTLED else "Strong"

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.address.host.strip("[]"), self.address.port), timeout=_CONNECT).close()
        except OSError:
            return False
        return True

    def _call(self, what: str, act: Callable[[], Any], patience: float | None = None) -> Any:
        """Call the server, again and again for `CALL` seconds while it cannot be reached. Raises LibraryError."""
        import grpc

        where, pause = f"Milvus at {self.address.server}", 0.05
        deadline = time.monotonic() + (CALL if patience is None else patience)
        while True:
            try:
                return act()
            except (self._pymilvus.MilvusException, grpc.RpcError) as error:
                why = one_line(str(getattr(error, "message", "") or error))
                if _FULL.search(why):
                    text = f"{where} has no space left to {what}; free some on the server and run it again"
                    raise LibraryError(f"{text} (nothing stored is lost): {why}") from error
                if not _UNREACHABLE.search(why):
                    raise LibraryError(f"{where} failed to {what}: {why}") from error
                if time.monotonic() >= deadline:
                    if what == "connect" and self._listens():  # pymilvus does not tell a wrong token from no server
                        raise LibraryError(
                            f"something answers at {self.address.server}, but Milvus refuses the connection; check the "
                            f"address, and set ${TOKEN} to user:password if the server asks for it"
                        ) from error
                    text = f"cannot reach {where} to {what}; check the address and that the server runs"
                    raise LibraryError(f"{text}, and run it again") from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            with suppress(self._pymilvus.MilvusException, grpc.RpcError):
                self._client = self._connect()
