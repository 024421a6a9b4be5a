"""The paper's ConvNet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from evoptim.tasks import ConvNet
from evoptim.tasks.model import Dropout, SameConv


def network(
    channels: int = 3, classes: int = 10, base_width: int = 8, dropout: float = 0.2, seed: int = 0
) -> ConvNet:
    return ConvNet(channels, classes, base_width, dropout, torch.Generator().manual_seed(seed))


# From the paper's program; each is also the sum of 9io + o (convolutions), 2o (batch
# normalisation) and io + o (classifier) over its layers.
@pytest.mark.parametrize(("base_width", "parameters"), [(32, 94_986), (48, 211_594)])
def test_it_has_the_papers_number_of_parameters(base_width: int, parameters: int) -> None:
    assert sum(p.numel() for p in network(base_width=base_width).parameters()) == parameters


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 32, 32), (3, 33, 17), (1, 28, 28)])
def test_it_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    logits = network(channels=shape[0], classes=7)(torch.rand(5, *shape))
    assert logits.shape == (5, 7)


@pytest.mark.parametrize(
    ("side", "stride", "expected"),
    [
        # A kernel of ones adds up what it covers of 1, 2, 3, ... (zeros outside).
        (4, 2, [1 + 2 + 3, 3 + 4]),  # even: nothing before, one zero after
        (6, 2, [1 + 2 + 3, 3 + 4 + 5, 5 + 6]),
        (5, 2, [1 + 2, 2 + 3 + 4, 4 + 5]),  # odd: a zero on each end
        (4, 1, [1 + 2, 1 + 2 + 3, 2 + 3 + 4, 3 + 4]),
    ],
)
def test_padding_is_tensorflows_same(side: int, stride: int, expected: list[int]) -> None:
    convolution = SameConv(1, 1, 3, stride)
    image = torch.arange(1.0, side + 1).repeat(side, 1)[None, None]
    with torch.no_grad():
        convolution.bias.zero_()
        convolution.weight.zero_()[0, 0, 1] = 1.0  # the middle row: sums along the width
        assert convolution(image)[0, 0, 0].tolist() == expected
        convolution.weight.zero_()[0, 0, :, 1] = 1.0  # the middle column: along the height
        assert convolution(image.mT)[0, 0, :, 0].tolist() == expected


def test_weights_are_glorot_uniform_and_biases_zero() -> None:
    model = network(base_width=48)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            area = layer.weight[0, 0].numel()
            limit = (6 / (area * (layer.weight.shape[0] + layer.weight.shape[1]))) ** 0.5
            weights = layer.weight.detach().flatten().sort().values / limit
            uniform = torch.linspace(-1, 1, len(weights))
            # Kolmogorov-Smirnov on a range of 2: exceeded once in 10^6 draws.
            assert (weights - uniform).abs().max() < 2 * 2.7 / len(weights) ** 0.5
            assert layer.bias is not None
            assert not layer.bias.any()


def test_batch_normalisation_has_keras_constants() -> None:
    layers = [layer for layer in network().modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 3
    for layer in layers:
        assert layer.eps == 1e-3
        assert layer.momentum == pytest.approx(0.01)


def test_it_computes_what_the_paper_describes() -> None:
    """Against a plain NumPy evaluation, in evaluation mode on an even-sided image."""
    model = network(channels=1, classes=4, base_width=2).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
            layer.running_var.uniform_(1, 2, generator=torch.Generator().manual_seed(2))
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(3)).double()
    values = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    features = image[0].numpy()
    for index, stride in enumerate((1, 2, 2)):
        padded = np.pad(
            features, ((0, 0), (1, 1), (1, 1)) if stride == 1 else ((0, 0), (0, 1), (0, 1))
        )
        side = features.shape[1] // stride
        kernel = values[f"features.{index}.0.weight"]
        features = np.empty((len(kernel), side, side))
        for y in range(side):
            for x in range(side):
                window = padded[:, y * stride : y * stride + 3, x * stride : x * stride + 3]
                features[:, y, x] = (kernel * window).sum((1, 2, 3))
        mean, variance = (
            values[f"features.{index}.1.running_{name}"][:, None, None] for name in ("mean", "var")
        )
        features = (features - mean) / np.sqrt(variance + 1e-3)
        features = features / (1 + np.exp(-features))
    logits = values["classifier.weight"] @ features.mean((1, 2))
    # Double precision: only the order of the sums differs.
    assert np.allclose(model(image).detach().numpy()[0], logits, rtol=1e-12, atol=1e-12)


def test_the_generator_decides_the_network_and_its_masks() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, same, other = (network(seed=seed)(images) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before), "the global state is left alone"


def test_dropout_zeroes_a_share_and_keeps_the_mean() -> None:
    dropout = Dropout(0.2, torch.Generator().manual_seed(0))
    result = dropout(torch.ones(100_000))
    assert set(result.tolist()) == {0.0, 1.25}
    # Five standard deviations of a share of 0.2 in 100,000 draws.
    assert (result == 0).double().mean() == pytest.approx(0.2, abs=0.0064)
    assert torch.equal(dropout.eval()(torch.ones(9)), torch.ones(9))
