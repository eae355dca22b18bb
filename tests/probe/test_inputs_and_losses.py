"""Forms of inputs, choice of the loss, and what a batch that does not fit is answered with."""

from collections import OrderedDict, UserDict
from dataclasses import dataclass
from inspect import unwrap
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tests.architectures import ResNet, build, made
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import leadline
from leadline import metrics
from leadline._core.errors import UsageError
from leadline._core.randomness import kept_rng


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.layer(x) * scale


def net(outputs: int = 3) -> nn.Module:
    return made(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, outputs)))


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(6, 4, generator=generator)


def test_tuples_are_positional_and_dicts_are_keywords(x: Tensor):
    scale = torch.full((6, 1), 2.0)
    positional = leadline.profile(made(Two), (x, scale))
    assert leadline.profile(made(Two), {"scale": scale, "x": x}).layers == positional.layers


def test_a_batch_encoding_is_a_mapping():
    transformers = pytest.importorskip("transformers")
    model, inputs, _ = build("gpt2")
    encoding = transformers.BatchEncoding(inputs)
    assert leadline.profile(model, encoding).loss == leadline.profile(model, inputs).loss


class Reads(nn.Module):
    """A recurrent layer over sequences of different lengths, and a head on what it ends in."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 5), nn.Linear(5, 2)

    def forward(self, sequences: PackedSequence) -> Tensor:
        return self.head(self.rnn(sequences)[1][0][-1])


class ReadsOn(Reads):
    def forward(self, sequences: PackedSequence) -> Tensor:
        return self.head(pad_packed_sequence(self.rnn(sequences)[0], batch_first=True)[0])


def packed(lengths: list[int], generator: torch.Generator) -> PackedSequence:
    padded = torch.randn(max(lengths), len(lengths), 4, generator=generator)
    return pack_padded_sequence(padded, lengths, enforce_sorted=False)


def test_a_packed_sequence_is_one_argument(generator: torch.Generator):
    given = packed([3, 6, 2], generator)
    profile = leadline.profile(made(Reads), given, torch.tensor([0, 1, 0]))
    assert profile.batch == 3 and profile.repeated == 0
    assert (profile["rnn"].shape, profile["rnn"].rows) == ((11, 5), "positions")
    assert (profile["head"].shape, profile["head"].rows) == ((3, 2), "samples")
    assert leadline.profile(made(Reads), {"sequences": given}, torch.tensor([0, 1, 0])).layers == profile.layers


def test_positions_of_packed_sequences_are_not_taken_for_samples(generator: torch.Generator):
    profile = leadline.profile(made(Reads), packed([4, 4, 4], generator))
    assert (profile["rnn"].shape, profile["rnn"].rows, profile["rnn"].n) == ((12, 5), "positions", 12)


def test_padding_behind_packed_sequences_is_no_token(generator: torch.Generator):
    given, model = packed([3, 6], generator), made(ReadsOn)
    found = leadline.profile(model, given)["head"].token_effective_rank
    whole = model(given).detach().double()
    expected = [float(metrics.effective_rank(whole[0, :3])), float(metrics.effective_rank(whole[1]))]
    assert found == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_packed_sequences_are_not_halved(generator: torch.Generator):
    profile = leadline.profile(made(Reads), packed([3, 6, 2, 2], generator), effort="full")
    assert profile.draws == () and any("a packed sequence is not halved" in note for note in profile.notes)


class Point(NamedTuple):
    x: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Sample:
    x: Tensor
    scale: float


class TakesSample(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, sample: Sample) -> Tensor:
        assert isinstance(sample, Sample) and sample.x.requires_grad
        return self.layer(sample.x) * sample.scale


def test_other_containers_are_what_they_look_like(x: Tensor):
    scale = torch.full((6, 1), 2.0)
    keywords = {"x": x, "scale": scale}
    expected = leadline.profile(made(Two), (x, scale)).layers
    for given in (Point(x, scale), UserDict(keywords), OrderedDict(keywords), MappingProxyType(keywords)):
        assert leadline.profile(made(Two), given).layers == expected
    sampled = leadline.profile(made(TakesSample), Sample(x, 2.0))
    assert sampled.batch == 6 and sampled.inputs is not None and sampled.inputs.grad_norm > 0


def test_records_among_the_arguments_keep_their_type():
    transformers = pytest.importorskip("transformers")
    record = transformers.modeling_outputs.BaseModelOutput

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, encoded: Any) -> Tensor:
            assert isinstance(encoded, record) and encoded.last_hidden_state.requires_grad
            return self.layer(encoded.last_hidden_state)

    given = record(last_hidden_state=torch.ones(2, 3, 4))
    profile = leadline.profile(made(Head), {"encoded": given})
    assert profile.inputs is not None and profile.inputs.grad_norm > 0
    assert not given.last_hidden_state.requires_grad


def test_a_scalar_before_the_batch_does_not_count_as_it(x: Tensor):
    class Scales(Two):
        def forward(self, scale: Tensor, x: Tensor) -> Tensor:
            return super().forward(x, scale)

    profile = leadline.profile(made(Scales), (torch.tensor(2.0), x))
    twin = leadline.profile(made(Two), (x, torch.tensor(2.0)))
    assert profile.batch == 6 and profile.layers == twin.layers and profile.inputs == twin.inputs


def test_integer_targets_mean_cross_entropy(x: Tensor):
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    profile = leadline.profile(net(), x, y)
    assert (profile.loss_kind, profile.loss) == (
        "cross_entropy",
        pytest.approx(float(F.cross_entropy(net()(x), y).detach())),
    )


def test_float_targets_mean_square_error(x: Tensor):
    y = torch.ones(6, 3)
    profile = leadline.profile(net(), x, y)
    assert (profile.loss_kind, profile.loss) == ("mse", pytest.approx(float(F.mse_loss(net()(x), y).detach())))


def test_float_targets_without_the_last_axis_fit_one_output(x: Tensor):
    assert leadline.profile(net(1), x, torch.ones(6)).loss_kind == "mse"


def test_a_loss_of_ones_own_gets_what_the_model_returns(x: Tensor):
    seen = []

    def loss(outputs: Any, targets: Any) -> Tensor:
        seen.append((outputs, targets))
        return outputs["pair"][1].sum()

    model, inputs, _ = build("tuple_outputs")
    profile = leadline.profile(model, inputs, "anything", loss=loss)
    assert profile.loss_kind == "custom"
    assert seen[0][0].keys() == {"ids", "pair", "none"} and seen[0][1] == "anything"
    assert profile.unused == ("a",)


def test_the_models_own_loss_counts_without_targets():
    model, inputs, _ = build("gpt2")
    profile = leadline.profile(model.eval(), inputs)
    assert (profile.loss_kind, profile.loss) == ("model", pytest.approx(float(model(**inputs).loss.detach())))


class Named(nn.Module):
    """Returns a dict in which what it is trained by does not stand first."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.a, self.b, self.name = nn.Linear(4, 8), nn.Linear(8, 3), name

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.a(x)
        out = self.b(hidden)
        return {"hidden": hidden, self.name: out if self.name == "logits" else out.square().mean()}


