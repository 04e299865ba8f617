"""Train the transcriber on clips with known ground truth: learning, interruption, versions."""

from __future__ import annotations

import io
import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_truth import Band, scene_of

from soundalike.backbones.analysis.transcriber import TranscriptionStream
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.models.model import Model
from soundalike.render.score.music import Beat, Clip, Performance, Played, Role, Sound, SoundingChord
from soundalike.render.score.truth import write_truth

pytest.importorskip("torch", reason="the transcriber is trained with torch")
pytest.importorskip("onnx", reason="torch writes networks with onnx")
import torch

from soundalike.train.transcriber.export import export
from soundalike.train.transcriber.fit import FitSettings, fit
from soundalike.train.transcriber.material import Material, gather, open_material
from soundalike.train.transcriber.nets import ColourNetwork, PitchNetwork
from soundalike.train.transcriber.tasks import ColourTask, PitchTask, StrokeTask

RATE, SECONDS, STEP = 22050, 3.0, 0.25
CLIPS = ("anchor", "positive_01", "negative", "negative_adversarial")
BANDS = {
    "bright": Band(Sound("voices", 1), None, None, Sound("voices", 9)),
    "dull": Band(Sound("voices", 2), None, None, Sound("voices", 9)),
}


def play(random: np.random.Generator, bright: bool) -> tuple[np.ndarray, Performance]:
    """Quarter-second notes over a snare on every other one."""
    t = np.arange(int(STEP * RATE)) / RATE
    sound, lead, drums = [], [], []
    for step in range(int(SECONDS / STEP)):
        note = int(random.integers(57, 81))
        f = 440 * 2 ** ((note - 69) / 12)
        tone = sum((0.9 if bright else 0.2) ** k * np.sin(2 * np.pi * k * f * t) for k in range(1, 6))
        tone = 0.2 * tone * np.exp(-4 * t)
        if step % 2:
            tone = tone + 0.3 * random.standard_normal(len(t)) * np.exp(-40 * t)
            drums.append(Played(step * STEP, step * STEP + 0.1, 38, 90))
        sound.append(tone)
        lead.append(Played(step * STEP, (step + 1) * STEP, note, 90))
    parts: dict[Role, tuple[Played, ...]] = {"lead": tuple(lead), "drums": tuple(drums)}
    chords = (SoundingChord(0.0, SECONDS, 9, "min"),)
    return np.concatenate(sound).astype(np.float32), Performance(SECONDS, parts, chords, (Beat(0.0, 1),))


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven folders of four clips in the layout of `soundalike render`; all clips of a folder but one are similar."""
    place, random = tmp_path_factory.mktemp("renders"), np.random.default_rng(0)
    for number in range(11):
        folder = place / "timbre" / f"triplets_{number}"
        for part in ("triplet", "truth"):
            (folder / part).mkdir(parents=True)
        for name in CLIPS:
            bright = (number % 2 == 1) == (name in CLIPS[:2])
            band = BANDS["bright" if bright else "dull"]
            samples, played = play(random, bright)
            soundfile.write(folder / "triplet" / f"{name}.wav", samples, RATE)
            names: dict[Role, str] = {"lead": f"tone {band.lead}", "drums": "noise"}
            clip = Clip(samples, RATE, {}, {"lead": 3.0, "drums": -3.0}, played)
            write_truth(folder / "truth", name, scene_of(band), clip, names)
    names = [f"triplets_{number}" for number in range(11)]
    split = {"train": names[:8], "validation": names[8:10], "test": names[10:]}
    (place / "split.json").write_text(json.dumps(split))
    return place


@pytest.fixture(scope="module")
def spectra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the spectra of `material`."""
    return tmp_path_factory.mktemp("spectra")


@pytest.fixture(scope="module")
def material(renders: Path, spectra: Path) -> Material:
    return gather(renders, spectra, jobs=1)


def train_compact(renders: Path, work: Path, out: Path, *more: str) -> int:
    return main(
        ["train", "compact", "--renders", str(renders), "--work", str(work), "--out", str(out), "--jobs", "1", *more]
    )


