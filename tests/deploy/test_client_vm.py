"""What the client VM's scripts for Linux say and do, beside a PC and a server that a test plays.

The share itself, Kerberos and the guest agent are the walk's (tests/walks), for they need a machine.
"""

import json
import os
import pwd
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.lab.server import ROOT

SCRIPTS = ROOT / "deploy" / "client-vm" / "linux"
NONCE, CLIENT = "0123456789abcdef" * 2, "0b6f5c1e-6a63-4c3e-9d4e-3f4bb1a7a001"
PASSWORD = "pw-that-nobody-may-see"


@dataclass
class Neighbours:
    """The PC's local page and the server's logon door, at one address. `states` are what the documents are,
    one after the other; the last stays."""

    states: list[dict[str, str]] = field(default_factory=lambda: [{"state": "open"}])
    offer: dict[str, str] = field(default_factory=dict)  # besides
    answer: tuple[int, dict[str, str]] = (200, {"volume": "v1"})
    got: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    notices: list[dict[str, str]] = field(default_factory=list)  # one after the other; the last stays
    last_told: bool = False
    told_all: threading.Event = field(default_factory=threading.Event)

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        if (method, path) == ("POST", "/logon"):
            return 200, {"nonce": NONCE, "client": CLIENT, "server": f"{self.url}/mydoc/logon", **self.offer}
        if (method, path) == ("POST", "/mydoc/logon"):
            assert json.loads(body) == {"nonce": NONCE, "client": CLIENT}
            return self.answer
        if path == "/checkout/notice":
            if len(self.notices) == 1:
                if self.last_told:
                    self.told_all.set()  # it was asked once more after the last
                self.last_told = True
            return 200, self.notices.pop(0) if len(self.notices) > 1 else self.notices[0]
        return 200, self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    told = Neighbours()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            told.got.append((method, self.path, dict(self.headers)))
            status, answer = told.reply(method, path, body)
            data = json.dumps(answer, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sign that this user's documents are mounted and their folders lead there."""
    place = tmp_path / "run" / "documents" / pwd.getpwuid(os.getuid()).pw_name
    place.parent.mkdir(parents=True)
    ready = place.with_name(f"{place.name}.ready")
    ready.touch()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"//100.127.255.242/documents {place} cifs rw 0 0\n")
    monkeypatch.setenv("OPENVRAS_MOUNTS", str(mounts))
    monkeypatch.setenv("OPENVRAS_RUN", str(tmp_path / "run"))
    return ready


def log_on(pc: str, *, language: str = "en_US.UTF-8") -> tuple[int, str]:
    """Exit code and words of the logon script."""
    kept = {name: os.environ[name] for name in ("PATH", "OPENVRAS_MOUNTS", "OPENVRAS_RUN")}
    env = {**kept, "LANG": language, "OPENVRAS_PC": pc}
    done = subprocess.run(
        [SCRIPTS / "openvras-logon"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr.strip()


def documents(given: str, tmp_path: Path) -> tuple[int, str]:
    """Exit code and words of the script that the guest agent runs."""
    done = subprocess.run(
        [SCRIPTS / "documents"],
        env={**os.environ, "OPENVRAS_RUN": str(tmp_path)},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr.strip()


def test_a_logon_carries_the_pcs_nonce_to_the_server_and_waits_for_the_documents(
    neighbours: Neighbours,
) -> None:
    neighbours.states = [{"state": "locked"}, {"state": "opening"}, {"state": "open"}]

    code, words = log_on(neighbours.url)

    assert (code, words) == (0, "openvras: Your documents are open. [open]")
    asked = [(method, path) for method, path, _headers in neighbours.got]
    assert asked == [("POST", "/logon"), ("POST", "/mydoc/logon"), *[("GET", "/documents?volume=v1")] * 3]
    assert neighbours.got[0][2]["X-OpenVRAS"] == "1"  # which no web page makes a browser send


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en_US.UTF-8", "openvras: This PC's control base does not answer. Tell your help desk"),
        ("ja_JP.UTF-8", "openvras: このPCの制御基盤が応答しません。"),
    ],
)
def test_a_silent_control_base_is_said_in_the_users_language(language: str, words: str) -> None:
    code, said = log_on("http://127.0.0.1:9", language=language)

    assert code == 1
    assert said.startswith(words)
    assert said.endswith("[no_pc]")


def test_the_servers_no_is_said_in_its_own_words(neighbours: Neighbours) -> None:
    neighbours.answer = 403, {"code": "account_disabled", "detail": "このアカウントは無効です。"}

    code, said = log_on(neighbours.url, language="ja_JP.UTF-8")

    assert (code, said) == (1, "openvras: このアカウントは無効です。 [account_disabled]")
    assert neighbours.got[-1][2]["Accept-Language"] == "ja"


def test_a_session_without_a_ticket_is_told_to_get_one(neighbours: Neighbours) -> None:
    neighbours.answer = 401, {"code": "not_authenticated", "detail": "Prove who has logged on."}

    code, said = log_on(neighbours.url)

    assert code == 1
    assert said.endswith("[no_ticket]")


def test_a_session_without_a_ticket_hears_of_the_clock_that_lets_none_be_made(neighbours: Neighbours) -> None:
    neighbours.answer = 401, {"code": "not_authenticated", "detail": "Prove who has logged on."}
    neighbours.offer = {"code": "clock_off", "words": "The clocks differ by 24:00."}

    code, said = log_on(neighbours.url)

    assert (code, said) == (1, "openvras: The clocks differ by 24:00. [clock_off]")


def test_a_server_that_is_away_is_said(neighbours: Neighbours) -> None:
    neighbours.answer = 503, {}

    assert log_on(neighbours.url) == (
        1,
        "openvras: The management server cannot be reached: your documents open on the company LAN. "
        "[no_server]",
    )


def test_what_keeps_the_documents_broken_is_said_but_not_what_did_before(neighbours: Neighbours) -> None:
    before = {"state": "broken", "code": "old", "words": "Of an earlier try."}
    neighbours.states = [
        before,
        {"state": "opening"},
        {"state": "broken", "code": "disk_full", "words": "F."},
    ]

    assert log_on(neighbours.url) == (1, "openvras: F. [disk_full]")


def test_documents_are_not_called_open_before_the_known_folders_lead_there(
    neighbours: Neighbours, brought: Path
) -> None:
    brought.unlink()
    neighbours.states = [{"state": "open"}, {"state": "broken", "code": "not_redirected", "words": "W."}]

    assert log_on(neighbours.url) == (1, "openvras: W. [not_redirected]")


GOOD = {
    "server": "100.127.255.242",
    "share": "documents",
    "user": "u1",
    "password": PASSWORD,
    "owner": "root",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"server": "vras; reboot"}, "bad_request: The server's address is missing."),
        ({"server": ""}, "bad_request: The server's address is missing."),
        ({"share": "../x"}, "bad_request: The share's name is missing."),
        ({"user": "a b"}, "bad_request: The user is missing."),
        ({"password": ""}, "bad_request: The password is missing."),
        ({"owner": "../alice"}, "bad_request: The owner's name is missing."),
        ({"owner": "--help"}, "bad_request: The owner's name is missing."),
        ({"owner": "nobody-of-that-name"}, "no_such_user: This system knows no user nobody-of-that-name."),
        ({}, "bad_request: The owner cannot be root."),
    ],
)
def test_what_the_script_cannot_use_is_refused_before_anything_is_done(
    change: dict[str, str], words: str, tmp_path: Path
) -> None:
    assert documents(json.dumps({**GOOD, **change}), tmp_path) == (1, words)
    assert not (tmp_path / "documents").exists()


