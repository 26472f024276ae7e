"""Serves the demo on this machine: ``python -m examples.demo``; the environment variable PORT changes the port."""

from __future__ import annotations

import logging
import os
import socket
import sys

from werkzeug.serving import make_server

from examples.demo.app import create_app

HOST = "127.0.0.1"


def main() -> None:
    """Serve until Ctrl-C. A port or folder that cannot be had is one sentence and exit status 1."""
    try:
        listener = open_port(os.environ.get("PORT") or "5000")
        app = create_app()
    except (OSError, ValueError) as error:
        sys.exit(f"The demo did not start: {error}.")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # the page is the access log here
    with listener:
        port = listener.getsockname()[1]
        server = make_server(HOST, port, app, threaded=True, fd=listener.fileno())
        print(f"The coatcheck demo is at http://{HOST}:{port} (PORT=… changes the port, Ctrl-C stops it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def open_port(text: str) -> socket.socket:
    """Return a socket that listens on the port that ``text`` names; ValueError or OSError says why not."""
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"PORT is {text!r}, but a port is a number from 0 to 65535, for example PORT=5001")
    try:
        return socket.create_server((HOST, int(text)))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise OSError(f"port {text} cannot be had ({reason}); try another, for example PORT=5001") from error


if __name__ == "__main__":
    main()
