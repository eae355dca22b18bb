"""Small models with every kind of linear map, and what is left alone."""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


class Attention(nn.Module):
    """Queries, keys and values in one weight, under the name given."""

    def __init__(self, name, projection, **attributes):
        super().__init__()
        self.add_module(name, projection)
        for key, value in attributes.items():
            setattr(self, key, value)


class TiedLanguageModel(nn.Module):
    """Embedding and read-out share their weight."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 5, padding_idx=0)
        self.body = nn.Linear(5, 5)
        self.again = nn.Linear(5, 5)
        self.again.weight = self.body.weight
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.again(self.body(self.embedding(tokens))))


class OfPackedSequences(nn.Module):
    """Takes a packed sequence as its one argument."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.GRU(8, 16)
        self.hidden = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, sequences):
        return self.head(self.hidden(self.recurrent(sequences)[1][-1]))


def sequences(generator):
    """Forty sequences of two to seven positions, packed."""
    lengths = [2 + i % 6 for i in range(40)]
    return nn.utils.rnn.pack_sequence([torch.randn(t, 8, generator=generator) for t in lengths], enforce_sorted=False)


__all__ = ["Attention", "Conv1D", "OfPackedSequences", "TiedLanguageModel", "nn", "sequences", "torch"]
