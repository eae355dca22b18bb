"""Run by torchrun on two processes: initialise a sharded model, and print what rank 0 finds."""

import torch
from torch import nn
from torch.distributed import barrier, destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from leadline.init import gaussian, haar

if __name__ == "__main__":
    init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    rank = mesh.get_rank()
    model = fully_shard(nn.Sequential(nn.Linear(32, 32)), mesh=mesh)
    # Different seeds a rank: only what rank 0 draws may count.
    haar(model, generator=torch.Generator().manual_seed(rank))
    orthogonal = model[0].weight.full_tensor()
    gaussian(model, generator=torch.Generator().manual_seed(0))
    normal = model[0].weight.full_tensor()
    alone = haar(torch.empty(32, 32), generator=torch.Generator().manual_seed(0))
    if rank == 0:
        print("defect", (orthogonal @ orthogonal.T - torch.eye(32)).abs().max().item())
        print("alone", torch.equal(orthogonal, alone))
        print("halves", torch.equal(orthogonal[:16], orthogonal[16:]))
        print("rank", torch.linalg.matrix_rank(normal).item())
    barrier()  # who leaves first must not cut the other off
    destroy_process_group()
