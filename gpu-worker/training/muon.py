"""Muon: momentum whose step, for a matrix, is the nearest one without preferred directions."""

import torch

import ranks

# Of the polynomial that brings all singular values near 1 in five rounds.
COEFFICIENTS = 3.4445, -4.7750, 2.0315
ROUNDS = 5
# A step is as large as AdamW's usually is, so that both take the same learning rate.
ADAMW_SIZE = 0.2


def orthogonal(matrix):
    """Nearly U V^T of the matrix's singular value decomposition, [m, n]; by Newton-Schulz rounds."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """
    For weights of linear and convolution layers, a convolution's taken as [out, in * h * w]; the rest is AdamW's.
    In float32, which torch.optim.Muon isn't: its bfloat16 takes a processor 20 times as long.
    Where several processes train together, each works out its share of the steps.
    Source: Jordan et al., 2024, https://kellerjordan.github.io/posts/muon; the step's size from Liu et al., arXiv:2502.16982.
    """

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=1e-3):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            steps = [torch.zeros_like(weight) for weight in weights]
            for index, (weight, step) in enumerate(zip(weights, steps, strict=True)):
                past = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                past.lerp_(weight.grad, 1 - group["momentum"])
                if ranks.is_mine(index):
                    ahead = weight.grad.lerp(past, group["momentum"])
                    step.copy_(orthogonal(ahead.flatten(1)).view_as(ahead) * (ADAMW_SIZE * max(ahead.flatten(1).shape) ** 0.5))
            ranks.add_up(steps)
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(weights, steps, alpha=-group["lr"])


def is_matrix(name, weight):
    """Whether Muon is for it: inner layers' matrices, not tables of embeddings, nor what takes in or puts out pictures."""
    outer = ("conv_in.", "conv_out.", "cond_embedding.", "token_embedding.", "position_embedding.")
    return weight.ndim in (2, 4) and not any(part in f".{name}" for part in outer)
