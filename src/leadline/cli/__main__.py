"""`python -m leadline.cli`: the command line without its script."""

import sys

from leadline.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
