"""Publishing from the command line to a real server with a real worker."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, administrator_of, boot_sector
from tests.vrasctl.counter import Wire
from vrasctl import progress
from vrasnode.chunks import manifest
from vrasnode.chunks.hashing import digest_of
from vrasnode.chunks.packs import TARGET_BYTES

pytestmark = pytest.mark.slow

MIB = 1 << 20
TALK_BYTES = 64 << 10  # requests without packs: headers, digests, a small manifest


def _chunks_of(server: Server, administrator: Administrator, version: dict[str, object]) -> set[bytes]:
    from vrasctl.rest import Rest

    assert administrator.token is not None
    rest = Rest(server.url, token=administrator.token.read_text())
    data = rest.get_bytes(f"/api/v1/versions/{version['id']}/manifest/")
    return {digest for _, digest in manifest.read_named(data, str(version["manifest"]))}


def _first_chunk(path: Path) -> bytes:
    with path.open("rb") as image:
        return digest_of("blake3")(image.read(256 << 10))


def test_a_published_image_becomes_ready_and_an_update_sends_only_what_changed(
    server: Server, administrator: Administrator, disk: Callable[..., Path]
) -> None:
    with Wire(server.url) as wire:
        somebody = replace(administrator, server=wire.url)
        first = somebody.json(
            "image", "publish", str(disk("kiosk", mib=8)), "--name", "kiosk", "--note", "new"
        )
        before = wire.up_bytes
        second = somebody.json(
            "image", "publish", str(disk("update", mib=8, seed="kiosk", changed=5)), "--name", "kiosk"
        )
        sent = wire.up_bytes - before

    assert (first["number"], first["state"], first["unchanged"]) == (1, "ready", False)
    assert first["new_bytes"] >= 8 * MIB
    assert (second["number"], second["state"], second["new_chunks"]) == (2, "ready", 1)
    assert second["sent_bytes"] <= 0.3 * MIB
    assert sent <= second["sent_bytes"] + TALK_BYTES
    assert second["saved_by_dedup_bytes"] >= 7 * MIB


def test_an_image_made_for_one_machine_takes_no_version_for_the_other(
    administrator: Administrator, disk: Callable[..., Path]
) -> None:
    file = str(disk("server-vm", mib=1))
    administrator.must("image", "publish", file, "--name", "server-vm", "--machine", "virtual-server")

    refused = administrator.run("image", "publish", file, "--name", "server-vm", "--machine", "client-vm")

    assert administrator.json("image", "show", "server-vm")["machine"] == "virtual_server"
    assert "[wrong_machine]" in refused.err


def test_an_unchanged_image_costs_one_request_of_hashes_and_no_bytes(
    server: Server, administrator: Administrator, disk: Callable[..., Path]
) -> None:
    image = str(disk("same", mib=8))
    administrator.must("image", "publish", image, "--name", "unchanging")
    lines = len(server.web.log.read_text().splitlines())

    with Wire(server.url) as wire:
        ended = replace(administrator, server=wire.url).must(
            "image", "publish", image, "--name", "unchanging"
        )

    asked = "\n".join(server.web.log.read_text().splitlines()[lines:])
    assert ended.out == "unchanged, version 1\n"
    assert re.findall('"(?:POST|PUT) ([^ ?]*)', asked) == ["/api/v1/images/unchanging/publish/"]
    assert wire.up_bytes < TALK_BYTES


def test_a_killed_publication_goes_on_without_sending_again_what_had_arrived(
    server: Server, administrator: Administrator, disk: Callable[..., Path]
) -> None:
    total = 80
    arguments = ("image", "publish", str(disk("large", mib=total)), "--name", "killed", "-o", "json")
    with Wire(server.url) as wire:
        somebody = replace(administrator, server=wire.url)
        wire.hold_at(TARGET_BYTES + 8 * MIB)  # the first pack is there, the second is on its way
        process = somebody.start(*arguments)
        try:
            assert wire.held.wait(60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        wire.cut()
        before = wire.up_bytes

        version = json.loads(somebody.must(*arguments).out)

        assert version["state"] == "ready"
        assert version["new_chunks"] * (256 << 10) <= total * MIB - TARGET_BYTES + MIB
        assert wire.up_bytes - before <= total * MIB - TARGET_BYTES + MIB


def test_the_web_server_killed_during_an_upload_costs_one_pack_at_most(
    server: Server, administrator: Administrator, disk: Callable[..., Path]
) -> None:
    with Wire(server.url) as wire:
        somebody = replace(administrator, server=wire.url)
        wire.hold_at(4 * MIB)
        process = somebody.start(
            "image", "publish", str(disk("web", mib=12)), "--name", "web-killed", "-o", "json"
        )
        try:
            assert wire.held.wait(60)
            server.web.kill()
            server.start_web()
            wire.cut()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0, err
    assert json.loads(out)["state"] == "ready"
    assert json.loads(out)["number"] == 1


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB for a chunk store. Needs root."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_store_is_said_in_the_middle_of_an_upload_and_once_there_is_room_it_goes_on(
    small_store: Path, tmp_path: Path, disk: Callable[..., Path]
) -> None:
    arguments = ("image", "publish", str(disk("full", mib=48)), "--name", "full")
    with Server(tmp_path / "server", settings={"OPENVRAS_STORE": str(small_store)}) as server:
        somebody = administrator_of(server, tmp_path)

        refused = somebody.run(*arguments)
        left = list(small_store.rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_store)], check=True)

        assert refused.code == 3, refused
        assert "[store_full]" in refused.err
        assert left == []
        assert "full@1 ready" in somebody.must(*arguments).out


def test_an_image_that_grows_while_it_is_read_is_not_published(
    administrator: Administrator, disk: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = disk("growing")

    def somebody_writes(_lines: progress.Lines, words: str) -> None:
        with file.open("ab") as image:
            image.write(bytes(4096))

    with monkeypatch.context() as patch:
        patch.setattr(progress.Lines, "stage", somebody_writes)
        patch.setattr(progress.Lines, "begin", somebody_writes)
        ended = administrator.run("image", "publish", str(file), "--name", "growing")

    assert (ended.code, "[image_changed]" in ended.err) == (1, True), ended
    assert "Stop what writes to it" in ended.err
    assert administrator.json("image", "show", "growing")["versions"] == []


def test_two_publishers_of_one_name_at_once_make_two_versions_and_both_are_right(
    server: Server, administrator: Administrator, disk: Callable[..., Path]
) -> None:
    images = [disk(f"race-{number}", mib=6) for number in (1, 2)]
    arguments = [("image", "publish", str(image), "--name", "raced", "-o", "json") for image in images]

    racing = [administrator.start(*each) for each in arguments]
    ended = [process.communicate(timeout=60) for process in racing]

    assert [process.returncode for process in racing] == [0, 0], ended
    versions = [json.loads(out) for out, _ in ended]
    assert {version["number"] for version in versions} == {1, 2}
    for version, image, other in zip(versions, images, reversed(images), strict=True):
        chunks = _chunks_of(server, administrator, version)
        assert _first_chunk(image) in chunks
        assert _first_chunk(other) not in chunks


def test_a_key_that_nobody_vouches_for_publishes_nothing_and_says_what_to_do(
    server: Server, administrator: Administrator, stranger: Administrator, disk: Callable[..., Path]
) -> None:
    newcomer = replace(administrator, home=stranger.home)

    ended = newcomer.run("image", "publish", str(disk("x")), "--name", "untrusted")

    fingerprint = newcomer.json("key", "show")["fingerprint"]
    assert ended.code == 3
    assert f"manage.py keys endorse {fingerprint}" in ended.err
    assert "[key_not_endorsed]" in ended.err
    assert (newcomer.home / "openvras" / "publisher.key").stat().st_mode & 0o777 == 0o600
    assert administrator.run("image", "show", "untrusted").code == 3  # not even its name is there


def test_a_name_that_looks_like_another_is_refused_by_the_server(
    administrator: Administrator, disk: Callable[..., Path]
) -> None:
    administrator.must("image", "create", "coe")

    ended = administrator.run("image", "publish", str(disk("x")), "--name", "сое")  # three Cyrillic letters

    assert ended.code == 3
    assert "looks the same" in ended.err


def test_a_version_that_nothing_uses_is_retired_by_its_name(
    administrator: Administrator, disk: Callable[..., Path]
) -> None:
    administrator.must("image", "publish", str(disk("old")), "--name", "retiring")

    assert administrator.json("image", "retire", "retiring@1")["state"] == "retired"
    assert administrator.run("image", "retire", "retiring@7").code == 3
    assert administrator.run("image", "retire", "retiring").code == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("text", "not_an_image"),
        ("nothing", "image_empty"),
        ("cut", "image_truncated"),
        ("missing", "image_unreadable"),
        ("stdin", "no_stdin"),
        ("key", "bad_key"),
    ],
)
def test_a_file_that_is_no_disk_is_refused_before_the_server_is_asked(
    stranger: Administrator, tmp_path: Path, kind: str, code: str
) -> None:
    token = tmp_path / "token"
    token.write_text("vras_none.none")
    nobody = replace(stranger, server="http://127.0.0.1:9", token=token)
    file = tmp_path / "image"
    if kind == "text":
        file.write_text("Dear sir or madam,\n" * 100)
    elif kind == "nothing":
        file.touch()
    elif kind in ("cut", "key"):
        file.write_bytes(boot_sector(sectors=1 << 20) + bytes(512))
    if kind == "key":
        (nobody.home / "openvras").mkdir(parents=True)
        (nobody.home / "openvras" / "publisher.key").write_text("this is no key")
        (nobody.home / "openvras" / "publisher.key").chmod(0o600)

    ended = nobody.run("image", "publish", "-" if kind == "stdin" else str(file), "--name", "kiosk")

    assert ended.code == 1, ended
    assert f"[{code}]" in ended.err
    assert ended.out == ""


def test_a_qcow2_on_another_file_and_a_disk_of_a_pebibyte_are_refused(
    stranger: Administrator, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("vras_none.none")
    nobody = replace(stranger, server="http://127.0.0.1:9", token=token)
    base, child, huge = (str(tmp_path / name) for name in ("base", "child", "huge"))
    for command in (
        ("-f", "raw", base, "1M"),
        ("-f", "qcow2", "-F", "raw", "-b", base, child),
        ("-f", "qcow2", "-o", "cluster_size=2M", huge, "1P"),
    ):
        subprocess.run(["qemu-img", "create", "-q", *command], check=True)

    backed = nobody.run("image", "publish", child, "--name", "kiosk")
    too_large = nobody.run("image", "publish", huge, "--name", "kiosk")

    assert (backed.code, too_large.code) == (1, 1)
    assert "[image_has_backing_file]" in backed.err
    assert "[image_too_large]" in too_large.err


@pytest.mark.parametrize("name", ["a/b", "../kiosk", "kio\x07sk", "kiоsk", "kio\u200bsk", " kiosk", ""])
def test_a_name_that_would_mislead_is_refused_in_words(
    stranger: Administrator, tmp_path: Path, name: str
) -> None:
    token = tmp_path / "token"
    token.write_text("vras_none.none")

    ended = replace(stranger, server="http://127.0.0.1:9", token=token).run(
        "image", "publish", str(tmp_path / "none"), "--name", name
    )

    assert ended.code == 1
    assert "[bad_name]" in ended.err
    assert "\x07" not in ended.err
