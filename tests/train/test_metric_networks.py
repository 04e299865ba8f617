"""The U-Nets of instrument similarity: published shapes, inputs of any size, masks, averages, banks, and learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from soundalike.train.metric import FIVE, PUBLISHED, NetworkSettings, SpectrumSettings

torch = pytest.importorskip("torch", reason="training needs torch")
from torch import nn  # noqa: E402

from soundalike.train.metric.conditioning import condition_1d, condition_3d  # noqa: E402
from soundalike.train.metric.losses import pretraining_l2, separation_l1, triplet_distance  # noqa: E402
from soundalike.train.metric.spectra import magnitudes, to_one_level  # noqa: E402
from soundalike.train.metric.unet import (  # noqa: E402
    Decoder,
    Direct,
    DirectReconst,
    Encoder,
    Extractor,
    ExtractorBank,
    Separator,
    SeparatorBank,
)

SPECTRUM = SpectrumSettings(rate=4000, size=128, hop=64)
NETWORK = NetworkSettings(instruments=("drums", "bass", "other"), channels=(4, 4, 6, 6, 8, 8), dim=5, bands=20)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def test_the_published_separator_has_the_layers_of_jansson() -> None:
    network = Separator(PUBLISHED.network)
    widths = [16, 32, 64, 128, 256, 512]
    convolutions = [each for each in network.encoder.modules() if isinstance(each, nn.Conv2d)]
    assert [each.out_channels for each in convolutions] == widths
    assert [each.in_channels for each in convolutions] == [1, *widths[:-1]]
    transposed = [each for each in network.decoder.modules() if isinstance(each, nn.ConvTranspose2d)]
    assert [each.out_channels for each in transposed] == [256, 128, 64, 32, 16, 1]
    assert [each.in_channels for each in transposed] == [512, 512, 256, 128, 64, 32]
    assert all(each.kernel_size == (5, 5) and each.stride == (2, 2) for each in [*convolutions, *transposed])
    weights = 25 * (sum(a * b for a, b in zip([1, *widths[:-1]], widths, strict=True)))
    weights += 25 * (512 * 256 + 512 * 128 + 256 * 64 + 128 * 32 + 64 * 16 + 32)
    norms = 2 * (sum(widths) + 256 + 128 + 64 + 32 + 16)
    assert count(network) == weights + norms + 1 == 9_821_809


def test_the_published_feature_maps_halve() -> None:
    with torch.no_grad():
        features = Encoder(PUBLISHED.network)(torch.rand(1, 1, 1024, PUBLISHED.spectrum.frames(3.0)))
    assert [tuple(each.shape[1:]) for each in features] == [
        (16, 512, 130), (32, 256, 65), (64, 128, 33), (128, 64, 17), (256, 32, 9), (512, 16, 5),
    ]  # fmt: skip


def test_the_published_extractors_have_the_published_sizes() -> None:
    cascade = Extractor(PUBLISHED.spectrum, PUBLISHED.network)
    assert (cascade.project.in_features, cascade.project.out_features) == (512 * 5, 128)
    direct = Direct(PUBLISHED.spectrum, PUBLISHED.network)
    assert direct.network.channels == (16, 32, 64, 128, 256, 515)  # the next multiple of five
    assert (direct.project.in_features, direct.project.out_features) == (515 * 16, 640)


def test_normalisation_activation_and_dropout_are_where_the_paper_has_them() -> None:
    def kinds(layers: nn.ModuleList) -> list[list[str]]:
        parts = [each if isinstance(each, nn.Sequential) else [each] for each in layers]
        return [[type(part).__name__ for part in each] for each in parts]

    down, up = ["Conv2d", "BatchNorm2d", "LeakyReLU"], ["ConvTranspose2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds(Encoder(NETWORK).layers) == [down] * 6
    assert kinds(Encoder(NETWORK, bare=True).layers) == [down] * 5 + [["Conv2d"]]
    last = [["ConvTranspose2d", "Sigmoid"]]
    assert kinds(Decoder(NETWORK).layers) == [[*up, "Dropout"]] * 3 + [up] * 2 + last
    leaks = {each.negative_slope for each in Separator(NETWORK).modules() if isinstance(each, nn.LeakyReLU)}
    assert leaks == {0.2}
    assert {each.p for each in Decoder(NETWORK).modules() if isinstance(each, nn.Dropout)} == {0.5}
    for network in (Extractor(SPECTRUM, NETWORK), Direct(SPECTRUM, NETWORK), DirectReconst(SPECTRUM, NETWORK)):
        assert isinstance(network.encoder.layers[-1], nn.Conv2d)


@pytest.mark.parametrize("frames", [1, 2, 63, 64, 65, 100])
@pytest.mark.parametrize("bins", [33, 64])
def test_a_separator_takes_any_size(bins: int, frames: int) -> None:
    network = Separator(NETWORK).eval()
    spectrum = torch.rand(2, bins, frames)
    separated, mask = network(spectrum), network.mask(spectrum)
    assert separated.shape == mask.shape == spectrum.shape
    assert 0 < mask.min() < mask.max() < 1
    torch.testing.assert_close(separated, mask * spectrum)


def test_every_layer_of_the_encoder_reaches_the_mask() -> None:
    encoder, decoder = Encoder(NETWORK).eval(), Decoder(NETWORK).eval()
    features = [each.detach().requires_grad_() for each in encoder(torch.rand(1, 1, 64, 64))]
    decoder(features, (64, 64)).sum().backward()
    assert all(each.grad.abs().sum() > 0 for each in features)


def test_a_decoder_is_a_loop_over_its_layers() -> None:
    decoder = Decoder(NETWORK).eval()
    features = [torch.rand(1, 4, 32, 47), torch.rand(1, 4, 16, 24), torch.rand(1, 6, 8, 12), torch.rand(1, 6, 4, 6),
                torch.rand(1, 8, 2, 3), torch.rand(1, 8, 1, 2)]  # fmt: skip
    x = features[5]
    for layer, join in zip(decoder.layers[:5], features[4::-1], strict=True):
        transposed, norm, activation = layer[:3]
        wide = transposed(x)
        assert wide.shape[2:] == (2 * x.shape[2], 2 * x.shape[3])
        x = torch.cat([activation(norm(wide))[:, :, : join.shape[2], : join.shape[3]], join], dim=1)
    expected = torch.sigmoid(decoder.layers[5][0](x))[:, :, :64, :93]
    torch.testing.assert_close(decoder(features, (64, 93)), expected)


@pytest.mark.parametrize("frames", [94, 157, 313])
def test_extractors_average_over_time_then_flatten(frames: int) -> None:
    spectrum = torch.rand(2, SPECTRUM.bins, frames)
    for network, inputs in ((Extractor(SPECTRUM, NETWORK).eval(), None), (Direct(SPECTRUM, NETWORK).eval(), spectrum)):
        inputs = network.mel(spectrum) if inputs is None else inputs
        features = network.encoder(inputs[:, None])[-1]
        flat = []
        for example in features:
            flat.append([])
            for channel in example:
                for row in channel:
                    flat[-1].append(sum(row.tolist()) / len(row))
        expected = torch.tensor(flat) @ network.project.weight.T + network.project.bias
        torch.testing.assert_close(network(spectrum).flatten(1), expected, atol=1e-5, rtol=1e-4)


def test_direct_has_one_slice_per_instrument() -> None:
    network = Direct(SPECTRUM, NETWORK).eval()
    spectrum = torch.rand(2, SPECTRUM.bins, 40)
    rows = network(spectrum)
    assert rows.shape == (2, 3, 5)
    kept = condition_1d(rows.flatten(1), torch.tensor([2, 0]), 3)
    assert torch.equal(kept[0, 10:], rows[0, 2])
    assert torch.equal(kept[1, :5], rows[1, 0])


def test_direct_reconst_reconstructs_each_target_with_its_own_decoder() -> None:
    network = DirectReconst(SPECTRUM, NETWORK).eval()
    spectrum, target = torch.rand(4, SPECTRUM.bins, 50), torch.tensor([2, 0, 2, 1])
    rows, separated = network.multitask(spectrum, target)
    torch.testing.assert_close(rows, network(spectrum))
    torch.testing.assert_close(separated, network.reconstruct(spectrum, target))
    for i, instrument in enumerate(target.tolist()):
        features = network.encoder(spectrum[i : i + 1, None])
        conditioned = condition_3d(features[-1], target[i : i + 1], 3)
        mask = network.decoders[instrument]([*features[:-1], conditioned], (SPECTRUM.bins, 50))[:, 0]
        torch.testing.assert_close(separated[i : i + 1], mask * spectrum[i : i + 1])


def test_weights_of_direct_fit_direct_reconst() -> None:
    pretrained = Direct(SPECTRUM, NETWORK)
    missing, unexpected = DirectReconst(SPECTRUM, NETWORK).load_state_dict(pretrained.state_dict(), strict=False)
    assert unexpected == []
    assert missing
    assert all(name.startswith("decoders.") for name in missing)


def test_banks_are_loops_over_instruments() -> None:
    separators, extractors = SeparatorBank(NETWORK).eval(), ExtractorBank(SPECTRUM, NETWORK).eval()
    mix = torch.rand(2, SPECTRUM.bins, 30)
    separated = separators(mix)
    rows = extractors(separated)
    assert separated.shape == (2, 3, SPECTRUM.bins, 30)
    assert rows.shape == (2, 3, 5)
    torch.testing.assert_close(separators.masks(mix) * mix[:, None], separated)
    for k in range(3):
        torch.testing.assert_close(separated[:, k], separators.networks[k](mix))
        torch.testing.assert_close(rows[:, k], extractors.networks[k](separated[:, k]))


def test_weights_do_not_depend_on_the_number_of_instruments_for_one_instrument() -> None:
    five = NetworkSettings(instruments=FIVE, channels=NETWORK.channels, dim=5, bands=20)
    assert count(Separator(five)) == count(Separator(NETWORK))
    assert count(Extractor(SPECTRUM, five)) == count(Extractor(SPECTRUM, NETWORK))


def train(network: nn.Module, loss: Callable[[], object], steps: int = 20) -> tuple[float, float]:
    """The loss before and after a few steps of Adam."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses[0], losses[-1]


