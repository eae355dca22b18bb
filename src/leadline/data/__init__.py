"""Batches to look at a network with: real images by name, digits, Gaussian vectors and maps, random tokens."""

from leadline.data.batch import Batch as Batch
from leadline.data.digits import digits as digits
from leadline.data.fetching import fetch as fetch
from leadline.data.loading import load as load
from leadline.data.synthetic import gaussian as gaussian, token_ids as token_ids
