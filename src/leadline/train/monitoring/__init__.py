"""Monitors of training: what every layer does on some of the steps, and findings as they appear."""
