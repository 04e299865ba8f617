"""A folder scan finds every file that the decoders read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from soundalike.audio import ffmpeg
from soundalike.audio.datasets.folder import create
from soundalike.audio.stream import load
from soundalike.audio.suffixes import AUDIO_SUFFIXES, is_system_file, is_system_folder

NOT_MUSIC = {".avif", ".heic", ".heif", ".mks", ".apl", ".mac", ".ism", ".isma", ".ismv", ".mj2", ".psp"}
"""Pictures, subtitles, and names that FFmpeg knows but hardly anybody uses."""


def test_every_suffix_that_ffmpeg_names_for_our_demuxers_is_found() -> None:
    named: set[str] = set()
    for name in ffmpeg._DEMUXERS.split(","):
        named |= {f".{suffix}" for suffix in av.format.ContainerFormat(name, "r").extensions}
    assert len(named) > 25
    assert named - NOT_MUSIC <= AUDIO_SUFFIXES


@pytest.mark.parametrize(
    ("suffix", "container", "codec", "rate"),
    [
        (".wv", "wv", "wavpack", 44_100),
        (".tta", "tta", "tta", 44_100),
        (".3gp", "3gp", "aac", 44_100),
        (".ogv", "ogv", "libopus", 48_000),
        (".mpg", "mpeg", "mp2", 44_100),
        (".mpeg", "vob", "mp2", 44_100),
        (".ts", "mpegts", "mp2", 44_100),
        (".ac3", "ac3", "ac3", 48_000),
        (".eac3", "eac3", "eac3", 48_000),
        (".voc", "voc", "pcm_u8", 22_050),
        (".mpa", "mp2", "mp2", 44_100),
        (".flv", "flv", "aac", 44_100),
        (".mkv", "matroska", "aac", 44_100),
        (".asf", "asf", "mp2", 44_100),
    ],
)
def test_files_of_many_formats_are_found_and_read(
    suffix: str, container: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"song{suffix}"
    samples = np.sin(np.arange(rate) * 440 * 2 * np.pi / rate) * 0.3
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    assert [item.path for item in create(tmp_path).items()] == [path]
    assert load(path).duration == pytest.approx(1.0, abs=0.2)


def test_names_that_begin_with_a_dot() -> None:
    assert [is_system_file(name) for name in ("._a.mp3", ".a.mp3", "a._b.mp3", "._a.txt")] == [
        True,
        False,
        False,
        False,
    ]
    for name in (".git", ".SVN", ".Trash", ".Trash-1000", ".Trashes", "$RECYCLE.BIN", "@eaDir", "lost+found"):
        assert is_system_folder(name), name
    for name in ("...And You Will Know Us", ".38 Special", ".hide", "Git", "trash", "@"):
        assert not is_system_folder(name), name
