"""The networks for concepts: sizes of maps, padding, blocks, masks; triplets, mining and losses against loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from soundalike.backbones.analysis import ConceptGraph, InputSettings, TempogramKind
from soundalike.core.errors import UsageError
from soundalike.train.concepts.settings import CONCEPTS, PUBLISHED, SMALL, ConceptSettings, InceptionSettings

pytest.importorskip("torch", reason="concept networks are trained with torch")
import torch

from soundalike.train.concepts.inception import NaiveModule, ReducedModule, convolution
from soundalike.train.concepts.losses import conditional_triplet_loss, triplet_accuracy
from soundalike.train.concepts.masks import concept_distances, concept_masks
from soundalike.train.concepts.mining import labelled_triplets, semi_hard_triplets
from soundalike.train.concepts.networks import ConceptNetwork, bin_strides

NARROW = InceptionSettings(first=2, width=2, reduced=1)


def drawn_inputs(settings: ConceptSettings, count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = settings.inputs
    return {name: torch.rand(count, inputs.bins(name), inputs.frames, generator=generator) for name in inputs.names}


@pytest.mark.parametrize("strides", [PUBLISHED.network.strides, SMALL.network.strides])
@pytest.mark.parametrize("kind", ["autocorrelation", "cyclic"])
def test_every_branch_ends_in_maps_of_16_by_16(strides: tuple[int, ...], kind: TempogramKind) -> None:
    settings = replace(
        PUBLISHED, network=replace(NARROW, strides=strides), inputs=replace(PUBLISHED.inputs, tempogram=kind)
    )
    network, inputs = ConceptNetwork(settings).eval(), drawn_inputs(settings, 1)
    maps = [branch(inputs[name]) for name, branch in network.branches.items()]
    assert [tuple(one.shape) for one in maps] == [(1, 8, 16, 16)] * 3
    assert network.joined[0][0].channels == 24 + 3 * 2  # the maps are concatenated
    assert len(network.joined) == 4
    assert network(inputs).shape == (1, 384)


def test_one_input_is_the_baseline() -> None:
    settings = replace(PUBLISHED, network=NARROW, inputs=InputSettings(names=("mel",)), concepts=CONCEPTS[:4])
    network = ConceptNetwork(settings)
    kinds = [type(layer).__name__ for layer in network.branches["mel"].layers]
    assert kinds == ["Sequential", "MaxPool2d", "InceptionBlock", "InceptionBlock"]
    assert network.joined[0][0].channels == 8 + 3 * 2
    assert network(drawn_inputs(settings)).shape == (2, 256)


def test_embeddings_are_normalised_as_a_whole() -> None:
    settings = replace(PUBLISHED, network=NARROW, inputs=InputSettings(names=("chroma",)))
    found = ConceptNetwork(settings).eval()(drawn_inputs(settings, 3))
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(dim=1, unbiased=False), torch.ones(3), atol=1e-2, rtol=0)


def test_bins_are_divided_as_evenly_as_they_can_be() -> None:
    assert bin_strides(128, 16, (2, 2, 2, 2)) == (2, 2, 2, 1)
    assert bin_strides(384, 16, (2, 2, 2, 2)) == (3, 2, 2, 2)
    assert bin_strides(384, 16, (4, 2, 2, 1)) == (4, 3, 2, 1)
    assert bin_strides(12, 16, (4, 2, 2, 1)) == (1, 1, 1, 1)
    assert bin_strides(60, 16, (2, 2, 2, 2)) == (2, 2, 1, 1)
    assert bin_strides(177, 16, (2, 2, 2, 2)) == (3, 2, 2, 1)  # 11.06 times 16: padded to 12 times 16
    with pytest.raises(UsageError, match="an input has 2,000 bins; expected at most 1,024"):
        bin_strides(2000, 16, (1, 2, 2, 1))


def test_missing_bins_are_zeros_above() -> None:
    settings = replace(PUBLISHED, network=NARROW, inputs=InputSettings(names=("chroma",), chroma=12))
    padded = replace(settings, inputs=InputSettings(names=("chroma",), chroma=16))
    network, other = ConceptNetwork(settings).eval(), ConceptNetwork(padded).eval()
    other.load_state_dict(network.state_dict())
    chroma = drawn_inputs(settings)["chroma"]
    sixteen = torch.cat([chroma, torch.zeros(2, 4, chroma.shape[2])], dim=1)
    torch.testing.assert_close(network({"chroma": chroma}), other({"chroma": sixteen}))


def test_a_segment_that_is_too_short_is_refused() -> None:
    with pytest.raises(UsageError, match="a segment has 9 frames, too few for the layers; give longer segments"):
        ConceptNetwork(replace(PUBLISHED, network=NARROW, inputs=InputSettings(seconds=0.1)))


def test_modules_are_their_paths_side_by_side() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 7)
    naive, reduced = NaiveModule(3, 2).eval(), ReducedModule(3, 2, 1).eval()
    pooled = torch.empty_like(x)
    for b, f in product(range(6), range(7)):
        pooled[:, :, b, f] = x[:, :, max(0, b - 1) : b + 2, max(0, f - 1) : f + 2].amax(dim=(2, 3))
    found = naive(x)
    assert found.shape[1] == naive.channels == 9
    assert torch.equal(found[:, 6:], pooled)
    for path, kernel in enumerate((1, 3, 5)):
        weight = naive.convolutions[path][0].weight
        assert weight.shape == (2, 3, kernel, kernel)
        expected = torch.nn.functional.conv2d(x, weight, padding="same").relu() / np.sqrt(1 + 1e-5)  # new statistics
        torch.testing.assert_close(found[:, 2 * path : 2 * path + 2], expected)
    found = reduced(x)
    assert found.shape[1] == reduced.channels == 8
    weights = [tuple(one.shape) for one in reduced.parameters() if one.ndim == 4]
    assert weights == [(2, 3, 1, 1), (1, 3, 1, 1), (2, 1, 3, 3), (1, 3, 1, 1), (2, 1, 5, 5), (2, 3, 1, 1)]
    torch.testing.assert_close(found[:, 6:], reduced.paths[3][1](pooled))
    assert convolution(3, 4, 5, (2, 3))(x).shape == (2, 4, 3, 3)


# Masks, triplets and losses against loops.

K, D, N = 3, 4, 7


def drawn_batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, K D) and symmetric alikeness (K, N, N)."""
    random = np.random.default_rng(seed)
    alike = random.choice([-1, 0, 1], (K, N, N), p=[0.2, 0.5, 0.3])
    alike = np.triu(alike) + np.triu(alike, 1).transpose(0, 2, 1)
    return random.normal(size=(N, K * D)), alike


