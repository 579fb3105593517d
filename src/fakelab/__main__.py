"""``python -m fakelab`` is the command ``fakelab``."""

from __future__ import annotations

import sys

from fakelab.cli import main

if __name__ == "__main__":
    sys.exit(main())
