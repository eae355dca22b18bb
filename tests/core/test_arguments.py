"""What a batch stands for as a call, and what its containers keep."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from leadline._core.arguments import arguments, mapped, tensors


class Pair(NamedTuple):
    x: Tensor
    mask: Tensor


def packed() -> PackedSequence:
    return pack_sequence([torch.ones(2, 3), torch.ones(4, 3)], enforce_sorted=False)


def test_a_tuple_is_positional_a_mapping_keywords_and_a_packed_sequence_one_argument():
    x, sequences = torch.ones(2), packed()
    assert arguments(x) == ((x,), {})
    assert arguments((x, 3)) == ((x, 3), {})
    assert arguments({"x": x}) == ((), {"x": x})
    assert arguments(sequences) == ((sequences,), {})


def test_containers_keep_their_types_with_other_tensors_in_them():
    pair, sequences = mapped(lambda _, t: t.double(), (Pair(x=torch.ones(2), mask=torch.ones(2)), packed()))
    assert isinstance(pair, Pair) and {t.dtype for t in tensors(pair)} == {torch.float64}
    assert isinstance(sequences, PackedSequence) and sequences.data.dtype == torch.float64
    assert torch.equal(sequences.batch_sizes, packed().batch_sizes)
