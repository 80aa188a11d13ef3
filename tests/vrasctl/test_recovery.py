"""Two custodians recover user data at the command line, against a real server."""

import json
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.server import Server
from tests.vrasctl.conftest import Administrator, Pc
from vrasnode import sealing
from vrasnode.mydoc import luks

PASSPHRASE = "a passphrase of five words"
SECRET = b"the recovery key of this volume!"

_REPLICA = """
from mydoc.replicas import passwords as replicakeys
from mydoc.models import Volume
volume = Volume.objects.get(owner__username={owner!r}, client__name={client!r})
print(replicakeys.repository_password_of(replicakeys.replica_of(volume)))
"""
_VOLUME = """
import base64
from django.contrib.auth.models import User
from clients.models import Client
from mydoc.models import Volume
owner, _new = User.objects.get_or_create(username={owner!r})
Volume.objects.create(pk={volume!r}, owner=owner, client=Client.objects.get(name={client!r}), limit_bytes=1,
    luks_uuid="5d9b9a0e-0f1a-4d0c-8a53-3b8c6f9d2e10", recovery={wrapped!r}, recovery_custodians={marks!r})
"""


@pytest.fixture
def how(safe: Path) -> list[str]:
    """The passphrase, for a command."""
    return ["--passphrase-file", str(safe)]


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    """A file with the passphrase of both custodians."""
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    return file


Keys = tuple[dict[str, str], dict[str, str]]


@pytest.fixture
def keys(stranger: Administrator, safe: Path, tmp_path: Path) -> Keys:
    """Both custodians' keys, made where no server is."""
    one, two = (
        stranger.json("recovery", "make-key", str(tmp_path / name), "--passphrase-file", str(safe))
        for name in ("yamada.key", "mori.key")
    )
    return one, two


@pytest.fixture
def registered(administrator: Administrator, keys: Keys) -> list[bytes]:
    """Their public keys, which the server knows."""
    return [
        bytes.fromhex(
            administrator.json("recovery", "register", key["public"], "--place", place, "--name", name)[
                "public_key"
            ]
        )
        for key, place, name in zip(keys, ("1", "2"), ("Yamada", "Mori"), strict=True)
    ]


@pytest.fixture
def volume(
    server: Server,
    enrol: Callable[..., Pc],
    keys: Keys,
    registered: list[bytes],
    request: pytest.FixtureRequest,
) -> str:
    """The name of a volume whose PC has deposited its recovery key."""
    administrator: Administrator = request.getfixturevalue("administrator")
    client = request.node.name[5:60].replace("_", "-")
    administrator.json("group", "create", client)
    enrol(client, group=client, approved=True)
    volume = str(uuid.uuid4())
    wrapped = sealing.wrap_for_custodians(SECRET, registered, volume=volume)
    marks = [key["fingerprint"] for key in keys]
    server.shell(_VOLUME.format(owner="sato", volume=volume, client=client, wrapped=wrapped, marks=marks))
    return f"sato@{client}"


@pytest.mark.slow
def test_two_custodians_open_a_volume_one_after_the_other(
    administrator: Administrator, volume: str, keys: Keys, how: list[str], tmp_path: Path
) -> None:
    stranger, half, out = Administrator(tmp_path / "stranger"), tmp_path / "half", tmp_path / "out"
    first = ["--key", keys[0]["file"], "--reason", "her PC burnt", "--out", str(half)]
    administrator.must("recovery", "open", volume, *first, *how)

    stranger.must(
        "recovery", "open", volume, "--key", keys[1]["file"], "--in", str(half), "--out", str(out), *how
    )

    file = tmp_path / "volume.luks"
    file.write_bytes(bytes(4 << 20))
    luks.format_file(file, SECRET)
    opened = ["cryptsetup", "open", "--type", "luks", "--test-passphrase", "--key-file", out, file]
    assert subprocess.run(opened, check=False).returncode == 0
    assert not [form for form in (SECRET, SECRET.hex().encode()) if form in half.read_bytes()]
    assert {file.stat().st_mode & 0o777 for file in (half, out)} == {0o600}
    events = administrator.json("events", "--verb", "volume.recovered")
    assert events[0]["reason"] == "her PC burnt"


