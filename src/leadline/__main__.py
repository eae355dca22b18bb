"""`python -m leadline`: the command line without its script."""

import sys

from leadline.cli import main

if __name__ == "__main__":
    sys.exit(main())
