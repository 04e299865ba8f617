"""Text on one line: printable, and the same in every version of Python."""

from __future__ import annotations

from unicodedata import ucd_3_2_0

from soundalike.core.errors import one_line


def test_what_no_terminal_prints_is_escaped() -> None:
    assert one_line("a\nb\tc\x1b[31m\x7f\x9b") == r"a\nb\tc\x1b[31m\x7f\x9b"
    assert one_line("left\u202eright\u2028next\ufeff") == r"left\u202eright\u2028next\ufeff"
    assert one_line(b"caf\xe9".decode("utf-8", "surrogateescape")) == r"caf\xe9"
    assert one_line("Sigur Rós 東京 🎵") == "Sigur Rós 東京 🎵"


def test_the_characters_of_unicode_3_2_are_escaped_by_their_category() -> None:
    """The tables of Unicode 3.2 are part of every version of Python."""
    changed = {0xAD}  # the soft hyphen, a dash then
    planes = [*range(0xD800), *range(0xE000, 0x32000), *range(0xE0000, 0xE1000), *range(0xF0000, 0xF1000)]
    for escaped in (False, True):
        chars = [
            chr(code)
            for code in planes
            if (category := ucd_3_2_0.category(chr(code))) != "Cn"
            and (category in ("Cc", "Cf", "Co", "Zl", "Zp", "Zs") and code != 0x20) == escaped
            and code not in changed
        ]
        assert len(chars) > 10_000
        if escaped:
            assert not [char for char in chars if one_line(char) == char]
        else:
            assert one_line("".join(chars)) == "".join(chars)


def test_characters_that_only_later_versions_of_python_know_stay() -> None:
    for char in ("\U0001fae8", "\U0001fffd", "\u0378"):
        assert one_line(char) == char
