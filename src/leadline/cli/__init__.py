"""The command line: `leadline check TARGET` and `leadline fix TARGET`."""

from leadline.cli.app import main as main
