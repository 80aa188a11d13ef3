"""The web process of demo and tests: uvicorn on sockets that were opened for it.

`python -m config.demo.web FD [FD …]`: one socket for browsers on loopback, one inside the LAN for PCs.
"""

import os
import socket
import sys

import uvicorn


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sockets = [socket.socket(fileno=int(argument)) for argument in sys.argv[1:]]
    config = uvicorn.Config(
        "config.asgi:application",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
