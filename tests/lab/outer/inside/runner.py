"""Runs commands for the tests outside, over a virtio-serial port: one JSON object per line, both ways.

Request: id, argv, stdin (base64), timeout_s. Answer: id, code, output and errors (base64). Requests run side
by side. Nobody outside holding the port reads as its end, so after an end it is read again.
"""

import base64
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

PORT_NAME = "org.openvras.lab"
READ_BYTES = 1 << 16
NOT_STARTED, TIMED_OUT = 127, 124


def main() -> None:
    port = os.open(find_port(), os.O_RDWR)
    writing = threading.Lock()
    rest = b""
    while True:
        data = os.read(port, READ_BYTES)
        if not data:
            rest = b""
            time.sleep(0.1)
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            threading.Thread(target=answer, args=(json.loads(line), port, writing), daemon=True).start()


def find_port() -> str:
    """The port's device file; it appears when its driver was loaded."""
    while True:
        for name in Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == PORT_NAME:
                return f"/dev/{name.parent.name}"
        time.sleep(0.05)


def answer(request: dict[str, Any], port: int, writing: threading.Lock) -> None:
    code, output, errors = execute(request)
    reply = {
        "id": request["id"],
        "code": code,
        "output": base64.b64encode(output).decode(),
        "errors": base64.b64encode(errors).decode(),
    }
    left = json.dumps(reply).encode() + b"\n"
    with writing:
        while left:
            left = left[os.write(port, left) :]


def execute(request: dict[str, Any]) -> tuple[int, bytes, bytes]:
    stdin = base64.b64decode(request["stdin"])
    try:
        done = subprocess.run(
            request["argv"], input=stdin, capture_output=True, timeout=request["timeout_s"], check=False
        )
    except subprocess.TimeoutExpired as late:
        return TIMED_OUT, late.stdout or b"", late.stderr or b""
    except OSError as error:
        return NOT_STARTED, b"", str(error).encode()
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    main()
