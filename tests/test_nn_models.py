"""The networks of `fastconv.nn.models`: torchvision's names, shapes and counts; results beside PyTorch's; gradients."""

import importlib.util
import json
import lzma
from pathlib import Path

import numpy as np
import pytest

import fastconv.nn as nn
from fastconv.nn import blocks, models
from fastconv.nn.state import named, state_of
from nn_cases import channels_first, in_layout, slope_errors, with_numbers

DATA = Path(__file__).parent / "data" / "torchvision.json.xz"
TORCHVISION = json.loads(lzma.decompress(DATA.read_bytes()))
# What torchvision has and this library does not yet have.
MISSING: set[str] = set()
PRESENT = sorted(TORCHVISION.keys() - MISSING)
COUNTS = {
    "lenet5": (61_706, (1, 1, 32, 32)),
    "eight_residuals": (4_253_770, (1, 3, 32, 32)),
    "mobilenet_v1": (4_231_976, (1, 3, 224, 224)),
    "inception_v3": (23_834_568, (1, 3, 299, 299)),
    "xception": (22_855_952, (1, 3, 299, 299)),
    "capsnet": (6_804_224, (1, 1, 28, 28)),
    "unet": (31_030_658, (1, 1, 572, 572)),
    "alexnet": (61_100_840, (1, 3, 224, 224)),
    "vgg16": (138_357_544, (1, 3, 224, 224)),
    "vgg19": (143_667_240, (1, 3, 224, 224)),
    "googlenet": (6_624_904, (1, 3, 224, 224)),
    "resnet18": (11_689_512, (1, 3, 224, 224)),
    "resnet34": (21_797_672, (1, 3, 224, 224)),
    "resnet50": (25_557_032, (1, 3, 224, 224)),
    "resnet101": (44_549_160, (1, 3, 224, 224)),
    "resnet152": (60_192_808, (1, 3, 224, 224)),
    "resnext50_32x4d": (25_028_904, (1, 3, 224, 224)),
    "densenet121": (7_978_856, (1, 3, 224, 224)),
    "densenet169": (14_149_480, (1, 3, 224, 224)),
    "densenet201": (20_013_928, (1, 3, 224, 224)),
    "squeezenet1_0": (1_248_424, (1, 3, 224, 224)),
    "squeezenet1_1": (1_235_496, (1, 3, 224, 224)),
    "mobilenet_v2": (3_504_872, (1, 3, 224, 224)),
    "mobilenet_v3_small": (2_542_856, (1, 3, 224, 224)),
    "mobilenet_v3_large": (5_483_032, (1, 3, 224, 224)),
    "shufflenet_v2_x1_0": (2_278_604, (1, 3, 224, 224)),
    "efficientnet_b0": (5_288_548, (1, 3, 224, 224)),
    "efficientnet_b1": (7_794_184, (1, 3, 240, 240)),
    "convnext_tiny": (28_589_128, (1, 3, 224, 224)),
}


def test_what_is_missing_is_missing():
    assert {name for name in TORCHVISION if not hasattr(models, name)} == MISSING


# The others are made of the same blocks, and building one takes up to two seconds.
QUICK = {"lenet5", "alexnet", "googlenet", "resnet18", "densenet121", "squeezenet1_1", "mobilenet_v2"} | {
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "convnext_tiny",
    "capsnet",
    "unet",
}


def quick_ones(names):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", quick_ones(PRESENT))
def test_names_and_shapes_are_those_of_torchvision(name):
    net = getattr(models, name)().build((1, 3, 224, 224), init="zeros")
    state = [[path, list(array.shape)] for path, array in state_of(net).items()]
    assert state == TORCHVISION[name]["state"]
    assert sum(array.size for array in net.parameters()) == TORCHVISION[name]["parameters"]


@pytest.mark.parametrize("name", quick_ones(COUNTS))
def test_parameter_counts(name):
    count, shape = COUNTS[name]
    assert getattr(models, name)().summary(shape).parameters == count


def test_state_loads_before_the_first_input():
    """Only names and shapes are known then; those that do not fit are refused."""
    state = {path: np.zeros(shape, np.float32) for path, shape in TORCHVISION["squeezenet1_1"]["state"]}
    net = models.squeezenet1_1(layout="NHWC")
    net.load_state_dict(state)
    assert net(np.ones((1, 64, 64, 3))).shape == (1, 1000)
    state["features.0.weight"] = np.zeros((64, 3, 5, 5))
    with pytest.raises(
        ValueError, match=r"features\.0\.weight has shape \(64, 3, 5, 5\), but Conv2D needs \(64, "
    ):
        models.squeezenet1_1().load_state_dict(state)


