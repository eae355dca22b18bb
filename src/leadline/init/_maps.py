"""Which numbers of a model are linear maps, and how its parameters hold them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from leadline._core.errors import UsageError
from leadline.init._setting import check_settable, set_weight, source

# How a parameter holds the values (maps, outputs, inputs, *kernel).
Layout = Literal["rows", "columns", "heads", "transposed"]

# Names under which projections to queries, keys and values lie in one weight, one below the other.
_FUSED = {"c_attn", "qkv", "Wqkv", "qkv_proj", "in_proj"}
# The same, but with queries, keys and values of a head together (GPT-NeoX, BLOOM, Falcon).
_FUSED_BY_HEAD = {"query_key_value"}
_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """One parameter as the linear maps that it holds.

    Attributes:
        name: Dotted name of the parameter, empty for a lone tensor.
        parameter: What holds the numbers; for a weight that is made of other parameters the value that is made.
        maps: How many independent maps lie in it: groups of a convolution, 3 for fused queries, keys and values.
        outputs: Outputs of one map.
        inputs: Inputs of one map.
        kernel: Places of the kernel along each axis; empty for a matrix.
        stride: Stride along each axis.
        dilation: Dilation along each axis.
        layout: How ``parameter`` orders the values.
        heads: Attention heads, where queries, keys and values lie together by head.
        owner: The module of a weight that is made of other parameters, and its name there.
    """

    name: str
    parameter: Tensor
    maps: int
    outputs: int
    inputs: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    layout: Layout = "rows"
    heads: int = 1
    owner: tuple[nn.Module, str] | None = None

    @property
    def transposed(self) -> bool:
        """Whether this is the adjoint of a convolution."""
        return self.layout == "transposed"

    @property
    def fan_in(self) -> float:
        """Inputs that an output sums over; the mean over outputs for a transposed convolution with stride."""
        places = math.prod(self.kernel) / (math.prod(self.stride) if self.transposed else 1)
        return self.inputs * places

    @property
    def fan_out(self) -> float:
        """Outputs that an input feeds; the mean over inputs for a convolution with stride."""
        places = math.prod(self.kernel) / (1 if self.transposed else math.prod(self.stride))
        return self.outputs * places

    @property
    def dtype(self) -> torch.dtype:
        """The precision to compute in: at least float32."""
        return torch.promote_types(self.parameter.dtype, torch.float32)

    def part(self, value: Tensor, index: int | None) -> Tensor:
        """The view of one of the maps, or of all, in ``value``, which is ordered as the parameter is."""
        if index is None:
            return value
        match self.layout:
            case "columns":
                return value.unflatten(1, (self.maps, -1))[:, index]
            case "heads":
                return value.unflatten(0, (self.heads, self.maps, -1))[:, index]
            case _:
                return value.unflatten(0, (self.maps, -1))[index]

    def store(self, values: Tensor) -> None:
        """Put ``values`` of shape (maps, outputs, inputs, *kernel) where they belong."""
        arranged = self._arranged(values)
        if self.owner is not None:
            set_weight(*self.owner, arranged.to(self.parameter))
        elif (mesh := getattr(self.parameter, "device_mesh", None)) is not None:
            self.parameter.copy_(_sharded(arranged.to(self.parameter.dtype), self.parameter, mesh))
        else:
            self.parameter.copy_(arranged)

    def _arranged(self, values: Tensor) -> Tensor:
        shape = self.parameter.shape
        match self.layout:
            case "rows":
                return values.reshape(shape)
            case "columns":
                return values.flatten(0, 1).T
            case "heads":
                return values.unflatten(1, (self.heads, -1)).transpose(0, 1).reshape(shape)
            case "transposed":
                return values.transpose(1, 2).reshape(shape)


def _sharded(values: Tensor, parameter: Any, mesh: Any) -> Tensor:
    """``values`` of the first rank, cut as ``parameter`` is: shards drawn apart would repeat or not be orthogonal."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(values.to(parameter.device), mesh, parameter.placements)


def linear_maps(target: Any, *, embeddings: bool = False) -> list[LinearMap]:
    """The linear maps of ``target`` that can be trained, each once, in the order of ``modules()``.

    A weight that an embedding shares counts as an embedding. Of a model weights without entries are left out, as of no
    inputs, and complex ones.

    Raises:
        UsageError: If ``target`` is neither a module nor a float tensor of two axes or more, or has no values yet.
    """
    if isinstance(target, nn.Module):
        found = list(_of_model(target, embeddings=embeddings))
    elif isinstance(target, Tensor):
        found = [_of_tensor(target)]
    else:
        raise UsageError(f"`target` must be a module or a tensor, got {type(target).__name__}.")
    for entry in found:
        if entry.parameter.is_meta:
            raise UsageError(
                f"`{entry.name}` lies on the meta device, without values: call `to_empty(device=…)` on the model first."
            )
    return [entry for entry in found if entry.parameter.numel() > 0]


