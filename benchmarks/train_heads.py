"""Speed and accuracy of the trainer, compared with a plain loop that fetches triplets of vectors one at a time.

    OMP_NUM_THREADS=2 python benchmarks/train_heads.py [--epochs 3] [--folders 5000] [--device cpu] [--save DIR]

The rows are synthetic: the clips of a folder share a code, which a random projection mixes with stronger variation that
they do not share. Both sides train MERIT's head (5120 -> 512 -> 128) on the same split with the same seed, loss,
optimiser, schedule and batch size. In the plain loop, a Dataset returns three vectors, a DataLoader collates 1024 such
triples, and the head projects anchors, positives and negatives. The trainer projects each row of a batch once. Both
keep the epoch with the lowest validation loss. Accuracy is measured on folders that neither has seen.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.data import DataLoader, Dataset

from common import report_of, show_and_save
from soundalike.evaluate.estimates import Estimate, bootstrap
from soundalike.models.heads import MlpHead
from soundalike.train.common.losses import circle_merit
from soundalike.train.data.sampling import Triplets, TripletSet
from soundalike.train.heads.trainer import HeadSettings, train_head

K, DIM = 5, 5120
CODE, NUISANCE = 16, 32
"""Dims of the code that a folder shares, and of the variation between its clips."""
SHARED, JITTER, NOISE = 0.4, 0.4, 0.3
"""Standard deviations of the codes, of the deviation of a clip from its code, and of white noise; the nuisance has 1.
JITTER limits the accuracy of the best possible head."""


def make_rows(folders: int, random: np.random.Generator) -> tuple[np.ndarray, TripletSet]:
    """Return features (8 * folders, 5120) float32: an anchor, five positives and two negatives per folder."""
    clips = K + 3
    mix = random.standard_normal((CODE + NUISANCE, DIM), dtype=np.float32) / np.sqrt(CODE + NUISANCE)
    rows = np.empty((folders * clips, DIM), np.float32)
    for start in range(0, folders, 500):
        count = min(500, folders - start)
        codes = random.standard_normal((count, clips, CODE), dtype=np.float32)
        codes[:, : K + 1] = codes[:, :1]
        codes = SHARED * codes + JITTER * random.standard_normal(codes.shape, dtype=np.float32)
        nuisance = random.standard_normal((count, clips, NUISANCE), dtype=np.float32)
        part = np.concatenate([codes, nuisance], axis=2).reshape(-1, CODE + NUISANCE) @ mix
        part += NOISE * random.standard_normal(part.shape, dtype=np.float32)
        rows[start * clips : (start + count) * clips] = part
    return rows, TripletSet(np.arange(len(rows)).reshape(folders, clips))


class Triples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Triples of vectors, fetched one at a time."""

    def __init__(self, features: np.ndarray, triplets: Triplets) -> None:
        self.features, self.rows = torch.from_numpy(features), triplets.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return an anchor, its positive and its negative."""
        anchor, positive, negative = self.rows[index]
        return self.features[anchor], self.features[positive], self.features[negative]


def train_plainly(
    features: np.ndarray, train: TripletSet, validation: TripletSet, settings: HeadSettings, workers: int
) -> tuple[MlpHead, list[float]]:
    """Train with the textbook loop. Returns the best head, and the seconds of every epoch."""
    torch.manual_seed(settings.seed)
    head = nn.Sequential(nn.Linear(DIM, 512), nn.ReLU(), nn.Linear(512, 128, bias=False)).to(settings.device)
    optimizer = torch.optim.AdamW(head.parameters(), settings.lr, weight_decay=settings.weight_decay)
    loaders = [
        DataLoader(Triples(features, part.expand("neutral")), settings.batch, shuffle=shuffle, num_workers=workers)
        for part, shuffle in ((train, True), (validation, False))
    ]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * len(loaders[0]), settings.lr_end)

    def loss_of(triple: list[Tensor]) -> Tensor:
        anchor, positive, negative = (normalize(head(rows.to(settings.device)), dim=1) for rows in triple)
        return circle_merit((anchor * positive).sum(dim=1), (anchor * negative).sum(dim=1))

    best, least, seconds = {}, np.inf, []
    for _ in range(settings.epochs):
        began = time.perf_counter()
        head.train()
        for triple in loaders[0]:
            optimizer.zero_grad()
            loss = loss_of(triple)
            loss.backward()
            optimizer.step()
            schedule.step()
        head.eval()
        with torch.inference_mode():
            found = sum(float(loss_of(triple)) for triple in loaders[1])
        if found < least:
            best, least = {name: tensor.cpu().clone().numpy() for name, tensor in head.state_dict().items()}, found
        seconds.append(time.perf_counter() - began)
    return MlpHead(best["0.weight"], best["0.bias"], best["2.weight"]), seconds


def train_ours(
    features: np.ndarray, train: TripletSet, validation: TripletSet, settings: HeadSettings
) -> tuple[MlpHead, list[float]]:
    """Train with `train_head`. The seconds of the first epoch include copying the rows to the device."""
    moments = [time.perf_counter()]
    found = train_head(features, train, validation, settings, progress=lambda _: moments.append(time.perf_counter()))
    tensors = found.tensors
    head = MlpHead(tensors["hidden.weight"], tensors["hidden.bias"], tensors["out.weight"])
    return head, np.diff(moments).tolist()


def accuracy(head: MlpHead | None, features: np.ndarray, test: TripletSet) -> Estimate:
    """Return the share of correct triplets of unseen folders in %, with a bootstrap interval over folders."""
    triplets = test.expand("neutral")
    used, place = np.unique(triplets.rows, return_inverse=True)
    rows = features[used]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if head is None else head(rows, np.ones(len(used), bool))
    anchor, positive, negative = rows[place.reshape(triplets.rows.shape)].transpose(1, 0, 2)
    right = np.einsum("td,td->t", anchor, positive - negative) > 0
    folders = np.repeat(np.arange(len(triplets.bounds) - 1), np.diff(triplets.bounds))
    return bootstrap(100.0 * right[:, None], [str(folder) for folder in folders], seed=0)


def main() -> None:
    """Run the benchmark and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--folders", type=int, default=5000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the DataLoader in the plain loop")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    torch.set_num_threads(threads)
    features, folders = make_rows(args.folders, np.random.default_rng(0))
    number = np.arange(args.folders) % 10  # the split of rendered sets
    test, validation = (TripletSet(folders.folders[number == part]) for part in (0, 5))
    train = TripletSet(folders.folders[number % 5 != 0])
    settings = HeadSettings(epochs=args.epochs, device=args.device)
    parts = (features, train, validation, settings)
    outcomes = {"ours": train_ours(*parts), "plain loop": train_plainly(*parts, args.workers)}
    results = {name: (accuracy(head, features, test), seconds) for name, (head, seconds) in outcomes.items()}
    untrained = accuracy(None, features, test)
    values, low, high, n = [], [], [], []
    for found, seconds in results.values():
        each, plain = float(np.median(seconds)), float(np.median(results["plain loop"][1]))
        values.append([each, sum(seconds), plain / each, float(found.value[0])])
        low.append([np.nan] * 3 + [float(found.low[0])])
        high.append([np.nan] * 3 + [float(found.high[0])])
        n.append([args.epochs, args.epochs, args.epochs, int(found.n[0])])
    count = len(train.expand("neutral"))
    where = f"{threads} threads" if args.device == "cpu" else torch.cuda.get_device_name()
    report = report_of(
        "bench-train-heads",
        f"Training a head {DIM} -> 512 -> 128 on {count:,} triplets of {len(train.folders):,} folders; {where}",
        f"OMP_NUM_THREADS={threads} python benchmarks/train_heads.py --epochs {args.epochs} --folders {args.folders}"
        f" --device {args.device} --workers {args.workers}",
        rows=list(results),
        columns=["s an epoch", "s in all", "times as fast", "accuracy %"],
        values=values,
        low=low,
        high=high,
        n=n,
        chance=[np.nan, np.nan, np.nan, 50.0],
        notes=(
            f"Seconds an epoch are the median of {args.epochs}, validation included; nothing is extrapolated.",
            f"Accuracy on {len(test.folders):,} unseen folders, bootstrap over folders; untrained rows "
            f"{untrained.value[0]:.1f} %.",
            "Rows are synthetic: a code that folders share, hidden among stronger variation that they do not.",
        ),
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
