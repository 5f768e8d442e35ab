"""Networks that PyTorch exports: layers of every kind, loaded and compared with PyTorch's own answer."""

import io
import warnings

import numpy as np
import pytest

from fastconv.onnx import load

pytestmark = [pytest.mark.slow, pytest.mark.one_instruction_set]


def networks():
    """{name: (module, shape of its input)}"""
    from torch import nn

    def gate(channels):
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, channels, 1),
            nn.Hardsigmoid(),
        )

    class Excite(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = gate(8)

        def forward(self, x):
            return x * self.gate(x)

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Conv2d(8, 3, k, padding=k // 2) for k in (1, 3, 5)])

        def forward(self, x):
            import torch

            joined = torch.cat([part(x) for part in self.parts], 1)
            a, b, c = joined.chunk(3, 1)
            return torch.where(a > 0, a, b) + c.transpose(2, 3).flip(2).transpose(2, 3)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.heads = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            tokens = self.norm(x.flatten(2).transpose(1, 2))
            return self.heads(tokens, tokens, tokens, need_weights=False)[0]

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(8, 5, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(10, 4)

        def forward(self, x):
            return self.gru(self.lstm(x.mean(2).transpose(1, 2))[0])[0]

    class Resized(nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.options = options

        def forward(self, x):
            return nn.functional.interpolate(x, **self.options)

    activations = [
        *(nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.PReLU(8), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU()),
        *(
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.Mish(),
            nn.Hardswish(),
            nn.Hardsigmoid(),
            nn.Softplus(),
            nn.Softsign(),
        ),
        *(nn.Tanh(), nn.Sigmoid(), nn.Hardtanh(-0.5, 0.7), nn.Softmax(1), nn.LogSoftmax(-1), nn.GLU(1)),
    ]
    shape = (2, 8, 9, 10)
    made = {f"{place} {type(layer).__name__}": layer for place, layer in enumerate(activations)}
    made |= {
        "convolutions": nn.Sequential(
            nn.Conv2d(8, 12, 3, 2, 1, groups=2),
            nn.BatchNorm2d(12),
            nn.Conv2d(12, 12, (3, 1), padding=(2, 0), dilation=2),
        ),
        "reflected": nn.Conv2d(8, 4, 3, padding=2, padding_mode="reflect"),
        "circular": nn.Conv2d(8, 4, 3, padding=2, padding_mode="circular"),
        "transposed": nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1, groups=2),
        "pools": nn.Sequential(
            nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, 1, 1, count_include_pad=False)
        ),
        "powers": nn.LPPool2d(2, 2),
        "norms": nn.Sequential(
            nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.LocalResponseNorm(3)
        ),
        "shuffles": nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2)),
        "pads": nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.ReplicationPad2d(1), nn.ReflectionPad2d(2)),
        "dense": nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(720, 5)),
        "excite": Excite(),
        "branches": Branches(),
        "attention": Attention(),
        "recurrent": Recurrent(),
        "nearest": Resized(scale_factor=2, mode="nearest"),
        "bilinear": Resized(size=(13, 7), mode="bilinear"),
        "aligned": Resized(scale_factor=2, mode="bilinear", align_corners=True),
        "bicubic": Resized(size=(5, 17), mode="bicubic"),
        "shrunk": Resized(size=(4, 5), mode="bilinear", antialias=True),
    }
    return {name: (module.eval(), shape) for name, module in made.items()}


def test_exported_networks(backend):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    refused = []
    for name, (module, shape) in networks().items():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        x = torch.randn(shape)
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, about this exporter
            try:
                torch.onnx.export(module, (x,), file, dynamo=False, opset_version=18)
            except torch.onnx.errors.OnnxExporterError:  # what PyTorch does not export
                refused.append(name)
                continue
            with torch.no_grad():
                wanted = module(x).numpy()
        try:
            actual = load(file.getvalue())(x.numpy())
            assert actual.shape == wanted.shape
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
        except Exception as error:
            error.add_note(name)
            raise
    assert len(refused) <= 3, refused