def settable_maps(target: Any, *, embeddings: bool = False) -> list[LinearMap]:
    """``linear_maps``, where all of them can be given values.

    Raises:
        UsageError: As for ``linear_maps``, or if something makes one of the weights anew at every call.
    """
    found = linear_maps(target, embeddings=embeddings)
    for entry in found:
        if entry.owner is not None:
            check_settable(*entry.owner)
    return found


def _of_tensor(tensor: Tensor) -> LinearMap:
    if tensor.ndim < 2 or not tensor.is_floating_point():
        raise UsageError(
            f"A weight has the shape (outputs, inputs, *kernel) and a float dtype, got {tuple(tensor.shape)} of "
            f"{tensor.dtype}."
        )
    kernel = tuple(tensor.shape[2:])
    ones = (1,) * len(kernel)
    return LinearMap(
        name="", parameter=tensor, maps=1, outputs=tensor.shape[0], inputs=tensor.shape[1],
        kernel=kernel, stride=ones, dilation=ones,
    )  # fmt: skip


def _of_model(model: nn.Module, *, embeddings: bool) -> Iterator[LinearMap]:
    tables = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}
    seen = set() if embeddings else tables
    parents = {id(child): parent for parent in model.modules() for child in parent.children()}
    for path, module in model.named_modules():
        for key, numbers in _weights_of(module, path.rpartition(".")[2], parents.get(id(module))).items():
            behind = source(module, key)
            if id(behind) in seen or not behind.requires_grad or behind.is_complex():
                continue
            seen.add(id(behind))
            weight = getattr(module, key)
            owner = (module, key) if behind is not weight else None
            name = f"{path}.{key}" if path else key
            if is_lazy(weight):
                raise UsageError(f"`{name}` has no shape yet: run a batch through the model first.")
            yield LinearMap(name=name, parameter=weight, owner=owner, **numbers)


def _weights_of(module: nn.Module, name: str, parent: nn.Module | None) -> dict[str, dict[str, Any]]:
    """Attribute -> fields of its ``LinearMap``, for every weight that ``module`` itself holds."""
    if isinstance(module, nn.Linear):
        return {"weight": _projection(module.out_features, module.in_features, name, parent)}
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):  # transformers: a linear layer, weight transposed
        inputs, outputs = cast(Tensor, module.weight).shape
        return {"weight": _projection(outputs, inputs, name, None) | {"layout": "columns"}}
    if isinstance(module, _ConvNd):
        return {"weight": convolution(module)}
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module)
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return {"weight": {"maps": 1, "outputs": module.num_embeddings, "inputs": module.embedding_dim}}
    return {}


def _projection(outputs: int, inputs: int, name: str, parent: nn.Module | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"maps": 1, "outputs": outputs, "inputs": inputs}
    if outputs != 3 * inputs:
        return fields
    if name in _FUSED:
        return fields | {"maps": 3, "outputs": inputs}
    heads = _heads_of(parent)
    if name in _FUSED_BY_HEAD and heads is not None:
        return fields | {"maps": 3, "outputs": inputs, "layout": "heads", "heads": heads}
    return fields


def _heads_of(attention: nn.Module | None) -> int | None:
    """How many heads an attention module says that it has, itself or in its config."""
    said = (getattr(place, key, None) for place in (attention, getattr(attention, "config", None)) for key in _HEADS)
    return next((count for count in said if isinstance(count, int)), None)


def convolution(module: _ConvNd) -> dict[str, Any]:
    """The fields of a convolution's ``LinearMap``."""
    return {
        "maps": module.groups,
        "outputs": module.out_channels // module.groups,
        "inputs": module.in_channels // module.groups,
        "kernel": tuple(module.kernel_size),
        "stride": tuple(module.stride),
        "dilation": tuple(module.dilation),
        "layout": "transposed" if isinstance(module, _ConvTransposeNd) else "rows",
    }


def _attention(module: nn.MultiheadAttention) -> dict[str, dict[str, Any]]:
    width = module.embed_dim
    if module.in_proj_weight is not None:
        return {"in_proj_weight": {"maps": 3, "outputs": width, "inputs": width}}
    return {
        "q_proj_weight": {"maps": 1, "outputs": width, "inputs": width},
        "k_proj_weight": {"maps": 1, "outputs": width, "inputs": module.kdim},
        "v_proj_weight": {"maps": 1, "outputs": width, "inputs": module.vdim},
    }
