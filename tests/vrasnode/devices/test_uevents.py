"""The kernel's word of devices, by the real kernel, asked as `udevadm trigger` asks it. As root."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vrasnode import world
from vrasnode.devices import uevents
from vrasnode.devices.uevents import Watch, is_about_hardware

DEVICES = Path("/sys/bus/pci/devices")
NULL = Path("/sys/class/mem/null")
STICK = b"/devices/pci0000:00/0000:00:14.0/usb1/1-2"
WAIT_S = 30.0  # for what comes at once


class Nudged:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.times = 0
        self.now = threading.Event()

    def __call__(self) -> None:
        self.times += 1
        self.now.set()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watch]]:
    """Starts watches, and ends them."""
    begun: list[Watch] = []

    def begin(callback: Callable[[], None], **settings: Any) -> Watch:
        begun.append(Watch(callback, **settings).start())
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


@pytest.fixture
def nudged() -> Nudged:
    return Nudged()


def said_again(device: Path, times: int = 1) -> None:
    """Has the kernel tell of a device that changed, and returns when it did."""
    for _ in range(times):
        (device / "uevent").write_text("change")


def hardware() -> Path:
    return min(DEVICES.iterdir())


def test_the_kernels_word_of_a_device_is_a_nudge(watch: Callable[..., Watch], nudged: Nudged) -> None:
    watch(nudged)

    said_again(hardware())

    assert nudged.now.wait(WAIT_S)


def test_the_agent_on_a_real_pc_hears_the_kernel(tmp_path: Path, nudged: Nudged) -> None:
    found = world.pc(
        tmp_path, images=tmp_path / "images", desktop=tmp_path / "desktop", hypervisor_uri="test:///default"
    )
    begun = found.watch(nudged)
    assert isinstance(begun, Watch)

    said_again(hardware())

    assert nudged.now.wait(WAIT_S)
    begun.close()
    found.machines.close()


def test_one_plug_with_many_messages_is_one_nudge(watch: Callable[..., Watch], nudged: Nudged) -> None:
    begun = watch(nudged, quiet_s=1.0, longest_s=WAIT_S)

    said_again(hardware(), times=30)
    assert nudged.now.wait(WAIT_S)
    begun.close()

    assert nudged.times == 1


def test_messages_that_never_end_are_a_nudge_all_the_same(
    watch: Callable[..., Watch], nudged: Nudged
) -> None:
    watch(nudged, quiet_s=2 * WAIT_S, longest_s=0.2)

    said_again(hardware())

    assert nudged.now.wait(WAIT_S)


def test_after_a_nudge_the_next_device_is_heard_too(watch: Callable[..., Watch], nudged: Nudged) -> None:
    watch(nudged, quiet_s=0.01)

    for _ in range(3):
        nudged.now.clear()
        said_again(hardware())
        assert nudged.now.wait(WAIT_S)


def test_messages_that_were_lost_count_as_word_of_a_device(
    watch: Callable[..., Watch], nudged: Nudged
) -> None:
    def overflown() -> socket.socket:
        heard = uevents.kernel()
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        said_again(NULL, times=100)
        return heard

    watch(nudged, open_kernel=overflown)

    assert nudged.now.wait(WAIT_S)


def test_where_the_kernel_cannot_be_heard_nothing_is_raised(
    watch: Callable[..., Watch], nudged: Nudged
) -> None:
    def forbidden() -> socket.socket:
        raise PermissionError("no such right here")

    begun = watch(nudged, open_kernel=forbidden)
    begun.close()

    assert nudged.times == 0


def test_a_watch_that_is_closed_leaves_nothing_open(nudged: Nudged) -> None:
    opened: list[socket.socket] = []

    def kernel() -> socket.socket:
        opened.append(uevents.kernel())
        return opened[0]

    begun = Watch(nudged, open_kernel=kernel).start()
    begun.close()
    begun.close()
    said_again(hardware())

    assert opened[0].fileno() == -1
    assert nudged.times == 0


@pytest.mark.parametrize(
    ("message", "does"),
    [
        (b"add@" + STICK + b"\0ACTION=add\0SUBSYSTEM=usb\0SEQNUM=1\0", True),
        (b"remove@" + STICK + b"/host4/block/sdb\0ACTION=remove\0SUBSYSTEM=block\0", True),
        (b"bind@/devices/pci0000:00/0000:03:00.0\0ACTION=bind\0SUBSYSTEM=pci\0", True),
        (b"add@/devices/virtual/net/vnet0\0ACTION=add\0SUBSYSTEM=net\0", False),
        (b"change@/devices/virtual/block/loop0\0ACTION=change\0SUBSYSTEM=block\0", False),
        (b"change@/devices/platform/coretemp.0\0ACTION=change\0SUBSYSTEM=hwmon\0", False),
        (b"", False),
        (b"\xff\0=\0==\0SUBSYSTEM\0", False),
    ],
)
def test_a_nudge_is_for_hardware_that_the_agent_knows(message: bytes, does: bool) -> None:
    assert is_about_hardware(message) is does