def test_words_that_are_no_json_are_refused(tmp_path: Path) -> None:
    assert documents("rm -rf /", tmp_path) == (1, "bad_request: The server's address is missing.")


def test_closing_what_is_not_open_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "documents" / "alice").mkdir(parents=True)

    assert documents('{"close": true}', tmp_path) == (0, "")
    assert documents('{"close": true, "owner": "alice"}', tmp_path) == (0, "")


@pytest.mark.parametrize(("owner", "left"), [("alice", ["bob"]), ("", [])])
def test_what_is_mounted_is_taken_away_though_nobody_can_look_at_it(
    owner: str, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount whose server is gone answers as if there were no such folder: here there is none."""
    table, root = tmp_path / "mounts", tmp_path / "inside"
    (root / "documents").mkdir(parents=True)
    for name in ("alice", "bob"):
        (root / "documents" / f"{name}.ready").touch()
    lines = [f"//x/documents {root}/documents/{name} cifs rw 0 0\n" for name in ("alice", "bob")]
    table.write_text("".join(["proc /proc proc rw 0 0\n", *lines]))
    umount = tmp_path / "bin" / "umount"
    umount.parent.mkdir()
    umount.write_text(f'#!/bin/sh\ngrep -v " $3 " {table} >{table}.new; mv {table}.new {table}\n')
    umount.chmod(0o755)
    monkeypatch.setenv("PATH", f"{umount.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("OPENVRAS_MOUNTS", str(table))

    assert documents(json.dumps({"close": True, **({"owner": owner} if owner else {})}), root) == (0, "")

    assert [name for name in ("alice", "bob") if f"/{name} cifs" in table.read_text()] == left
    assert [path.stem for path in (root / "documents").iterdir()] == left


@pytest.mark.parametrize("script", ["openvras-logon", "documents"])
def test_the_scripts_are_plain_posix_shell(script: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", SCRIPTS / script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


NOTIFIER = """#!/bin/sh
for word in "$@"; do last=$word; done
printf '%s %s\\n' "$2" "$last" >>"$NOTIFIED"
"""


def test_the_desktop_says_once_each_that_a_usage_key_comes_to_its_end(
    neighbours: Neighbours, tmp_path: Path
) -> None:
    hour = {"stage": "l/3600", "words": "利用キーはあと0時間59分で終了します。"}
    minutes = {"stage": "l/600", "words": "利用キーはあと0時間9分で終了します。"}
    neighbours.notices = [{"stage": "", "words": ""}, hour, {**hour, "words": "あと58分"}, minutes]
    program, told = tmp_path / "bin" / "notify-send", tmp_path / "notified"
    program.parent.mkdir()
    program.write_text(NOTIFIER)
    program.chmod(0o755)
    env = {name: os.environ[name] for name in ("OPENVRAS_MOUNTS", "OPENVRAS_RUN")}
    env |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "DISPLAY": ":0", "NOTIFIED": str(told)}
    env |= {"LANG": "ja_JP.UTF-8", "OPENVRAS_PC": neighbours.url, "OPENVRAS_AGAIN_S": "1"}

    with subprocess.Popen([SCRIPTS / "openvras-logon", "--stay"], env=env, stderr=subprocess.PIPE) as script:
        neighbours.told_all.wait(60)
        script.terminate()

    said = told.read_text().splitlines()
    assert [line for line in said if "critical" in line] == [
        f"--urgency=critical {hour['words']}",
        f"--urgency=critical {minutes['words']}",
    ]
