"""`soundalike train concepts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from soundalike.cli.arguments import (
    GIVEN_PATH,
    WholeNumber,
    jobs_option,
    json_option,
    library_option,
    model_option,
    option,
    ray_option,
    seed_option,
)
from soundalike.cli.commands import command
from soundalike.cli.train.concepts_library import train_on_library
from soundalike.cli.train.concepts_network import choose_settings, library_music, train_on_recordings
from soundalike.cli.train.library_material import GROUPS, Groups, read_label_file

if TYPE_CHECKING:
    from soundalike.backbones.analysis import TempogramKind
    from soundalike.train.jobs import Music

__all__ = ["concepts"]

Precision = Literal["float32", "float16", "int8"]
_DATASETS = "folder, labelled, gtzan, mtg_jamendo or msd_lastfm"


@command("concepts")
@library_option()
@option("--full", is_flag=True, help="Train on the recordings of the library, not on what it holds.")
@option("--data", type=GIVEN_PATH, metavar="DIR", help="Train on the recordings of a folder.")
@option(
    "--dataset",
    default="folder",
    metavar="NAME",
    help=f"What --data holds: {_DATASETS} (default: folder, labelled by the tags of its files).",
)
@option("--rendered", is_flag=True, help="Train on rendered clips with exact labels.")
@option("--clips", type=WholeNumber(), default=1500, metavar="N", help="Clips of --rendered (default: 1500).")
@option("--work", type=GIVEN_PATH, metavar="DIR", help="Where to keep clips, inputs and the network.")
@option("--inputs", default="", metavar="NAME,...", help="Inputs of the network (default: mel,tempogram,chroma).")
@option(
    "--tempogram",
    type=click.Choice(["autocorrelation", "cyclic"]),
    default="autocorrelation",
    help="Kind of tempogram (default: autocorrelation).",
)
@option("--dimensions", default="", metavar="NAME,...", help="Concepts to learn (default: those with enough labels).")
@option(
    "--separate",
    is_flag=True,
    help="Train a network per concept, on the input that carries it, in place of one for all.",
)
@option("--embedding", type=WholeNumber(), metavar="N", help="Dims of all concepts together (default: 64 each).")
@option(
    "--small/--published",
    default=True,
    help="Sizes that train on two cores, or those of the paper (default: small).",
)
@option("--epochs", type=WholeNumber(), metavar="N", help="Epochs at most.")
@option("--steps", type=WholeNumber(), metavar="N", help="Batches per epoch.")
@option("--segments", type=WholeNumber(), default=8, metavar="N", help="Segments per recording (default: 8).")
@option("--no-estimates", is_flag=True, help="Learn tempo and key from labels only, not from estimates.")
@option("--device", default="cpu", metavar="NAME", help="Device: cpu, or cuda if there is a GPU (default: cpu).")
@option("-o", "--out", type=GIVEN_PATH, metavar="DIR", help="Where to write the model.")
@option("--name", metavar="NAME", help="Name of the model (default: that of its folder).")
@option("--licence", default="LicenseRef-private", metavar="SPDX", help="Licence of the weights (default: private).")
@option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float16",
    help="How a model on recordings stores weights (default: float16).",
)
@option(
    "--labels",
    "label_file",
    type=GIVEN_PATH,
    metavar="FILE",
    help="CSV file with a column path and columns such as mood or instrument, in place of the tags of these tracks.",
)
@option(
    "--groups",
    type=click.Choice(GROUPS),
    default="artist",
    help="What is held out together to measure the accuracy (default: artist).",
)
@model_option()
@seed_option()
@jobs_option("Number of processes that render and read recordings, and train with --separate (default: one per core).")
@ray_option()
@json_option()
def concepts(
    library_path: Path | None,
    full: bool,
    data: Path | None,
    dataset: str,
    rendered: bool,
    clips: int,
    work: Path | None,
    inputs: str,
    tempogram: TempogramKind,
    dimensions: str,
    separate: bool,
    embedding: int | None,
    small: bool,
    epochs: int | None,
    steps: int | None,
    segments: int,
    no_estimates: bool,
    device: str,
    out: Path | None,
    name: str | None,
    licence: str,
    precision: Precision,
    label_file: Path | None,
    groups: Groups,
    model: str | None,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Learn genre, mood, instrument, era, tempo and key as spaces to search by.

    With --library, they are learned from the tags of your own files, on what the library holds already: nothing is
    decoded, and it takes seconds to minutes. Tempo and key come from tags, or else from what was measured. A concept
    with too few labels is left out, and the command says how many are missing.

    With --data, --rendered or --full, the network of Ribecky et al., 2021, learns them from the recordings: log-mel
    spectrum, tempogram and chromagram of segments of 3 s. It takes hours, can be interrupted, and continues in --work.
    Rendered clips have proxies of three concepts: styles, mode and tempo class, and sound chains. --data and --rendered
    can be given together.

    \b
      soundalike train concepts --library ~/lib -o my-concepts
      soundalike index --library ~/lib --model my-concepts ~/Music
      soundalike search song.mp3 -w my-concepts/genre=1,rhythm=1
      soundalike train concepts --data ~/Music --work scratch -o my-concepts
      soundalike train concepts --rendered --work scratch \\
          --dimensions instrument,tempo,key -o my-concepts --licence CC0-1.0
      soundalike train concepts --rendered --work scratch \\
          --dimensions tempo,key --separate -o my-concepts
      soundalike train concepts --data mtg-jamendo --dataset mtg_jamendo \\
          --work jamendo --published --device cuda
    """
    context = click.get_current_context()
    chosen = [option for option, given in (("--data", data), ("--rendered", rendered), ("--full", full)) if given]
    if len(chosen) > 1 and chosen != ["--data", "--rendered"]:
        raise click.UsageError(f"{chosen[0]} and {chosen[-1]} exclude each other", context)
    if label_file and chosen and not full:
        raise click.UsageError(
            "--labels is for libraries; name the table labels.csv in the folder of --data, with --dataset labelled",
            context,
        )
    if separate and not chosen:
        raise click.UsageError("--separate needs --data, --rendered or --full", context)
    if not chosen:
        if out is None:
            raise click.UsageError("missing option -o, the folder of the model", context)
        return train_on_library(
            library_path, out, name, licence, model=model, groups=groups, label_file=label_file,
            concepts=[one.strip() for one in dimensions.split(",") if one.strip()], seed=seed, as_json=as_json,
        )  # fmt: skip
    if work is None:
        raise click.UsageError(f"{chosen[0]} needs --work, the folder for inputs and the network", context)
    settings = choose_settings(
        published=not small, inputs=inputs, tempogram=tempogram, dimensions=dimensions, embedding=embedding,
        epochs=epochs, steps=steps, seed=seed, device=device,
    )  # fmt: skip
    from soundalike.cli.models.clips import calibration_clips
    from soundalike.core.names import check_name
    from soundalike.train.jobs import ConceptModel, ConceptsJob, MusicFolder, RenderedMusic

    written = None
    if out:
        called = name or out.absolute().name
        check_name("model", called)
        written = ConceptModel(out, called, licence, calibration_clips(), precision)
    music: list[Music] = []
    if data:
        music.append(MusicFolder(data, dataset))
    if rendered:
        music.append(RenderedMusic(clips))
    if full:
        music.append(library_music(library_path, groups, read_label_file(label_file) if label_file else {}, seed))
    job = ConceptsJob(
        tuple(music),
        work,
        settings,
        chosen=bool(dimensions),
        separate=separate,
        segments=segments,
        estimate=not no_estimates,
        model=written,
    )
    return train_on_recordings(job, jobs=jobs, as_json=as_json)
