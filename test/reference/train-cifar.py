"""Trains a network on CIFAR-10 in PyTorch as recipes/MODEL-cifar10.yaml has Edgewise do it:
the same data, number of epochs, optimizer, schedule, variation and first weights' spread.

    python3 train-cifar.py mobilenetv2-0.35 FOLDER --epochs 12 --rate 0.2 --decay 1e-4

FOLDER holds train.tar.gz and test.tar.gz, pictures in a folder for each class. Needs PyTorch,
numpy and Pillow. Prints a line of JSON after each epoch.
"""
import argparse
import io
import json
import math
import tarfile
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from train_networks import mobilenetv2, resnet20


def pictures(path):
    """Returns pixels as uint8 [N, 3, H, W] and labels by the sorted order of folders."""
    names, data = [], []
    with tarfile.open(path) as tar:
        for m in tar:
            if m.isfile() and m.name.lower().endswith((".jpg", ".jpeg", ".png")):
                names.append(m.name.split("/")[-2])
                data.append(np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")))
    classes = sorted(set(names))
    return torch.from_numpy(np.stack(data)).permute(0, 3, 1, 2).contiguous(), torch.tensor([classes.index(n) for n in names])


def he_normal(model):
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            fan = m.weight[0].numel()
            nn.init.normal_(m.weight, 0, math.sqrt(2 / fan))
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 1 / math.sqrt(3 * m.in_features))
            nn.init.zeros_(m.bias)


def varied(x, generator, margin=4):
    """Flips every other picture and moves each by up to margin pixels; what comes into view is 0."""
    n, _, h, w = x.shape
    flip = torch.rand(n, generator=generator) < 0.5
    x = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
    x = F.pad(x, (margin,) * 4)
    down, right = (torch.randint(0, 2 * margin + 1, (2, n), generator=generator)).tolist()
    return torch.stack([x[i, :, r:r + h, c:c + w] for i, (r, c) in enumerate(zip(down, right))])


def one_cycle(step, total, peak=0.3, first=1 / 25):
    at = step / (total - 1)
    if at < peak:
        return first + (1 - first) * (1 - math.cos(math.pi * at / peak)) / 2
    return (1 + math.cos(math.pi * (at - peak) / (1 - peak))) / 2


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model", choices=["resnet20", "mobilenetv2-0.35"])
    p.add_argument("folder")
    p.add_argument("--epochs", type=int, required=True)
    p.add_argument("--rate", type=float, required=True)
    p.add_argument("--decay", type=float, required=True)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    x, y = pictures(a.folder + "/train.tar.gz")
    xt, yt = pictures(a.folder + "/test.tar.gz")
    whole = x.float() / 255
    mean, std = whole.mean((0, 2, 3), keepdim=True), whole.std((0, 2, 3), keepdim=True)
    del whole
    normal = lambda v: ((v.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
    model = resnet20() if a.model == "resnet20" else mobilenetv2(0.35, dropout=0.2)
    he_normal(model)
    model = model.to(memory_format=torch.channels_last)
    weights = [w for w in model.parameters() if w.dim() > 1]
    others = [w for w in model.parameters() if w.dim() == 1]
    sgd = torch.optim.SGD([{"params": weights, "weight_decay": a.decay}, {"params": others}], lr=a.rate, momentum=0.9, nesterov=True)
    steps = len(x) // a.batch
    g = torch.Generator().manual_seed(a.seed)
    for epoch in range(a.epochs):
        start, total = time.time(), 0.0
        model.train()
        order = torch.randperm(len(x), generator=g)
        for k in range(steps):
            for group in sgd.param_groups:
                group["lr"] = a.rate * one_cycle(epoch * steps + k, a.epochs * steps)
            i = order[k * a.batch:(k + 1) * a.batch]
            sgd.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(varied(normal(x[i]), g)), y[i])
            loss.backward()
            sgd.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            right = sum((model(normal(xt[i:i + 500])).argmax(1) == yt[i:i + 500]).sum().item() for i in range(0, len(xt), 500))
        print(json.dumps({"epoch": epoch + 1, "loss": total / steps, "test_accuracy": right / len(xt), "seconds": time.time() - start}), flush=True)


main()