def loop_distances(rows: np.ndarray) -> np.ndarray:
    masks = np.zeros((K, K * D))
    for k in range(K):
        masks[k, k * D : (k + 1) * D] = 1
    np.testing.assert_array_equal(concept_masks(K, D), masks)
    found = np.empty((K, N, N))
    for k, i, j in product(range(K), range(N), range(N)):
        a, b = rows[i] * masks[k], rows[j] * masks[k]
        found[k, i, j] = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return found


def loop_triplets(alike: np.ndarray) -> list[tuple[int, int, int, int]]:
    return [
        (k, a, p, n)
        for k, a, p, n in product(range(K), range(N), range(N), range(N))
        if a != p and alike[k, a, p] == 1 and alike[k, a, n] == 0
    ]


def chosen(mask: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(one) for one in mask.nonzero().tolist()]


@pytest.mark.parametrize("seed", range(4))
def test_masked_distances_triplets_mining_and_losses_equal_loops(seed: int) -> None:
    rows, alike = drawn_batch(seed)
    distances = loop_distances(rows)
    found = concept_distances(torch.tensor(rows), K)
    np.testing.assert_allclose(found, distances, atol=1e-12)

    triplets = loop_triplets(alike)
    labelled = labelled_triplets(torch.tensor(alike).to(torch.int8))
    assert chosen(labelled) == triplets

    semi_hard = [(k, a, p, n) for k, a, p, n in triplets if 0 < distances[k, a, n] - distances[k, a, p] <= 0.3]
    mined = semi_hard_triplets(found, labelled, 0.3)
    assert chosen(mined) == semi_hard
    assert 0 < len(semi_hard) < len(triplets)

    for some, mask in ((triplets, labelled), (semi_hard, mined)):
        losses, right = [], []
        for k in range(K):
            own = [(distances[k, a, p], distances[k, a, n]) for c, a, p, n in some if c == k]
            losses.append(np.mean([max(0, near - far + 0.2) for near, far in own]) if own else 0.0)
            right += [np.mean([near < far for near, far in own])] if own else []
        assert conditional_triplet_loss(found, mask, 0.2).item() == pytest.approx(sum(losses) / K)
        assert triplet_accuracy(found, mask).item() == pytest.approx(np.mean(right))


def test_a_batch_without_triplets_has_no_loss_and_a_gradient() -> None:
    rows = torch.randn(4, K * D, requires_grad=True)
    distances = concept_distances(rows, K)
    unknown = labelled_triplets(torch.full((K, 4, 4), -1))
    loss = conditional_triplet_loss(distances, unknown, 0.1)
    loss.backward()
    assert loss.item() == 0 and rows.grad is not None and not rows.grad.any()
    assert triplet_accuracy(distances, unknown).item() == 0.5


def test_ties_count_half_and_are_not_mined() -> None:
    distances = torch.full((1, 3, 3), 0.5)
    triplets = labelled_triplets(torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]]))
    assert triplet_accuracy(distances, triplets).item() == 0.5
    assert not semi_hard_triplets(distances, triplets, 0.1).any()


