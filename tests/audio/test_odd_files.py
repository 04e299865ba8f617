"""Files as recorders, encoders and downloads leave them: every sample that they hold is decoded."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from soundalike.audio import AudioInfo, MonoStream
from soundalike.audio.stream import AudioStream, load
from soundalike.core.errors import AudioError

RATE = 22050
ID3V1 = b"TAG" + b"Title".ljust(30, b"\0") + b"Artist".ljust(30, b"\0") + bytes(65)


def noise(seconds: float, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(t, c) samples that 16 bits hold exactly."""
    samples = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels))
    return (np.round(samples * 32768) / 32768).astype(np.float32)


def encoded(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> bytes:
    soundfile.write(path, samples, rate, **({"subtype": "PCM_16"} | options if path.suffix != ".ogg" else options))
    return path.read_bytes()


def describe(path: Path) -> AudioInfo:
    stream = MonoStream(path, RATE)
    stream.read(lambda blocks: sum(map(len, blocks)))
    return stream.info


def check_whole(path: Path, samples: np.ndarray) -> None:
    """The file holds exactly these samples, and nothing is missing."""
    assert np.array_equal(load(path).samples, samples.T)
    assert describe(path).warning is None


# -- PCM --------------------------------------------------------------------------------------------------------


def wav(pcm: bytes, stated: int, riff: int | None = None, chunks: bytes = b"", tail: bytes = b"") -> bytes:
    """A mono WAV file of 16 bits that states a size of its samples."""
    layout = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + layout + chunks + b"data" + struct.pack("<I", stated) + pcm + tail
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


@pytest.fixture
def samples() -> np.ndarray:
    return noise(4.0)


@pytest.fixture
def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32768).astype("<i2").tobytes()


@pytest.mark.parametrize("riff", [0, 36, None])
@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_that_states_no_length(
    tmp_path: Path, samples: np.ndarray, pcm: bytes, stated: int, riff: int | None
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm, stated, riff))
    check_whole(path, samples)
    assert np.array_equal(load(path, start=1.0, end=2.0).samples, samples[RATE : 2 * RATE].T)


def test_a_wav_that_states_half_of_its_length(tmp_path: Path, samples: np.ndarray, pcm: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm, len(pcm) // 2))
    check_whole(path, samples)


@pytest.mark.parametrize(
    "tail",
    [
        bytes(777) + b"TAGgarbage",
        bytes(200_000),
        b"LIST" + struct.pack("<I", 100_000) + bytes(range(256)) * 390 + bytes(160),
        b"ID3\x03\0\0\0\x06\x20\0" + b"\x5a" * 102_400,
        b"APETAGEX" + b"\x5a" * 100_000,
    ],
)
def test_what_follows_the_samples_of_a_wav_is_no_audio(
    tmp_path: Path, samples: np.ndarray, pcm: bytes, tail: bytes
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm, len(pcm), tail=tail))
    check_whole(path, samples)


def test_chunks_before_the_samples_of_a_wav(tmp_path: Path, samples: np.ndarray, pcm: bytes) -> None:
    path, odd = tmp_path / "a.wav", b"inst" + struct.pack("<I", 7) + b"\x3c\0\0\0\x7f\0\x7f"
    for chunks in (odd, odd + b"\0", b"JUNK" + struct.pack("<I", 28) + bytes(28), odd + b"\0" + odd):
        path.write_bytes(wav(pcm, len(pcm), chunks=chunks))
        check_whole(path, samples)


def test_a_wav_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for content in (wav(b"", 0), wav(b"", 0, tail=b"LIST\x04\0\0\0INFO")):
        path.write_bytes(content)
        with pytest.raises(AudioError, match=r"the recording lasts 0\.000 s, expected at least 0\.02 s"):
            describe(path)
    path.write_bytes(wav(b"", 2 * RATE))
    with pytest.raises(AudioError, match=r"truncated: the header states (1\.0 s|audio), the file contains 0\.0 s"):
        describe(path)


@pytest.mark.parametrize(
    ("kind", "field", "size"),
    [("AIFF", b"SSND", 4), ("W64", b"data", 8), ("RF64", b"ds64", 24), ("AU", b".snd", 4), ("CAF", b"data", 8)],
)
def test_other_containers_whose_recorder_crashed(
    tmp_path: Path, samples: np.ndarray, kind: str, field: bytes, size: int
) -> None:
    path = tmp_path / "a.audio"
    soundfile.write(path, samples, RATE, format=kind, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(field) + {"W64": 16, "RF64": 8, "AU": 8}.get(kind, 4)
    content[place : place + size] = bytes(size)
    if kind == "AIFF":
        place = content.index(b"COMM") + 10
        content[place : place + 4] = bytes(4)
    path.write_bytes(content)
    check_whole(path, samples)


# -- FLAC and MP3 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ape", [False, True])
@pytest.mark.parametrize("stated", [True, False])
def test_tags_at_the_end_of_a_flac(tmp_path: Path, samples: np.ndarray, ape: bool, stated: bool) -> None:
    content = bytearray(encoded(tmp_path / "a.flac", samples))
    if not stated:
        content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
        content[22:26] = bytes(4)
    item = struct.pack("<II", 4, 0) + b"Artist\0Some"
    foot = struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(item) + 32, 1, 0x80000000)
    head = struct.pack("<8sIIII8x", b"APETAGEX", 2000, len(item) + 32, 1, 0xA0000000)
    path = tmp_path / "b.flac"
    path.write_bytes(content + (head + item + foot if ape else b"") + ID3V1)
    check_whole(path, samples)


