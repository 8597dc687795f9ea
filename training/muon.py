"""Muon for hidden weight matrices, convolutions as (out, rest), its work shared between processes.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. `torch.optim.Muon` takes only plain
matrices and repeats the whole orthogonalisation in every process.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from training.precision import training_dtype

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


@torch.no_grad()
def orthogonalised(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Roughly the nearest matrix with orthonormal rows or columns (Newton-Schulz)."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(training_dtype())
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum (Nesterov), scaled so that tall matrices move as far as wide ones.

    Gradients must already be the same in all processes; updates then are, too.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float = 0.015, momentum: float = 0.95
    ) -> None:
        by_size = sorted(parameters, key=lambda parameter: -parameter.numel())
        super().__init__(by_size, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter from its gradient."""
        together = dist.is_initialized()
        rank, processes = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        for group in self.param_groups:
            updates = [
                self._update(parameter, group["momentum"], own=index % processes == rank)
                for index, parameter in enumerate(group["params"])
            ]
            flat = torch.cat([update.flatten() for update in updates])
            if together:
                dist.all_reduce(flat)
            start = 0
            for parameter in group["params"]:
                update = flat[start : start + parameter.numel()].view(parameter.shape)
                parameter.add_(update, alpha=-group["lr"])
                start += parameter.numel()

    def _update(self, parameter: nn.Parameter, momentum: float, *, own: bool) -> Tensor:
        """The parameter's update, or zeros where another process computes it."""
        gradient = parameter.grad
        if gradient is None:
            raise RuntimeError("Muon needs a gradient for every parameter; got None.")
        state = self.state[parameter]
        average = state.setdefault("momentum", torch.zeros_like(parameter))
        average.lerp_(gradient, 1 - momentum)
        if not own:
            return torch.zeros_like(parameter)
        ahead = gradient.lerp(average, momentum).reshape(parameter.shape[0], -1)
        stretch = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
        return (orthogonalised(ahead) * stretch).reshape(parameter.shape)
