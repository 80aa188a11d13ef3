"""A company's file server for the tests: a real smbd of its own, encrypted SMB 3, one account."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.demo.processes import Child, wait_for
from mydoc.nas.settings import NasSettings
from tests.mydoc.replicacast import answers, free_port

PASSWORD = "the-nas-knows-this-1"
CONFIGURATION = """
[global]
server role = standalone
smb ports = {port}
interfaces = 127.0.0.1
bind interfaces only = yes
private dir = {here}/private
lock directory = {here}/lock
state directory = {here}/state
cache directory = {here}/cache
pid directory = {here}/pid
ncalrpc dir = {here}/ncalrpc
passdb backend = tdbsam
server min protocol = SMB3_00
server smb encrypt = required
load printers = no
[backup]
path = {here}/share
read only = no
[archive]
path = {here}/share
read only = yes
"""


@contextmanager
def file_server(here: Path) -> Iterator[NasSettings]:
    """How the share `backup` of it is reached; `archive` is the same, read-only."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "share"):
        (here / name).mkdir()
    port, configuration = free_port(), here / "smb.conf"
    configuration.write_text(CONFIGURATION.format(here=here, port=port))
    subprocess.run(
        ["smbpasswd", "-c", str(configuration), "-s", "-a", "root"],
        input=f"{PASSWORD}\n{PASSWORD}\n",
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    argv = ["smbd", "-F", "--no-process-group", "-s", str(configuration), "--debug-stdout"]
    with Child("smbd", argv, log=here / "smbd.log", env=dict(os.environ)) as child:
        wait_for("the file server", lambda: answers(port), children=[child])
        yield NasSettings(url=f"smb://127.0.0.1:{port}/backup/replicas", user="root", password=PASSWORD)
