"""The pictures in audio files."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import numpy as np
import pytest
from mutagen import id3
from mutagen.flac import FLAC, Picture
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggvorbis import OggVorbis

from conftest import write
from soundalike.audio import Cover, read_cover

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
JPEG = b"\xff\xd8\xff\xe0" + bytes(300)
NOISE = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)


def picture(data: bytes, kind: int = 3, media_type: str = "image/png") -> Picture:
    made = Picture()
    made.data, made.type, made.mime = data, kind, media_type
    return made


def mp3(path: Path, *pictures: tuple[int, str, bytes]) -> Path:
    write(path, NOISE, 16000, format="MP3")
    tags = id3.ID3()
    for number, (kind, media_type, data) in enumerate(pictures):
        tags.add(id3.APIC(encoding=3, mime=media_type, type=kind, desc=str(number), data=data))
    tags.save(path)
    return path


def test_mp3_with_several_pictures_gives_the_front_cover(tmp_path: Path) -> None:
    path = mp3(tmp_path / "a.mp3", (4, "image/png", PNG), (3, "image/jpeg", JPEG))
    assert read_cover(path) == Cover(JPEG, "image/jpeg")


def test_any_picture_will_do_without_a_front_cover(tmp_path: Path) -> None:
    assert read_cover(mp3(tmp_path / "a.mp3", (8, "image/png", PNG))) == Cover(PNG, "image/png")


def test_flac(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", NOISE, 16000)
    file = FLAC(path)
    file.add_picture(picture(PNG))
    file.save()
    assert read_cover(path) == Cover(PNG, "image/png")


def test_ogg(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ogg", NOISE, 16000)
    file = OggVorbis(path)
    file["metadata_block_picture"] = [base64.b64encode(picture(PNG).write()).decode()]
    file.save()
    assert read_cover(path) == Cover(PNG, "image/png")


def test_m4a(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.m4a"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(NOISE[None, :], format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file = MP4(path)
    file["covr"] = [MP4Cover(JPEG, imageformat=MP4Cover.FORMAT_JPEG)]
    file.save()
    assert read_cover(path) == Cover(JPEG, "image/jpeg")


def test_what_is_no_picture_is_none_whatever_its_tag_says(tmp_path: Path) -> None:
    assert read_cover(mp3(tmp_path / "a.mp3", (3, "image/png", b"<script>alert(1)</script>"))) is None


def test_files_without_pictures_have_none(tmp_path: Path) -> None:
    assert read_cover(mp3(tmp_path / "a.mp3")) is None
    assert read_cover(write(tmp_path / "a.wav", NOISE)) is None
    (tmp_path / "a.txt").write_text("no audio")
    assert read_cover(tmp_path / "a.txt") is None
    (tmp_path / "empty.mp3").touch()
    assert read_cover(tmp_path / "empty.mp3") is None


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_cover(tmp_path / "absent.mp3")


def test_damaged_files_give_a_picture_or_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", NOISE, 16000)
    file = FLAC(path)
    file.add_picture(picture(PNG))
    file.save()
    content, random_ = path.read_bytes(), random.Random(0)
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(random_.randrange(1, 20)):
            damaged[random_.randrange(min(600, len(damaged)))] = random_.randrange(256)
        path.write_bytes(damaged[: random_.randrange(len(damaged))])
        found = read_cover(path)
        assert found is None or found.media_type.startswith("image/")
