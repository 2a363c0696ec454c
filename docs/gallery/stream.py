"""Two endless streams, one harder than the other: the mixer draws more of the one whose loss is larger."""

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from l2m import StreamMixer


class Wave:
    """Points of a sine, one after the other, drawn anew for each pass."""

    def __init__(self, frequency, offset):
        self.frequency, self.offset = frequency, offset

    def __iter__(self):
        generator = np.random.default_rng(0)
        while True:
            t = 6 * generator.random(dtype=np.float32) - 3
            yield np.float32([t, self.offset]), np.float32(np.sin(self.frequency * t))


figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for rule in ("fixed", "learn2mix", "exponentiated"):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    waves = {"slow": Wave(1, 0), "fast": Wave(4, 1)}
    mixer = StreamMixer(waves, batch_size=32, rule=rule, mixing_rate=0.1, update_every=10)
    shares, errors = [], []
    loader = DataLoader(mixer, batch_size=None, collate_fn=default_collate)
    for sources, (points, values) in islice(loader, 500):
        losses = (model(points).squeeze(1) - values) ** 2
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        mixer.add(losses, sources)
        shares.append(float(mixer.proportions[1]))
        errors.append(losses[sources == 1].mean().item())
    print(
        f"{rule:13} share of the fast wave at most {max(shares):.2f}, its error at the end {np.mean(errors[-100:]):.2f}"
    )
    axes.plot(shares, label=rule)
axes.set(xlabel="step", ylabel="share of the fast wave", ylim=(0, 1))
axes.legend()
figure.savefig("stream.png", dpi=150)
