"""Mutations of bytes and texts: what disks, downloads, recorders and wrong programs do to files, and worse."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

__all__ = ["mutate", "mutate_text"]

_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF,
           0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
_HEAD = 512
_CHARACTERS = "0123456789.,-+=<>~*()'\"\\/ \t\n\0\x1b\x7féß\u0301\u202e\ud800\udcff🎸٣½"


def mutate(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Apply one to four mutations; `others` are files to take parts of."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        content = chance.choice(_MUTATIONS)(content, others, chance)
    return content


def mutate_text(text: str, chance: random.Random) -> str:
    """Apply one to six mutations to a text: replace, insert, delete, repeat and cut."""
    for _ in range(chance.randint(1, 6)):
        place = chance.randint(0, len(text))
        end = min(len(text), place + chance.choice((0, 1, 1, 2, 8)))
        fresh = "".join(chance.choices(_CHARACTERS + text, k=chance.choice((0, 1, 1, 2, 20))))
        text = text[:place] + fresh * chance.choice((1, 1, 1, 1, 50)) + text[end:]
    return text


def _place(content: bytes, chance: random.Random) -> int:
    """Return an offset: half of them are in the head, where headers and tags are, and some in the tail."""
    size = max(len(content), 1)
    return chance.choice((
        chance.randrange(min(_HEAD, size)), chance.randrange(min(_HEAD, size)), chance.randrange(size),
        max(0, size - 1 - chance.randrange(min(_HEAD, size))),
    ))  # fmt: skip


def _flip_bits(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 4, 30, 300))):
        if changed:
            changed[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _edit_field(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Set a number, such as a size or a rate, to an extreme value or near what it was."""
    width, place = chance.choice((1, 2, 2, 4, 4, 4, 8)), _place(content, chance)
    order = chance.choice(("little", "big"))
    before = int.from_bytes(content[place : place + width], order)
    value = chance.choice(
        (*_VALUES, before + 1, before - 1, before * 2, before // 2, len(content), chance.getrandbits(32))
    )
    return content[:place] + (value % (1 << 8 * width)).to_bytes(width, order) + content[place + width :]


def _truncate(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _insert(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    place, size = _place(content, chance), chance.choice((1, 2, 16, 500, 20_000))
    fresh = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return content[:place] + fresh + content[place:]


def _delete(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + content[place + chance.choice((1, 2, 16, 500, 5000)) :]


def _overwrite(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    place, size = _place(content, chance), chance.choice((4, 64, 2048))
    fresh = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return content[:place] + fresh + content[place + size :]


def _repeat(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    place, size = _place(content, chance), chance.choice((4, 64, 1000))
    return content[:place] + content[place : place + size] * chance.choice((2, 3, 50)) + content[place + size :]


def _swap(content: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    first, second = sorted((_place(content, chance), _place(content, chance)))
    size = min(second - first, chance.choice((8, 512)))
    a, b = content[first : first + size], content[second : second + size]
    return content[:first] + b + content[first + size : second] + a + content[second + size :]


def _splice(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Continue with the rest of another file, as two downloads into one file do."""
    other = chance.choice(others)
    return content[: _place(content, chance)] + other[_place(other, chance) :]


def _graft(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Put a part of another file inside."""
    other, place = chance.choice(others), _place(content, chance)
    start = _place(other, chance)
    return content[:place] + other[start : start + chance.choice((32, 512, 8192))] + content[place:]


_MUTATIONS: tuple[Callable[[bytes, Sequence[bytes], random.Random], bytes], ...] = (
    _flip_bits, _edit_field, _edit_field, _truncate, _insert, _delete, _overwrite, _repeat, _swap, _splice, _graft,
)  # fmt: skip
