"""`evaluate mes`: which segments are used, what is mixed for them, and the way from songs to reports and a picture."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import slakh2100

from conftest import RATE, write
from soundalike.audio import load
from soundalike.audio.activity import active_blocks, audible_from
from soundalike.cli.evaluate import protocol_command
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Audio, Report, Span
from soundalike.evaluate.mel_rows import mel_row, mel_rows
from soundalike.evaluate.mes import mes
from soundalike.evaluate.mes_pieces import FIVE, SIX, Cutting, StemPiece, read_pieces
from soundalike.evaluate.mes_sets import MesSet, Mixed, normal_set, picture_set, pseudo_set
from soundalike.evaluate.terms import Source, encode_mixes
from soundalike.evaluate.tsne import Panel, draw_tsne, tsne
from soundalike.models import Model

NO_TSNE = "soundalike[map] is not installed"


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs of 2.4 s, each from a MIDI file of its own; the drums of the first one end after 1.2 s."""
    root = slakh2100(tmp_path_factory.mktemp("slakh"))
    for number, file in enumerate(sorted(root.rglob("metadata.yaml"))):
        file.write_text(file.read_text().replace("1a81", f"{number}"))
    drums = next(root.rglob("Track00001/stems/S02.flac"))
    samples = load(drums).samples[0].copy()
    samples[round(1.2 * RATE) :] = 0
    write(drums, samples)
    return root


def evaluate(*arguments: object) -> dict[str, Report]:
    """Run the protocol; the reports by what their titles begin with."""
    given = [*map(str, arguments), "--model", "dsp", "--jobs", "1"]
    context = protocol_command("mes").make_context("mes", given)
    reports = plugins.load("protocols", "mes").run(SimpleNamespace(**context.params))
    return {report.title.partition(":")[0]: report for report in reports}


# Segments -----------------------------------------------------------------------------------------------------------


def test_the_level_gate_equals_a_plain_loop() -> None:
    random = np.random.default_rng(2)
    stems = (random.normal(size=(3, 10_000)) * np.repeat(10.0 ** -random.integers(0, 5, (3, 10)), 1000, axis=1)).astype(
        np.float32
    )
    mix = float(np.mean(stems.sum(axis=0).astype(np.float64) ** 2))
    blocks = [
        [
            10 * np.log10(np.mean(stem[at : at + 100].astype(np.float64) ** 2) / mix) > -50
            for at in range(0, 10_000, 100)
        ]
        for stem in stems
    ]
    active = active_blocks(stems, 1000)
    assert active.tolist() == blocks and 0 < active.sum() < active.size
    starts = np.array([0, 7, 60, 95])
    expected = [[sum(own[at : at + 20]) >= 5 for at in starts.tolist()] for own in blocks]
    assert audible_from(active, 20, starts).tolist() == expected


def test_songs_are_cut_into_segments_with_what_is_audible(songs: Path) -> None:
    pieces = read_pieces(songs, FIVE, "all", Cutting(0.6, 0.3), jobs=1)
    assert sorted(piece.name for piece in pieces) == [f"Track0000{n}" for n in range(1, 5)]
    first = next(piece for piece in pieces if piece.name == "Track00001")
    assert len(first) == 7 and first.audible["drums"].tolist() == [True] * 4 + [False] * 3
    assert first.audible["bass"].all() and len(first.files["guitar"]) == 2
    source = first.source(2, ["bass", "guitar"])
    assert (source.start, source.end, len(source.files)) == (0.6, pytest.approx(1.2), 3)
    assert [piece.name for piece in read_pieces(songs, FIVE, "test", Cutting(0.6, 0.6), jobs=1)] == [
        "Track00001", "Track00003",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="has no songs of the part validation; it has test, train"):
        read_pieces(songs, FIVE, "validation", Cutting())
    with pytest.raises(UsageError, match="all 4 songs are shorter than a segment of 10 s"):
        read_pieces(songs, FIVE, "all", Cutting(), jobs=1)


def test_songs_from_one_midi_file_count_once(tmp_path: Path) -> None:
    root = slakh2100(tmp_path, songs=2)
    assert len(read_pieces(root, FIVE, "all", Cutting(0.6, 0.6), jobs=1)) == 1


def pieces_of(count: int, segments: int, hop: float = 10.0) -> list[StemPiece]:
    """Pieces without files; the drums are silent in the first segment of each."""
    audible = {"drums": np.arange(segments) > 0, "bass": np.ones(segments, np.bool_)}
    files = {"drums": (Path("d.wav"),), "bass": (Path("b.wav"),), "piano": (Path("p.wav"),)}
    return [StemPiece(f"song {n}", files, audible, Cutting(10.0, hop)) for n in range(count)]