def test_attention_is_in_every_network_of_images_and_moves_no_path():
    given = {"densenet": [(2, 3)], "dqn": [3], "actor_critic": [3]}
    for name in sorted({*models.__all__} - {"wavenet"}):
        make = getattr(models, name)
        if isinstance(make, type):
            continue
        paths = []
        for attention in (None, "eca"):
            net = make(*given.get(name, []), attention=attention)
            paths.append({path for path, _, _ in named(net)})
        assert paths[0] < paths[1], name
    with pytest.raises(ValueError, match="attention is 'self', but needs to be one of 'se'"):
        models.vgg11(attention="self")


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "densenet", "dqn", "wavenet", "unet_small"])
def test_the_page_of_networks_says_what_they_are(name):
    root = Path(__file__).parents[1]
    if not (root / "bench").exists():
        pytest.skip("the benchmarks are not part of the package")
    specification = importlib.util.spec_from_file_location("models_measured", root / "bench" / "models.py")
    measured = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(measured)
    for path in measured.FOLDER.glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        assert {*told["networks"]} == {*measured.names()}
        entry = told["networks"][name]
        assert entry["seconds"]["cython"] > 0
        known = json.loads(json.dumps(measured.facts(*measured.made(name))))
        assert {key: entry[key] for key in known} == known


def torch_networks():
    pytest.importorskip("torch")
    import torch_networks

    return torch_networks.NETWORKS


NAMES = [
    "alexnet", "convnext_tiny", "deeplabv3_resnet50", "densenet121", "efficientnet_b0", "fcn_resnet50", "googlenet",
    "inception_v3", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnet50", "resnext50_32x4d",
    "shufflenet_v2_x1_0", "squeezenet1_1", "vgg11_bn",
]  # fmt: skip


def most_are_slow(names, quick):
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    "name", most_are_slow(NAMES, ("googlenet", "mobilenet_v2", "resnet18", "squeezenet1_1"))
)
def test_results_are_those_of_pytorch(name, layout):
    """Loaded strictly, both ways; also compiled."""
    peer = torch_networks()[name]().eval()
    import torch

    rng = np.random.default_rng(0)
    state = peer.state_dict()
    for path, tensor in state.items():  # statistics of no special values
        if path.endswith("running_var"):
            state[path] = torch.from_numpy(rng.uniform(0.7, 1.4, tensor.shape).astype(np.float32))
        elif path.endswith("running_mean"):
            state[path] = torch.from_numpy(0.1 * rng.standard_normal(tensor.shape).astype(np.float32))
    peer.load_state_dict(state)
    net = getattr(models, name)(layout=layout)
    net.load_state_dict(peer.state_dict())
    x = rng.standard_normal((2, 3, 96, 80)).astype(np.float32)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x)).numpy()
    size = np.abs(expected).max()
    assert size > 0
    given = in_layout(x, layout)
    np.testing.assert_allclose(channels_first(net(given), layout), expected, rtol=0, atol=1e-4 * size)
    program = net.compile(given.shape)
    np.testing.assert_allclose(channels_first(program(given), layout), expected, rtol=0, atol=1e-4 * size)
    back = {path: torch.from_numpy(array) for path, array in net.state_dict().items()}
    peer.load_state_dict(back)


