"""`vrasctl`, the administrator's command line: publish images, distribute them, see to PCs. Over REST only.

Nothing here imports the server or Django. From the PC's half come the chunk engine and the wire formats.
What a command prints on standard output is its result (a table, or JSON that programs can rely on); all that
is said meanwhile goes to standard error. See docs/vrasctl.md.
"""

import sys


def main() -> None:
    """The console script: runs the command line and exits with the code that `vrasctl.outcome` documents."""
    from vrasctl.cli import run

    sys.exit(run(sys.argv[1:]))
