"""``python -m hil.nodered``: fetch Node-RED; exit code 1, with the reason, where that cannot be."""

from __future__ import annotations

import sys

from hil.nodered import fetch

if __name__ == "__main__":
    try:
        fetch()
    except RuntimeError as error:
        sys.exit(str(error))
