"""Towards training without depth limits: batch normalization without gradient explosion (Meterez et al. 2023)."""

from leadline.studies.meterez2023 import gradients as gradients, isometry as isometry, training as training
