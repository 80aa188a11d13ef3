"""The command line as people and programs use it: login, outputs, exit codes, PCs and distributions."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, Pc
from vrasnode.wire.imaging import DeliveryStage

pytestmark = pytest.mark.slow


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_login_is_kept_for_the_user_alone_and_ends_with_logout(
    server: Server, stranger: Administrator
) -> None:
    login = ("login", "--server", server.url, "--username", server.username, "--password-file", "-")
    said = stranger.must(*login, said=server.password + "\n")
    kept = stranger.home / "openvras" / "vrasctl.json"
    token = json.loads(kept.read_text())["token"]

    assert kept.stat().st_mode & 0o777 == 0o600
    assert stranger.json("group", "list") == stranger.json("group", "list", "--server", server.url)
    assert server.password not in said.out + said.err
    assert token not in said.out + said.err

    stranger.must("logout")

    assert not kept.exists()
    assert stranger.run("group", "list", "--server", server.url).code == 6
    copy = stranger.home / "copy"
    copy.write_text(token)
    assert replace(stranger, server=server.url, token=copy).run("group", "list").code == 6


def test_a_wrong_password_and_a_wrong_token_are_said_and_end_with_6(
    server: Server, stranger: Administrator, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("vras_0000.wrong")

    at_login = stranger.run(
        "login", "--server", server.url, "--username", "admin", "--password-file", "-", said="no\n"
    )
    with_token = replace(stranger, server=server.url, token=wrong).run("pc", "list")
    nowhere = stranger.run("pc", "list")

    assert (at_login.code, with_token.code, nowhere.code) == (6, 6, 6)
    assert "do not fit" in at_login.err
    assert "Log in again" in with_token.err
    assert "vrasctl login" in nowhere.err


def test_a_kept_token_is_never_sent_to_another_server(server: Server, stranger: Administrator) -> None:
    stranger.must(
        *("login", "--server", server.url, "--username", "admin", "--password-file", "-"),
        said=server.password,
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        ended = stranger.run("pc", "list", "--server", f"http://127.0.0.1:{other.getsockname()[1]}")

        assert ended.code == 6
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_server_that_is_away_ends_with_5(administrator: Administrator, free_port: int) -> None:
    ended = administrator.run("image", "list", "--server", f"http://127.0.0.1:{free_port}")

    assert ended.code == 5
    assert "Connection refused" in ended.err
    assert ended.out == ""


def test_wrong_usage_ends_with_2(administrator: Administrator) -> None:
    assert administrator.run("image", "publish").code == 2
    assert administrator.run("distribute", "x", "--group", "g", "--rate", "fast").code == 2
    assert administrator.run("nonsense").code == 2


def test_every_list_comes_as_a_table_and_as_json(administrator: Administrator) -> None:
    administrator.must("group", "create", "accounting", "--note", "3rd floor")
    administrator.must(
        "image", "create", "shown", "--health-command", "systemctl is-system-running", "--keep", "3"
    )

    for kind in ("image", "pc", "group", "distribution", "key"):
        assert isinstance(administrator.json(kind, "list"), list)
        assert administrator.must(kind, "list").out.strip()
    assert any(row["verb"] == "group.created" for row in administrator.json("events"))
    assert "group.created" in administrator.must("events").out
    assert administrator.json("image", "show", "shown")["health_command"] == [
        "systemctl",
        "is-system-running",
    ]
    table = administrator.must("group", "list").out
    assert re.search(r"^name +PCs +note", table)
    assert re.search(r"^accounting +0 +3rd floor", table, re.MULTILINE)


def test_a_note_cannot_steer_the_terminal(administrator: Administrator) -> None:
    administrator.run("group", "create", "plain", "--note", "red \x1b[31m alert\x07")

    for ended in (administrator.run("group", "list"), administrator.run("group", "show", "plain")):
        assert "\x1b" not in ended.out + ended.err
        assert "\x07" not in ended.out + ended.err


def test_an_enrolment_token_goes_to_a_file_of_its_own_and_not_to_the_screen(
    administrator: Administrator, tmp_path: Path
) -> None:
    administrator.must("group", "create", "joining")
    file = tmp_path / "enrol"

    ended = administrator.must("pc", "token", "--group", "joining", "--approved", "--output", str(file))
    again = administrator.run("pc", "token", "--output", str(file))

    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().strip()) > 20
    assert file.read_text().strip() not in ended.out + ended.err
    assert again.code == 1
    assert administrator.must("pc", "token").out.count("\n") == 1


def test_several_pcs_get_a_token_each_a_line_of_one_file(
    administrator: Administrator, tmp_path: Path
) -> None:
    file = tmp_path / "tokens"

    administrator.must("pc", "token", "--count", "3", "--output", str(file))

    assert len(set(file.read_text().split())) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(set(administrator.must("pc", "token", "--count", "2").out.split())) == 2
    assert len(administrator.json("pc", "token", "--count", "2")) == 2


def test_pcs_are_approved_moved_and_revoked_by_name(
    administrator: Administrator, enrol: Callable[..., Pc]
) -> None:
    administrator.must("group", "create", "front")
    administrator.must("group", "create", "back")
    enrol("pc-front-1", group="front")

    assert [
        pc["name"] for pc in administrator.json("pc", "list", "--state", "pending", "--group", "front")
    ] == ["pc-front-1"]
    assert administrator.json("pc", "approve", "pc-front-1")[0]["state"] == "approved"
    assert administrator.json("pc", "move", "pc-front-1", "--group", "back")[0]["group"] == "back"
    assert administrator.json("pc", "show", "pc-front-1")["state"] == "approved"
    assert administrator.json("pc", "revoke", "pc-front-1", "--reason", "sold")[0]["state"] == "revoked"
    assert administrator.json("events", "--limit", "1")[0]["reason"] == "sold"
    assert administrator.run("pc", "approve", "pc-front-1").code == 3
    assert administrator.run("pc", "show", "nobody").code == 3
    assert administrator.run("group", "delete", "back").code == 3  # it has the PC still
    administrator.must("group", "delete", "front")


def test_a_pc_is_lost_once_its_name_was_typed_and_found_again(
    administrator: Administrator, enrol: Callable[..., Pc]
) -> None:
    administrator.must("group", "create", "taxis")
    enrol("pc-lost-1", group="taxis", approved=True)
    lost = ("pc", "lost", "pc-lost-1", "--reason", "left in a taxi", "--where", "品川")

    told = administrator.run(*lost, "--confirm", "")
    assert told.code != 0
    assert "only the two recovery custodians" in told.err
    assert administrator.json(*lost, "--confirm", "pc-lost-1")["order"] == "queued"
    assert [pc["name"] for pc in administrator.json("pc", "list", "--state", "lost", "--group", "taxis")] == [
        "pc-lost-1"
    ]

    assert administrator.json("pc", "found", "pc-lost-1", "--reason", "there")["order"] == "withdrawn"
    assert administrator.json("pc", "show", "pc-lost-1")["state"] == "approved"
    assert administrator.run("pc", "found", "pc-lost-1", "--reason", "again").code == 3
    assert administrator.run("pc", "let-in", "pc-lost-1", "--reason", "x").code == 3


def test_a_group_gets_an_image_by_itself_until_it_is_unsubscribed(administrator: Administrator) -> None:
    administrator.must("group", "create", "subscribed")
    administrator.must("image", "create", "weekly")

    first = administrator.json("group", "subscribe", "subscribed", "--image", "weekly", "--no-on-join")
    second = administrator.json("group", "subscribe", "subscribed", "--image", "weekly")

    assert (first["on_publish"], first["on_join"]) == (True, False)
    assert (second["id"], second["on_join"]) == (first["id"], True)
    administrator.must("group", "unsubscribe", "subscribed")
    assert administrator.run("group", "unsubscribe", "subscribed").code == 3


def test_a_group_gets_an_image_for_each_machine_by_itself(administrator: Administrator) -> None:
    administrator.must("group", "create", "both")
    administrator.must("image", "create", "desk")
    administrator.must("image", "create", "server", "--machine", "virtual-server")

    for image in ("desk", "server"):
        administrator.must("group", "subscribe", "both", "--image", image)
    shown = administrator.json("group", "show", "both")
    administrator.must("group", "unsubscribe", "both", "--machine", "virtual-server")

    assert shown["subscription"]["image"] == "desk"
    assert {row["machine"]: row["image"] for row in shown["subscriptions"]} == {
        "client_vm": "desk",
        "virtual_server": "server",
    }
    left = administrator.json("group", "show", "both")["subscriptions"]
    assert [row["image"] for row in left] == ["desk"]


def test_a_distribution_is_watched_to_its_end_and_only_the_failed_are_sent_again(
    administrator: Administrator, enrol: Callable[..., Pc], disk: Callable[..., Path]
) -> None:
    administrator.must("group", "create", "watched")
    assert administrator.run("distribute", "office", "--group", "watched").code == 3  # no such image
    administrator.must("image", "publish", str(disk("office")), "--name", "office")
    assert administrator.run("distribute", "office", "--group", "watched").code == 3  # no PC
    good, bad = (enrol(name, group="watched", approved=True) for name in ("w-1", "w-2"))

    watching = administrator.start("distribute", "office@1", "--group", "watched", "--wait", "--rate", "10M")
    assert sorted(_lines(watching, 2)) == ["w-1: waiting\n", "w-2: waiting\n"]
    good.report(DeliveryStage.BOOTED)
    bad.report(DeliveryStage.FAILED, code="disk_full", words="No room.")
    out, err = watching.communicate(timeout=60)

    assert watching.returncode == 4, err
    assert "w-2: failed: No room. [disk_full]" in err
    assert "1 of 2 PCs did not boot office@1" in err
    assert re.search(r"^w-1 +booted", out, re.MULTILINE)
    (shown,) = administrator.json("distribution", "list", "--group", "watched")
    assert (shown["state"], shown["rate_bytes_s"]) == ("finished", 10_000_000)

    retrying = administrator.start("distribution", "retry", str(shown["id"]), "--wait", "-o", "json")
    assert sorted(_lines(retrying, 2)) == ["w-1: booted\n", "w-2: waiting\n"]
    bad.report(DeliveryStage.BOOTED)
    out, err = retrying.communicate(timeout=60)

    assert retrying.returncode == 0, err
    assert [pc["state"] for pc in json.loads(out)["pcs"]] == ["booted", "booted"]


def test_a_cancelled_distribution_says_why_and_nothing_is_rolled_back_to_nothing(
    administrator: Administrator, enrol: Callable[..., Pc], disk: Callable[..., Path]
) -> None:
    administrator.must("group", "create", "cancelled")
    administrator.must("image", "publish", str(disk("lonely")), "--name", "lonely")
    enrol("c-1", group="cancelled", approved=True)
    number = str(
        administrator.json("distribute", "lonely", "--group", "cancelled", "--now", "--wave", "1")["id"]
    )

    cancelled = administrator.json("distribution", "cancel", number, "--reason", "wrong group")
    rolled = administrator.run("rollback", "--group", "cancelled")
    alone = administrator.run("rollback", "--pc", "c-1")

    assert (cancelled["state"], cancelled["apply"], cancelled["wave_size"]) == ("cancelled", "now", 1)
    assert cancelled["pcs"][0]["code"] == "cancelled"
    assert rolled.code == 3
    assert "[nothing_before]" in rolled.err
    assert (alone.code, "[nothing_before]" in alone.err) == (3, True)
    assert administrator.run("rollback", "--pc", "c-1", "--group", "cancelled").code == 2
    assert administrator.run("distribution", "show", number, "--wait").code == 4


def test_ctrl_c_while_watching_ends_quietly_and_the_distribution_goes_on(
    administrator: Administrator, enrol: Callable[..., Pc], disk: Callable[..., Path]
) -> None:
    administrator.must("group", "create", "long")
    administrator.must("image", "publish", str(disk("any")), "--name", "any")
    enrol("l-1", group="long", approved=True)

    watching = administrator.start("distribute", "any", "--group", "long", "--wait")
    assert _lines(watching, 1) == ["l-1: waiting\n"]
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)

    assert watching.returncode == 130
    assert "Traceback" not in err
    assert administrator.json("distribution", "list", "--group", "long")[0]["state"] == "running"


def _lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    """The next lines of what it says; waits for them."""
    assert process.stderr is not None
    return [process.stderr.readline() for _ in range(count)]
