"""Watches any unedited model for one forward and backward pass: ``profile``."""

from leadline.probe._profile import profile as profile

__all__ = ["profile"]
