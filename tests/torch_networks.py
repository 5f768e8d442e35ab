"""Networks written out in PyTorch, from their papers and under torchvision's names, to compare `fastconv.nn` with.

Each is loaded strictly with the state of its counterpart: so names, shapes and results are those of both.
"""

import torch
import torch.nn.functional as F
from torch import nn


def conv(i, o, k=1, s=1, p=None, g=1, d=1, act=nn.ReLU, eps=1e-5):
    layers = [
        nn.Conv2d(i, o, k, s, (k - 1) // 2 * d if p is None else p, d, g, bias=False),
        nn.BatchNorm2d(o, eps),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Named(nn.Module):
    """Parts one after the other, under given names."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        for part in self.children():
            x = part(x)
        return x


def alexnet():
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    ends = nn.Sequential(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096))
    ends += nn.Sequential(nn.ReLU(), nn.Linear(4096, 1000))
    return Named(features=features, avgpool=nn.AdaptiveAvgPool2d(6), flat=nn.Flatten(), classifier=ends)


def vgg11_bn():
    layers, before = [], 3
    for width, count in ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    ends = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    ends.append(nn.Linear(4096, 1000))
    return Named(
        features=nn.Sequential(*layers), avgpool=nn.AdaptiveAvgPool2d(7), flat=nn.Flatten(),
        classifier=nn.Sequential(*ends),
    )  # fmt: skip


class Block(nn.Module):
    """ResNet's: two convolutions, or three where `inner` is given."""

    def __init__(self, i, o, s, inner=None, g=1, d=1):
        super().__init__()
        if inner is None:
            shapes = [(i, o, 3, s, 1, 1), (o, o, 3, 1, 1, 1)]
        else:
            shapes = [(i, inner, 1, 1, 1, 1), (inner, inner, 3, s, g, d), (inner, o, 1, 1, 1, 1)]
        self.count = len(shapes)
        for n, (a, b, k, step, groups, dilation) in enumerate(shapes, 1):
            pad = (k - 1) // 2 * dilation
            self.add_module(f"conv{n}", nn.Conv2d(a, b, k, step, pad, dilation, groups, bias=False))
            self.add_module(f"bn{n}", nn.BatchNorm2d(b))
        if s != 1 or i != o:
            self.downsample = conv(i, o, 1, s, act=None)

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = y.relu() if n < self.count else y
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


def stages(depths, bottleneck, g=1, width=64, dilated=False):
    parts = {"conv1": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU()}
    parts["maxpool"] = nn.MaxPool2d(3, 2, 1)
    before, dilation = 64, 1
    for n, depth in enumerate(depths):
        out, inner = (256 << n, (width << n) * g) if bottleneck else (64 << n, None)
        stride, first = (2 if n else 1), dilation
        if dilated and n > 1:
            dilation, stride = dilation * 2, 1
        blocks = [Block(before, out, stride, inner, g, first)]
        blocks += [Block(out, out, 1, inner, g, dilation) for _ in range(depth - 1)]
        parts[f"layer{n + 1}"] = nn.Sequential(*blocks)
        before = out
    return parts, before


def resnet(depths, bottleneck, **options):
    parts, out = stages(depths, bottleneck, **options)
    return Named(**parts, avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(out, 1000))


class Pooled(nn.Sequential):
    def forward(self, x):
        return F.interpolate(super().forward(x), x.shape[2:], mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        branches = [conv(2048, 256), *(conv(2048, 256, 3, d=rate) for rate in (12, 24, 36))]
        branches.append(Pooled(nn.AdaptiveAvgPool2d(1), *conv(2048, 256)))
        self.convs = nn.ModuleList(branches)
        self.project = nn.Sequential(*conv(5 * 256, 256), nn.Dropout(0.5))

    def forward(self, x):
        return self.project(torch.cat([branch(x) for branch in self.convs], 1))


class Segmenter(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.backbone = Named(**stages((3, 4, 6, 3), True, dilated=True)[0])
        self.classifier = head

    def forward(self, x):
        return F.interpolate(
            self.classifier(self.backbone(x)), x.shape[2:], mode="bilinear", align_corners=False
        )


def fcn_resnet50():
    return Segmenter(nn.Sequential(*conv(2048, 512, 3), nn.Dropout(0.1), nn.Conv2d(512, 21, 1)))


def deeplabv3_resnet50():
    return Segmenter(nn.Sequential(Pyramid(), *conv(256, 256, 3), nn.Conv2d(256, 21, 1)))


class Fire(nn.Module):
    def __init__(self, i, s, e):
        super().__init__()
        self.squeeze, self.expand1x1 = nn.Conv2d(i, s, 1), nn.Conv2d(s, e, 1)
        self.expand3x3 = nn.Conv2d(s, e, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def squeezenet1_1():
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool()]
    features += [Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192)]
    features += [Fire(384, 64, 256), Fire(512, 64, 256)]
    ends = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return Named(features=nn.Sequential(*features), classifier=ends, flat=nn.Flatten())


class Excite(nn.Module):
    def __init__(self, c, s, act, gate):
        super().__init__()
        self.fc1, self.fc2, self.act, self.gate = nn.Conv2d(c, s, 1), nn.Conv2d(s, c, 1), act, gate

    def forward(self, x):
        return x * self.gate(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    def __init__(self, i, o, s, wide, k, act, squeeze=None, name="conv", eps=1e-5):
        super().__init__()
        parts = [conv(i, wide, act=act, eps=eps)] if wide != i else []
        parts.append(conv(wide, wide, k, s, g=wide, act=act, eps=eps))
        parts += [] if squeeze is None else [Excite(wide, *squeeze)]
        last = conv(wide, o, act=None, eps=eps)
        parts += [*last] if name == "conv" else [last]
        self.name, self.adds = name, s == 1 and i == o
        self.add_module(name, nn.Sequential(*parts))

    def forward(self, x):
        y = getattr(self, self.name)(x)
        return x + y if self.adds else y


def mobile(features, ends):
    return Named(
        features=nn.Sequential(*features), avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), classifier=ends
    )


def mobilenet_v2():
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)]
    features, i = [conv(3, 32, 3, 2, act=nn.ReLU6)], 32
    for t, c, n, s in [*plan, (6, 320, 1, 1)]:
        for place in range(n):
            features.append(Inverted(i, c, s if place == 0 else 1, t * i, 3, nn.ReLU6))
            i = c
    return mobile(
        [*features, conv(320, 1280, act=nn.ReLU6)], nn.Sequential(nn.Dropout(), nn.Linear(1280, 1000))
    )


def mobilenet_v3_small():
    R, H = nn.ReLU, nn.Hardswish
    plan = [(3, 16, 16, 8, R, 2), (3, 72, 24, 0, R, 2), (3, 88, 24, 0, R, 1), (5, 96, 40, 24, H, 2)]
    plan += [(5, 240, 40, 64, H, 1), (5, 240, 40, 64, H, 1), (5, 120, 48, 32, H, 1), (5, 144, 48, 40, H, 1)]
    plan += [(5, 288, 96, 72, H, 2), (5, 576, 96, 144, H, 1), (5, 576, 96, 144, H, 1)]
    features, i = [conv(3, 16, 3, 2, act=H, eps=1e-3)], 16
    for k, wide, o, s, act, stride in plan:
        squeeze = (s, F.relu, F.hardsigmoid) if s else None
        features.append(Inverted(i, o, stride, wide, k, act, squeeze, "block", 1e-3))
        i = o
    ends = nn.Sequential(nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(), nn.Linear(1024, 1000))
    return mobile([*features, conv(96, 576, act=H, eps=1e-3)], ends)


def efficientnet_b0():
    plan = [(1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3)]
    features, i = [conv(3, 32, 3, 2, act=nn.SiLU)], 32
    for t, k, s, c, n in [*plan, (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)]:
        stage = []
        for place in range(n):
            squeeze = (max(1, i // 4), F.silu, torch.sigmoid)
            stage.append(Inverted(i, c, s if place == 0 else 1, t * i, k, nn.SiLU, squeeze, "block"))
            i = c
        features.append(nn.Sequential(*stage))
    return mobile(
        [*features, conv(320, 1280, act=nn.SiLU)], nn.Sequential(nn.Dropout(), nn.Linear(1280, 1000))
    )


class Grown(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(y).relu())], 1)


def densenet121():
    parts = {"conv0": nn.Conv2d(3, 64, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(64), "relu0": nn.ReLU()}
    parts["pool0"], c = nn.MaxPool2d(3, 2, 1), 64
    for n, count in enumerate((6, 12, 24, 16), 1):
        parts[f"denseblock{n}"] = Named(**{f"denselayer{m + 1}": Grown(c + 32 * m) for m in range(count)})
        c += 32 * count
        if n < 4:
            parts[f"transition{n}"] = Named(
                norm=nn.BatchNorm2d(c),
                relu=nn.ReLU(),
                conv=nn.Conv2d(c, c // 2, 1, bias=False),
                pool=nn.AvgPool2d(2),
            )
            c //= 2
    parts["norm5"] = nn.BatchNorm2d(c)
    return Named(
        features=Named(**parts), relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        classifier=nn.Linear(c, 1000),
    )  # fmt: skip


def basic(i, o, k=1, s=1):
    c, n, a = conv(i, o, k, s, eps=1e-3)
    return Named(conv=c, bn=n, relu=a)


class Branches(nn.Module):
    def __init__(self, i, ones, b3, threes, b5, fives, pooled):
        super().__init__()
        self.branch1 = basic(i, ones)
        self.branch2 = nn.Sequential(basic(i, b3), basic(b3, threes, 3))
        self.branch3 = nn.Sequential(basic(i, b5), basic(b5, fives, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), basic(i, pooled))

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children()], 1)


def googlenet():
    def pool(k=3):
        return nn.MaxPool2d(k, 2, ceil_mode=True)

    B = Branches
    return Named(
        conv1=basic(3, 64, 7, 2), maxpool1=pool(), conv2=basic(64, 64), conv3=basic(64, 192, 3), maxpool2=pool(),
        inception3a=B(192, 64, 96, 128, 16, 32, 32), inception3b=B(256, 128, 128, 192, 32, 96, 64), maxpool3=pool(),
        inception4a=B(480, 192, 96, 208, 16, 48, 64), inception4b=B(512, 160, 112, 224, 24, 64, 64),
        inception4c=B(512, 128, 128, 256, 24, 64, 64), inception4d=B(512, 112, 144, 288, 32, 64, 64),
        inception4e=B(528, 256, 160, 320, 32, 128, 128), maxpool4=pool(2),
        inception5a=B(832, 256, 160, 320, 32, 128, 128), inception5b=B(832, 384, 192, 384, 48, 128, 128),
        avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(1024, 1000),
    )  # fmt: skip


class Mixed(nn.Module):
    """Inception-v3's; a name that ends with b sees what the one before it saw."""

    def __init__(self, i, *branches):
        super().__init__()
        self.chains = [tuple(branch) for branch in branches]
        for branch in branches:
            width = before = i
            for name, made in branch.items():
                if name in ("mean", "max"):
                    continue
                if name.endswith("b"):
                    width = before
                o, k, s, p = (*made, *(1, 1, None)[len(made) - 1 :])
                size = k if isinstance(k, tuple) else (k, k)
                pad = tuple((length - 1) // 2 for length in size) if p is None else p
                c = nn.Conv2d(width, o, k, s, pad, bias=False)
                self.add_module(name, Named(conv=c, bn=nn.BatchNorm2d(o, 1e-3), relu=nn.ReLU()))
                before, width = width, o

    def forward(self, x):
        results = []
        for chain in self.chains:
            y = before = x
            for name in chain:
                if name.endswith("b"):
                    results.append(y)
                    y = before
                before = y
                if name == "mean":
                    y = F.avg_pool2d(y, 3, 1, 1)
                elif name == "max":
                    y = F.max_pool2d(y, 3, 2)
                else:
                    y = getattr(self, name)(y)
            results.append(y)
        return torch.cat(results, 1)


def inception_v3():
    def a(i, pooled):
        five = {"branch5x5_1": (48,), "branch5x5_2": (64, 5)}
        three = {"branch3x3dbl_1": (64,), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)}
        return Mixed(i, {"branch1x1": (64,)}, five, three, {"mean": (), "branch_pool": (pooled,)})

    def c(n):
        w, h = (1, 7), (7, 1)
        one = {"branch7x7_1": (n,), "branch7x7_2": (n, w), "branch7x7_3": (192, h)}
        two = {"branch7x7dbl_1": (n,), "branch7x7dbl_2": (n, h), "branch7x7dbl_3": (n, w)}
        two |= {"branch7x7dbl_4": (n, h), "branch7x7dbl_5": (192, w)}
        return Mixed(768, {"branch1x1": (192,)}, one, two, {"mean": (), "branch_pool": (192,)})

    def e(i):
        w, h = (384, (1, 3)), (384, (3, 1))
        one = {"branch3x3_1": (384,), "branch3x3_2a": w, "branch3x3_2b": h}
        two = {
            "branch3x3dbl_1": (448,),
            "branch3x3dbl_2": (384, 3),
            "branch3x3dbl_3a": w,
            "branch3x3dbl_3b": h,
        }
        return Mixed(i, {"branch1x1": (320,)}, one, two, {"mean": (), "branch_pool": (192,)})

    def valid(i, o, k, s=1, p=0):
        return Named(conv=nn.Conv2d(i, o, k, s, p, bias=False), bn=nn.BatchNorm2d(o, 1e-3), relu=nn.ReLU())

    b = {"branch3x3dbl_1": (64,), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3, 2, 0)}
    d = {"branch7x7x3_1": (192,), "branch7x7x3_2": (192, (1, 7)), "branch7x7x3_3": (192, (7, 1))}
    d["branch7x7x3_4"] = (192, 3, 2, 0)
    return Named(
        Conv2d_1a_3x3=valid(3, 32, 3, 2), Conv2d_2a_3x3=valid(32, 32, 3), Conv2d_2b_3x3=valid(32, 64, 3, 1, 1),
        maxpool1=nn.MaxPool2d(3, 2), Conv2d_3b_1x1=valid(64, 80, 1), Conv2d_4a_3x3=valid(80, 192, 3),
        maxpool2=nn.MaxPool2d(3, 2), Mixed_5b=a(192, 32), Mixed_5c=a(256, 64), Mixed_5d=a(288, 64),
        Mixed_6a=Mixed(288, {"branch3x3": (384, 3, 2, 0)}, b, {"max": ()}),
        Mixed_6b=c(128), Mixed_6c=c(160), Mixed_6d=c(160), Mixed_6e=c(192),
        Mixed_7a=Mixed(768, {"branch3x3_1": (192,), "branch3x3_2": (320, 3, 2, 0)}, d, {"max": ()}),
        Mixed_7b=e(1280), Mixed_7c=e(2048),
        avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(2048, 1000),
    )  # fmt: skip