@pytest.fixture(scope="module")
def trained(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a model that the command made with seed 1, and what it printed with --json."""
    place, printed = tmp_path_factory.mktemp("trained"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDALIKE_COMPACT", "set by the command")
        with redirect_stdout(printed):
            status = train_compact(renders, place / "work", place / "model", "--epochs", "2", "--seed", "1", "--json")
        assert status == 0
        yield place / "model", json.loads(printed.getvalue())


def test_only_missing_spectra_are_computed(renders: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    for expected in (11, 0, 1):
        calls.clear()
        found = gather(renders, tmp_path, jobs=1, progress=lambda done, n, _: calls.append((done, n)))
        assert [n for _, n in calls] == [expected] * expected
        assert {part: len(clips) for part, clips in found.parts.items()} == {"train": 32, "validation": 8, "test": 4}
        assert not found.failed
        if expected == 0:
            (tmp_path / "timbre-triplets_3.safetensors").write_bytes(b"\xff\xff\xff")  # as if half written
    clip = found.parts["train"][0]
    assert (clip.name, clip.folder) == ("anchor", "timbre-triplets_0")
    assert clip.fast.dtype == clip.pitch.dtype == np.float16
    assert clip.notes.shape == (18, 5) and clip.chords.tolist() == [[0.0, 3.0, 9.0, 1.0]]


def test_training_and_inference_see_the_same_spectra(
    renders: Path, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training and inference give the networks the same numbers, up to the last bit of a half float."""
    clip = next(one for one in material.parts["train"] if (one.folder, one.name) == ("timbre-triplets_3", "negative"))
    given: dict[str, list[np.ndarray]] = {"fast": [], "colour": [], "pitch": []}
    push = TranscriptionStream.push

    def record(open_stream: TranscriptionStream, fast: np.ndarray, colour: np.ndarray, pitch: np.ndarray) -> None:
        for name, frames in (("fast", fast), ("colour", colour), ("pitch", pitch)):
            given[name].append(frames)
        push(open_stream, fast, colour, pitch)

    monkeypatch.setattr(TranscriptionStream, "push", record)
    Model.load("compact").encode(renders / "timbre" / "triplets_3" / "triplet" / "negative.wav")
    for name, parts in given.items():
        streamed, stored = np.concatenate(parts), getattr(clip, name)
        assert streamed.dtype == stored.dtype == np.float16
        np.testing.assert_allclose(streamed.astype(float), stored.astype(float), rtol=1e-3, atol=1e-7)
        assert np.mean(streamed == stored) > 0.99


def test_a_clip_without_ground_truth_is_reported_and_skipped(renders: Path, tmp_path: Path) -> None:
    truth = renders / "timbre" / "triplets_4" / "truth" / "positive_01.jams"
    content = truth.read_bytes()
    try:
        truth.unlink()
        found = gather(renders, tmp_path, jobs=1)
    finally:
        truth.write_bytes(content)
    assert [folder.parent.name for folder, _ in found.failed] == ["triplets_4"]
    assert "positive_01.jams" in found.failed[0][1]
    assert len(found.parts["train"]) == 28


def test_invalid_spectra_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x10" + bytes(40))
    with pytest.raises(UsageError, match="delete it, and it will be computed again"):
        open_material(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("strokes", 6),
        pytest.param("pitch", 6, marks=pytest.mark.slow),
        pytest.param("colour", 12, marks=pytest.mark.slow),
    ],
)
def test_each_network_learns_its_task(material: Material, name: str, epochs: int) -> None:
    train = material.parts["train"]
    task = {"strokes": StrokeTask(), "pitch": PitchTask(), "colour": ColourTask(train)}[name]
    _, curves = fit(task, train, material.parts["validation"], FitSettings(epochs=epochs, bf16=False))
    assert curves[-1].train_loss < 0.7 * curves[0].train_loss
    better = {"strokes": 0.15, "pitch": 0.3, "colour": 0.9}[name]  # of nine strokes only two are ever struck
    assert max(epoch.validation_accuracy for epoch in curves) > better


