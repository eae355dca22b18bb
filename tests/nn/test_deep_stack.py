"""A stack computes what its layers compute: values, gradients, running moments; and says what it cannot hold."""

import copy
import gc
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import leadline
from leadline._core.errors import UsageError
from leadline._core.randomness import seeded
from leadline.nn import BatchNorm1d, DeepStack, FractionalBatchNorm1d, GainedActivation, Sin, mlp
from leadline.nn.stack.activations import pair

DEPTH, WIDTH, BATCH = 12, 10, 24
DOUBLE = torch.float64

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity, "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.3), "tanh": nn.Tanh, "sin": Sin,
    "sigmoid": nn.Sigmoid, "gelu": nn.GELU, "gelu-tanh": lambda: nn.GELU("tanh"), "silu": nn.SiLU,
    "softplus": nn.Softplus, "falling": lambda: nn.LeakyReLU(-0.5),
    "gained": lambda: GainedActivation(nn.Tanh(), 0.7), "gained-gelu": lambda: GainedActivation(nn.GELU(), 0.7),
    "gained-leaky": lambda: GainedActivation(nn.LeakyReLU(0.3), 0.7),
    "gained-down": lambda: GainedActivation(nn.LeakyReLU(0.3), -0.7),
    "shaped-leaky": lambda: leadline.shape(nn.LeakyReLU(0.3), 20),
    "shaped-tanh": lambda: leadline.shape(nn.Tanh(), 20), "shaped-relu": lambda: leadline.shape(nn.ReLU(), 20),
    "shaped-gelu": lambda: leadline.shape(nn.GELU(), 20), "shaped-sin": lambda: leadline.shape(Sin(), 20),
    "shaped-identity": lambda: leadline.shape(nn.Identity(), 20),
    "shaped-softplus": lambda: leadline.shape(nn.Softplus(), 20),
}  # fmt: skip
NORMS: dict[str, Callable[[], nn.Module | None]] = {
    "none": lambda: None,
    "batch": lambda: nn.BatchNorm1d(WIDTH),
    "plain": lambda: nn.BatchNorm1d(WIDTH, affine=False, track_running_stats=False),
    "mean-of-all": lambda: nn.BatchNorm1d(WIDTH, momentum=None),
    "ours": lambda: BatchNorm1d(WIDTH),
    "of-n": lambda: BatchNorm1d(WIDTH, running_ddof=0),
    "by-batch": lambda: BatchNorm1d(WIDTH, evaluate_with="batch"),
    "fractional": lambda: FractionalBatchNorm1d(WIDTH, alpha=0.3),
    "whole": lambda: FractionalBatchNorm1d(WIDTH, alpha=0.0, affine=False),
}


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Both ways through the layers; the second is the only one on a GPU and without Numba."""
    if request.param == "torch":
        monkeypatch.setattr("leadline.nn.stack.deep_stack.fits", lambda like: False)


def network(norm: str, activation: str, *, bias: bool = False, dtype: torch.dtype = DOUBLE) -> nn.Sequential:
    generator, blocks = torch.Generator().manual_seed(0), []
    for _ in range(DEPTH):
        with seeded(0):
            linear, middle = nn.Linear(WIDTH, WIDTH, bias=bias), NORMS[norm]()
        with torch.no_grad():
            for parameter in [*linear.parameters(), *([] if middle is None else middle.parameters())]:
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        blocks.append(nn.Sequential(linear, *([] if middle is None else [middle]), ACTIVATIONS[activation]()))
    return nn.Sequential(*blocks).to(dtype)


def batch(dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(1), dtype=dtype)


def grads(layers: nn.Sequential) -> dict[str, Tensor]:
    """Of all layers of one kind, stacked as a stack has them."""
    found: dict[str, Tensor] = {"weight": torch.stack([b[0].weight.grad for b in layers])}
    if layers[0][0].bias is not None:
        found["shift"] = torch.stack([b[0].bias.grad for b in layers])
    elif getattr(layers[0][1], "weight", None) is not None:
        found["scale"] = torch.stack([b[1].weight.grad for b in layers])
        found["shift"] = torch.stack([b[1].bias.grad for b in layers])
    return found


def compare(norm: str, activation: str, *, bias: bool = False, segment: int | str | None = None) -> None:
    layers = network(norm, activation, bias=bias)
    stack = DeepStack(layers, segment=segment)
    target = batch().flip(0)
    for _ in range(2):
        mine, theirs = batch().requires_grad_(), batch().requires_grad_()
        a, b = stack(mine), layers(theirs)
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11)
        (a * target).sum().backward()
        (b * target).sum().backward()
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-8, atol=1e-10)
    for name, expected in grads(layers).items():
        assert torch.allclose(getattr(stack, name).grad, expected, rtol=1e-8, atol=1e-10), name
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        if getattr(stack, name) is not None:
            expected = torch.stack([getattr(block[1], name) for block in layers])
            assert torch.allclose(getattr(stack, name).double(), expected.double(), rtol=1e-10), name
    assert torch.allclose(stack.eval()(batch()), layers.eval()(batch()), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("norm", NORMS)
def test_every_normalisation_computes_what_the_layers_do(norm, way):
    compare(norm, "tanh")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_does(activation, way):
    compare("batch", activation)


@pytest.mark.parametrize("segment", [None, 1, 2, 5])
@pytest.mark.parametrize("activation", ["relu", "identity", "gelu"])
def test_biases_without_a_normalisation_do(activation, segment):
    compare("none", activation, bias=True, segment=segment)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ["identity", "relu", "shaped-gelu"])
def test_values_without_gradients_are_the_same(norm, activation, way):
    layers = network(norm, activation)
    stack = DeepStack(layers)
    with torch.no_grad():
        assert torch.allclose(stack(batch()), layers(batch()), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("segment", [1, 5, DEPTH, 100, "root"])
@pytest.mark.parametrize("norm", ["batch", "fractional"])
def test_what_is_computed_again_is_the_same(norm, segment, way):
    compare(norm, "shaped-gelu", segment=segment)


@pytest.mark.parametrize("norm", ["batch", "fractional", "whole"])
def test_gradients_are_those_of_differences(norm):
    stack, direction = DeepStack(network(norm, "tanh")[:4]), batch().flip(0)[:6]
    x = batch()[:6].requires_grad_()
    (stack(x) * direction).sum().backward()
    tensors = {"x": x, **dict(stack.named_parameters())}
    for name, tensor in tensors.items():
        step = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor.add_(step, alpha=sign * 1e-6)
                values.append((stack(x) * direction).sum().item())
                tensor.add_(step, alpha=-sign * 1e-6)
        assert (values[0] - values[1]) / 2e-6 == pytest.approx((tensor.grad * step).sum().item(), rel=1e-6), name


def test_steps_of_an_optimiser_lead_to_the_same_weights():
    layers = network("batch", "leaky")
    stack = DeepStack(layers)
    updates = [torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9) for m in (layers, stack)]
    for _ in range(5):
        for model, update in zip((layers, stack), updates, strict=True):
            update.zero_grad()
            model(batch()).square().mean().backward()
            update.step()
    assert torch.allclose(stack.weight, torch.stack([b[0].weight for b in layers]), rtol=1e-8)


def test_gradients_that_somebody_holds_are_not_written_over():
    stack = DeepStack(network("batch", "tanh"))
    stack(batch()).sum().backward()
    held = stack.weight.grad.detach()
    copied = held.clone()
    stack.zero_grad()
    stack(2 * batch()[:8]).square().sum().backward()
    assert torch.equal(held, copied) and not torch.equal(stack.weight.grad, copied)


def test_gradients_add_up_where_they_are_not_cleared():
    stack = DeepStack(network("batch", "tanh"))
    stack(batch()).square().sum().backward()
    once = stack.weight.grad.clone()
    stack(batch()).square().sum().backward()
    assert torch.allclose(stack.weight.grad, 2 * once)


def test_memory_of_a_gradient_is_used_again_where_nobody_holds_it():
    stack = DeepStack(network("batch", "tanh"))
    places = set()
    for _ in range(3):
        stack.zero_grad()
        gc.collect()
        stack(batch()).sum().backward()
        places.add(stack.weight.grad.data_ptr())
    assert len(places) == 1


def test_two_calls_may_wait_for_their_backward():
    layers = network("batch", "gelu")
    stack = DeepStack(layers)
    a, b = stack(batch()), stack(batch().flip(1))
    (a.square().sum() + 2 * b.square().sum()).backward()
    (layers(batch()).square().sum() + 2 * layers(batch().flip(1)).square().sum()).backward()
    assert torch.allclose(stack.weight.grad, grads(layers)["weight"], rtol=1e-8, atol=1e-10)


def test_a_second_backward_of_one_call_is_told():
    value = DeepStack(network("batch", "tanh"))(batch()).sum()
    value.backward(retain_graph=True)
    with pytest.raises(UsageError, match="goes back once a call"):
        value.backward()


def test_without_gradients_nothing_is_kept():
    stack = DeepStack(network("batch", "tanh"))
    with torch.no_grad():
        y = stack(batch())
    assert not y.requires_grad and stack._pool._free.key[:2] == (2, 2)


def test_root_segments_keep_less():
    tensors = {}
    for segment in (None, "root"):
        stack = DeepStack(network("batch", "tanh"), segment=segment)
        stack(batch())
        passage_depth = 0 if stack._pool._free is None else stack._pool._free.key[0]
        tensors[segment] = passage_depth
    assert tensors == {None: 0, "root": 4}


def test_layers_are_modules_on_the_same_memory():
    net = network("fractional", "shaped-tanh")
    stack = DeepStack(net)
    layers = stack.layers()
    assert torch.allclose(layers(batch()), net(batch()))
    layers[3][0].weight.data.mul_(2)
    net[3][0].weight.data.mul_(2)
    assert torch.equal(stack.weight[3], net[3][0].weight)
    assert torch.allclose(stack.eval()(batch()), layers.eval()(batch()))
    found = leadline.profile(layers.train(), batch(), layers="leaves")
    assert len(found.layers) == 3 * DEPTH


def test_a_multilayer_perceptron_takes_one():
    net = mlp(WIDTH, 3, depth=6, width=WIDTH, norm="batch", seed=0)
    expected = copy.deepcopy(net)(batch(torch.float32))
    net.blocks = nn.Sequential(net.blocks[0], DeepStack(net.blocks[1:]))
    assert torch.allclose(net(batch(torch.float32)), expected, atol=1e-5)


def test_it_is_copied_saved_and_loaded():
    stack = DeepStack(network("batch", "shaped-relu"))
    stack(batch()).sum().backward()
    twin = copy.deepcopy(stack)
    again = pickle.loads(pickle.dumps(DeepStack(network("batch", "tanh"))))
    again.load_state_dict(DeepStack(network("batch", "tanh")).state_dict())
    assert torch.equal(twin(batch()), stack(batch())) and again(batch()).shape == (BATCH, WIDTH)
    assert set(stack.state_dict()) == {"weight", "scale", "shift", "running_mean", "running_var", "num_batches_tracked"}


def test_another_dtype_and_another_batch_are_no_trouble():
    stack = DeepStack(network("batch", "tanh"))
    stack(batch()).sum().backward()
    stack.zero_grad()
    stack.float()
    y = stack(batch(torch.float32)[:7])
    y.sum().backward()
    assert y.dtype == stack.weight.grad.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_of_a_step_has_the_same_gradients():
    stack = DeepStack(network("batch", "tanh", dtype=torch.float32)).cuda()
    x = batch(torch.float32).cuda().requires_grad_()
    stack(x).square().sum().backward()
    expected = stack.weight.grad.clone()
    stack.zero_grad()
    graphed = torch.cuda.make_graphed_callables(stack, (x,))
    graphed(x).square().sum().backward()
    assert torch.allclose(stack.weight.grad, expected, rtol=1e-4, atol=1e-6)


def test_every_pair_has_the_derivative_of_its_module():
    for name, make in ACTIVATIONS.items():
        module = make()
        x = torch.linspace(-3, 3, 41, dtype=DOUBLE).reshape(1, -1)
        given = x.clone().requires_grad_()
        expected = module(given)
        expected.backward(torch.full_like(x, 2.0))
        value, kept = pair(module).forward(x.clone(), torch.empty_like(x))
        assert torch.allclose(value, expected.detach(), atol=1e-12), name
        assert torch.allclose(pair(module).backward(torch.full_like(x, 2.0), kept), given.grad, atol=1e-12), name


def test_lines_and_slopes_are_those_of_the_module():
    x = torch.tensor([[-1.3, 0.7]], dtype=DOUBLE)
    bent, sloped = set(), set()
    for name, make in ACTIVATIONS.items():
        module, given = pair(make()), x.clone().requires_grad_()
        expected = make()(given)
        expected.sum().backward()
        if module.bend is not None:
            above, below, lift = module.bend
            assert torch.allclose(
                torch.where(x > 0, x.new_tensor(above), x.new_tensor(below)) * x + lift, expected.detach(), atol=1e-12
            ), name
            bent.add(name)
        if module.slope is not None:
            above, below, first, second = module.slope
            value = x.clone()
            module.forward(value, torch.empty_like(x))
            t = torch.zeros_like(x) if module.bend is not None else value
            slope = torch.where(x > 0, x.new_tensor(above), x.new_tensor(below)) + t * (first + t * second)
            assert torch.allclose(slope, given.grad, atol=1e-12), name
            sloped.add(name)
    assert bent == {"identity", "relu", "leaky", "gained-leaky", "shaped-leaky", "shaped-relu", "shaped-identity"}
    assert sloped - bent == {"tanh", "sigmoid", "gained", "shaped-tanh"}


def orthogonal(depth: int, activation: nn.Module, *, width: int = WIDTH) -> nn.Sequential:
    blocks = []
    with seeded(0):
        for _ in range(depth):
            linear = nn.Linear(width, width, bias=False, dtype=DOUBLE)
            nn.init.orthogonal_(linear.weight)
            norm = FractionalBatchNorm1d(width, alpha=0.3).double()
            with torch.no_grad():
                norm.weight.uniform_(0.8, 1.2)
                norm.bias.normal_(0, 0.1)
            blocks.append(nn.Sequential(linear, norm, activation))
    return nn.Sequential(*blocks)


@pytest.mark.parametrize("activation", ["identity", "leaky", "shaped-relu", "gained-leaky"])
def test_layers_that_are_undone_have_the_same_gradients(activation, way):
    layers, found = orthogonal(30, ACTIVATIONS[activation]()), {}
    for segment in (None, "reverse"):
        stack, x = DeepStack(layers, segment=segment), batch().requires_grad_()
        for _ in range(2):
            (stack(x) * batch().flip(0)).sum().backward()
        found[segment] = [x.grad, stack.weight.grad, stack.scale.grad, stack.shift.grad, stack.running_var]
    for a, b in zip(*found.values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-8)


def test_undone_layers_keep_moments_alone():
    kept = {}
    for segment in (None, "root", "reverse"):
        stack = DeepStack(orthogonal(100, nn.Identity()), segment=segment)
        x = torch.randn(200, WIDTH, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
        stack(x).sum().backward()
        kept[segment] = sum(
            t.untyped_storage().nbytes() for t in {t.data_ptr(): t for t in stack._pool._free._whole}.values()
        )
    assert kept["reverse"] < kept["root"] / 2 < kept[None] / 10


def test_weights_that_cannot_be_undone_are_told():
    stack = DeepStack(network("batch", "leaky"), segment="reverse")
    with pytest.raises(UsageError, match=r"an input that is [0-9.]+% off: the weights are not orthogonal.*retract\(\)"):
        stack(batch().requires_grad_()).sum().backward()
    stack = DeepStack(orthogonal(5, nn.Identity()), segment="reverse")
    with torch.no_grad():
        stack.scale[2, 1] = 0
    with pytest.raises(UsageError, match="an input that is nan% off.*a scale is zero"):
        stack(batch().requires_grad_()).sum().backward()
    for norm, activation in (("batch", "tanh"), ("batch", "relu"), ("none", "leaky")):
        with pytest.raises(UsageError, match="takes a normalisation and activations of two rising lines"):
            DeepStack(network(norm, activation), segment="reverse")


def test_diverged_numbers_are_no_error_when_layers_are_undone():
    stack, x = DeepStack(orthogonal(5, nn.Identity()), segment="reverse"), batch()
    x[0, 0] = torch.inf
    stack(x.requires_grad_()).sum().backward()
    assert stack.weight.grad.isnan().all()


def test_retracted_weights_train_on():
    stack = DeepStack(orthogonal(20, nn.LeakyReLU(0.9)), segment="reverse")
    optimiser = torch.optim.SGD(stack.parameters(), lr=0.05)
    optimiser.register_step_post_hook(lambda *_: stack.retract())
    losses, target = [], batch().flip(0)
    for _ in range(40):
        optimiser.zero_grad()
        loss = (stack(batch()) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    gram = stack.weight.detach().mT @ stack.weight.detach()
    assert float((gram - torch.eye(WIDTH)).abs().max()) < 1e-4 and losses[-1] < 0.7 * losses[0]


def test_weights_that_are_far_off_are_not_retracted():
    stack = DeepStack(network("batch", "tanh"))
    with pytest.raises(UsageError, match="nearly orthogonal; those of layer"):
        stack.retract()


class OnlyInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() if self.training else x


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([], "at least 2 layers; got 0"),
        ([nn.ReLU()], "begins with a linear map; got ReLU"),
        ([nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 5)], r"4 wide throughout; layer 1 maps \(4, 5\)"),
        ([nn.Linear(4, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 4)], "got Linear, ReLU, Dropout"),
        ([nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False)], "layer 1 differs"),
        ([nn.Linear(4, 4), nn.Linear(4, 4, bias=False)], "have a bias or none"),
        ([nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4)], "has no effect"),
        ([nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 4)], "have no parameters"),
        ([nn.Linear(4, 4), nn.Dropout(0.01), nn.Linear(4, 4)], r"Dropout\(p=0.01, .*\) in layer 0 draws random"),
        (
            [nn.Linear(4, 4), nn.Linear(4, 4), nn.AlphaDropout()],
            r"AlphaDropout.* in layer 1 draws random numbers\. Keep",
        ),
        ([nn.Linear(4, 4), nn.RReLU(inplace=True), nn.Linear(4, 4)], "RReLU.* draws random numbers"),
        ([nn.Linear(4, 4), GainedActivation(nn.RReLU(), 0.5), nn.Linear(4, 4)], "draws random numbers"),
        (
            [nn.Linear(4, 4), OnlyInTraining(), nn.Linear(4, 4)],
            r"OnlyInTraining\(\) in layer 0 computes something else",
        ),
        (list(mlp(4, 2, depth=3, width=4, skip=1.0).blocks), "has no skips"),
        (
            [nn.Linear(4, 4, bias=False), BatchNorm1d(4, centre=False)] * 2,
            "with its mean; got BatchNorm1d",
        ),
    ],
)
def test_what_is_no_stack_is_told(layers, sentence):
    with pytest.raises(UsageError, match=sentence):
        DeepStack(layers)


def test_wrong_calls_are_told():
    stack = DeepStack(network("batch", "tanh"))
    with pytest.raises(UsageError, match="10 features in torch.float64"):
        stack(batch(torch.float32))
    with pytest.raises(UsageError, match="at least 2 samples"):
        stack(batch()[:1])
    with pytest.raises(UsageError, match="segment is a number of layers"):
        DeepStack(network("batch", "tanh"), segment="half")
