"""Batch normalization provably avoids rank collapse for randomly initialised deep networks (Daneshmand et al. 2020)."""

from leadline.studies.daneshmand2020 import laws as laws, rank as rank, training as training
