"""The command line: `leadline check TARGET`."""

from leadline.cli.app import main as main