class Shuffled(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.s, half = s, o // 2
        if s > 1:
            self.branch1 = nn.Sequential(*conv(i, i, 3, s, g=i, act=None), *conv(i, half))
        start = i if s > 1 else half
        self.branch2 = nn.Sequential(
            *conv(start, half), *conv(half, half, 3, s, g=half, act=None), *conv(half, half)
        )

    def forward(self, x):
        if self.s > 1:
            y = torch.cat([self.branch1(x), self.branch2(x)], 1)
        else:
            a, b = x.chunk(2, 1)
            y = torch.cat([a, self.branch2(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shufflenet_v2_x1_0():
    parts, i = {"conv1": conv(3, 24, 3, 2), "maxpool": nn.MaxPool2d(3, 2, 1)}, 24
    for stage, (o, count) in enumerate(((116, 4), (232, 8), (464, 4)), 2):
        units = [Shuffled(i, o, 2), *(Shuffled(o, o, 1) for _ in range(count - 1))]
        parts[f"stage{stage}"], i = nn.Sequential(*units), o
    return Named(
        **parts,
        conv5=conv(464, 1024),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        fc=nn.Linear(1024, 1000),
    )


class Last(nn.LayerNorm):
    """Of the channels, which come second."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Next(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layer_scale = nn.Parameter(torch.ones(c, 1, 1))
        self.block = nn.ModuleDict(
            {
                "0": nn.Conv2d(c, c, 7, padding=3, groups=c), "2": nn.LayerNorm(c, 1e-6),
                "3": nn.Linear(c, 4 * c), "5": nn.Linear(4 * c, c),
            }
        )  # fmt: skip

    def forward(self, x):
        y = self.block["2"](self.block["0"](x).permute(0, 2, 3, 1))
        y = self.block["5"](F.gelu(self.block["3"](y)))
        return x + self.layer_scale * y.permute(0, 3, 1, 2)


def convnext_tiny():
    features = [nn.Sequential(nn.Conv2d(3, 96, 4, 4), Last(96, 1e-6))]
    for n, depth in enumerate((3, 3, 9, 3)):
        c = 96 << n
        if n:
            features.append(nn.Sequential(Last(c // 2, 1e-6), nn.Conv2d(c // 2, c, 2, 2)))
        features.append(nn.Sequential(*(Next(c) for _ in range(depth))))
    ends = nn.Sequential(Last(768, 1e-6), nn.Flatten(), nn.Linear(768, 1000))
    return Named(features=nn.Sequential(*features), avgpool=nn.AdaptiveAvgPool2d(1), classifier=ends)


NETWORKS = {
    "alexnet": alexnet,
    "convnext_tiny": convnext_tiny,
    "deeplabv3_resnet50": deeplabv3_resnet50,
    "densenet121": densenet121,
    "efficientnet_b0": efficientnet_b0,
    "fcn_resnet50": fcn_resnet50,
    "googlenet": googlenet,
    "inception_v3": inception_v3,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": mobilenet_v3_small,
    "resnet18": lambda: resnet((2, 2, 2, 2), False),
    "resnet50": lambda: resnet((3, 4, 6, 3), True),
    "resnext50_32x4d": lambda: resnet((3, 4, 6, 3), True, g=32, width=4),
    "shufflenet_v2_x1_0": shufflenet_v2_x1_0,
    "squeezenet1_1": squeezenet1_1,
    "vgg11_bn": vgg11_bn,
}
