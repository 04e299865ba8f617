"""Speed of encoding with MERT: hours of audio per minute, as soundalike does it and as the model's page shows it.

    python benchmarks/embed_mert.py [--tiny] [--device cpu|cuda] [--clips 8] [--rounds 1] [--threads 2] [--save DIR]

The weights are random, in the configuration of MERT-v1-330M; `--tiny` takes a small network, to try the script. The
plain way is float32 in batches of 8 with all layers and all hidden states, of which the layers 3, 4, 5, 6 and 23 are
used. Every round encodes the same clips of 10 s in each way, one after the other, and the ratios are of the same round.
The matrix rate is that of one large product on the same device and in the same type, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import report_of, show_and_save
from soundalike.backbones.mert import CLIP, normalised
from soundalike.backbones.mert_network import MertNetwork, MertSettings, processor_flags
from soundalike.backbones.mert_onnx import MertOnnx
from soundalike.core.types import FloatArray

RATE = 24_000
LARGE: Mapping[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "conv_dim": [512] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False, "feat_extract_norm": "group", "feat_proj_layer_norm": True, "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16,
}  # fmt: skip
TINY = {**LARGE, "hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 128,
        "conv_dim": [32] * 7}  # fmt: skip
SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "i8mm", "bf16")
PRODUCT = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices whose product is timed."""
Encode = Callable[[FloatArray], FloatArray]


def write_model(folder: Path, config: Mapping[str, Any]) -> Any:
    """Save a network with random weights in the layout of the hub, and return it."""
    import torch
    from safetensors.torch import save_file
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    model = HubertModel(HubertConfig(**config)).eval()
    (folder / "config.json").write_text(json.dumps({"model_type": "mert_model", **config}))
    processor = {"do_normalize": True, "sampling_rate": RATE, "feature_size": 1, "padding_value": 0.0}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    return model


def plain_way(model: Any, settings: MertSettings, device: str) -> Encode:
    """Return the plain way to encode clips."""
    import torch

    model.to(device)

    def encode(clips: FloatArray) -> FloatArray:
        rows = []
        for start in range(0, len(clips), 8):
            with torch.no_grad():
                batch = torch.from_numpy(clips[start : start + 8]).to(device)
                states = model(batch, output_hidden_states=True).hidden_states
            rows.append(torch.cat([states[k].mean(dim=1) for k in settings.layers], dim=1).cpu().numpy())
        return np.concatenate(rows)

    return encode


def in_batches(network: MertNetwork | MertOnnx) -> Encode:
    """Return the way of soundalike to encode clips."""
    size = network.batch_size
    return lambda clips: np.concatenate([network(clips[at : at + size]) for at in range(0, len(clips), size)])


def matrix_rate(device: str, dtype: Any) -> float:
    """Return the operations per second of a large matrix product, the best of five."""
    import torch

    size = PRODUCT[device]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (left @ right)[0, 0].item()  # reading a value waits for the device
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def operations(config: Mapping[str, Any], layers: int) -> float:
    """Return the operations for one clip with the given number of layers, counted without computing them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import HubertConfig, HubertModel

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        HubertModel(HubertConfig(**{**config, "num_hidden_layers": layers})).eval()(torch.zeros(1, round(CLIP * RATE)))
    return float(counter.get_total_flops())


def main() -> None:
    """Run the benchmark and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the script")
    parser.add_argument("--device", choices=list(PRODUCT), default="cpu")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    config = TINY if args.tiny else LARGE
    noise = np.random.default_rng(0).standard_normal((args.clips, round(CLIP * RATE))).astype(np.float32)
    clips = np.stack([normalised(clip) for clip in noise])
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name), config)
        settings = MertSettings.read(Path(name))
        network = MertNetwork(settings, args.device)
        ways = {
            "plain: float32, batches of 8": plain_way(model, settings, args.device),
            f"soundalike: {str(network.dtype).removeprefix('torch.')}": in_batches(network),
        }
        if args.device == "cpu":
            ways["soundalike: int8 (ONNX Runtime)"] = in_batches(MertOnnx(settings, 1, int8=True))
        rows, wall, busy = measure(ways, clips, args.rounds)
    work = {
        "plain": operations(config, config["num_hidden_layers"]),
        "soundalike": operations(config, settings.layers[-1]),
    }
    rates = {dtype: matrix_rate(args.device, dtype) for dtype in {torch.float32, network.dtype}}
    first = next(iter(ways))
    values = []
    for way in ways:
        seconds = min(wall[way])
        ratio = statistics.median(a / b for a, b in zip(wall[first], wall[way], strict=True))
        cpu_ratio = statistics.median(a / b for a, b in zip(busy[first], busy[way], strict=True))
        rate = rates[torch.float32 if way == first else network.dtype]
        share = 100 * work[way.partition(":")[0]] * args.clips / seconds / rate
        hours = args.clips * CLIP / 3600 / (seconds / 60)
        values.append([hours, ratio, cpu_ratio, share, lowest_cosine(rows[first], rows[way])])
    columns = [
        "hours of audio per minute", "times as fast", "times less processor time", "% of the matrix rate",
        "lowest cosine of a row",
    ]  # fmt: skip
    found = processor_flags()
    report = report_of(
        "bench-embed-mert-tiny" if args.tiny else "bench-embed-mert",
        f"Encoding {args.clips} clips of 10 s with {'a tiny MERT' if args.tiny else 'MERT-v1-330M'}, {args.device}",
        f"python benchmarks/embed_mert.py --clips {args.clips} --rounds {args.rounds} --threads {args.threads}"
        f" --device {args.device}{' --tiny' if args.tiny else ''}",
        rows=list(ways),
        columns=columns,
        values=values,
        n=[[args.clips] * len(columns)] * len(ways),
        notes=[
            f"{args.threads} threads; instruction sets: {', '.join(one for one in SETS if one in found) or 'unknown'}.",
            "Random weights: the agreement of int8 has to be measured again with the published ones.",
            "Matrix rate: " + ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {str(d)[6:]}" for d, rate in rates.items()) + ".",
            f"Rounds: {args.rounds}; other work shared the machine.",
        ],
        model="mert",
    )  # fmt: skip
    show_and_save(report, args.save)


def measure(
    ways: Mapping[str, Encode], clips: FloatArray, rounds: int
) -> tuple[dict[str, FloatArray], dict[str, list[float]], dict[str, list[float]]]:
    """Encode the clips in every way and round. Returns the rows, and the seconds and processor seconds per round."""
    rows: dict[str, FloatArray] = {}
    wall: dict[str, list[float]] = {way: [] for way in ways}
    busy: dict[str, list[float]] = {way: [] for way in ways}
    for encode in ways.values():
        encode(clips[:1])  # allocates and compiles
    for _ in range(rounds):
        for way, encode in ways.items():
            start, start_busy = time.perf_counter(), time.process_time()
            rows[way] = encode(clips)
            wall[way].append(time.perf_counter() - start)
            busy[way].append(time.process_time() - start_busy)
    return rows, wall, busy


def lowest_cosine(first: FloatArray, second: FloatArray) -> float:
    """Return the smallest cosine between the rows of two tables (n, D)."""
    products = np.sum(first * second, axis=1)
    return float((products / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)).min())


if __name__ == "__main__":
    main()
