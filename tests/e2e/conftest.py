"""One PC with an IOMMU for all tests here: booted once, a member of a server of its own, both machines up."""

from collections.abc import Iterator

import pytest

from tests.lab.outer import image
from tests.lab.outer.machine import Outer
from tests.lab.outer.member import PROBE, VIRTUAL_SERVER, Member
from tests.lab.server import Server
from vrasnode.servicevm.build.cache import default_cache
from vrasnode.servicevm.build.image import build_image

BOOT_S = 600.0  # for a virtual server inside an emulated PC, on a busy machine


# Not for the session: an emulated PC turns more than half a processor even when nobody asks anything of it.
@pytest.fixture(scope="package")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """The PC with its client VM; for tests that need no virtual server, which takes its time here."""
    directory = tmp_path_factory.mktemp("pc")
    outer = Outer(image.build(default_cache()), directory / "outer")
    with Server(directory / "server") as server, outer:
        member = Member(server, outer, directory)
        member.enrol()
        member.publish_probe()
        member.start_agent()
        under_way = member.distribute(PROBE)
        member.wait("the client VM", lambda: member.delivered(under_way), within_s=BOOT_S)
        yield member


@pytest.fixture(scope="package")
def pc(member: Member) -> Member:
    """The PC with both machines. Each test begins by bringing it under the policy that it wants."""
    member.publish(VIRTUAL_SERVER, build_image(default_cache()).disk, "--machine", "virtual-server")
    under_way = member.distribute(VIRTUAL_SERVER)
    member.wait("the virtual server", lambda: member.delivered(under_way), within_s=BOOT_S)
    return member