@pytest.mark.slow
def test_two_custodians_and_a_plain_restic_read_a_replica_without_the_server(
    administrator: Administrator, server: Server, *, volume: str, keys: Keys, how: list[str], tmp_path: Path
) -> None:
    owner, _at, client = volume.partition("@")
    opens = server.shell(_REPLICA.format(owner=owner, client=client)).split()[-1]
    (tmp_path / "notes.txt").write_text("hello")
    restic = ["restic", "--no-cache", "--repo", str(tmp_path / "nas"), "--password-file"]
    (tmp_path / "known").write_text(opens)
    for arguments in (["init"], ["backup", str(tmp_path / "notes.txt")]):
        subprocess.run([*restic, str(tmp_path / "known"), *arguments], check=True)
    half, out, stranger = tmp_path / "half", tmp_path / "out", Administrator(tmp_path / "stranger")
    first = ["--replica", "--key", keys[0]["file"], "--reason", "the server burnt", "--out", str(half)]
    administrator.must("recovery", "open", volume, *first, *how)
    second = ["--replica", "--key", keys[1]["file"], "--in", str(half), "--out", str(out)]
    stranger.must("recovery", "open", volume, *second, *how)

    found = subprocess.run(
        [*restic, str(out), "dump", "latest", str(tmp_path / "notes.txt")], capture_output=True, check=True
    )

    assert found.stdout == b"hello"
    assert administrator.json("events", "--verb", "replica.recovered")[0]["reason"] == "the server burnt"


@pytest.mark.slow
def test_the_second_cannot_be_first_and_the_first_is_not_enough(
    administrator: Administrator, volume: str, keys: Keys, safe: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    how = ["--passphrase-file", str(safe), "--reason", "a try"]

    early = administrator.run("recovery", "open", volume, "--key", keys[1]["file"], "--out", str(half), *how)
    administrator.must("recovery", "open", volume, "--key", keys[0]["file"], "--out", str(half), *how)
    again = administrator.run("recovery", "open", volume, "--key", keys[0]["file"], "--in", str(half), *how)

    for refused in (early, again):
        assert refused.code == 1
        assert "[not_your_turn]" in refused.err


@pytest.mark.slow
def test_the_list_says_who_recovers_what_and_what_nobody_does(
    administrator: Administrator, server: Server, volume: str
) -> None:
    owner, _at, client = volume.partition("@")
    server.shell(
        _VOLUME.format(owner="kato", volume=str(uuid.uuid4()), client=client, wrapped=None, marks=[])
    )

    rows = administrator.json("recovery", "list")

    found = {row["owner"]: row["recovered_by"] for row in rows if row["client"] == client}
    assert found == {owner: "Yamada + Mori", "kato": "nobody"}


@pytest.mark.slow
def test_a_volume_that_is_not_there_is_said(administrator: Administrator, keys: Keys, safe: Path) -> None:
    how = ["--key", keys[0]["file"], "--passphrase-file", str(safe), "--reason", "x", "--out", "/dev/null/x"]

    assert "[no_volume]" in administrator.run("recovery", "open", "nobody@nowhere", *how).err


def test_a_key_is_locked_by_its_passphrase_and_never_written_over(
    stranger: Administrator, keys: Keys, safe: Path, tmp_path: Path
) -> None:
    file = Path(keys[0]["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase")
    half = tmp_path / "half"
    half.write_text(
        json.dumps({"volume": "v", "name": "n", "luks_uuid": "l", "custodians": [], "wrapped": ""})
    )

    again = stranger.run("recovery", "make-key", str(file), "--passphrase-file", str(safe))
    how = ["--key", str(file), "--in", str(half), "--passphrase-file", str(wrong)]
    opened = stranger.run("recovery", "open", "v", *how)

    assert "[file_not_written]" in again.err
    assert "[wrong_passphrase]" in opened.err


@pytest.mark.parametrize(("passphrase", "code"), [("short", "short_passphrase"), ("", "no_secret")])
def test_a_passphrase_that_is_none_makes_no_key(
    stranger: Administrator, tmp_path: Path, passphrase: str, code: str
) -> None:
    refused = stranger.run(
        "recovery", "make-key", str(tmp_path / "key"), "--passphrase-file", "-", said=passphrase
    )

    assert f"[{code}]" in refused.err
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    "content", ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_custodians_key_is_refused(
    stranger: Administrator, safe: Path, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "key.pub"
    file.write_text(content)

    refused = stranger.run("recovery", "register", str(file), "--place", "1", "--name", "x")

    assert "[bad_key]" in refused.err