def test_the_logits_of_a_mapping_meet_the_loss(x: Tensor):
    with kept_rng():
        model = Named("logits")
    y = torch.arange(len(x)) % 3
    profile = leadline.profile(model, x, y)
    assert profile.loss == pytest.approx(float(F.cross_entropy(model(x)["logits"], y).detach()))
    assert profile.unused == () and profile.outputs.shape[1:] == (3,)


def test_the_loss_of_a_mapping_is_the_models_own(x: Tensor):
    with kept_rng():
        model = Named("loss")
    profile = leadline.profile(model, x)
    assert (profile.loss_kind, profile.loss) == ("model", pytest.approx(float(model(x)["loss"].detach())))


def test_token_logits_are_flattened():
    model, inputs, _ = build("gpt2")
    ids = inputs.pop("labels")
    expected = F.cross_entropy(model.eval()(**inputs).logits.detach().flatten(0, 1), ids.flatten())
    assert leadline.profile(model, inputs, ids).loss == pytest.approx(float(expected), rel=1e-5)


def test_classes_lie_along_axis_one_of_segmentation_maps():
    model, x, y = build("unet")
    expected = F.cross_entropy(model(x).detach(), y)
    assert leadline.profile(model, x, y).loss == pytest.approx(float(expected), rel=1e-5)


