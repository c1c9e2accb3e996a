"""Prints the expected values in the tests of src/optimizer.rs: five steps of torch.optim.AdamW, a matrix and a vector.

    python trainer/tests/adamw_reference.py     (torch 2.15.0, float32 on the CPU)
"""
import numpy as np
import torch


def gradients(step):
    i = np.arange(6)
    values = (np.sin((i + 1).astype(np.float32) * np.float32(0.7) + np.float32(step) * np.float32(1.3))
              * np.float32(0.5) ** (i % 3)).astype(np.float32)
    return torch.tensor(values[:4]).reshape(2, 2), torch.tensor(values[4:])


def run(decay_vectors):
    matrix = torch.nn.Parameter(torch.tensor([[0.5, -1.25], [2.0, 0.125]]))
    vector = torch.nn.Parameter(torch.tensor([1.0, -0.75]))
    groups = [{"params": [matrix], "weight_decay": 0.1},
              {"params": [vector], "weight_decay": 0.1 if decay_vectors else 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98), eps=1e-6)
    for step in range(5):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (step + 1)
        matrix.grad, vector.grad = gradients(step)
        optimizer.step()
    return torch.cat([matrix.detach().flatten(), vector.detach()]).tolist()


for name, decay_vectors in [("TORCH_DECAY_ALL", True), ("TORCH_DECAY_MATRICES", False)]:
    values = ", ".join(repr(round(value, 8)) for value in run(decay_vectors))
    print(f"const {name}: [f64; 6] = [{values}];")
