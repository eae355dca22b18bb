"""The command line: a module a command of `leadline`, and what they share."""

from leadline.cli.app import main as main