def test_without_targets_the_gradient_of_all_float_outputs_has_unit_length(x: Tensor):
    profile = leadline.profile(net(), x)
    assert profile.loss_kind == "cotangent"
    assert profile.outputs is not None and profile.outputs.grad_norm == pytest.approx(1.0, rel=1e-5)
    model, inputs, _ = build("tuple_outputs")
    pair = leadline.profile(model, inputs)
    assert pair["a"].grad_norm ** 2 + pair["b"].grad_norm ** 2 == pytest.approx(1.0, rel=1e-5)


def test_the_direction_comes_from_the_seed(x: Tensor):
    first, same, other = (leadline.profile(net(), x, seed=seed)["0"].grad_norm for seed in (0, 0, 1))
    assert first == same != other


def test_time_first_is_told_by_the_module_or_by_the_targets(generator: torch.Generator):
    x = torch.randn(7, 3, 4, generator=generator)
    own = leadline.profile(made(lambda: nn.LSTM(4, 5)), x)
    assert (own.batch, own.layers[0].n, own.layers[0].d) == (3, 3, 35)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(4, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][-1])

    assert leadline.profile(made(Last), x, torch.tensor([0, 1, 0])).batch == 3
    assert leadline.profile(made(Last), x).batch == 7


def test_padding_is_left_out_of_tokens_and_zero_in_samples():
    model, inputs, y = build("bert")
    model.eval()
    profile = leadline.profile(model, inputs, y)
    padded = dict(inputs, input_ids=inputs["input_ids"].clone())
    padded["input_ids"][1, 5:] = 7  # other words where nothing is looked at
    other = leadline.profile(model, padded, y)
    for name in ("bert.embeddings.word_embeddings", "bert.encoder.layer.1"):
        for metric in ("token_effective_rank", "token_mean_square_cosine", "effective_rank", "mean_square_cosine"):
            assert getattr(other[name], metric) == pytest.approx(getattr(profile[name], metric), rel=1e-4), metric


def test_tokens_are_the_positions_of_one_sequence(generator: torch.Generator):
    model, x = made(lambda: nn.Linear(5, 7)), torch.randn(2, 9, 5, generator=generator)
    layer = leadline.profile(model, x).layers[0]
    expected = [float(metrics.effective_rank(model(sequence).detach().double())) for sequence in x]
    assert layer.token_effective_rank == pytest.approx(sum(expected) / 2, rel=1e-6)
    assert (layer.rows, layer.n, layer.d) == ("samples", 2, 63)


def test_maps_have_no_tokens():
    profile = leadline.profile(*build("conv1d"))
    assert not any("token_effective_rank" in layer.metrics for layer in profile.layers)


def test_a_table_without_samples_has_rows_of_positions():
    model, inputs, _ = build("gpt2")
    layer = leadline.profile(model, inputs)["transformer.wpe"]
    assert (layer.shape, layer.rows, layer.n, layer.d) == ((1, 8, 16), "positions", 8, 16)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.ones(2, 4, 8, 8), r"^conv1 \(Conv2d\) refused its input of shape \(2, 4, 8, 8\): Given groups=1"),
        (torch.ones(2, 3), r"^conv1 \(Conv2d\) refused its input of shape \(2, 3\): "),
        (torch.ones(2, 3, 8, 8).int(), r"^conv1 \(Conv2d\) refused"),
        ((torch.ones(2, 3, 8, 8),) * 2, r"^The model \(ResNet\) refused its input of shapes \(2, 3, 8, 8\), \(2, 3"),
        ({"images": torch.ones(2, 3, 8, 8)}, "unexpected keyword argument 'images'"),
        (torch.ones(0, 3, 8, 8), r"The batch is empty: its first tensor has shape \(0, 3, 8, 8\)"),
        (3.0, "inputs must be a tensor, a tuple of positional arguments or a dict of keywords; got float"),
        ([1, 2], "got list without any tensor"),
        (np.ones((2, 4)), r"got an array \(ndarray\): convert it with torch.as_tensor"),
        ({"x": np.ones((2, 4))}, r"got an array \(ndarray\): convert it with torch.as_tensor"),
        (iter([torch.ones(2, 4)]), "got list_iterator without any tensor: pass one batch of it"),
        (torch.eye(4).to_sparse(), "inputs must be dense tensors; got a nested or sparse one"),
    ],
)
def test_a_batch_that_does_not_fit_is_answered_with_who_refused_it(inputs: Any, message: str):
    model = made(ResNet)
    with pytest.raises(UsageError, match=message) as error:
        leadline.profile(model, inputs)
    assert "\n" not in str(error.value)


