"""`python -m codex_proxy` is the command `codex-proxy`."""

import sys

from codex_proxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