SMALL = {
    "lenet5": (lambda: models.lenet5(), (2, 1, 32, 32)),
    "resnet20": (lambda: models.resnet20(), (2, 3, 8, 8)),
    "resnet18": (lambda: models.resnet18(5), (2, 3, 33, 33)),
    "resnet18 cbam": (lambda: models.resnet18(5, attention="cbam"), (2, 3, 33, 33)),
    "resnet50 se": (lambda: models.resnet50(5, attention="se"), (2, 3, 33, 33)),
    "densenet": (lambda: models.densenet((2, 3), 4, 8, 5), (2, 3, 32, 32)),
    "googlenet": (lambda: models.googlenet(5), (2, 3, 64, 64)),
    "eight residuals": (lambda: models.eight_residuals(3), (1, 3, 6, 6)),
    "vgg11_bn se": (lambda: nn.Sequential(*list(models.vgg11_bn(attention="se")["features"])[:10]), (2, 3, 12, 9)),
    "lenet5 cbam": (lambda: models.lenet5(attention="cbam"), (2, 1, 32, 32)),
    "densenet eca": (lambda: models.densenet((2, 3), 4, 8, 5, attention="eca"), (2, 3, 32, 32)),
    "two inceptions spatial": (lambda: models.two_inceptions(5, attention="spatial"), (2, 3, 8, 8)),
    "mobilenet_v2 se": (lambda: models.mobilenet_v2(5, width=0.25, attention="se"), (2, 3, 33, 33)),
    "unet non-local": (lambda: models.UNet(2, (4, 8), attention="non_local"), (1, 1, 12, 8)),
    "convnext eca": (lambda: models.convnext_tiny(5, attention="eca"), (1, 3, 32, 32)),
    "two inceptions": (lambda: models.two_inceptions(5), (2, 3, 8, 8)),
    "squeezenet": (lambda: models.squeezenet1_1(5), (2, 3, 32, 32)),
    "mobilenet_v1": (lambda: models.mobilenet_v1(5, width=0.25), (2, 3, 33, 33)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(5, width=0.25), (2, 3, 33, 33)),
    "mobilenet_v3_small": (lambda: models.mobilenet_v3_small(5), (2, 3, 33, 33)),
    "shufflenet": (lambda: models.shufflenet_v2_x0_5(5), (2, 3, 33, 33)),
    "efficientnet_b0": (lambda: models.efficientnet_b0(5), (2, 3, 33, 33)),
    "convnext_tiny": (lambda: models.convnext_tiny(5), (1, 3, 32, 32)),
    "xception": (lambda: models.xception(5), (2, 3, 60, 60)),
    "wavenet": (lambda: models.WaveNet(2, 3, 4, 3), (2, 1, 12)),
    "dqn": (lambda: models.dqn(3, 8), (1, 4, 84, 84)),
    "capsnet": (lambda: models.CapsNet(3, filters=8, kernel_size=3, size=4), (2, 1, 9, 9)),
    "unet": (lambda: models.UNet(2, (4, 8, 16)), (1, 1, 16, 12)),
    "unet valid": (lambda: models.UNet(2, (4, 8), padding="valid", norm=True), (1, 1, 28, 28)),
    "unet small": (lambda: models.unet_small(), (1, 1, 8, 8)),
    "SE": (lambda: blocks.SE(6, 2, gate="hardsigmoid"), (2, 6, 5, 4)),
    "CBAM": (lambda: blocks.CBAM(6, 2, 3), (2, 6, 5, 4)),
    "ECA": (lambda: blocks.ECA(6), (2, 6, 5, 4)),
    "SpatialAttention": (lambda: blocks.SpatialAttention(3), (2, 6, 5, 4)),
    "NonLocal": (lambda: blocks.NonLocal(6), (2, 6, 5, 4)),
    "ASPP": (lambda: blocks.ASPP(4, (2, 3)), (2, 3, 6, 5)),
    "Bottleneck": (lambda: blocks.Bottleneck(8, 2, groups=2), (2, 4, 6, 5)),
    "Residual": (lambda: blocks.Residual(4), (2, 4, 6, 5)),
    "InvertedResidual": (lambda: blocks.InvertedResidual(4, 4, squeezed=2, drop=0.3), (3, 4, 6, 5)),
    "Inception": (lambda: blocks.Inception(2, 2, 3, 2, 2, 1), (2, 4, 6, 5)),
    "Fire": (lambda: blocks.Fire(2, 3), (2, 4, 6, 5)),
    "Dense": (lambda: blocks.Dense(3, 2), (2, 4, 6, 5)),
    "Transition": (lambda: blocks.Transition(2), (2, 4, 6, 5)),
}  # fmt: skip
# Of the networks; blocks are all quick.
QUICK = {name for name in SMALL if name[0].isupper()} | {
    "densenet", "dqn", "lenet5", "lenet5 cbam", "two inceptions spatial",
    "unet non-local", "mobilenet_v2", "resnet20", "two inceptions", "unet", "wavenet",
}  # fmt: skip


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", most_are_slow(SMALL, QUICK))
def test_gradients_are_slopes(name, layout):
    make, shape = SMALL[name]
    net, x = with_numbers(make(), shape, layout)
    # Steps so small that hardly a ReLU or maximum changes within them, where a difference would be no derivative; where
    # one does, the next step is too small for it.
    for step in (1e-9, 1e-10):
        errors = slope_errors(net, x, layout, step=step)
        if max(errors.values()) < 2e-5:
            return
    raise AssertionError(errors)


@pytest.mark.parametrize("name", most_are_slow(SMALL, QUICK))
def test_layouts_and_graphs_agree(name):
    make, shape = SMALL[name]
    results = []
    for layout in ("NCHW", "NHWC"):
        net, x = with_numbers(make(), shape, layout)
        given = in_layout(x, layout)
        y = net(given)
        scale = 1e-6 if name == "ASPP" else 1e-9
        np.testing.assert_allclose(net.compile(given.shape)(given), y, rtol=0, atol=scale * np.abs(y).max())
        results.append(channels_first(y, layout))
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-9 * np.abs(results[0]).max())


@pytest.mark.parametrize("name", most_are_slow(SMALL, QUICK))
def test_saved_and_loaded(name, tmp_path):
    make, shape = SMALL[name]
    net, x = with_numbers(make(), shape)
    net.save(tmp_path / "net.safetensors")
    other = nn.load(tmp_path / "net.safetensors")
    assert repr(other) == repr(net)
    np.testing.assert_array_equal(other(x), net(x))
