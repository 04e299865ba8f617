"""`python -m soundalike`."""

import sys

from soundalike.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
