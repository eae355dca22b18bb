"""Batches to look at a network with: real digits, Gaussian vectors and maps, random tokens."""

from leadline.data.batch import Batch as Batch
from leadline.data.digits import digits as digits
from leadline.data.synthetic import gaussian as gaussian, token_ids as token_ids
