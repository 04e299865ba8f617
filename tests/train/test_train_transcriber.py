"""Train the transcriber on clips with known ground truth: learning, interruption, versions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

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
from soundalike.train.transcriber.fit import FitSettings, fit
from soundalike.train.transcriber.material import Material, gather, open_material
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
def material(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return gather(renders, tmp_path_factory.mktemp("material"), jobs=1)


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
        given, stored = np.concatenate(parts), getattr(clip, name)
        assert given.dtype == stored.dtype == np.float16
        np.testing.assert_allclose(given.astype(float), stored.astype(float), rtol=1e-3, atol=1e-7)
        assert np.mean(given == stored) > 0.99


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


@pytest.mark.parametrize("name", ["strokes", "pitch", "colour"])
def test_each_network_learns_its_task(material: Material, name: str) -> None:
    train = material.parts["train"]
    task = {"strokes": StrokeTask(), "pitch": PitchTask(), "colour": ColourTask(train)}[name]
    _, curves = fit(task, train, material.parts["validation"], FitSettings(epochs=20, bf16=False))
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
    with pytest.raises(UsageError, match="is no checkpoint"):
        fit(StrokeTask(), train, held, settings, start=tmp_path / "bad")


def test_the_command_makes_a_working_model(
    renders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDALIKE_COMPACT", "set by the command")
    command = ["train", "compact", "--renders", str(renders), "--epochs", "2", "--jobs", "1", "--work"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*command, str(tmp_path / "first"), "--out", str(one), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {name: len(curve) for name, curve in printed["curves"].items()} == {"strokes": 2, "colour": 2, "pitch": 2}
    assert printed["test_triplet_accuracy"]["neutral"]["timbre"]["timbre"] >= 0.5 and not printed["failed"]
    assert main([*command, str(tmp_path / "second"), "--out", str(two)]) == 0
    shown = capsys.readouterr()
    assert f"model written: {two}; use it with SOUNDALIKE_COMPACT={two} and --model {two}" in shown.out
    assert "strokes, epoch 2: loss" in shown.err
    files = sorted(path.name for path in one.iterdir() if path.is_file())
    networks = {"colour.onnx", "pitch.onnx", "strokes.onnx"}
    assert set(files) == networks | {"readings.safetensors", "networks.json", "recipe.json", "weights.safetensors"}
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes(), "the same inputs and seed write the same bytes"
    model = Model.load(str(two))
    rows = model.encode(renders / "timbre" / "triplets_0" / "triplet" / "anchor.wav").track.rows["timbre"]
    assert np.linalg.norm(rows) == pytest.approx(1, abs=1e-5)


def test_other_networks_are_another_model(
    renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOUNDALIKE_COMPACT", "set by the command")
    command = ["train", "compact", "--renders", str(renders), "--epochs", "1", "--jobs", "1", "--work"]
    for seed in ("1", "2"):
        assert main([*command, str(tmp_path / f"work{seed}"), "--out", str(tmp_path / seed), "--seed", seed]) == 0
    song = str(renders / "timbre" / "triplets_0" / "triplet" / "anchor.wav")
    capsys.readouterr()
    assert main(["embed", song, "--model", str(tmp_path / "1"), "-o", str(tmp_path / "rows.npz")]) == 2  # 2's networks
    assert "install the model again" in capsys.readouterr().err
    monkeypatch.setenv("SOUNDALIKE_COMPACT", str(tmp_path / "nowhere"))
    assert main(["embed", song, "--model", str(tmp_path / "1"), "-o", str(tmp_path / "rows.npz")]) == 2
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
    command = [
        "train",
        "compact",
        "--renders",
        str(renders),
        "--out",
        str(tmp_path),
        "--work",
        str(tmp_path),
        *arguments,
    ]
    assert main(command) == 2
    assert found in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_ctrl_c_keeps_what_is_done(renders: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "soundalike", "train", "compact", "--renders", str(renders), "--epochs", "500"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path), "--work", str(tmp_path)], stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "strokes, epoch 1:" in line:
                break
        run.send_signal(signal.SIGINT)
        assert "what is done is kept" in run.stderr.read()
    assert run.returncode == 130
    assert (tmp_path / "checkpoints" / "strokes.safetensors").is_file()
