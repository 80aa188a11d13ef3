"""`vrasnode simulate`: hundreds of simulated PCs in one process, for trials and load.

Not for `vrasnode run --hypervisor sim:`, which is one simulated PC as a process of its own.
"""

import argparse
import json
import logging
import resource
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from vrasnode.errors import Refused
from vrasnode.simulation.crank import PcNames
from vrasnode.simulation.crowd import THREADS, Crowd
from vrasnode.simulation.settings import Images, Settings, checked

TELL_S = 10.0
FILES_A_PC = 16  # sockets, images under way
MAX_TOKENS_BYTES = 4 << 20


def add_to(commands: Any) -> None:
    """Adds the command to the program."""
    simulating = commands.add_parser("simulate", help="run many simulated PCs, for trials and load")
    simulating.set_defaults(run=run)
    simulating.add_argument("--server", required=True, metavar="URL", help="the management server's address")
    simulating.add_argument("--pcs", type=_count, required=True, metavar="N", help="how many")
    simulating.add_argument(
        "--state", type=Path, required=True, metavar="DIR", help="a state directory for each lies in it"
    )
    simulating.add_argument(
        "--token-file", metavar="F", help="enrolment tokens, one a line, one for each new PC; - for stdin"
    )
    simulating.add_argument("--prefix", default="sim", metavar="WORD", help="their names are WORD-001 …")
    simulating.add_argument("--boot-s", type=float, default=8.0, metavar="S", help="how long a guest boots")
    simulating.add_argument(
        "--fail-rate", type=float, default=0.0, metavar="P", help="share of PCs on which a version fails"
    )
    simulating.add_argument("--seed", type=int, default=0, metavar="N", help="the same gives the same PCs")
    simulating.add_argument(
        "--images",
        type=Images,
        choices=list(Images),
        default=Images.REAL,
        help="none: fetch and check every byte, keep none",
    )
    simulating.add_argument(
        "--share", action="store_true", help="they give versions to each other, as PCs do; keeps images"
    )
    simulating.add_argument("--threads", type=_count, default=THREADS, metavar="N", help="for all PCs")
    simulating.add_argument("--json", action="store_true", help="at the end, the figures as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Enrols and runs the PCs until SIGTERM or SIGINT, then says what they did."""
    settings = Settings(
        boot_s=options.boot_s,
        fail_rate=options.fail_rate,
        seed=options.seed,
        images=options.images,
        share=options.share,
    )
    _allow_files(options.pcs * FILES_A_PC)
    _log_to_stderr()
    crowd = Crowd(
        options.state,
        count=options.pcs,
        server=options.server,
        settings=checked(settings),
        prefix=options.prefix,
        threads=options.threads,
    )
    stop = threading.Event()

    def end(_signal: int, _frame: object) -> None:
        stop.set()
        crowd.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    crowd.enrol(_tokens(options.token_file), stop=stop.is_set)
    _say(f"{options.pcs} simulated PCs run; Ctrl-C ends them.")
    telling = threading.Thread(target=_tell, args=(crowd, stop), name="telling", daemon=True)
    telling.start()
    crowd.run()
    telling.join()
    found = {**crowd.summary(), **_cost()}
    print(json.dumps(found, sort_keys=True) if options.json else _words(found), flush=True)
    return 0


def _tell(crowd: Crowd, stop: threading.Event) -> None:
    """Says how far they are whenever that has changed."""
    told = ""
    while not stop.wait(TELL_S):
        words = _words(crowd.summary())
        if words != told:
            _say(told := words)


def _words(found: dict[str, Any]) -> str:
    words = (
        f"{found['pcs']} simulated PCs: {found['enrolled']} enrolled, {found['booted']} booted,"
        f" {found['failed']} failed, {found['under_way']} under way"
    )
    times = [f"{name} p95 {found[key]['p95']:.1f} s" for key, name in _TIMES if found[key]["n"]]
    return "; ".join([words, *times])


_TIMES = (("staged_s", "staged"), ("booted_s", "booted"))


def _cost() -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_bytes": used.ru_maxrss << 10,
    }


def _tokens(file: str | None) -> list[str]:
    """From a file or, as `-`, from stdin: never arguments, which every user of this machine could read."""
    if file is None:
        return []
    try:
        if file == "-":
            text = sys.stdin.read(MAX_TOKENS_BYTES)
        else:
            with Path(file).open(encoding="ascii") as opened:
                text = opened.read(MAX_TOKENS_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("bad_token", f"The token file {file} cannot be read: {error}.") from error
    return text.split()


def _allow_files(count: int) -> None:
    """Each PC holds sockets: more of them than a process may have by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(max(soft, count + 256), hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(PcNames())
    handler.setFormatter(logging.Formatter("%(asctime)s %(pc)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for noisy in ("websockets", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 5000:
        raise argparse.ArgumentTypeError("from 1 to 5000 PCs")
    return int(text)