def low_and_high() -> tuple[object, object]:
    """Mixes of a sound with low partials and one with high partials, and the low sound alone: (8, b, 24) each."""
    low, high = torch.zeros(8, SPECTRUM.bins, 24), torch.zeros(8, SPECTRUM.bins, 24)
    for i in range(8):
        low[i, 2 + i] = low[i, 4 + 2 * i] = 4.0
        high[i, 40 + 2 * i] = 4.0
    return low + high + 0.1 * torch.rand(8, SPECTRUM.bins, 24), low


def test_a_separator_learns_to_separate() -> None:
    mix, low = low_and_high()
    network = Separator(NETWORK)
    before, after = train(network, lambda: separation_l1(network(mix), low))
    assert after < 0.5 * before


def test_an_extractor_learns_triplets() -> None:
    mix, low = low_and_high()
    network = Extractor(SPECTRUM, NETWORK)
    inputs = torch.cat([mix, low, low.roll(1, 0)])  # the positive is the same sound, the negative another one
    before, after = train(network, lambda: triplet_distance(*network(inputs).chunk(3), 1.0))
    assert after < 0.5 * before


def test_direct_learns_the_rows_of_clean() -> None:
    mix, low = low_and_high()
    clean = ExtractorBank(SPECTRUM, NETWORK).eval()
    with torch.no_grad():
        aims = clean(torch.stack([mix, low, mix - low], dim=1))
    present = torch.rand(8, 3) > 0.5
    network = Direct(SPECTRUM, NETWORK)
    before, after = train(network, lambda: pretraining_l2(network(mix), aims, present))
    assert after < 0.5 * before


