"""torchvision's networks, with random weights, and those of `fastconv.nn.models` with the same: results agree.

Runs where torchvision is installed, which needs a PyTorch of its own version: an environment for itself.
"""

import numpy as np
import pytest

from fastconv.nn import models
from nn_cases import channels_first, in_layout
from test_nn_models import PRESENT

pytest.importorskip("torchvision")

pytestmark = [pytest.mark.one_instruction_set, pytest.mark.slow]

# What makes them without auxiliary heads, and without waiting for special initial weights.
WITH_HEADS = {"aux_logits": False, "init_weights": False}
ON_RESNET = {"aux_loss": False, "weights_backbone": None}
OPTIONS = {
    "googlenet": WITH_HEADS,
    "inception_v3": WITH_HEADS,
    "fcn_resnet50": ON_RESNET,
    "deeplabv3_resnet50": ON_RESNET,
}


def peer_of(name):
    """In inference mode, with statistics of no special values."""
    import torch
    import torchvision

    make = torchvision.models.get_model_builder(name)
    torch.manual_seed(0)
    peer = make(weights=None, **OPTIONS.get(name, {})).eval()
    state = peer.state_dict()
    for path, tensor in state.items():
        if path.endswith("running_var"):
            tensor.uniform_(0.7, 1.4)
        elif path.endswith("running_mean"):
            tensor.normal_(0, 0.1)
    return peer


def error_of(name, layout):
    """The largest difference, called and compiled, as a fraction of the largest number of torchvision's."""
    import torch

    peer = peer_of(name)
    net = getattr(models, name)(layout=layout)
    net.load_state_dict(peer.state_dict())
    x = np.random.default_rng(0).standard_normal((1, 3, 128, 112)).astype(np.float32)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x))
    expected = (expected["out"] if isinstance(expected, dict) else expected).numpy()
    size = np.abs(expected).max()
    assert size > 0
    given, errors = in_layout(x, layout), []
    for found in (net(given), net.compile(given.shape)(given)):
        found = channels_first(found, layout)
        assert found.shape == expected.shape
        errors.append(np.abs(found - expected).max() / size)
    return float(np.max(errors))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", PRESENT)
def test_results_are_those_of_torchvision(name, layout):
    assert error_of(name, layout) < 1e-4