def test_normal_segments_bar_those_that_overlap() -> None:
    found = normal_set(pieces_of(2, 5, hop=4.0), "drums")
    assert [one.target for one in found.segments] == [(piece, n) for piece in (0, 1) for n in (1, 2, 3, 4)]
    assert found.barred is not None
    expected = [
        [a[0] == b[0] and abs(a[1] - b[1]) * 4.0 < 10.0 for b in (one.target for one in found.segments)]
        for a in (one.target for one in found.segments)
    ]
    assert found.barred.tolist() == expected
    assert normal_set(pieces_of(2, 5), "drums").barred is None
    with pytest.raises(UsageError, match="drums is audible in 1 segments; expected two at least"):
        normal_set(pieces_of(1, 2), "drums")


def test_a_pseudo_piece_has_the_target_of_one_song_and_the_rest_of_another() -> None:
    pieces = pieces_of(45, 6)
    found = pseudo_set(pieces, "drums", np.random.default_rng(1))
    assert len(found.segments) == 40 * 5 and len(set(found.targets)) == 10
    assert found.excluded is not None and len(set(found.excluded)) == 40
    # Right candidates of a segment of a pseudo-piece: two pseudo-pieces and the normal piece.
    own = found.targets[0]
    others = {piece for piece, name in zip(found.excluded, found.targets, strict=True) if name == own}
    assert len(others - {found.excluded[0]}) == 3
    mixed = found.segments[0]
    span, (target, rest) = mixed.mix(pieces, FIVE)
    assert mixed.rest[0] != mixed.target[0] and "song" in span.track
    assert [file.name for file in target.files] == ["d.wav"] and [file.name for file in rest.files] == [
        "b.wav",
        "p.wav",
    ]
    assert target.start == rest.start == 10.0 * mixed.target[1]
    normal = found.segments[-1]
    assert normal.target == normal.rest and len(normal.mix(pieces, FIVE)[1]) == 1
    assert [file.name for file in normal.stem(pieces)[1][0].files] == ["d.wav"]


def test_pictures_have_every_pair_of_pieces() -> None:
    pieces = pieces_of(12, 11)
    found = picture_set(pieces, "drums", np.random.default_rng(1))
    assert len(found.segments) == 1000 and len(set(found.targets)) == len(set(found.rests)) == 10
    names = [span for span, _ in (one.mix(pieces, FIVE) for one in found.segments)]
    assert len(set(names)) == len({(one.target, one.rest) for one in found.segments})
    # Rows of the target alone find all targets, and no rests.
    found = picture_set(pieces, "drums", np.random.default_rng(1), count=4, each=3)
    rows = np.array([[10.0 * one.target[0], one.target[1]] for one in found.segments])
    audible = np.ones(48, np.bool_)
    assert found.outcomes(rows, audible, "l2").all() and not found.outcomes(rows, audible, "l2", rest=True).any()
    assert found.chance(0) == pytest.approx(0.2, abs=0.05)


# Rows ---------------------------------------------------------------------------------------------------------------


def test_a_mix_is_encoded_as_the_sum_of_its_parts(songs: Path, tmp_path: Path) -> None:
    files = sorted(songs.rglob("stems/*.flac"))[:3]
    parts = (Source((files[0],), 0.5, 1.5), Source(tuple(files[1:]), 1.0, 2.0), Source((), 0.0, 1.0))
    total = load(files[0], start=0.5, end=1.5).samples + sum(load(one, start=1, end=2).samples for one in files[1:])
    span, silent = Span("mix", 0.5, 1.5), Span("nothing", 0.0, 1.0)
    encoded = encode_mixes({span: parts, silent: parts[2:]}, "dsp", jobs=1)
    path = write(tmp_path / "sum.wav", total[0])
    expected = Model.load("dsp").encode(path).track.rows["timbre"][0]
    assert encoded.rows["timbre"][encoded.index[span]] == pytest.approx(expected, abs=2e-3)
    assert not encoded.rows["timbre"][encoded.index[silent]].any()
    row = mel_rows({span: parts}, jobs=1)[span]
    assert row == pytest.approx(mel_row(Audio(total, RATE)))
    noise = np.random.default_rng(0).normal(size=(1, RATE)).astype(np.float32)
    quiet, loud = mel_row(Audio(noise * 0.01, RATE)), mel_row(Audio(noise * 0.1, RATE))
    assert loud[:40] - quiet[:40] == pytest.approx(20, abs=0.3) and loud[40:] == pytest.approx(quiet[40:], abs=0.3)


