"""Real PyTorch DistributedDataParallel over gloo, on two moons: what runs here runs on GPUs with nccl."""

import json
import math
import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

EPOCHS = int(os.environ.get("EPOCHS", "60"))
BATCH = int(os.environ.get("BATCH", "64"))  # over all ranks


def moons(count, generator, noise=0.15):
    """Returns points on two interleaved half circles, and which of the two each is on."""
    label = torch.arange(count) % 2
    angle = math.pi * torch.rand(count, generator=generator)
    side = 1 - 2 * label
    x = torch.stack([label + side * torch.cos(angle), 0.5 * label + side * torch.sin(angle)], dim=1)
    return x + noise * torch.randn(count, 2, generator=generator), label.float()


def main():
    gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if gpu else "gloo")  # env://: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    generator = torch.Generator().manual_seed(3)
    x, y = moons(512, generator)
    held_x, held_y = moons(512, generator)
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)).to(device)
    model = DistributedDataParallel(network)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(len(x), generator=generator)  # the same on all ranks
        for start in range(0, len(x), BATCH):
            mine = order[start : start + BATCH][rank::world]
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x[mine].to(device)).squeeze(1), y[mine].to(device))
            loss.backward()
            optimizer.step()
        if rank == 0 and (epoch % 10 == 0 or epoch == EPOCHS):
            with torch.no_grad():
                hits = ((network(held_x.to(device)).squeeze(1) > 0).float().cpu() == held_y).float().mean().item()
            metrics = [{"name": "loss", "value": round(loss.item(), 4)}, {"name": "accuracy", "value": round(hits, 4)}]
            print(json.dumps({"metrics": metrics, "progressPercentage": 100 * epoch // EPOCHS}), flush=True)
    dist.destroy_process_group()
    print(f"rank {rank} of {world} done", flush=True)


if __name__ == "__main__":
    main()