def test_an_interrupted_training_ends_like_an_uninterrupted_one(material: Material, tmp_path: Path) -> None:
    train, held = material.parts["train"], material.parts["validation"]
    settings = FitSettings(epochs=3, bf16=False)
    whole, curves = fit(StrokeTask(), train, held, settings)
    place = tmp_path / "strokes.safetensors"

    def stop(epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(StrokeTask(), train, held, settings, checkpoint=place, progress=stop)
    again, resumed = fit(StrokeTask(), train, held, settings, checkpoint=place)
    assert resumed == curves
    for name, tensor in whole.state_dict().items():
        assert tensor.equal(again.state_dict()[name]), name
    with pytest.raises(UsageError, match="of another run: its seed is 0, expected 1"):
        fit(StrokeTask(), train, held, FitSettings(epochs=3, seed=1, bf16=False), checkpoint=place)


def test_networks_continue_from_another_run(material: Material, tmp_path: Path) -> None:
    train, held = material.parts["train"], material.parts["validation"]
    settings, before = FitSettings(epochs=4, bf16=False), tmp_path / "before.safetensors"
    _, first = fit(StrokeTask(), train, held, settings, checkpoint=before)
    _, second = fit(StrokeTask(), train, held, settings, start=before)
    assert second[0].train_loss < first[0].train_loss
    with pytest.raises(UsageError, match="nothing in .* fits this network; give the --work of another run"):
        fit(PitchTask(), train, held, settings, start=before)
    with pytest.raises(UsageError, match="cannot be read: .*; give the --work of another run"):
        fit(StrokeTask(), train, held, settings, start=tmp_path / "nowhere")
    (tmp_path / "bad").write_bytes(b"bad")
    with pytest.raises(UsageError, match="is not a checkpoint"):
        fit(StrokeTask(), train, held, settings, start=tmp_path / "bad")


@pytest.mark.slow
def test_the_command_makes_a_working_model(
    renders: Path,
    trained: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, printed = trained
    assert {name: len(curve) for name, curve in printed["curves"].items()} == {"strokes": 2, "colour": 2, "pitch": 2}
    assert printed["test_triplet_accuracy"]["neutral"]["timbre"]["timbre"] >= 0.5 and not printed["failed"]
    monkeypatch.setenv("SOUNDALIKE_COMPACT", "set by the command")
    two = tmp_path / "two"
    assert train_compact(renders, tmp_path / "second", two, "--epochs", "2", "--seed", "1") == 0
    shown = capsys.readouterr()
    assert f"model written: {two}; use it with SOUNDALIKE_COMPACT={two} and --model {two}" in shown.out
    assert "strokes, epoch 2: loss" in shown.err
    files = sorted(path.name for path in one.iterdir() if path.is_file())
    networks = {"colour.onnx", "pitch.onnx", "strokes.onnx"}
    others = {"readings.safetensors", "networks.json", "recipe.json", "split.json", "weights.safetensors"}
    assert set(files) == networks | others
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes(), "the same inputs and seed write the same bytes"
    made = json.loads((one / "networks.json").read_text())["networks"]
    assert {name: network["settings"]["seed"] for name, network in made.items()} == dict.fromkeys(made, 1)
    model = Model.load(str(two))
    rows = model.encode(renders / "timbre" / "triplets_0" / "triplet" / "anchor.wav").track.rows["timbre"]
    assert np.linalg.norm(rows) == pytest.approx(1, abs=1e-5)


def test_another_seed_trains_another_network(material: Material) -> None:
    train, held = material.parts["train"], material.parts["validation"]
    networks = [fit(StrokeTask(), train, held, FitSettings(epochs=1, seed=seed, bf16=False))[0] for seed in (1, 1, 2)]
    first, same, other = (network.state_dict()["out.weight"] for network in networks)
    assert first.equal(same) and not first.equal(other)


@pytest.mark.slow
def test_other_networks_are_another_model(
    renders: Path,
    material: Material,
    trained: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, other = str(trained[0]), tmp_path / "other"
    shutil.copytree(trained[0], other)
    song = str(renders / "timbre" / "triplets_0" / "triplet" / "anchor.wav")
    embed = ["embed", song, "--model", model, "-o", str(tmp_path / "rows.npz")]
    monkeypatch.setenv("SOUNDALIKE_COMPACT", str(other))
    assert main(embed) == 0  # a copy of its own networks
    with torch.random.fork_rng():
        torch.manual_seed(2)
        strokes, _ = fit(
            StrokeTask(), material.parts["train"], material.parts["validation"], FitSettings(epochs=1, seed=2)
        )
        export(PitchNetwork(), strokes, ColourNetwork(), other)
    capsys.readouterr()
    assert main(embed) == 2
    assert "is installed; install the model again" in capsys.readouterr().err  # of two versions, not an unreadable file
    monkeypatch.setenv("SOUNDALIKE_COMPACT", str(tmp_path / "nowhere"))
    assert main(embed) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--renders", "nowhere"], "holds no triplets"),
        (["--epochs", "0"], "--epochs"),
        (["--device", "nowhere"], "no device 'nowhere' here"),
    ],
)
def test_errors_are_one_line(
    renders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], found: str
) -> None:
    assert train_compact(renders, tmp_path, tmp_path, *arguments) == 2
    assert found in capsys.readouterr().err.strip().splitlines()[-1]


def test_ctrl_c_keeps_the_finished_epochs(
    renders: Path,
    material: Material,
    spectra: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SIGINT arrives in the middle of the second epoch, as Ctrl-C sends it."""
    shutil.copytree(spectra, tmp_path / "spectra")
    examples, batches = StrokeTask.examples, 0

    def interrupted(self: StrokeTask, clips: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 5:  # an epoch has two training batches and one validation batch
            signal.raise_signal(signal.SIGINT)
        return examples(self, clips)

    monkeypatch.setattr(StrokeTask, "examples", interrupted)
    assert train_compact(renders, tmp_path, tmp_path, "--epochs", "500") == 130
    error = capsys.readouterr().err
    assert "strokes, epoch 1:" in error and "strokes, epoch 2:" not in error
    assert "what is done is kept" in error
    assert (tmp_path / "checkpoints" / "strokes.safetensors").is_file()
