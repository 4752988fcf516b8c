"""SimCLR over processes: `torchrun --nproc-per-node 2 examples/ddp.py`.

Each process has its own images; `group="world"` makes the loss that of the whole batch, with exact gradients. At the end KCL's
local mode is compared: each process takes its own rows alone and nothing is exchanged. The expectation is the same where rows are
independent; where batch normalization takes the statistics of a process's own batch they are not, and it is another.
"""

import riesz.torch
import torch
import torch.distributed as dist
from simclr import AUGMENT, encoder, images


def two_views(pictures, batch):
    chosen = pictures[torch.randint(len(pictures), (batch,))]
    return torch.cat([torch.stack([AUGMENT(picture) for picture in chosen]) for _ in range(2)])


@torch.no_grad()
def local_mode(net, pictures, batch, batches=30):
    """KCL of whole batches, and the mean over processes of KCL of their own rows."""
    whole, local = riesz.torch.KCLLoss(group="world"), riesz.torch.KCLLoss(group=None)
    found = []
    for _ in range(batches):
        z1, z2 = net(two_views(pictures, batch)).chunk(2)
        mean = local(z1, z2) / dist.get_world_size()
        dist.all_reduce(mean)
        found.append([whole(z1, z2), mean])
    return torch.tensor(found).T


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
        loss = criterion(*net(two_views(pictures, batch)).chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 10 == 0:
            print(f"step {step}: loss of {count * batch} images {loss.item():.4f}", flush=True)

    # All processes with the same encoder, and images of all.
    for buffer in net.buffers():
        dist.broadcast(buffer, 0)
    pictures = images("train")
    for name, training in (("fixed statistics", False), ("statistics of each process", True)):
        net.module.train(training)
        whole, local = local_mode(net.module, pictures, batch)
        off = local - whole
        error = off.std() / off.numel() ** 0.5
        if rank == 0:
            print(f"KCL, {name}: {whole.mean():.4f}, without exchange {local.mean():.4f}", end="; ")
            print(
                f"difference {off.mean():.4f} with standard error {error:.4f} over {off.numel()} batches",
                flush=True,
            )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
