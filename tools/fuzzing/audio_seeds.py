"""Valid recordings of every format that the decoder reads, small, and made without other programs."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import av
import numpy as np
import soundfile

__all__ = ["audio_seeds"]

_RATE = 22_050
_RATES = (_RATE, 44_100, 48_000)
_SECONDS = 1.5
_TAGS = {"title": "Some Söng", "artist": "Someone; Someone Else", "genre": "Funk", "date": "1999", "TBPM": "128",
         "TKEY": "8A", "BPM": "128", "INITIALKEY": "F#m"}  # fmt: skip
# Name, container of FFmpeg, encoder, options. Containers get the tags in their own form.
_FFMPEG = (
    ("mp3", "mp3", "libmp3lame", {"b": "64k"}),
    ("mp3-vbr", "mp3", "libmp3lame", {"q": "5"}),
    ("mp2", "mp2", "mp2", {}),
    ("aac", "adts", "aac", {}),
    ("m4a", "ipod", "aac", {}),
    ("mp4", "mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    ("mov", "mov", "pcm_s16le", {}),
    ("alac", "ipod", "alac", {}),
    ("3gp", "3gp", "aac", {}),
    ("flac", "flac", "flac", {}),
    ("flac-ogg", "ogg", "flac", {}),
    ("opus", "opus", "libopus", {}),
    ("mka", "matroska", "flac", {}),
    ("mka-pcm", "matroska", "pcm_s24le", {}),
    ("webm", "webm", "libopus", {}),
    ("wv", "wv", "wavpack", {}),
    ("tta", "tta", "tta", {}),
    ("ac3", "ac3", "ac3", {}),
    ("eac3", "eac3", "eac3", {}),
    ("wma", "asf", "wmav2", {"b": "64k"}),
    ("ts", "mpegts", "aac", {}),
    ("mpg", "mpeg", "mp2", {}),
    ("avi", "avi", "libmp3lame", {}),
    ("flv", "flv", "libmp3lame", {}),
    ("voc", "voc", "pcm_u8", {}),
    ("caf", "caf", "pcm_s16le", {}),
    ("aiff", "aiff", "pcm_s16be", {"write_id3v2": "1"}),
    ("wav", "wav", "pcm_s16le", {}),
    ("w64", "w64", "pcm_s16le", {}),
    ("au", "au", "pcm_mulaw", {}),
)
_LIBSNDFILE = (
    ("wav-8", "WAV", "PCM_U8"), ("wav-16", "WAV", "PCM_16"), ("wav-24", "WAV", "PCM_24"), ("wav-32", "WAV", "PCM_32"),
    ("wav-float", "WAV", "FLOAT"), ("wav-double", "WAV", "DOUBLE"), ("wav-ulaw", "WAV", "ULAW"),
    ("wav-ima", "WAV", "IMA_ADPCM"), ("wav-ms", "WAV", "MS_ADPCM"), ("ogg", "OGG", "VORBIS"),
    ("wav-extensible", "WAVEX", "PCM_24"), ("rf64", "RF64", "PCM_16"), ("w64-float", "W64", "FLOAT"),
    ("aiff-24", "AIFF", "PCM_24"), ("aifc-float", "AIFF", "FLOAT"), ("au-16", "AU", "PCM_16"),
    ("caf-alac", "CAF", "ALAC_16"), ("caf-24", "CAF", "PCM_24"), ("flac-24", "FLAC", "PCM_24"),
    ("flac-8", "FLAC", "PCM_S8"), ("voc-16", "VOC", "PCM_16"),
)  # fmt: skip


def audio_seeds() -> dict[str, bytes]:
    """Return the content of one recording per format, codec and kind of tag, by name."""
    samples = _samples(2)
    made = {name: _by_libsndfile(samples, kind, subtype) for name, kind, subtype in _LIBSNDFILE}
    made |= {name: _by_ffmpeg(samples, kind, codec, options) for name, kind, codec, options in _FFMPEG}
    made["wav-mono"] = _by_libsndfile(_samples(1), "WAV", "PCM_16")
    made["wav-5.1"] = _by_libsndfile(_samples(6), "WAVEX", "PCM_16")
    made["wav-short"] = _by_libsndfile(_samples(1)[:1000], "WAV", "PCM_16")
    made["mp3-id3v2.3"] = _id3v2(3) + made["mp3"]
    made["mp3-id3v2.2"] = _id3v2(2) + made["mp3"]
    made["mp3-ape"] = made["mp3"] + _ape() + _id3v1()
    made["flac-id3"] = _id3v2(4) + made["flac"] + _id3v1()
    made["wv-ape"] = made["wv"] + _ape()
    made["aac-id3"] = _id3v2(4) + made["aac"]
    return made


def _samples(channels: int) -> np.ndarray:
    """Return a tone with a beat and noise, (t, channels) float32."""
    t = np.arange(round(_SECONDS * _RATE)) / _RATE
    tone = 0.3 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 2 * t))
    noise = 0.05 * np.random.default_rng(0).standard_normal((len(t), channels))
    return (tone[:, None] + noise).astype(np.float32)


def _by_libsndfile(samples: np.ndarray, kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, _RATE, format=kind, subtype=subtype)
    return file.getvalue()


def _by_ffmpeg(samples: np.ndarray, container: str, codec: str, options: Mapping[str, str]) -> bytes:
    """Encode with tags. Encoders that know no 22.05 kHz get 48 kHz, which only changes the pitch."""
    file = io.BytesIO()
    encoder = {name: value for name, value in options.items() if name in ("b", "q")}
    muxer = {name: value for name, value in options.items() if name not in encoder}
    with av.open(file, "w", format=container, options=muxer) as out:
        out.metadata.update(_TAGS)
        rates = av.Codec(codec, "w").audio_rates
        rate = next(rate for rate in _RATES[codec == "wmav2" :] if rates is None or rate in rates)
        stream = out.add_stream(codec, rate=rate, options=encoder)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate = rate
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


def _id3v1() -> bytes:
    return b"TAG" + b"Title".ljust(30, b"\0") + b"Artist".ljust(60, b"\0") + b"1999" + bytes(30) + b"\x05"


def _id3v2(version: int) -> bytes:
    """Return an ID3v2 tag of version 2.2, 2.3 or 2.4 with texts, a comment and a picture."""
    long = version > 2
    frames = b""
    texts = {"TIT2": "Söng", "TPE1": "A/B", "TCON": "(5)Funk", "TBPM": "12800", "TKEY": "Am/8A", "TYER": "1999"}
    short = {"TIT2": "TT2", "TPE1": "TP1", "TCON": "TCO", "TBPM": "TBP", "TKEY": "TKE", "TYER": "TYE"}
    contents = {
        name if long else short[name]: b"\x01" + text.encode("utf-16") + b"\0\0" for name, text in texts.items()
    }
    contents["APIC" if long else "PIC"] = (b"\0image/png\0\x03\0" if long else b"\0PNG\x03\0") + bytes(300)
    contents["COMM" if long else "COM"] = b"\x03eng\0remark"
    for name, content in contents.items():
        size = _syncsafe(len(content)) if version == 4 else struct.pack(">I", len(content))
        frames += name.encode() + (size + bytes(2) if long else size[1:]) + content
    frames += bytes(64)
    return b"ID3" + bytes([version, 0, 0]) + _syncsafe(len(frames)) + frames


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _ape() -> bytes:
    """Return an APEv2 tag with header and footer."""
    texts = {"Title": "Söng", "Artist": "A\0B", "Genre": "Funk", "BPM": "128", "Year": "1999", "KEY": "8A - Energy 6"}
    items = b""
    for name, text in texts.items():
        value = text.encode()
        items += struct.pack("<II", len(value), 0) + name.encode() + b"\0" + value

    def frame(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, len(texts), flags) + bytes(8)

    return frame(0xA0000000) + items + frame(0x80000000)
