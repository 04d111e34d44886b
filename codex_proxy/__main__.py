"""Entry point of `python -m codex_proxy`, which is the same as the command `codex-proxy`."""

import sys

from codex_proxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
