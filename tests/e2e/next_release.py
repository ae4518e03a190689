"""The release after this one: it knows one app version more, and decides by it as by the last.

What is run in the application's place where an upgrade is tried; everything else is the real thing.
"""

import sys

from probatum.consensus.cometbft.versions import APP_VERSION
from probatum.nodes.full.run import main

if __name__ == "__main__":
    sys.exit(main(app_version=APP_VERSION + 1))
