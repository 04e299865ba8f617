"""Decoding: every format, every kind of invalid file, and the guarantees about regions, hashes and memory."""

from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

import soundalike.audio.stream as audio
from conftest import run_measured
from soundalike.audio.mono import AudioInfo, MonoStream
from soundalike.audio.stream import AudioStream, load, windows
from soundalike.audio.suffixes import AUDIO_SUFFIXES
from soundalike.core.errors import AudioError

RATE = 44100
SNDFILE_FORMATS = ["wav", "flac", "aiff", "mp3", "ogg", "opus"]
# suffix: container, codec
PYAV_FORMATS = {
    "m4a": ("ipod", "aac"),
    "alac.m4a": ("ipod", "alac"),
    "aac": ("adts", "aac"),
    "wma": ("asf", "wmav2"),
    "webm": ("webm", "libopus"),
    "mkv": ("matroska", "aac"),
    "mp4": ("mp4", "aac"),
    "mov": ("mov", "aac"),
    "avi": ("avi", "libmp3lame"),
}
VIDEO = ("mp4", "mkv", "mov", "avi")


def tone(seconds: float, rate: int = RATE, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """(t, c) float32; the amplitude of channel k is 1 / (k + 1) of that of the first."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave / (k + 1) for k in range(channels)], axis=1).astype(np.float32)


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (round(seconds * rate), channels)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **options)
    return path


def write_av(
    path: Path,
    container: str,
    codec: str | None,
    samples: np.ndarray,
    rate: int = RATE,
    *,
    layout: str = "stereo",
    video: bool = False,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        out.metadata.update(tags or {})
        picture = out.add_stream("mpeg4", rate=10) if video else None
        sound = out.add_stream(codec, rate=rate, layout=layout) if codec else None
        if picture is not None:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for index in range(20):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 12 * index, np.uint8), format="rgb24")
                frame.pts = index
                out.mux(picture.encode(frame))
            out.mux(picture.encode(None))
        if sound is not None:
            sound.bit_rate = 128_000
            for start in range(0, len(samples), 1024):
                chunk = np.ascontiguousarray(samples[start : start + 1024].T)
                frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
    return path


def decode(path: Path, rate: int = RATE, **options: float) -> np.ndarray:
    return np.concatenate(list(MonoStream(path, rate, **options)))


def info(path: Path) -> AudioInfo:
    stream = MonoStream(path, 22050)
    for _ in stream:
        pass
    return stream.info


def frequency(signal: np.ndarray, rate: int) -> float:
    middle = signal[len(signal) // 4 : -len(signal) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return float(spectrum.argmax() * rate / (8 * len(middle)))


def warning(path: Path, **options: float) -> str | None:
    """Decode a recording, and return its warning."""
    stream = MonoStream(path, 22050, **options)
    for _ in stream:
        pass
    text = stream.info.warning
    assert text is None or "\n" not in text
    return text


def warns(path: Path, match: str, **options: float) -> None:
    """Decode a recording, and check that its warning matches."""
    text = warning(path, **options)
    assert text is not None and re.search(match, text), text


def fails(path: str | os.PathLike[str], match: str, **options: float) -> str:
    """Decode a recording, and check that it fails with a one-line message that matches and contains no path."""
    with pytest.raises(AudioError, match=match) as caught:
        for _ in MonoStream(path, 22050, **options):
            pass
    message = str(caught.value)
    assert message and "\n" not in message and str(Path(path).parent) not in message
    return message


# -- formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SNDFILE_FORMATS)
def test_formats_written_by_libsndfile(tmp_path: Path, suffix: str) -> None:
    rate = 48000 if suffix == "opus" else RATE
    path = write(tmp_path / f"a.{suffix}", tone(4.0, rate, 2), rate)
    found = info(path)
    assert (found.rate, found.channels) == (rate, 2)
    names = {"wav": "pcm_16", "aiff": "pcm_16", "ogg": "vorbis"}
    assert found.codec == names.get(suffix, suffix)
    assert found.duration == pytest.approx(4.0, abs=1e-9)
    signal = decode(path)
    assert len(signal) == 4 * RATE
    assert frequency(signal, RATE) == pytest.approx(440.0, abs=0.5)
    # the mean of two channels, one at half amplitude
    assert np.abs(signal[RATE:-RATE]).max() == pytest.approx(0.375, rel=0.05)


@pytest.mark.parametrize("suffix", PYAV_FORMATS)
def test_formats_read_by_ffmpeg(tmp_path: Path, suffix: str) -> None:
    container, codec = PYAV_FORMATS[suffix]
    rate = 48000 if codec == "libopus" else RATE
    samples = tone(4.0, rate, 2)
    path = write_av(tmp_path / f"a.{suffix}", container, codec, samples, rate, video=suffix in VIDEO)
    found = info(path)
    assert (found.rate, found.channels) == (rate, 2)
    assert found.codec == {"libopus": "opus", "libmp3lame": "mp3"}.get(codec, codec)
    assert found.duration == pytest.approx(4.0, abs=0.1)  # AAC and WMA pad to whole frames
    signal = decode(path)
    assert frequency(signal, RATE) == pytest.approx(440.0, abs=0.5)
    # LAME reduces the level by 5 %
    assert signal[RATE:-RATE].std() == pytest.approx(0.375 / math.sqrt(2), rel=0.06)
    assert f".{suffix.split('.')[-1]}" in AUDIO_SUFFIXES


def test_alac_is_lossless(tmp_path: Path) -> None:
    samples = (np.round(noise(1.0, channels=2) * 32768) / 32768).astype(np.float32)
    path = write_av(tmp_path / "a.m4a", "ipod", "alac", samples)
    assert np.array_equal(load(path).samples[:, : len(samples)], samples.T)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_wav_sample_formats(tmp_path: Path, subtype: str) -> None:
    samples = tone(1.0)
    path = write(tmp_path / "a.wav", samples, subtype=subtype)
    assert np.abs(load(path).samples[0, : len(samples)] - samples[:, 0]).mean() < 0.01
    assert info(path).codec == subtype.lower()


def test_mp3_inside_wav(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.wav", "wav", "libmp3lame", tone(2.0, channels=2))
    assert info(path).codec == "mp3"
    assert frequency(decode(path), RATE) == pytest.approx(440.0, abs=0.5)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000])
def test_rates(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone(3.0, rate), rate)
    signal = decode(path, 22050)
    assert len(signal) == 3 * 22050
    assert frequency(signal, 22050) == pytest.approx(440.0, abs=0.5)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    for name, real in (("a.wav", "MP3"), ("b.mp3", "WAV"), ("c.m4a", "FLAC"), ("d.raw", "WAV"), ("e", "OGG")):
        soundfile.write(tmp_path / name, tone(1.0), RATE, format=real)
        assert frequency(decode(tmp_path / name), RATE) == pytest.approx(440.0, abs=1.0), name


def test_flac_and_mp3_after_an_id3_tag(tmp_path: Path) -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)
    for kind in ("flac", "mp3"):
        plain = write(tmp_path / f"plain.{kind}", tone(2.0))
        (tmp_path / f"tagged.{kind}").write_bytes(tag + plain.read_bytes())
        assert np.array_equal(load(tmp_path / f"tagged.{kind}").samples, load(plain).samples)


def test_tags_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp3", "mp3", "libmp3lame", tone(1.0, channels=2), tags={"title": "Zzzzzz"})
    data = path.read_bytes()
    assert b"Zzzzzz" in data
    path.write_bytes(data.replace(b"Zzzzzz", b"\xff\xfe\xc3\x28\x80\x81"))
    assert info(path).duration == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", [b"\xff\xfe \xe9.%s", "\U0001f3b5 😀.%s".encode(), b"new\nline.%s", b"a:b?c#.%s"])
@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_odd_names(tmp_path: Path, name: bytes, kind: str) -> None:
    plain = write(tmp_path / f"a.{kind}", tone(1.0))
    odd = os.path.join(os.fsencode(tmp_path), name.replace(b"%s", kind.encode()))
    try:
        os.rename(plain, odd)  # noqa: PTH104
    except OSError:
        pytest.skip("this file system refuses the name")
    for path in (os.fsdecode(odd), Path(os.fsdecode(odd))):
        assert load(path).duration == pytest.approx(1.0, abs=1e-6)


# -- channels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_channels_are_averaged_without_low_frequency_effects(tmp_path: Path, channels: int, kind: str) -> None:
    samples = np.stack([tone(1.0, hertz=200.0 + 100 * k)[:, 0] for k in range(channels)], axis=1)
    path = write(tmp_path / f"a.{kind}", samples)
    kept = [k for k in range(channels) if channels < 6 or k != 3]
    assert decode(path) == pytest.approx(samples[:, kept].mean(axis=1), abs=1e-4)
    assert info(path).channels == channels


@pytest.mark.parametrize(("kind", "layout", "lfe"), [("m4a", "5.1", (3,)), ("ogg", None, (3,)), ("m4a", "5.0", ())])
def test_low_frequency_effects_by_layout(tmp_path: Path, kind: str, layout: str | None, lfe: tuple[int, ...]) -> None:
    channels = 5 if layout == "5.0" else 6
    # One tone per channel. Only in the channel order of Vorbis are the low-frequency effects last.
    samples = np.stack([tone(1.0, hertz=400.0 + 200 * k)[:, 0] for k in range(channels)], axis=1)
    path = tmp_path / f"a.{kind}"
    if layout is None:
        write(path, samples)
        bass = 5
    else:
        write_av(path, "ipod", "aac", samples, layout=layout)
        bass = lfe[0] if lfe else -1
    with AudioStream(path) as stream:
        assert (stream.channels, stream.lfe) == (channels, lfe)
    spectrum = np.abs(np.fft.rfft(decode(path)[:RATE] * np.hanning(RATE)))
    for k in range(channels):
        level = spectrum[400 + 200 * k] / (RATE / 4) * (channels - len(lfe)) / 0.5
        # AAC keeps only the lowest tones of the low-frequency effects, and the downmix drops that channel too.
        assert level == pytest.approx(0.0 if k == bass else 1.0, abs=0.1), k


def test_mono_joined_to_stereo(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.mp3", tone(2.0)), write(tmp_path / "2.mp3", tone(2.0, channels=2))
    path = tmp_path / "both.mp3"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    signal = decode(path)
    assert len(signal) / RATE == pytest.approx(4.0, abs=0.1)
    assert np.abs(signal[RATE // 2 : RATE]).max() == pytest.approx(0.5, rel=0.05)
    assert np.abs(signal[3 * RATE : 3 * RATE + RATE // 2]).max() == pytest.approx(0.375, rel=0.05)
    assert load(path).samples.shape[0] == 1


@pytest.mark.parametrize(("kind", "other"), [("mp3", 22050), ("mp3", 48000), ("ogg", 48000), ("opus", 48000)])
def test_a_later_part_with_another_rate_is_resampled(tmp_path: Path, kind: str, other: int) -> None:
    native = 24000 if kind == "opus" else RATE
    first = write(tmp_path / f"1.{kind}", tone(2.0, native), native)
    second = write(tmp_path / f"2.{kind}", tone(3.0, other, 2, hertz=660.0), other)
    path = tmp_path / f"both.{kind}"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    signal = decode(path)
    assert info(path).rate == (RATE if kind != "opus" else 48000)
    assert len(signal) / RATE == pytest.approx(5.0, abs=0.15)
    assert frequency(signal[: 2 * RATE], RATE) == pytest.approx(440.0, abs=1.0)
    assert frequency(signal[-2 * RATE :], RATE) == pytest.approx(660.0, abs=1.0)
    assert warning(path) is None


# -- streams and regions ----------------------------------------------------------------------------------------


def test_blocks_are_float32_channels_first_and_short(tmp_path: Path) -> None:
    samples = noise(9.0, channels=2)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    with AudioStream(path) as stream:
        blocks = list(stream)
        assert (stream.rate, stream.channels, stream.codec, stream.duration) == (RATE, 2, "float", 9.0)
    assert all(block.dtype == np.float32 and block.shape[0] == 2 and block.shape[1] <= 4 * RATE for block in blocks)
    assert np.array_equal(np.concatenate(blocks, axis=1), samples.T)


@pytest.mark.parametrize("kind", [*SNDFILE_FORMATS, "m4a"])
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.2345, 5.4321), (4.0, 99.0), (5.25, None)])
def test_regions_are_cut_to_the_sample(tmp_path: Path, kind: str, start: float, end: float | None) -> None:
    rate = 48000 if kind == "opus" else RATE
    samples = noise(6.0, rate, 2)
    path = tmp_path / f"a.{kind}"
    if kind == "m4a":
        write_av(path, "ipod", "aac", samples)
    else:
        write(path, samples, rate)
    whole = load(path).samples
    first, last = round(start * rate), None if end is None else round(end * rate)
    assert np.array_equal(load(path, start=start, end=end).samples, whole[:, first:last])


@pytest.mark.parametrize(
    ("start", "end"), [(-1.0, None), (2.0, 2.0), (3.0, 1.0), (math.nan, None), (0.0, math.nan), (math.inf, None)]
)
def test_invalid_regions(tmp_path: Path, start: float, end: float | None) -> None:
    fails(write(tmp_path / "a.wav", tone(4.0)), "expected 0 <= start < end", start=start, end=end)


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_regions_outside_the_recording(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", tone(4.0))
    fails(path, r"starts at 7\.0 s but the recording ends at 4\.0 s", start=7.0)
    fails(path, r"the region lasts 0\.010 s, expected at least 0\.02 s", start=2.0, end=2.01)


@pytest.mark.parametrize(("native", "rate"), [(44100, 22050), (48000, 16000), (8000, 22050), (44100, 44100)])
def test_the_stream_equals_one_resampling(tmp_path: Path, native: int, rate: int) -> None:
    samples = noise(7.3, native, 2)
    path = write(tmp_path / "a.wav", samples, native, subtype="FLOAT")
    mixed = (samples[:, 0] + samples[:, 1]) * np.float32(0.5)
    expected = soxr.resample(mixed, native, rate, quality="HQ") if native != rate else mixed
    blocks = list(MonoStream(path, rate))
    assert len(blocks) > 1
    assert all(block.dtype == np.float32 and block.ndim == 1 and len(block) for block in blocks)
    assert np.concatenate(blocks) == pytest.approx(expected, abs=1e-6)


def test_info_is_available_at_the_end_and_a_stream_can_be_read_again(tmp_path: Path) -> None:
    stream = MonoStream(write(tmp_path / "a.wav", noise(5.0)), 22050)
    blocks = iter(stream)
    next(blocks)
    with pytest.raises(RuntimeError, match="not been read to its end"):
        _ = stream.info
    first = sum(map(len, stream))
    before = stream.info
    assert sum(map(len, stream)) == first == 5 * 22050
    assert stream.info == before
    assert before.duration == 5.0


# -- hashes -----------------------------------------------------------------------------------------------------


def test_hash_ignores_container_and_tags(tmp_path: Path) -> None:
    samples = np.round(noise(3.0, channels=2) * 32768).astype(np.int16)
    hashes = [info(write(tmp_path / f"a.{kind}", samples)).audio_hash for kind in ("wav", "flac", "aiff")]
    assert len(set(hashes)) == 1
    assert len(bytes.fromhex(hashes[0])) == 16
    for kind, container, codec in (("mp3", "mp3", "libmp3lame"), ("m4a", "ipod", "aac")):
        copies = [
            write_av(tmp_path / f"{title}.{kind}", container, codec, noise(3.0, channels=2), tags={"title": title})
            for title in ("One", "Another and longer")
        ]
        assert copies[0].read_bytes() != copies[1].read_bytes()
        assert info(copies[0]).audio_hash == info(copies[1]).audio_hash


def test_hash_changes_with_samples_rate_and_length(tmp_path: Path) -> None:
    samples = np.round(noise(1.0) * 32768).astype(np.int16)
    changed = samples.copy()
    changed[-1] += 1
    kinds = [(samples, RATE), (changed, RATE), (samples, 48000), (samples[:-1], RATE)]
    found = [info(write(tmp_path / f"{i}.wav", data, rate)) for i, (data, rate) in enumerate(kinds)]
    assert len({each.audio_hash for each in found}) == 4


def test_samples_above_full_scale_are_accepted_and_clipped_only_in_the_hash(tmp_path: Path) -> None:
    samples = 40 * tone(1.0)
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert np.abs(decode(path)).max() == pytest.approx(20.0, rel=1e-3)
    clipped = write(tmp_path / "b.wav", np.clip(samples, -1, 1), subtype="FLOAT")
    assert info(path).audio_hash == info(clipped).audio_hash


# -- invalid input --------------------------------------------------------------------------------------------------


def test_missing_folder_pipe_and_empty(tmp_path: Path) -> None:
    fails(tmp_path / "none.wav", "no such file")
    fails(tmp_path, "a folder, expected an audio file")
    fails("nul\0byte.wav", "cannot be opened")
    fails(tmp_path / ("x" * 300), "cannot be opened")
    empty = tmp_path / "a.wav"
    empty.touch()
    fails(empty, r"an empty file \(0 bytes\)")
    fails(empty / "inside.wav", "cannot be opened")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        fails(tmp_path / "pipe.wav", "not a regular file")


def test_a_name_with_a_newline_does_not_break_the_message(tmp_path: Path) -> None:
    fails(tmp_path / "a\nb.wav", "no such file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0))
    path.chmod(0)
    fails(path, r"not readable \(permission denied\)")


def test_permission_denied_on_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(self))

    path = write(tmp_path / "a.wav", tone(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        fails(path, r"not readable \(permission denied\)")
    assert info(path).duration == 1.0


@pytest.mark.parametrize(
    "data",
    [b"hello, this is text\n" * 500, bytes(100_000), np.random.default_rng(0).bytes(100_000), b"\x89PNG\r\n\x1a\n" * 99,
     b"RIFF\x10\x00\x00\x00WAVE", b"fLaC", b"ID3", b"R", b"OggS" + bytes(50)],
    ids=["text", "zeros", "random", "png", "riff", "flac", "id3", "one byte", "ogg"],
)  # fmt: skip
def test_not_audio(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    fails(path, "not audio, or unreadable from the start|lasts 0.000 s|without audio")


def test_playlists_do_not_open_other_files(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", tone(2.0))
    for name, text in (
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.mp3\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile a.mp3\n"),
    ):
        (tmp_path / name).write_text(text)
        fails(tmp_path / name, "not audio")


def test_a_video_without_audio(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mp4", "mp4", None, tone(1.0), video=True)
    fails(path, "a video without audio; expected WAV")


@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.019])
@pytest.mark.parametrize("kind", ["wav", "flac", "aiff"])
def test_too_short(tmp_path: Path, seconds: float, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", tone(seconds))
    if not path.stat().st_size:
        pytest.skip("libsndfile writes no header for a FLAC without samples")
    fails(path, r"the recording lasts 0\.\d\d\d s, expected at least 0\.02 s")


def test_just_long_enough(tmp_path: Path) -> None:
    assert info(write(tmp_path / "a.wav", tone(0.02))).duration == pytest.approx(0.02)


@pytest.mark.parametrize("rate", [1, 1999, 384_001, 768_000])
def test_rates_out_of_range(tmp_path: Path, rate: int) -> None:
    fails(write(tmp_path / "a.wav", tone(1.0), rate), f"a sample rate of {rate:,} Hz, expected 2,000 to 384,000 Hz")


def test_too_many_channels(tmp_path: Path) -> None:
    fails(write(tmp_path / "a.wav", tone(0.5, channels=9)), "9 channels, expected 1 to 8")


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", np.zeros(2000, np.uint8) + 0.0, 2000, subtype="PCM_U8")
    header = path.read_bytes()[:44]
    count = 13 * 3600 * 2000
    with path.open("wb") as file:  # sparse: it takes no disk space
        file.write(header[:4] + (count + 36).to_bytes(4, "little") + header[8:40] + count.to_bytes(4, "little"))
        file.truncate(44 + count)
    fails(path, r"13\.0 hours or more, expected at most 12 hours; split it first")
    monkeypatch.setattr(audio, "MAX_SECONDS", 3.0)  # MP3 states no reliable length, so samples are counted
    fails(write(tmp_path / "a.mp3", tone(9.0)), "split it first")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -3e38, 1.1e6])
def test_invalid_samples_end_the_recording(tmp_path: Path, value: float) -> None:
    samples = noise(6.0, channels=2)
    samples[5 * RATE + 7, 1] = value
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    warns(path, r"^only 5\.0 s of the stated 6\.0 s could be decoded \(a sample is NaN, infinite or huge\)$")
    assert np.array_equal(load(path).samples, samples[: 5 * RATE + 7].T)
    assert warning(path, start=1.0, end=4.0) is None
    samples[RATE, 0] = value
    path = write(tmp_path / "b.wav", samples, subtype="FLOAT")
    fails(path, r"cannot be decoded after 1\.0 s \(a sample is NaN, infinite or huge\)")
    samples[0] = value
    fails(write(tmp_path / "c.wav", samples, subtype="FLOAT"), r"cannot be decoded after 0\.0 s")


def test_opposite_infinities_and_huge_doubles(tmp_path: Path) -> None:
    samples = noise(3.0, channels=2).astype(np.float64)
    samples[2 * RATE] = (np.inf, -np.inf)
    warns(write(tmp_path / "a.wav", samples, subtype="DOUBLE"), r"only 2\.0 s of the stated 3\.0 s")
    samples[2 * RATE] = (1e300, 0)
    warns(write(tmp_path / "b.wav", samples, subtype="DOUBLE"), r"only 2\.0 s of the stated 3\.0 s")


@pytest.mark.parametrize("kind", ["wav", "aiff", "flac", "au", "w64", "rf64"])
def test_truncated(tmp_path: Path, kind: str) -> None:
    samples = np.round(noise(8.0) * 32768) / 32768
    whole = write(tmp_path / f"a.{kind}", samples, format=kind.upper(), subtype="PCM_16").read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(whole[: len(whole) // 2])
    warns(path, r"only (3\.9|4\.0) s of the stated 8\.0 s could be decoded")
    decoded = load(path).samples[0]
    assert len(decoded) / RATE == pytest.approx(4.0, abs=0.1)
    assert np.array_equal(decoded, samples[: len(decoded), 0])
    path.write_bytes(whole[: len(whole) // 3])
    message = fails(path, r"truncated: the header states 8\.0 s, the file contains 2\.\d s")
    assert message.endswith("copy or download it again")


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_truncated_to_the_header(tmp_path: Path, kind: str) -> None:
    whole = write(tmp_path / f"a.{kind}", noise(8.0)).read_bytes()
    path = tmp_path / f"cut.{kind}"
    start = whole.index(b"data") + 8 if kind == "wav" else len(soundfile_header(whole))
    path.write_bytes(whole[:start])
    fails(path, r"truncated: the header states (8\.0 s|audio), the file contains 0\.0 s")


def soundfile_header(flac: bytes) -> bytes:
    """Everything before the first frame of a FLAC file."""
    position, last = 4, False
    while not last:
        last = bool(flac[position] & 0x80)
        position += 4 + int.from_bytes(flac[position + 1 : position + 4], "big")
    return flac[:position]


def test_a_wav_written_to_a_pipe_has_no_stated_length(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "a.wav", noise(2.0)).read_bytes())
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000):
        whole[4:8] = whole[40:44] = size.to_bytes(4, "little")
        (tmp_path / "b.wav").write_bytes(whole)
        assert info(tmp_path / "b.wav").duration == 2.0


def test_a_flac_without_a_stated_length(tmp_path: Path) -> None:
    whole = bytearray(write(tmp_path / "a.flac", noise(3.0)).read_bytes())
    whole[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    whole[22:26] = bytes(4)
    path = tmp_path / "b.flac"
    path.write_bytes(whole)
    with AudioStream(path) as stream:
        assert stream.duration is None
        assert sum(block.shape[1] for block in stream) == 3 * RATE


def half(whole: Path) -> Path:
    """The first half of the bytes of a file."""
    data, path = whole.read_bytes(), whole.with_name(f"half.{whole.name}")
    path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus", "oga", "m4a", "webm", "mka", "wv"])
def test_half_a_file_is_decoded_with_a_warning(tmp_path: Path, kind: str) -> None:
    rate = 48000 if kind in ("opus", "webm") else RATE
    containers = {"m4a": ("mp4", "aac"), "webm": ("webm", "libopus"), "mka": ("matroska", "libmp3lame"),
                  "wv": ("wv", "wavpack"), "mp3": ("mp3", "libmp3lame")}  # fmt: skip
    whole = tmp_path / f"a.{kind}"
    if kind == "oga":
        write_av(whole, "oga", "flac", noise(8.0, rate, 2), rate)
    elif kind in containers:
        options = {"movflags": "faststart"} if kind == "m4a" else {}
        write_av(whole, *containers[kind], noise(8.0, rate, 2), rate, options=options)
    else:
        write(whole, noise(8.0, rate, 2), rate)
    assert warning(whole) is None
    cut = half(whole)
    assert info(cut).duration == pytest.approx(4.0, abs=1.1)  # Ogg pages of Opus are up to 1 s long
    ogg = kind in ("ogg", "opus", "oga")
    warns(cut, "its last page is missing, so its end was cut off" if ogg else r"only [34]\.\d s of the stated 8\.\d s")
    if not ogg:
        data = whole.read_bytes()
        cut.write_bytes(data[: len(data) * 3 // 10])
        fails(cut, r"truncated: the header states 8\.\d s, the file contains [23]\.\d s|cannot be decoded after")


def test_half_a_file_that_states_no_length_is_decoded(tmp_path: Path) -> None:
    cut = half(write_av(tmp_path / "a.aac", "adts", "aac", noise(8.0, channels=2)))
    assert info(cut).duration == pytest.approx(4.0, abs=0.6)
    assert warning(cut) is None


def test_a_region_before_the_fault_has_no_warning(tmp_path: Path) -> None:
    cut = half(write(tmp_path / "a.flac", noise(8.0)))
    assert warning(cut, start=1.0, end=3.0) is None
    warns(cut, r"only (3\.9|4\.0) s of the stated 8\.0 s could be decoded", start=2.0, end=5.0)
    fails(cut, r"truncated: the header states 8\.0 s, the file contains (3\.9|4\.0) s", start=3.0, end=8.0)
    fails(cut, r"the region starts at 6\.0 s but the recording ends at (3\.9|4\.0) s", start=6.0)


def test_truncated_files_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "a.mp3", noise(8.0)).read_bytes()
    failing = data[:20000] + b"\x55" * 300 + data[20300 : len(data) // 2]
    (tmp_path / "b.mp3").write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x20COMM\x00\x00\x00\x02\x00\x00\x01e" + bytes(20))
    with (tmp_path / "b.mp3").open("ab") as file:
        file.write(failing)
    info(tmp_path / "b.mp3")
    (tmp_path / "c.flac").write_bytes(write(tmp_path / "a.flac", noise(2.0)).read_bytes()[:80000])
    (tmp_path / "d.flac").write_bytes(b"".join([(tmp_path / "a.flac").read_bytes(), b"TAG", bytes(125)]))
    info(tmp_path / "c.flac")
    info(tmp_path / "d.flac")
    assert capfd.readouterr() == ("", "")


def test_a_truncated_m4a_is_an_error(tmp_path: Path) -> None:
    whole = write_av(tmp_path / "a.m4a", "ipod", "aac", noise(4.0, channels=2)).read_bytes()
    (tmp_path / "b.m4a").write_bytes(whole[: len(whole) // 2])  # the index is at the end
    fails(tmp_path / "b.m4a", "not audio, or unreadable from the start")


def test_invalid_bytes_in_the_middle(tmp_path: Path) -> None:
    def overwrite(name: str, size: int) -> Path:
        data = bytearray((tmp_path / name).read_bytes())
        middle = len(data) // 2
        data[middle : middle + size] = np.random.default_rng(1).bytes(size)
        (tmp_path / f"bad.{name}").write_bytes(data)
        return tmp_path / f"bad.{name}"

    write(tmp_path / "a.mp3", noise(20.0))
    warns(overwrite("a.mp3", 40_000), r"[\d,]+ bytes at \d+\.\d s or later could not be decoded \(.*\)")
    write_av(tmp_path / "a.m4a", "ipod", "aac", noise(20.0, channels=2))
    warns(overwrite("a.m4a", 3000), r"[\d,]+ bytes at \d+\.\d s or later could not be decoded \(.*\)")
    assert info(tmp_path / "bad.a.m4a").duration == pytest.approx(20.0, abs=0.5)
    write(tmp_path / "a.ogg", noise(20.0))
    warns(overwrite("a.ogg", 3000), r"only 1\d\.\d s of the stated 20\.0 s could be decoded")


@pytest.mark.parametrize("damage", ["one byte", "300 bytes", "a gap", "zeros"])
def test_a_flac_goes_on_after_a_damaged_frame(tmp_path: Path, damage: str) -> None:
    samples = np.round(noise(20.0, channels=2) * 32768).astype(np.float32) / 32768
    data = bytearray(write(tmp_path / "a.flac", samples).read_bytes())
    start = len(data) // 10
    if damage == "one byte":  # the checksum of the frame is wrong, and its samples would be noise
        data[start] ^= 0xFF
    elif damage == "300 bytes":
        data[start : start + 300] = np.random.default_rng(1).bytes(300)
    elif damage == "a gap":
        del data[start : start + 3000]
    else:
        data[start:start] = bytes(20_000)
    bad = tmp_path / "bad.flac"
    bad.write_bytes(data)

    decoded = load(bad).samples.T
    assert 0.95 * len(samples) <= len(decoded) < len(samples)
    before, after = int(1.7 * RATE), int(17.5 * RATE)
    assert np.array_equal(decoded[:before], samples[:before])
    assert np.array_equal(decoded[-after:], samples[-after:])
    loss = r"a part at [12]\.\d s or later could not be decoded \(.*flac decoder.*\)"
    warns(bad, loss)
    warns(bad, loss, start=1.0, end=5.0)
    assert warning(bad, end=1.0) is None
    assert warning(bad, start=5.0) is None


def test_a_flac_with_damage_in_half_a_file(tmp_path: Path) -> None:
    samples = noise(20.0)
    data = bytearray(write(tmp_path / "a.flac", samples).read_bytes())
    del data[len(data) // 2 :]
    data[len(data) // 5] ^= 0xFF
    (tmp_path / "bad.flac").write_bytes(data)
    warns(
        tmp_path / "bad.flac",
        r"only (9|10)\.\d s of the stated 20\.0 s could be decoded; a part at [12]\.\d s or later .*",
    )


def test_stray_bytes_between_and_after_mp3_frames_are_skipped(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp3", tone(4.0)).read_bytes()
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    (tmp_path / "two.mp3").write_bytes(data + tag + data + bytes(5000))
    assert info(tmp_path / "two.mp3").duration == pytest.approx(8.0, abs=0.1)


def test_a_file_that_is_truncated_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(20.0))
    with AudioStream(path) as stream:
        blocks = iter(stream)
        next(blocks)
        os.truncate(path, 44 + 2 * 5 * RATE)
        with pytest.raises(AudioError, match=r"truncated: the header states 20\.0 s, the file contains 5\.0 s"):
            list(blocks)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a"])
def test_a_disk_error_while_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "m4a":
        write_av(path, "ipod", "aac", noise(20.0, channels=2))
    else:
        write(path, noise(20.0))
    failing = False

    class Failing(io.FileIO):
        def readinto(self, buffer: bytearray) -> int:
            if failing:
                raise OSError(116, "Stale file handle")
            return super().readinto(buffer) or 0

        def read(self, size: int = -1) -> bytes:
            if failing:
                raise OSError(116, "Stale file handle")
            return super().read(size) or b""

    source = type("Source", (audio.Source, Failing), dict(audio.Source.__dict__))
    monkeypatch.setattr(audio, "Source", source)
    with AudioStream(path) as stream:
        blocks = iter(stream)
        next(blocks)
        failing = True
        with pytest.raises(AudioError, match=r"after \d+\.\d s \(Stale file handle\)"):
            list(blocks)
    assert capfd.readouterr().err == ""


def test_files_are_closed(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    good, bad = write(tmp_path / "a.mp3", tone(1.0)), write(tmp_path / "b.wav", tone(1.0), 1)
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        info(good)
        fails(bad, "sample rate")
        next(iter(MonoStream(good, 8000)))  # abandoned after one block
    assert len(list(descriptors.iterdir())) == before


# -- long recordings and imports --------------------------------------------------------------------------------

LONG = """
import resource, sys
from soundalike.audio import MonoStream
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream = MonoStream(sys.argv[1], 22050)
count = sum(len(block) for block in stream)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(count, grown // (1024 if sys.platform != "darwin" else 1024**2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_three_hours_in_little_memory(tmp_path: Path, kind: str) -> None:
    # MP3 files can be concatenated; a FLAC file must be written by one encoder.
    rate, path = 8000, tmp_path / f"a.{kind}"
    minute = tone(60.0, rate)
    if kind == "mp3":
        path.write_bytes(write(tmp_path / "minute.mp3", minute, rate).read_bytes() * 180)
    else:
        with soundfile.SoundFile(path, "w", rate, 1) as file:
            for _ in range(180):
                file.write(minute)
    printed, peak = run_measured(sys.executable, "-c", LONG, path)
    count, grown = map(int, printed.split())
    assert count / 22050 == pytest.approx(3 * 3600, rel=0.01 if kind == "mp3" else 1e-9)
    assert peak < 300 and grown < 80


def test_importing_does_not_load_ffmpeg() -> None:
    code = "import sys, soundalike.audio.stream; sys.exit('av' in sys.modules)"
    path = str(Path(audio.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


# -- the grid ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.5, [(0, 0.5)]),
        (10.0, [(0, 10)]),
        (11.0, [(0, 10)]),
        (11.5, [(0, 10), (5, 11.5)]),
        (16.0, [(0, 10), (5, 15)]),
        (23.0, [(0, 10), (5, 15), (10, 20), (15, 23)]),
    ],
)
def test_windows_by_example(duration: float, expected: list[tuple[float, float]]) -> None:
    assert windows(duration).tolist() == [list(map(float, pair)) for pair in expected]


@given(st.floats(0.3, 12 * 3600))
def test_windows_cover_the_track(duration: float) -> None:
    grid = windows(duration)
    starts, ends = grid.T
    assert grid.dtype == np.float64
    assert len(grid) == max(1, 1 + math.ceil((duration - 11) / 5))
    assert np.array_equal(starts, 5.0 * np.arange(len(grid)))
    assert np.array_equal(ends, np.minimum(starts + 10, duration))
    assert (ends > starts).all() and (starts[1:] <= ends[:-1]).all()
    assert duration - ends[-1] <= 1.0
    if len(grid) > 1:
        assert ends[-1] - starts[-1] >= 6.0 - 1e-6  # the last one is never very short


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_windows_of_an_invalid_duration(duration: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        windows(duration)