def test_direct_reconst_learns_both_tasks() -> None:
    mix, low = low_and_high()
    network = DirectReconst(SPECTRUM, NETWORK)
    inputs, target = torch.cat([mix, low, mix.roll(1, 0)]), torch.zeros(24, dtype=torch.int64)
    aims = torch.cat([low, low, low.roll(1, 0)])
    parts: list[tuple[float, float]] = []

    def loss() -> object:
        rows, separated = network.multitask(inputs, target)
        triplet = triplet_distance(*condition_1d(rows.flatten(1), target, 3).chunk(3), 1.0)
        separation = separation_l1(separated, aims)
        parts.append((triplet.item(), separation.item()))
        return triplet + separation

    train(network, loss)
    assert parts[-1][0] < 0.5 * parts[0][0]
    assert parts[-1][1] < 0.6 * parts[0][1]
    assert network.decoders[1].layers[0][0].weight.grad is None  # decoders of other instruments are not trained


def test_rows_do_not_depend_on_levels_where_extractors_bring_them_to_one() -> None:
    mixes = 10 * torch.rand(2, 64, 40)
    for one_level, equal in ((False, False), (True, True)):
        network = replace(NETWORK, one_level=one_level)
        for module in (Extractor(SPECTRUM, network), Direct(SPECTRUM, network), DirectReconst(SPECTRUM, network)):
            module.eval()
            loud, soft = module(mixes), module(0.05 * mixes)
            assert torch.allclose(loud, soft, atol=1e-5) is equal, (type(module), one_level)
    silence = to_one_level(torch.zeros(1, 64, 40), 128)
    assert torch.equal(silence, torch.zeros(1, 64, 40))
    noise = 0.1 * torch.randn(1, 8000 * 4, generator=torch.Generator().manual_seed(0))
    found = magnitudes(noise, SPECTRUM)
    torch.testing.assert_close(to_one_level(found, 128), found, rtol=0.03, atol=0.0)