def test_from_songs_to_reports(songs: Path, tmp_path: Path) -> None:
    options = ("--part", "all", "--seconds", "0.6", "--targets", "2", "--rests", "1", "--each", "2", "--draws", "2")
    found = evaluate("--songs", songs, "--map", "drums=timbre", "--map", "bass=timbre", "--true-stems", *options)
    assert list(found) == ["MES-Normal", "MES-Pseudo", "MES of target in pictures", "MES of rest in pictures"]
    normal = found["MES-Normal"]
    assert normal.columns == ("drums", "bass")
    assert normal.rows == ("mix", "mix, mel spectrum", "true stem", "true stem, mel spectrum")
    # Drums are silent in two of the sixteen segments.
    assert normal.n.tolist() == [[14, 16]] * 4
    pieces = read_pieces(songs, FIVE, "all", Cutting(0.6, 0.6), jobs=1)
    segments = normal_set(pieces, "drums").segments
    sources = dict(one.stem(pieces) for one in segments)
    rows = mel_rows(sources, jobs=1)
    labels = [pieces[one.target[0]].name for one in segments]
    expected = mes(np.stack([rows[one.stem(pieces)[0]] for one in segments]), labels)
    assert normal.values[3, 0] == pytest.approx(100 * expected)
    pseudo = found["MES-Pseudo"]
    assert pseudo.n[0, 1] == 2 * (2 + 2) * 4 and pseudo.chance.shape == (2,)
    pictures = found["MES of target in pictures"]
    assert pictures.n.tolist() == [[8, 8]] * 4
    assert re.search(r"Spaces: drums timbre, bass timbre\. Distance: l2", normal.notes[0])
    assert normal.command == (
        "soundalike evaluate mes --songs DIR --map drums=timbre --map bass=timbre --true-stems --part all "
        "--seconds 0.6 --targets 2 --rests 1 --each 2 --draws 2 --model dsp"
    )


def test_instruments_of_too_few_songs_are_left_out_with_the_reason(songs: Path) -> None:
    found = evaluate("--songs", songs, "--map", "timbre", "--part", "all", "--seconds", "1.2", "--each", "9")
    assert found["MES-Normal"].columns == FIVE and not np.isnan(found["MES-Normal"].values).any()
    pseudo = found["MES-Pseudo"]
    assert np.isnan(pseudo.values).all() and not pseudo.n.any()
    assert any(
        "drums, MES-Pseudo: 4 pieces have the target instrument; expected at least 13" in one for one in pseudo.notes
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "dsp has no space named after an instrument; it has melody, .*such as --map drums=melody"),
        (("--map", "drums=pitch"), "--map drums=pitch: dsp has no space pitch; it has melody"),
        (("--map", "flute=timbre"), "'flute' is no instrument; expected one of drums, bass"),
        (("--map", "vocals=timbre"), "nothing to measure: vocals, MES-Normal: vocals is audible in 0 segments"),
        (("--map", "timbre", "--tsne", "figure.gif"), "cannot draw figure.gif"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(songs: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate("--songs", songs, "--part", "all", "--seconds", "0.6", *options)
    assert SIX[4] == "vocals"


# Pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # scikit-learn loads for three seconds
def test_the_same_rows_give_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason=NO_TSNE)
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'soundalike[plot]'")
    random = np.random.default_rng(0)
    centres = np.repeat(random.normal(size=(4, 8)) * 20, 6, axis=0)
    rows = centres + random.normal(size=(24, 8))
    points = tsne(rows, seed=1)
    assert points.shape == (24, 2)
    nearest = [np.argsort(np.linalg.norm(points - one, axis=1))[1] // 6 for one in points]
    assert nearest == np.repeat(np.arange(4), 6).tolist()
    panel = Panel("drums", rows, [str(n // 6) for n in range(24)], [str(n % 4) for n in range(24)])
    for name in ("one.png", "two.png"):
        draw_tsne([panel], tmp_path / name, "title")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with pytest.raises(ValueError, match="3 rows; expected four"):
        tsne(rows[:3])


def test_a_picture_needs_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'soundalike[plot]'")
    monkeypatch.setitem(__import__("sys").modules, "sklearn.manifold", None)
    with pytest.raises(
        UsageError, match=r"--tsne needs scikit-learn; install it with: pip install 'soundalike\[map\]'"
    ):
        draw_tsne([], tmp_path / "a.png")
    assert Mixed("drums", (0, 0), (0, 0)) == Mixed("drums", (0, 0), (0, 0)) and MesSet((), (), ()).excluded is None