def test_the_innermost_module_is_the_one_that_refused():
    model = made(ResNet)
    model.layer3[1].conv2 = made(lambda: nn.Conv2d(5, 8, 3))
    with pytest.raises(UsageError, match=r"^layer3\.1\.conv2 \(Conv2d\) refused its input of shape \(2, 8, 2, 2\)"):
        leadline.profile(model, torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 1]), r"Integer targets of shape \(2,\) do not fit the output \(6, 3\)"),
        (torch.tensor([0, 1, 2, 3, 0, 0]), "The target 3 is no class: the output has 3, counted from 0"),
        (torch.ones(6, 4), r"Targets of shape \(6, 4\) do not fit the output \(6, 3\)"),
    ],
)
def test_targets_that_do_not_fit_are_an_error(targets: Tensor, message: str, x: Tensor):
    with pytest.raises(UsageError, match=message):
        leadline.profile(net(), x, targets)


def test_a_loss_that_is_no_scalar_is_an_error(x: Tensor):
    with pytest.raises(UsageError, match=r"must return a scalar tensor with a gradient; got shape \(6, 3\)"):
        leadline.profile(net(), x, loss=lambda output, _: output)
    with pytest.raises(UsageError, match="got float"):
        leadline.profile(net(), x, loss=lambda output, _: 1.0)  # type: ignore[arg-type, return-value]


class Argmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).argmax(-1)


def inference_model() -> nn.Module:
    with torch.inference_mode():
        return made(lambda: nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), r"The model \(ReLU\) has no parameters"),
        (made(Argmax), r"The output \(Tensor\) carries no gradient"),
        (inference_model(), r"The model \(Linear\) was made under torch.inference_mode"),
        (nn.LazyLinear(3), "The parameter weight has no values yet"),
        (nn.Linear(4, 3, device="meta"), "The parameter weight has no values yet"),
    ],
)
def test_a_model_that_cannot_be_profiled_is_an_error(model: nn.Module, message: str, x: Tensor):
    with pytest.raises(UsageError, match=message):
        leadline.profile(model, x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "ful"}, "effort must be one of standard, full; got 'ful' \\(did you mean 'full'"),
        ({"rows": 1}, "rows must be at least 2"),
        ({"draws": 0}, "draws must be a whole number from 1; got 0"),
    ],
)
def test_wrong_options_are_an_error(options: dict[str, Any], message: str, x: Tensor):
    with pytest.raises(UsageError, match=message):
        unwrap(leadline.profile)(net(), x, **options)  # past the check of types that tests have


_FAR_TOO_MANY = 2**50  # floats: no machine has the memory


class TooLarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: bool) -> Tensor:
        return x + torch.empty(_FAR_TOO_MANY) if forward else x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0] + torch.empty(_FAR_TOO_MANY), None


class Wide(nn.Module):
    def __init__(self, forward: bool):
        super().__init__()
        self.too_large_forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return TooLarge.apply(x, self.too_large_forward)


@pytest.mark.parametrize(
    ("forward", "where"), [(True, r"for this model and batch in 1 \(Wide\)"), (False, "for the backward pass of this")]
)
def test_a_batch_that_the_memory_does_not_hold_is_answered_with_what_to_do(forward: bool, where: str, x: Tensor):
    model = made(lambda: nn.Sequential(nn.Linear(4, 4), Wide(forward)))
    with pytest.raises(UsageError, match=rf"memory does not suffice {where}.*; take fewer or smaller samples\.$"):
        leadline.profile(model, x)
