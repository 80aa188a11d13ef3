"""Bytes arrive: packs by PUT, whole or not at all; files from a browser, cut by a worker (row I1)."""

import asyncio
import json
import random
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from clients.tokens import issuing
from imaging import arriving, node, publishing
from imaging import store as stores
from imaging.models import ImageVersion, MasterImage, Pack
from imaging.store import store
from tests.images import chunk, digest_of
from vrasnode.chunks import frames
from vrasnode.chunks.packs import PackBuilder
from vrasnode.wire.imaging import CHUNK_BYTES

pytestmark = [pytest.mark.usefixtures("installation"), pytest.mark.django_db(transaction=True)]

Answer = tuple[int, dict[str, Any]]


@pytest.fixture
def token(admin: User, now: datetime) -> str:
    return issuing.make(admin, name="test", scope="write", now=now)[1]


def a_pack(*texts: str) -> tuple[str, bytes]:
    """Id and bytes of a pack with one chunk a text."""
    return pack_of(*(chunk(text) for text in texts))


def pack_of(*chunks: bytes) -> tuple[str, bytes]:
    """Id and bytes of a pack with these chunks."""
    builder = PackBuilder()
    for data in chunks:
        builder.add(digest_of(data), frames.make_frame(data, frames.new_compressor()))
    pack = builder.finish()
    return pack.pack_id, b"".join(bytes(part) for part in pack.read_from(0))


def put(
    pack_id: str, body: bytes, token: str, *, cut_at: int | None = None, length: int | None = None
) -> Answer:
    """PUTs a pack at the raw door; `cut_at` breaks the connection after so many bytes."""
    sent = body if cut_at is None else body[:cut_at]
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": sent[start : start + 1000], "more_body": True}
        for start in range(0, len(sent), 1000)
    ]
    messages.append(
        {"type": "http.disconnect"} if cut_at is not None else {"type": "http.request", "body": b""}
    )
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/api/v1/packs/{pack_id}/",
        "headers": [
            (b"authorization", f"Bearer {token}".encode()),
            (b"content-length", str(len(body) if length is None else length).encode()),
        ],
    }
    asyncio.run(node.upload(scope, receive, send))
    return answers[0]["status"], json.loads(answers[1]["body"] or b"{}")


def left() -> list[Path]:
    """Files of the store."""
    return [path for path in store().root.rglob("*") if path.is_file()]


def test_a_pack_is_kept_under_its_id_and_sent_once(token: str) -> None:
    pack_id, body = a_pack("a", "b")

    assert put(pack_id, body, token)[0] == 201
    assert put(pack_id, b"", token, length=len(body))[0] == 200

    assert store().pack_path(pack_id).read_bytes() == body
    assert store().catalogue.missing([digest_of(chunk("a")), digest_of(chunk("c"))]) == {
        digest_of(chunk("c"))
    }


def test_a_pack_that_was_damaged_on_the_disk_is_taken_again(token: str) -> None:
    pack_id, body = a_pack("a")
    put(pack_id, body, token)
    store().pack_path(pack_id).write_bytes(b"damaged")
    stores.store.cache_clear()

    assert put(pack_id, body, token)[0] == 201
    assert store().catalogue.missing([digest_of(chunk("a"))]) == set()


def test_a_connection_cut_in_the_middle_leaves_nothing_and_the_next_try_works(token: str) -> None:
    pack_id, body = a_pack("a")

    status, problem = put(pack_id, body, token, cut_at=len(body) // 2)

    assert (status, problem["code"]) == (400, "cut_off")
    assert left() == []
    assert put(pack_id, body, token)[0] == 201


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b + b"more", lambda b: b[:-5]]
)
def test_other_bytes_than_the_id_says_are_refused(token: str, change: Callable[[bytes], bytes]) -> None:
    pack_id, body = a_pack("a")

    status, problem = put(pack_id, change(body), token)

    assert (status, problem["code"]) == (400, "bad_pack")
    assert left() == []
    assert not Pack.objects.exists()


def test_what_is_no_pack_is_refused_even_under_its_right_id(token: str) -> None:
    from blake3 import blake3

    body = b"VRAS nonsense" * 100

    status, problem = put(blake3(body).hexdigest(), body, token)

    assert (status, problem["code"]) == (400, "bad_pack")
    assert not Pack.objects.exists()
    assert left() == []


def test_an_oversized_pack_is_refused_before_it_is_read(token: str) -> None:
    assert put("00" * 32, b"", token, length=(64 << 20) + 1)[0] == 413


def test_only_a_token_that_may_write_sends_packs(admin: User, now: datetime) -> None:
    pack_id, body = a_pack("a")
    reader = issuing.make(admin, name="reader", scope="read", now=now)[1]

    for token in ("", "vras_0000.0000", reader):
        assert put(pack_id, body, token)[0] == 401


@pytest.mark.slow
def test_a_full_disk_is_said_and_keeps_what_was_there(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        monkeypatch.setattr(settings, "STORE", small)
        stores.store.cache_clear()
        fits = a_pack("a")
        too_large = pack_of(random.Random(1).randbytes(CHUNK_BYTES), random.Random(2).randbytes(CHUNK_BYTES))

        assert put(*fits, token)[0] == 201
        status, problem = put(*too_large, token)

        assert (status, problem["code"]) == (507, "store_full")
        assert "retire" in problem["detail"]
        assert left() == [store().pack_path(fits[0])]
    finally:
        subprocess.run(["umount", str(small)], check=True)
        stores.store.cache_clear()


def disk_image(*texts: str) -> bytes:
    """A raw disk with a boot signature and one chunk a text."""
    first = bytearray(chunk("first"))
    first[440:512] = bytes(70) + b"\x55\xaa"
    return bytes(first) + b"".join(chunk(text) if text else bytes(CHUNK_BYTES) for text in texts)


def take(image: MasterImage, data: bytes, now: datetime) -> ImageVersion:
    """What the portal's form and REST do with an uploaded file, and then a worker."""
    version = arriving.take_file(image, SimpleUploadedFile("disk.raw", data), note="from a browser")
    assert version.state == ImageVersion.State.SEALED
    publishing.check_sealed(version, now=now)
    return version


def test_a_file_from_a_browser_becomes_a_version_signed_by_the_server(
    desktop: MasterImage, now: datetime
) -> None:
    version = take(desktop, disk_image("a", "", "b"), now)

    assert (version.state, version.number) == (ImageVersion.State.READY, 1)
    assert version.size_bytes == 4 * CHUNK_BYTES
    assert version.data_bytes == 3 * CHUNK_BYTES
    assert version.publisher_key
    assert not store().source_path(version.source).exists()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_empty"),
        (b"%PDF-1.7" + bytes(4096), "not_an_image"),
        (b"QFI\xfb" + bytes(60), "not_an_image"),
    ],
)
def test_a_file_that_is_no_image_fails_with_words(
    desktop: MasterImage, now: datetime, data: bytes, code: str
) -> None:
    version = take(desktop, data, now)

    assert (version.state, version.failure_code) == (ImageVersion.State.FAILED, code)
    assert version.failure_words
    assert not store().source_path(version.source).exists()
