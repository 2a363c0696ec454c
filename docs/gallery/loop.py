"""Three ways to draw the batches of one training loop, on handwritten digits of which five are rare."""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, RandomSampler, WeightedRandomSampler

from l2m import GroupLosses, Learn2MixBatchSampler

pixels, digits = load_digits(return_X_y=True)
pixels, digits = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits)
few = [5, 6, 7, 8, 9] + [1000] * 5  # of the digits 0 to 4, and all of the others
kept = torch.cat([(digits[:1200] == digit).nonzero().flatten()[: few[digit]] for digit in range(10)])
x, y = pixels[kept], digits[kept]
weights = 1 / torch.bincount(y)[y]
torch.manual_seed(0)
ways = {
    "shuffled": BatchSampler(RandomSampler(y), 32, drop_last=True),
    "WeightedRandomSampler": BatchSampler(WeightedRandomSampler(weights, len(y)), 32, drop_last=True),
    "Learn2MixBatchSampler": Learn2MixBatchSampler(y, batch_size=32, mixing_rate=0.1),
}
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for name, batches in ways.items():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    optimizer, group_losses = torch.optim.Adam(model.parameters()), GroupLosses(10)
    recalls, rare_shares = [], []
    for _ in range(25):
        for batch in batches:
            losses = cross_entropy(model(x[batch]), y[batch], reduction="none")
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            group_losses.add(losses, y[batch])
        means = group_losses.end_epoch()
        if isinstance(batches, Learn2MixBatchSampler):
            rare_shares.append(float(batches.proportions[:5].sum()))
            batches.update(*means)
        right = model(pixels[1200:]).argmax(1) == digits[1200:]
        recalls.append(float(right[digits[1200:] < 5].float().mean()))
    print(f"{name:22} recall of the rare digits {recalls[-1]:.2f}, after 10 epochs {recalls[9]:.2f}")
    axes[0].plot(range(1, 26), recalls, label=name)
axes[1].plot(range(1, 26), rare_shares, color="C2")
print(f"their share of a batch: {rare_shares[0]:.2f} in the first epoch, {rare_shares[-1]:.2f} in the last")
axes[0].set(xlabel="epoch", ylabel="recall of the rare digits", ylim=(0, 1))
axes[1].set(xlabel="epoch", ylabel="their share of a batch", ylim=(0, 1))
axes[0].legend(fontsize="small", loc=(0.4, 0.2))
figure.savefig("loop.png", dpi=150)
