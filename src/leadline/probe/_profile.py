"""The public function: what a batch shows of a model, layer by layer, forward and backward."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from leadline._core.checks import check_whole
from leadline._core.errors import UsageError
from leadline._core.names import check_choice
from leadline._core.profile import Profile
from leadline._core.randomness import seeded
from leadline.probe._pass import Settings, one_pass
from leadline.probe.inputs import Batch, as_batch
from leadline.probe.select import Layers
from leadline.probe.subsets import halves


def profile(
    model: nn.Module | Callable[[], nn.Module],
    inputs: Any,
    targets: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
    layers: Layers = "blocks",
    effort: Literal["standard", "full"] = "standard",
    rows: int | None = None,
    draws: int = 8,
    seed: int = 0,
) -> Profile:
    """What a batch shows of a model, layer by layer, on its way forward and back.

    The model runs as it is: unedited, in the mode, device and dtype it is in. It is left as it was, hooks, buffers,
    random state and ``.grad`` included, also after an exception in it.

    Args:
        model: Any module, also inside ``DataParallel`` or ``torch.compile``; or a factory that returns one, for
            intervals over draws of the weights.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments, or any other one argument that holds
            tensors, as a packed sequence or a list. Samples lie along the first axis.
        targets: What the loss compares with. Integers mean cross entropy (token logits are flattened), floats mean
            square error, of the outputs' ``logits`` where they have such an attribute or key; without targets their own
            ``loss`` counts or, where there is none, the product of all float outputs with one fixed random direction
            of unit length, so that gradients need no labels.
        loss: ``loss(outputs, targets)``, a scalar, in place of these. The outputs are given as the model returns them.
        layers: ``"blocks"``: the innermost repeated units and the leaves with parameters outside them; ``"leaves"``:
            all modules without modules inside; one or more fnmatch patterns on dotted names; or a predicate
            ``layers(name, module)``. ``leadline.probe.select`` says what a repeated unit is.
        effort: ``"standard"`` is one forward and one backward pass and at most one more forward; ``"full"`` adds, for
            a single instance, passes over random halves of the batch, so that intervals are over batches too.
        rows: Rows at most that spectra are taken of, evenly spaced; by default 64, and 32 of more than 40 layers.
            ``leadline.probe.rows`` says how a tensor becomes rows.
        draws: Instances that are asked of a factory, and passes of full effort.
        seed: Seed of the weights of a factory, of the random direction and of the halves.

    Returns:
        The profile. With a factory it is that of the first instance, with the others' in ``draws``. Numbers that
        overflow or diverge are measured like any other and do not raise.

    Raises:
        UsageError: If the batch is empty or does not fit the model (with the module that refused it), if the model
            has no parameters, no layer that could be watched (TorchScript, exported and quantised modules, weights
            used by functions alone) or an output without gradient, or an argument has a wrong value.

    Example:
        >>> import leadline, torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> found = leadline.profile(net, torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
        >>> [(layer.name, layer.shape, layer.parts) for layer in found.layers]
        [('0', (16, 8), ('Linear', 'ReLU')), ('2', (16, 3), ('Linear',))]
    """
    if not callable(model):
        raise UsageError(f"model must be a torch.nn.Module or a function that returns one; got {type(model).__name__}.")
    check_choice("effort", effort, ("standard", "full"))
    if rows is not None and not (isinstance(rows, int) and rows >= 2):
        raise UsageError(f"rows must be at least 2 and a whole number, so that rows can be told apart; got {rows!r}.")
    check_whole("draws", draws, least=1)
    check_whole("seed", seed)
    if loss is not None and not callable(loss):
        raise UsageError(f"loss must be a function loss(outputs, targets) that returns a scalar; got {loss!r}.")
    if not (callable(layers) or (isinstance(layers, (str, Sequence)) and layers)):
        raise UsageError(
            "layers must be 'blocks', 'leaves', patterns on dotted names or a predicate, "
            f"and not an empty list or word; got {layers!r}."
        )
    batch = as_batch(inputs, targets, model)
    settings = Settings(targets=targets, loss=loss, layers=layers, rows=rows, seed=seed)
    if not isinstance(model, nn.Module):
        passes = [one_pass(drawn, batch, settings) for drawn in _drawn(model, draws, seed)]
        return replace(passes[0], effort=effort, draws=tuple(passes[1:]), draws_over="draws" if passes[1:] else "")
    whole = replace(one_pass(model, batch, settings), effort=effort)
    if effort == "standard":
        return whole
    return _with_halves(whole, model, batch, settings, count=draws)


def _drawn(factory: Callable[[], nn.Module], draws: int, seed: int) -> Iterator[nn.Module]:
    if not callable(factory):
        raise UsageError(
            f"model must be a torch.nn.Module or a function that returns one; got {type(factory).__name__}."
        )
    for draw in range(draws):
        with seeded(seed + draw):
            model = factory()
        if not isinstance(model, nn.Module):
            raise UsageError(f"The factory must return a torch.nn.Module; got {type(model).__name__}.")
        yield model


def _with_halves(whole: Profile, model: nn.Module, batch: Batch, settings: Settings, *, count: int) -> Profile:
    if batch.size < 4:
        note = f"Full effort adds passes over halves of the batch; {batch.size} samples are too few to halve."
        return replace(whole, notes=(*whole.notes, note))
    if batch.packed:
        note = "Full effort adds passes over halves of the batch; a packed sequence is not halved."
        return replace(whole, notes=(*whole.notes, note))
    passes = [
        one_pass(model, half, replace(settings, targets=targets, seed=settings.seed + i))
        for i, (half, targets) in enumerate(halves(batch, settings.targets, count=count, seed=settings.seed), start=1)
    ]
    note = f"Intervals are over {count} random halves of the batch, with the weights as they are."
    return replace(whole, draws=tuple(passes), draws_over="batches", notes=(*whole.notes, note))
