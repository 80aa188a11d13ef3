"""Runs one command and writes what it took to a descriptor: `python launcher.py FD COMMAND …`.

A process of its own, because the kernel counts the memory of whoever starts a program as that program's
(`ru_maxrss` outlives execve(2), getrusage(2)): this one is small. Standard library only.
"""

import json
import os
import sys
import time


def main() -> None:
    descriptor, command = int(sys.argv[1]), sys.argv[2:]
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, descriptor)])
    _pid, status, usage = os.wait4(pid, 0)
    wall_s = time.monotonic() - started
    cost = {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss << 10}
    with os.fdopen(descriptor, "w") as told:
        json.dump(cost, told)
    sys.exit(min(255, abs(os.waitstatus_to_exitcode(status))))


if __name__ == "__main__":
    main()
