"""Times training steps of a network in PyTorch: the witness of train-speed.sh.

One step is forward pass, cross-entropy, backward pass and a step of SGD with momentum, on
the same random batch every time. Prints one line of JSON.
"""
import argparse
import json
import resource
import time

import torch
from torch.nn import functional as F

from train_networks import mobilenetv2, resnet20


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", choices=["resnet20", "mobilenetv2-0.5"], default="resnet20")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--channels-last", action="store_true", help="keep images and weights channels-last")
    a = p.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    model = resnet20() if a.model == "resnet20" else mobilenetv2(0.5)
    x, label = torch.randn(a.batch, 3, 32, 32), torch.randint(0, 10, (a.batch,))
    if a.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    model.train()
    times = []
    for _ in range(a.runs + 1):
        start = time.perf_counter()
        sgd.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), label)
        loss.backward()
        sgd.step()
        value = loss.item()
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({
        "model": a.model, "step_ms_min": min(times[1:]), "loss": value,
        "parameters": sum(w.numel() for w in model.parameters()),
        "peak_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))


main()
