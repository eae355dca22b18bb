"""Gradient descent on matrices that are never formed: every step adds as many products as the batch has rows."""

import torch
from torch import Tensor, nn

from leadline._core.errors import UsageError
from leadline.simulate.linear import LazyLinear, Update


class LazySGD(torch.optim.SGD):
    r"""Stochastic gradient descent for networks with ``LazyLinear`` layers, exact at any width.

    The gradient of a weight is $\sum_i \delta_i x_i^\top$ over the samples $x_i$ and the gradients $\delta_i$ that
    reached their outputs. Whatever momentum $\mu$ and decay $\lambda$ are, the weight and its momentum buffer stay

    $$W_t = a_t W_0 + \sum_i u_i\, \delta_i x_i^\top, \qquad V_t = c_t W_0 + \sum_i v_i\, \delta_i x_i^\top ,$$

    with the pairs of all steps so far: $v \leftarrow \mu v + \lambda u$, $c \leftarrow \mu c + \lambda a$, a new pair
    enters with $v_i = 1$, then $u \leftarrow u - \eta v$ and $a \leftarrow a - \eta c$. So $T$ steps of $n$ samples
    take $O(d\,n\,T)$ memory, and each product $O(d\,n\,(nT))$ time. The losses are those of a dense network that
    starts from the same $W_0$, to rounding; after about $d/n$ steps a dense one is cheaper.

    Other parameters are stepped as by ``torch.optim.SGD``. What divides each entry of a gradient by a size of its own,
    as Adam does, or clips entries, leaves the span of the pairs: such steps have no short form and are not offered.
    ``step`` uses up the gradients noted since the one before.

    Args:
        model: The network; all its lazy layers note their gradients from now on.
        lr: Learning rate $\eta$.
        momentum: Factor $\mu$ on the buffer.
        weight_decay: Factor $\lambda$ on the weights that is added to the gradient.

    Raises:
        UsageError: If the network has no lazy layer.

    Source:
        leadline: derived in the documentation (Explanation, Random matrices on demand).

    Example:
        >>> from leadline.simulate import LazyLinear
        >>> net = nn.Sequential(LazyLinear(4, 20_000, seed=0), nn.ReLU(), LazyLinear(20_000, 1, seed=1))
        >>> optimiser = LazySGD(net, lr=3e-4, momentum=0.5)
        >>> x = torch.eye(4)
        >>> losses = []
        >>> for _ in range(20):
        ...     loss = (net(x) - x[:, :1]).square().mean()
        ...     loss.backward()
        ...     optimiser.step()
        ...     optimiser.zero_grad()
        ...     losses.append(loss.item())
        >>> losses[-1] < 1e-3 * losses[0]
        True
    """

    def __init__(self, model: nn.Module, *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.layers = [module for module in model.modules() if isinstance(module, LazyLinear)]
        if not self.layers:
            raise UsageError(f"This {type(model).__name__} has no lazy layer; train it with torch.optim.SGD.")
        self._momenta: dict[LazyLinear, tuple[float, Tensor]] = {}
        # As a group, which unlike a list may be empty.
        group = {"params": list(model.parameters())}
        super().__init__([group], lr=lr, momentum=momentum, weight_decay=weight_decay)
        for layer in self.layers:
            layer.record_weight_grad()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every layer and parameter that got a gradient.

        Args:
            closure: Not taken.
        """
        super().step()
        for layer in self.layers:
            if layer.weight_grads:
                self._step_weight(layer, layer.weight_grads)
                layer.weight_grads = []

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, of weights and parameters.

        Args:
            set_to_none: As in torch.
        """
        super().zero_grad(set_to_none)
        for layer in self.layers:
            layer.weight_grads = []

    def _step_weight(self, layer: LazyLinear, noted: list[tuple[Tensor, Tensor]]) -> None:
        grads, rows = (torch.cat(each) for each in zip(*noted, strict=True))
        rate, decay, factor = (self.param_groups[0][name] for name in ("lr", "weight_decay", "momentum"))
        now = layer.update or Update.nothing(grads, rows)
        kept_momentum, momenta = self._momenta.get(layer, (0.0, torch.zeros_like(now.factors)))
        kept_momentum = factor * kept_momentum + decay * now.kept
        momenta = torch.cat([factor * momenta + decay * now.factors, grads.new_ones(len(grads))])
        factors = torch.cat([now.factors, grads.new_zeros(len(grads))])
        layer.update = Update(
            kept=now.kept - rate * kept_momentum,
            factors=factors - rate * momenta,
            left=torch.cat([now.left, grads]),
            right=torch.cat([now.right, rows]),
        )
        self._momenta[layer] = kept_momentum, momenta
