"""An agent that makes or opens a volume, to be killed: `python -m tests.vrasnode.volume_pc create|serve …`.

The keys come by standard input, in hex: LAN key, recovery key. It says when it is done, and waits.
"""

import sys
import threading
from pathlib import Path

from vrasnode.mydoc.volumes import Volumes


def main() -> None:
    act, directory, name = sys.argv[1:]
    lan_key, recovery_key = (bytes.fromhex(sys.stdin.readline()) for _ in range(2))
    volumes = Volumes(Path(directory))
    if act == "create":
        volumes.create(name, lan_key=lan_key, recovery_key=recovery_key, limit_bytes=16 << 20)
    else:
        volumes.serve(name, lan_key)
    print("done", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
