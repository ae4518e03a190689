"""``python -m probatum.cli``: the command `probatum` without its script."""

from __future__ import annotations

import sys

from probatum.cli import main

if __name__ == "__main__":
    sys.exit(main())
