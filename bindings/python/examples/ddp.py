"""SimCLR over processes: `torchrun --nproc-per-node 2 examples/ddp.py`.

Each process has its own images; `group="world"` makes the loss that of the whole batch, with exact gradients. At the end KCL's
local mode is compared: each process takes its own rows alone, nothing is exchanged, and the expectation is the same.
"""

import riesz.torch
import torch
import torch.distributed as dist
from simclr import AUGMENT, encoder, images


def main(steps=40, batch=64):
    dist.init_process_group("gloo")
    rank, count = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    torch.manual_seed(rank)
    pictures = images("train")[rank::count]
    net = torch.nn.parallel.DistributedDataParallel(encoder())
    criterion = riesz.torch.DHELLoss(temperature=0.3, group="world", exchange="ring")
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    for step in range(steps):
        chosen = pictures[torch.randint(len(pictures), (batch,))]
        views = torch.cat([torch.stack([AUGMENT(picture) for picture in chosen]) for _ in range(2)])
        loss = criterion(*net(views).chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 10 == 0:
            print(f"step {step}: loss of {count * batch} images {loss.item():.4f}", flush=True)

    # KCL: the mean over processes of the local loss has the expectation of the global one.
    whole = riesz.torch.KCLLoss(group="world")
    local = riesz.torch.KCLLoss(group=None)
    found = torch.zeros(2, 30)
    with torch.no_grad():
        for i in range(found.shape[1]):
            chosen = pictures[torch.randint(len(pictures), (batch,))]
            views = torch.cat([torch.stack([AUGMENT(picture) for picture in chosen]) for _ in range(2)])
            z1, z2 = net.module(views).chunk(2)
            mean = local(z1, z2) / count
            dist.all_reduce(mean)
            found[0, i], found[1, i] = whole(z1, z2), mean
    if rank == 0:
        off = found[1] - found[0]
        error = off.std() / off.numel() ** 0.5
        print(f"KCL of whole batches {found[0].mean():.4f}; of local ones {found[1].mean():.4f}", end="; ")
        print(f"difference {off.mean():.4f} with standard error {error:.4f} over {off.numel()} batches")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