def test_the_loss_moves_only_the_slices_of_concepts_with_triplets() -> None:
    rows = torch.tensor(drawn_batch(0)[0], requires_grad=True)
    alike = torch.full((K, N, N), -1)
    alike[1] = torch.tensor(drawn_batch(0)[1][1])
    conditional_triplet_loss(concept_distances(rows, K), labelled_triplets(alike), 0.2).backward()
    assert rows.grad is not None
    moved = rows.grad.abs().sum(dim=0) > 0
    assert moved.tolist() == [False] * D + [True] * D + [False] * D


# Settings.


def test_published_settings_are_those_of_the_paper() -> None:
    inputs = PUBLISHED.inputs
    assert (inputs.rate, inputs.window, inputs.hop, inputs.seconds) == (22050, 512, 256, 3.0)
    assert inputs.window / inputs.rate == pytest.approx(0.023, abs=0.0005)
    assert [inputs.bins(name) for name in inputs.names] == [128, 384, 16]
    assert (inputs.frames, inputs.tempogram) == (259, "autocorrelation")
    assert (PUBLISHED.network.blocks, PUBLISHED.network.branch_blocks, PUBLISHED.network.side) == (6, 2, 16)
    assert PUBLISHED.window == 0.1
    assert (PUBLISHED.rate, PUBLISHED.rate_factor, PUBLISHED.rate_patience, PUBLISHED.lowest_rate) == (
        1e-5,
        5,
        10,
        1e-10,
    )
    assert PUBLISHED.concepts == ("genre", "mood", "instrument", "era", "tempo", "key")
    sizes = [replace(PUBLISHED, concepts=CONCEPTS[:count], dim=dim).size for count, dim in ((4, 64), (6, 43), (6, 64))]
    assert sizes == [256, 258, 384]
    assert SMALL.inputs == inputs


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        (InputSettings(), {"names": ()}, "inputs are missing; expected some of mel, tempogram, chroma"),
        (InputSettings(), {"names": ("chroma", "mel")}, "inputs are chroma, mel; expected some of .* in this order"),
        (InputSettings(), {"names": ("mel", "mel")}, "inputs are mel, mel"),
        (InputSettings(), {"tempogram": "fourier"}, "the tempogram is fourier; expected autocorrelation or cyclic"),
        (InputSettings(), {"chroma": 11}, "chroma is 11; expected at least 12"),
        (InputSettings(), {"window": 511}, "the window has 511 samples and the hop 256; expected an even window"),
        (InputSettings(), {"hop": 513}, "the hop 513"),
        (InputSettings(), {"seconds": 0.01}, "a segment has 0.01 s; expected at least a window"),
        (InceptionSettings(), {"width": 0}, "width is 0; expected at least 1"),
        (InceptionSettings(), {"kernel": 4}, "kernel is 4; expected an odd number"),
        (InceptionSettings(), {"strides": (2,)}, r"strides are \(2,\); expected at least two"),
        (InceptionSettings(), {"blocks": 1}, r"blocks are 1; expected at least those of a branch \(2\)"),
        (PUBLISHED, {"concepts": ()}, "concepts are missing; expected some of genre, mood"),
        (PUBLISHED, {"concepts": ("genre", "genre")}, "concepts are genre, genre; expected some of .*, each once"),
        (PUBLISHED, {"concepts": ("taste",)}, "concepts are taste"),
        (PUBLISHED, {"dim": 0}, "dim is 0; expected at least 1"),
        (PUBLISHED, {"batch": 2}, "batch is 2; expected at least 3 segments"),
        (PUBLISHED, {"margin": 0.0}, "margin is 0.0; expected a number above 0"),
        (PUBLISHED, {"rate": float("nan")}, "rate is nan; expected a number above 0"),
        (PUBLISHED, {"rate_factor": 1.0}, "rate_factor is 1.0; expected more than 1"),
        (PUBLISHED, {"seed": -1}, "seed is -1; expected at least 0"),
    ],
)
def test_values_out_of_range_are_refused(settings: object, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(settings, **changes)  # type: ignore[type-var]


def test_a_file_says_what_it_is() -> None:
    graph = ConceptGraph(("tempo", "key"), 43, "CC0-1.0", InputSettings(names=("mel", "chroma"), tempogram="cyclic"))
    assert ConceptGraph.from_json(graph.to_json()) == graph
    assert graph.slices == {"tempo": slice(0, 43), "key": slice(43, 86)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format": 1', '"format": 2', "it has format 2, this version reads 1"),
        ('"dim": 43', '"dim": 0', "it has 2 concepts of 0 dims"),
        ('"dim": 43, ', "", "its settings are incomplete"),
        ('"key"', '"tempo"', "tempo"),
        ('"mel"', '"smell"', "inputs are smell"),
        ('"hop": 256', '"leap": 256', "its settings are incomplete"),
    ],
)
def test_a_file_of_another_kind_is_refused(old: str, new: str, message: str) -> None:
    text = ConceptGraph(("tempo", "key"), 43, "CC0-1.0", InputSettings(names=("mel",))).to_json()
    assert old in text
    with pytest.raises(ValueError, match=message):
        ConceptGraph.from_json(text.replace(old, new))
    with pytest.raises(ValueError, match="not a table"):
        ConceptGraph.from_json("[]")
