"""Wrong sizes in headers lead to impossible positions, about which libraries print tracebacks by themselves."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from soundalike.audio import MonoStream, load, read_tags
from soundalike.audio.source import Source
from soundalike.audio.stream import AudioStream
from soundalike.core.errors import AudioError


def encoded(samples: np.ndarray, codec: str, container: str, layout: str, rate: int = 22_050) -> bytes:
    """Encode (c, t) float32 samples."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["caf", "w64", "aiff"])
def test_a_wrong_size_prints_nothing(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.zeros((2000, 2)), 22_050, format=kind.upper())
    content = path.read_bytes()
    for place in range(0, 128, 2):
        path.write_bytes(content[:place] + b"\xff" * 8 + content[place + 8 :])
        read_tags(path)
        with suppress(AudioError):
            load(path)
    assert capfd.readouterr() == ("", "")


def test_a_source_stays_where_it_is_if_there_is_no_such_position(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"0123456789")
    with Source(path) as source:
        assert source.seek(4) == 4
        for offset in (-1, 1 << 63, 1 << 80, -(1 << 80)):
            assert source.seek(offset) == -1
        assert source.read(2) == b"45"


def ape(text: bytes = b"Some Title", size: int | None = None) -> bytes:
    """An APEv2 tag with header and footer, as WavPack files have at their end."""
    item = struct.pack("<II", len(text), 0) + b"Title\0" + text
    length = len(item) + 32 if size is None else size
    head, foot = (b"APETAGEX" + struct.pack("<IIII", 2000, length, 1, flags) + bytes(8) for flags in (5 << 29, 1 << 31))
    return head + item + foot


NOISE = (0.1 * np.random.default_rng(0).standard_normal((2, 30_000))).astype(np.float32)


@pytest.mark.parametrize("tail", [b"", ape(), ape() + b"TAG" + bytes(125)], ids=["none", "APE", "APE and ID3v1"])
def test_a_tag_behind_wavpack_is_no_audio(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wv"
    path.write_bytes(encoded(NOISE, "wavpack", "wv", "stereo") + tail)
    stream = MonoStream(path, 22_050)
    assert sum(map(len, stream)) == 30_000
    assert stream.info.warning is None


@pytest.mark.parametrize("size", [0, 1 << 31, (1 << 32) - 1])
def test_a_tag_of_a_wrong_size_hides_no_audio(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wv"
    path.write_bytes(encoded(NOISE, "wavpack", "wv", "stereo") + ape(size=size))
    assert load(path).samples.shape == (2, 30_000)


@pytest.mark.parametrize(("channels", "layout"), [(2, "stereo"), (6, "5.1"), (8, "7.1")])
@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_s16le", "aac", "opus"])
def test_every_channel_is_decoded_and_no_other_memory(codec: str, channels: int, layout: str, tmp_path: Path) -> None:
    """PyAV counts a ninth channel after eight planar ones, and reads memory that is none."""
    tones = np.array([np.sin(2 * np.pi * (200 + 100 * n) * np.arange(48_000) / 48_000) for n in range(channels)])
    path = tmp_path / "a.mka"
    path.write_bytes(encoded(0.1 * tones.astype(np.float32), codec, "matroska", layout, rate=48_000))
    samples = load(path).samples
    assert samples.shape[0] == channels
    with AudioStream(path) as stream:
        lfe = stream.lfe  # codecs keep only the lowest frequencies of this channel
    spectra = np.abs(np.fft.rfft(samples[:, 10_000:34_000]))
    assert [int(one.argmax()) // 50 for n, one in enumerate(spectra) if n not in lfe] == [
        2 + n for n in range(channels) if n not in lfe
    ]
