"""Simulated listeners: known answers, weights that are found again, and the protocol on tiny songs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import TREES, slakh2100

from soundalike.audio.datasets import SlakhStem
from soundalike.cli.evaluate import protocol_command
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate.judgements import read_judgements
from soundalike.evaluate.listeners import (
    Opinions,
    compare_parameters,
    draw_triplets,
    listen,
    parameters_of,
    similarity_of_parameters,
)
from soundalike.evaluate.multitracks import Multitrack, read_multitracks
from soundalike.evaluate.stem_shares import shares, shares_with_intervals
from soundalike.models import Method


def notes(path: Path, pitches: list[int], gap: float) -> Path:
    """A MIDI file at 120 quarter notes per minute, with a note every `gap` seconds."""
    mido = pytest.importorskip("mido")
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)])
    for pitch in pitches:
        ticks = round(gap * 960)
        track += [mido.Message("note_on", note=pitch, velocity=90), mido.Message("note_off", note=pitch, time=ticks)]
    path.parent.mkdir(parents=True, exist_ok=True)
    mido.MidiFile(ticks_per_beat=480, tracks=[track]).save(path)
    return path


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs with MIDI files: the bass has the register of the song, the drums its pattern."""
    return with_notes(slakh2100(tmp_path_factory.mktemp("songs"), seconds=1.6))


def with_notes(root: Path) -> Path:
    for number, metadata in enumerate(sorted(root.glob("*/*/metadata.yaml"))):
        for n in range(6):
            pitch = 40 + 6 * number if n == 1 else 50
            notes(metadata.parent / "MIDI" / f"S0{n}.mid", [pitch] * 12, 0.1 + 0.05 * number * (n == 2))
    return root


def test_parameters_and_their_similarity(tmp_path: Path) -> None:
    def stem(program: int, loudness: float, file: Path) -> SlakhStem:
        return SlakhStem("S00", tmp_path / "x.flac", file, "piano", program, loudness)

    slow, fast = notes(tmp_path / "slow.mid", [60] * 8, 0.5), notes(tmp_path / "fast.mid", [72] * 8, 0.1)
    piano = parameters_of([stem(0, -13, slow)], 0.0, 4.0)
    assert piano and piano.programs == {0} and (piano.register, piano.level) == (60.0, pytest.approx(-13))
    # Seven times of 0.5 s, spread over three bins of the histogram.
    assert piano.pattern.sum() == 14 and (piano.pattern > 0).sum() == 3
    assert parameters_of([stem(0, -13, slow)], 4.5, 6.0) is None
    assert similarity_of_parameters(piano, piano) == pytest.approx(1)
    louder = parameters_of([stem(1, -7, fast)], 0.0, 4.0)
    assert louder
    # The same family but another program, no shared times, an octave, 6 dB.
    assert similarity_of_parameters(piano, louder) == pytest.approx(np.mean([0.5, 0, np.exp(-1), np.exp(-1)]))
    assert similarity_of_parameters(piano, louder, levels=False) == pytest.approx(np.mean([0.5, 0, np.exp(-1)]))
    with pytest.raises(UsageError, match="none.mid cannot be read.*; listeners by parameters need MIDI files"):
        parameters_of([stem(0, -13, tmp_path / "none.mid")], 0, 1)


def test_triplets_of_both_tests(songs: Path) -> None:
    read = read_multitracks(songs)
    drawn = draw_triplets(read, 40, 2, 0.8, 1)
    assert len(drawn.clips) == 8 and drawn.tests[:2] == ("XAB", "XYC")
    for (x, a, b), test, names in zip(drawn.triplets.tolist(), drawn.tests, drawn.songs(), strict=True):
        assert len({x, a, b}) == 3
        assert len(set(names)) == (3 if test == "XAB" else 2)
        assert test == "XAB" or (names[0] in names[1:])
    same = drawn.triplets[1::2]
    first = [drawn.clips[x].song == drawn.clips[a].song for x, a, _ in same.tolist()]
    assert 3 < sum(first) < 17
    with pytest.raises(UsageError, match="4 songs last 1 s or more, 0 of them twice as long; expected at least 3"):
        draw_triplets(read, 10, 5, 1.0, 0)


def test_listeners_by_parameters_tell_apart_what_was_varied(songs: Path) -> None:
    read = read_multitracks(songs)
    drawn = draw_triplets(read, 60, 2, 0.8, 0)
    found = compare_parameters(drawn, read, ["drums", "bass", "piano", "vocals"])
    assert found.stems == ("drums", "bass")
    np.testing.assert_allclose(found.differences.std(axis=0), 1)
    votes = listen(found, {"bass": 1.0}, 0.0, 0)
    order = sorted({clip.song for clip in drawn.clips}, key=lambda name: str(next(songs.glob(f"*/{name}"))))
    place = {name: n for n, name in enumerate(order)}
    for (x, a, b), (for_a, for_b) in zip(drawn.songs(), votes.tolist(), strict=True):
        near, far = abs(place[x] - place[a]), abs(place[x] - place[b])
        if near != far:
            assert (for_a > for_b) == (near < far) and 0 in (for_a, for_b)
    with pytest.raises(UsageError, match="the listeners weigh none of the stems that differ: drums, bass"):
        listen(found, {"piano": 1.0}, 0.1, 0)
    with pytest.raises(UsageError, match="no stem differs between the clips"):
        compare_parameters(drawn, read, ["vocals"])


