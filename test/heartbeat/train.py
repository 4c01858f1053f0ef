"""Train the built-in heartbeat classifier and write its weights as npz.

    go run ./test/heartbeat/gen -o heartbeats.npz
    python3 test/heartbeat/train.py heartbeats.npz internal/zoo/heartbeat.npz

Needs PyTorch and numpy. The data are synthetic: not for medical use.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

# Blocks of the network: output channels and stride of each depthwise separable
# convolution after the stem. internal/zoo builds the same graph.
STEM = 32
BLOCKS = [(64, 1), (64, 1), (96, 2), (96, 1), (96, 2)]
KERNEL = 7
CLASSES = 5


class Unit(nn.Module):
    """Convolution, batch normalization, ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Heartbeat(nn.Module):
    def __init__(self):
        super().__init__()
        units = [("stem", Unit(1, STEM, KERNEL, 2))]
        channels = STEM
        for i, (outputs, stride) in enumerate(BLOCKS, 1):
            units.append((f"block{i}_depthwise", Unit(channels, channels, KERNEL, stride, channels)))
            units.append((f"block{i}_pointwise", Unit(channels, outputs, 1)))
            channels = outputs
        self.units = nn.ModuleDict(units)
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x):
        for unit in self.units.values():
            x = unit(x)
        return self.fc(x.mean(2))

    def arrays(self):
        """The weights under the names that internal/zoo reads."""
        out = {}
        for name, unit in self.units.items():
            out[f"{name}.weight"] = unit.conv.weight
            out[f"{name}.scale"] = unit.bn.weight
            out[f"{name}.bias"] = unit.bn.bias
            out[f"{name}.mean"] = unit.bn.running_mean
            out[f"{name}.var"] = unit.bn.running_var
        out["fc.weight"] = self.fc.weight
        out["fc.bias"] = self.fc.bias
        return {k: np.ascontiguousarray(v.detach().numpy(), np.float32) for k, v in out.items()}


@torch.no_grad()
def predict(model, x):
    model.eval()
    return torch.cat([model(part) for part in x.split(500)])


def report(logits, y):
    """Accuracy in percent and the confusion matrix, a row per true class."""
    guess = logits.argmax(1)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for t, p in zip(y.tolist(), guess.tolist()):
        confusion[t, p] += 1
    return 100 * (guess == y).float().mean().item(), confusion


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("weights")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    data = {k: torch.from_numpy(v) for k, v in np.load(args.data).items()}
    x, y = data["x_train"], data["y_train"]
    model = Heartbeat()
    steps = -(-len(x) // args.batch)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, args.epochs * steps, pct_start=0.2)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    best, arrays = 0.0, {}
    for epoch in range(1, args.epochs + 1):
        began = time.time()
        model.train()
        total = 0.0
        for pick in torch.randperm(len(x)).split(args.batch):
            optimizer.zero_grad()
            loss = loss_of(model(x[pick]), y[pick])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        accuracy, _ = report(predict(model, data["x_valid"]), data["y_valid"])
        print(f"epoch {epoch}: loss {total / steps:.4f}, validation {accuracy:.2f} %, {time.time() - began:.0f} s", flush=True)
        if accuracy > best:
            best, arrays = accuracy, {k: v.copy() for k, v in model.arrays().items()}
            state = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    accuracy, confusion = report(predict(model, data["x_test"]), data["y_test"])
    print(f"test {accuracy:.2f} % of {len(data['y_test'])}\n{confusion.numpy()}")
    np.savez(args.weights, **arrays)


if __name__ == "__main__":
    main()
