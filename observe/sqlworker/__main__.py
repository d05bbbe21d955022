"""Starts the zygote: `python -m observe.sqlworker FD`, with the control socket inherited as FD.

Source: our own.
"""

from __future__ import annotations

import socket
import sys

from observe.sqlworker.zygote import serve

if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