def test_votes_are_as_many_as_in_the_listening_test_and_noisy() -> None:
    opinions = Opinions(("drums", "bass"), np.random.default_rng(0).standard_normal((4000, 2)))
    votes = listen(opinions, {"drums": 1.0}, 0.5, 3)
    sizes = votes.sum(axis=1)
    assert (sizes.min(), sizes.max()) == (3, 9) and abs(sizes.mean() - 5.65) < 0.1
    clear = np.abs(opinions.differences[:, 0] - 1) < 0.1
    # At one standard deviation a listener is right with probability 1 / (1 + e^-2).
    assert votes[clear, 0].sum() / sizes[clear].sum() == pytest.approx(1 / (1 + np.exp(-2)), abs=0.03)


@pytest.mark.parametrize("method", ["OLS", "ridge"])
def test_shares_of_listeners_are_found_within_their_intervals(method: Method) -> None:
    random = np.random.default_rng(4)
    stems = ("drums", "bass", "other")
    weights = {"drums": 1.0, "bass": 0.5, "other": 0.0}
    inside = []
    for seed in range(8):
        opinions = Opinions(stems, random.standard_normal((200, 3)))
        votes = listen(opinions, weights, 0.4, seed)
        chosen = np.flatnonzero(votes[:, 0] != votes[:, 1])
        answers = np.where(votes[chosen, 0] > votes[chosen, 1], 1.0, -1.0)
        own = opinions.differences[chosen]
        known = shares(own, np.array(list(weights.values())), stems, stems)
        found = shares_with_intervals(
            own, answers, [str(n) for n in chosen], stems, stems, method, penalty=1.0, seed=0, resamples=60
        )
        inside.append((found.low <= known) & (known <= found.high))
    assert np.mean(inside) > 0.85


def test_shares_by_hand() -> None:
    features = np.array([[1.0, 1.0, 0.0], [-1.0, -1.0, 2.0]])
    found = shares(features, np.array([1.0, 2.0, -1.0]), ["drums", "drums", "bass"], ["drums", "bass", "mix"])
    assert found.tolist() == [0.75, -0.25, 0.0]
    assert shares(features, np.zeros(3), ["drums"] * 3, ["drums"]).tolist() == [0.0]


def test_songs_in_other_layouts(tmp_path: Path) -> None:
    musdb = read_multitracks(TREES["musdb18hq"](tmp_path / "musdb"))
    assert len(musdb) == 3 and [file.name for file in musdb[0].files["mix"]] == ["mixture.wav"]
    table = read_multitracks(TREES["stem_table"](tmp_path / "table"))
    assert [song.song for song in table] == ["Cat", "Dog"]
    assert set(table[0].files) == {"mix", "bass", "drums", "other", "vocals"} and len(table[0].files["mix"]) == 5
    assert table[0].seconds == pytest.approx(1.2) and table[0].parts == ()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no tracks; expected .*; or MUSDB18-HQ, or recordings listed in stems"):
        read_multitracks(tmp_path / "empty")
    with pytest.raises(UsageError, match="none is not a folder"):
        read_multitracks(tmp_path / "none")


def run(*arguments: object) -> tuple[Report, ...]:
    protocol = plugins.load("protocols", "listeners")
    context = protocol_command("listeners").make_context("listeners", [*map(str, arguments), "--jobs", "1"])
    found: tuple[Report, ...] = protocol.run(SimpleNamespace(**context.params))
    return found


@pytest.mark.slow
def test_the_protocol_reports_recovery_and_agreement(tmp_path: Path) -> None:
    songs = with_notes(slakh2100(tmp_path / "songs", songs=8, seconds=1.6))
    given = ("--songs", songs, "--model", "dsp", "--space", "timbre", "--triplets", "80", "--segments", "2",
             "--seconds", "0.8", "--noise", "0.1", "--stem-weights", "bass=1,drums=0.5")  # fmt: skip
    recovery, many, agreement, gain = run(*given, "--true-stems", "4", "--save-labels", tmp_path / "l.csv")
    assert recovery.rows == ("drums", "bass", "mix") and recovery.columns[0] == "listeners"
    known, found = recovery.values[:2, 0], recovery.values[:2, 1]
    assert known.sum() == pytest.approx(100) and known[1] > known[0]
    assert np.abs(found - known).max() < 20  # few songs, and the drums take few values
    assert many.rows == ("drums", "bass") and many.n.min() == 100
    assert many.values[:, 0].sum() == pytest.approx(100) and np.abs(many.values[:, 0] - many.values[:, 1]).max() < 20
    rows = dict(zip(agreement.rows, agreement.values[:, 0], strict=True))
    assert rows["what they compare, OLS"] > 85
    assert gain.rows == ("mix and true stems, ridge - mix, ridge",)
    assert gain.values[0, 0] == pytest.approx(
        agreement.values[agreement.rows.index("mix and true stems, ridge"), 2]
        - agreement.values[agreement.rows.index("mix, ridge"), 2]
    )
    again = read_judgements([tmp_path / "l.csv"], slakh=songs)
    assert again.votes["total"].sum() > 80 * 3 and len(again.clips) == 16
    with pytest.raises(UsageError, match="the listener compact uses the backbone compact of the model under test"):
        run(*given[:2], "--model", "compact", "--listener", "compact")


def test_multitracks_without_midi_cannot_be_judged_by_parameters(tmp_path: Path) -> None:
    song = Multitrack("a", {"mix": (), "drums": (tmp_path / "d.wav",)}, 20.0)
    songs = [song, Multitrack("b", song.files, 20.0), Multitrack("c", song.files, 20.0)]
    with pytest.raises(UsageError, match="no stem differs between the clips"):
        compare_parameters(draw_triplets(songs, 10, 2, 5.0, 0), songs, ["drums"])
