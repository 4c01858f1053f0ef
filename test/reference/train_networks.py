"""Networks of the witnesses of training, in PyTorch: as those of zoo for ten classes."""
from torch import nn
from torch.nn import functional as F


def conv(cin, cout, kernel, stride=1, groups=1):
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)


class Basic(nn.Module):
    """Two 3x3 convolutions around an identity or a 1x1 projection."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.a, self.na = conv(cin, cout, 3, stride), nn.BatchNorm2d(cout)
        self.b, self.nb = conv(cout, cout, 3), nn.BatchNorm2d(cout)
        self.short = None
        if stride != 1 or cin != cout:
            self.short = nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.na(self.a(x)), inplace=True)
        y = self.nb(self.b(y))
        return F.relu(y + (x if self.short is None else self.short(x)), inplace=True)


def resnet20():
    layers = [conv(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    cin = 16
    for width, first in ((16, 1), (32, 2), (64, 2)):
        for stride in (first, 1, 1):
            layers.append(Basic(cin, width, stride))
            cin = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, 10))


class Inverted(nn.Module):
    """Expansion, depthwise convolution, projection, and an identity where shapes allow it."""

    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        wide, layers = cin * expand, []
        if expand != 1:
            layers += [conv(cin, wide, 1), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)]
        layers += [conv(wide, wide, 3, stride, wide), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)]
        layers += [conv(wide, cout, 1), nn.BatchNorm2d(cout)]
        self.body, self.identity = nn.Sequential(*layers), stride == 1 and cin == cout

    def forward(self, x):
        return x + self.body(x) if self.identity else self.body(x)


def mobilenetv2(width, dropout=0.0):
    """The form for images of 32x32, in which the first three halvings are left out."""

    def scaled(c):
        n = max(8, int(c * width + 4) // 8 * 8)
        return n + 8 if n < 0.9 * c * width else n

    cin = scaled(32)
    layers = [conv(3, cin, 3), nn.BatchNorm2d(cin), nn.ReLU6(inplace=True)]
    for expand, c, n, stride in ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(n):
            layers.append(Inverted(cin, scaled(c), stride if i == 0 else 1, expand))
            cin = scaled(c)
    last = max(1280, scaled(1280))
    layers += [conv(cin, last, 1), nn.BatchNorm2d(last), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(last, 10))
