"""What can be asked of the virtual server about users' data: volumes, their shares, what lies in them.

A volume's life: `volume_open`, `share_open`; then `volume_cut` (at once, whoever uses it) and `volume_close`
before its disk goes. Each may be asked twice. How others see it and who may: `foldertree`, `grants`; how
a file comes in: `filewriting`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vrasnode.servicevm.guest import filewriting, foldertree, grants
from vrasnode.servicevm.guest.answering import Ops
from vrasnode.servicevm.guest.replicas import Replicas
from vrasnode.servicevm.guest.shares import Shares
from vrasnode.servicevm.guest.volumes import Volumes
from vrasnode.servicevm.guest.workers import Workers


def add_to(
    ops: Ops, *, volumes: Volumes, shares: Shares, workers: Workers, replicas: Replicas, data: Path
) -> None:
    """Adds all of them."""

    def volume_open(
        serial: str, fresh: bool = False, size_bytes: int | None = None, read_only: bool = False
    ) -> Mapping[str, Any]:
        return volumes.open(serial, fresh=fresh is True, size_bytes=size_bytes, read_only=read_only is True)

    def volume_cut(serial: str) -> Mapping[str, Any]:
        ended = workers.end(volumes.place(serial).name) + replicas.end(serial)
        return {"ended": ended + shares.cut(serial)["ended"]}

    def volume_close(serial: str) -> Mapping[str, Any]:
        ended: int = volume_cut(serial)["ended"]
        return {"ended": ended + volumes.close(serial)["ended"]}

    def share_open(
        serial: str, name: str, user: str, password: str, client: str, *, folders: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        return shares.open(
            serial, name=name, user=user, password=password, client=client, folders=list(folders)
        )

    ops.add("volume_open", volume_open)
    ops.add("volume_cut", volume_cut)
    ops.add("volume_close", volume_close)
    ops.add("volume_usage", volumes.usage)
    ops.add("share_open", share_open)
    ops.add("share_close", shares.cut)
    replicas.add_to(ops)
    foldertree.add_to(ops, workers=workers, data=data)
    filewriting.add_to(ops, workers=workers, data=data)
    grants.add_to(ops, workers=workers, data=data)