def test_a_flac_whose_header_states_other_channels(tmp_path: Path) -> None:
    content = bytearray(encoded(tmp_path / "a.flac", noise(3, channels=2)))
    content[20] = content[20] & 0b11110001 | (5 - 1) << 1  # STREAMINFO now states 5 channels, and the frames have 2
    path = tmp_path / "b.flac"
    path.write_bytes(content)
    with pytest.raises(AudioError, match="cannot be decoded after"):
        describe(path)


def test_stray_bytes_at_the_end_of_a_flac(tmp_path: Path, samples: np.ndarray) -> None:
    path = tmp_path / "b.flac"
    path.write_bytes(encoded(tmp_path / "a.flac", samples) + b"stray bytes" * 20)
    check_whole(path, samples)


def mp3(path: Path, samples: np.ndarray, rate: int = 44100, *, xing: bool = True) -> bytes:
    with av.open(str(path), "w", format="mp3", options={"write_xing": str(int(xing)), "id3v2_version": "0"}) as out:
        stream = out.add_stream("libmp3lame", rate=rate, layout="stereo" if samples.shape[1] == 2 else "mono")
        stream.bit_rate = 128_000
        for start in range(0, len(samples), 1152):
            chunk = np.ascontiguousarray(samples[start : start + 1152].T)
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=stream.layout.name)
            frame.sample_rate, frame.pts = rate, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def test_what_an_mp3_states(tmp_path: Path) -> None:
    """Only a Xing, Info or VBRI header counts. Size and bitrate say nothing."""
    path = tmp_path / "cut.mp3"
    for xing in (True, False):
        whole = mp3(tmp_path / "a.mp3", noise(8.0), xing=xing)
        path.write_bytes(whole)
        assert describe(path).warning is None
        path.write_bytes(whole[: len(whole) // 2])
        half = describe(path)
        stated = f"only {half.duration:.1f} s of the stated 4.0 s could be decoded"
        assert half.duration == pytest.approx(2.0, abs=0.1)
        assert half.warning == (stated if xing else None)
        path.write_bytes(whole + whole)
        assert describe(path).warning is None
        assert describe(path).duration == pytest.approx(2 * 8.0 * RATE / 44100, abs=0.15)
    whole = mp3(tmp_path / "a.mp3", noise(8.0), xing=False)
    frames = len(whole) * 8 / 128_000 / (1152 / 44100)
    vbri = bytearray(whole[:417])  # a frame of its own
    vbri[4:] = bytes(413)
    vbri[36:62] = b"VBRI" + bytes(10) + struct.pack(">I", round(frames)) + bytes(8)
    path.write_bytes(bytes(vbri) + whole[: len(whole) // 2])
    with AudioStream(path) as stream:
        list(stream)
        assert stream.warning is not None and "s of the stated 4.0 s could be decoded" in stream.warning


@pytest.mark.parametrize(
    "before",
    [
        bytes(5000),
        b"<html>hello</html>" * 200,
        b"ID3\3\0\0\x00\x7f\x7f\x7f" + b"TPE1\0\0\0\x06\0\0\0Liars",
        b"ID3\3\0\0\0\0\0\x10" + b"TPE1\0\0\0\6\0\0\0First" + b"ID3\3\0\0\0\0\0\x11" + b"TPE1\0\0\0\7\0\0\0Second",
    ],
    ids=["zeros", "html", "a tag longer than the file", "two tags"],
)
def test_what_precedes_an_mp3(tmp_path: Path, before: bytes) -> None:
    whole = mp3(tmp_path / "a.mp3", noise(3.0), xing=False)
    path = tmp_path / "b.mp3"
    path.write_bytes(before + whole)
    assert describe(path).duration == pytest.approx(describe(tmp_path / "a.mp3").duration, abs=0.06)
    assert describe(path).warning is None


# -- Ogg --------------------------------------------------------------------------------------------------------


def pages(content: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    at, found = 0, []
    while at < len(content):
        count = content[at + 26]
        size = 27 + count + sum(content[at + 27 : at + 27 + count])
        found.append(content[at : at + size])
        at += size
    return found


def ogg(path: Path, codec: str, samples: np.ndarray, rate: int = 48000) -> bytes:
    """An Ogg file with pages of 0.2 s."""
    if codec == "vorbis":  # PyAV has no good encoder for it
        soundfile.write(path, samples, rate, format="OGG", subtype="VORBIS")
        return path.read_bytes()
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    with av.open(str(path), "w", format="ogg", options={"page_duration": "200000"}) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        step = stream.codec_context.frame_size or 1024
        form = {"flac": "s16", "libopus": "flt"}[codec]
        for start in range(0, len(samples), step):
            chunk = samples[start : start + step]
            data = np.ascontiguousarray(chunk.reshape(1, -1))
            data = (data * 32768).astype(np.int16) if form == "s16" else data
            frame = av.AudioFrame.from_ndarray(data, format=form, layout=layout)
            frame.sample_rate, frame.pts = rate, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("codec", ["vorbis", "libopus", "flac"])
def test_ogg_recorded_from_the_middle_of_a_stream(tmp_path: Path, codec: str) -> None:
    count = 8 * 48000
    whole = ogg(tmp_path / "a.ogg", codec, noise(count / RATE, 2))
    assert describe(tmp_path / "a.ogg").warning is None
    path, parts = tmp_path / "b.ogg", pages(whole)
    headers = 2
    path.write_bytes(b"".join(parts[:headers] + parts[3 * len(parts) // 4 :]))
    found = describe(path)
    assert found.duration == pytest.approx(2.0, abs=0.5)
    missing = f"{8.0 - found.duration:.1f} s are missing, because it was recorded from a stream"
    assert found.warning == f"the first {missing}"
    # A radio that has been on the air for days states no credible length, and its end is cut off too.
    shifted = []
    for part in parts[3 * len(parts) // 4 : -1]:
        granule = int.from_bytes(part[6:14], "little", signed=True)
        moved = granule + 48000 * 86400 * 3 if granule > 0 else granule
        shifted.append(with_checksum(part[:6] + moved.to_bytes(8, "little", signed=True) + part[14:]))
    path.write_bytes(b"".join(parts[:headers] + shifted))
    found = describe(path)
    assert found.duration == pytest.approx(1.8, abs=0.5)
    assert found.warning is not None and "recorded from a stream" in found.warning
    assert "its last page is missing" in found.warning


def with_checksum(page: bytes) -> bytes:
    """The page with its CRC-32 (RFC 3533, section 6: polynomial 0x04c11db7)."""
    table = [byte << 24 for byte in range(256)]
    for _ in range(8):
        table = [(crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF for crc in table]
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    return page[:22] + struct.pack("<I", crc) + page[26:]


@pytest.mark.parametrize("codec", ["vorbis", "libopus", "flac"])
def test_chained_ogg(tmp_path: Path, codec: str) -> None:
    """The later streams have other channels, and for Vorbis and FLAC other rates."""
    first = ogg(tmp_path / "1.ogg", codec, noise(2 * 48000 / RATE, 2))
    rate = 48000 if codec == "libopus" else 44100
    second = ogg(tmp_path / "2.ogg", codec, noise(3 * rate / RATE, 1), rate)
    path = tmp_path / "both.ogg"
    path.write_bytes(first + second + first)
    found = describe(path)
    assert (found.rate, found.channels, found.warning) == (48000, 2, None)
    assert found.duration == pytest.approx(7.0, abs=0.1)
    sound = load(path).samples
    assert np.array_equal(sound[:, : 2 * 48000 - 2000], load(tmp_path / "1.ogg").samples[:, : 2 * 48000 - 2000])
    assert np.array_equal(sound[0, -len(sound[0]) // 3 : -48000 * 3], sound[1, -len(sound[0]) // 3 : -48000 * 3])
    path.write_bytes(first + second[: len(second) // 2])
    found = describe(path)
    assert found.duration == pytest.approx(3.5, abs=0.6)
    assert found.warning == "its last page is missing, so its end was cut off"


def test_a_later_stream_that_cannot_be_decoded(tmp_path: Path) -> None:
    first = ogg(tmp_path / "1.ogg", "vorbis", noise(2 * 48000 / RATE, 2))
    second = pages(ogg(tmp_path / "2.ogg", "vorbis", noise(2 * 48000 / RATE, 2)))
    path = tmp_path / "both.ogg"
    path.write_bytes(first + b"".join(second[:1]))
    found = describe(path)
    assert found.duration == pytest.approx(2.0, abs=0.1)
    assert found.warning is not None


def test_a_page_that_is_lost(tmp_path: Path) -> None:
    parts = pages(ogg(tmp_path / "a.ogg", "libopus", noise(8 * 48000 / RATE, 2)))
    path = tmp_path / "b.ogg"
    path.write_bytes(b"".join(parts[:20] + parts[25:]))
    found = describe(path)
    assert found.duration == pytest.approx(7.0, abs=0.2)
    assert found.warning == f"only {found.duration:.1f} s of the stated 8.0 s could be decoded"


# -- disks ------------------------------------------------------------------------------------------------------


def test_a_failing_disk_is_an_error_not_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may be sound, so half of it is not stored as if that were all."""
    import soundalike.audio.stream as module

    path = tmp_path / "a.wav"
    encoded(path, noise(20.0))
    limit = path.stat().st_size * 3 // 4

    class Failing(module.Source):
        def readinto(self, buffer: bytearray) -> int | None:
            if self.tell() > limit:
                self.failure = OSError(5, "Input/output error")
                return 0
            return super().readinto(buffer)

    monkeypatch.setattr(module, "Source", Failing)
    with pytest.raises(AudioError, match=r"cannot be decoded after 1\d\.\d s \(Input/output error\)"):
        describe(path)
