"""The networks of the field, with torchvision's names and parameters where it has them.

Each is a function of the number of classes (and of its layout), and gives a `Module` whose parameters are made with the
first input, by `Module.build`, or by `Module.load_state_dict`.

Those of images take ``attention``: "se", "cbam", "eca", "spatial" or "non_local" puts such a block behind each of
theirs, before a shortcut is added where there is one. All other paths stay, so that weights load with ``strict=False``.
"""

from __future__ import annotations

from fastconv.nn.models.branched import (
    densenet,
    densenet121,
    densenet169,
    densenet201,
    googlenet,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    two_inceptions,
)
from fastconv.nn.models.classic import (
    alexnet,
    lenet5,
    mobilenet_v1,
    squeezenet1_0,
    squeezenet1_1,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from fastconv.nn.models.inception import inception_v3, xception
from fastconv.nn.models.mobile import (
    convnext_tiny,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from fastconv.nn.models.others import ActorCritic, CapsNet, WaveNet, actor_critic, capsnet, dqn, wavenet
from fastconv.nn.models.residual import (
    deeplabv3_resnet50,
    eight_residuals,
    fcn_resnet50,
    resnet18,
    resnet20,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
)
from fastconv.nn.models.segmentation import UNet, unet, unet_small
from fastconv.shown import shows

__all__ = [
    "ActorCritic",
    "CapsNet",
    "UNet",
    "WaveNet",
    "actor_critic",
    "alexnet",
    "capsnet",
    "convnext_tiny",
    "deeplabv3_resnet50",
    "densenet",
    "densenet121",
    "densenet169",
    "densenet201",
    "dqn",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "eight_residuals",
    "fcn_resnet50",
    "googlenet",
    "inception_v3",
    "lenet5",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "two_inceptions",
    "unet",
    "unet_small",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wavenet",
    "xception",
]
__dir__ = shows(__name__)
