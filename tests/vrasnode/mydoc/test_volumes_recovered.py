"""Opening a volume without OpenVRAS: the recipes of docs/user-data.md, with a file system inside."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vrasnode.volumecast import MIB, Made, qemu_io

pytestmark = pytest.mark.slow

LETTER = "拝啓\n"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """A locked volume with a letter in it."""
    volume = Made(tmp_path / "mydoc").create(limit_bytes=8 * MIB)
    documents, image = tmp_path / "documents", tmp_path / "image"
    documents.mkdir()
    (documents / "手紙.txt").write_text(LETTER)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", documents, image, "8M"], check=True)
    try:
        volume.serve()
        assert qemu_io(volume, f"write -s {image} 0 8M", "flush").returncode == 0
        volume.stop()
        yield volume
    finally:
        volume.stop()


@pytest.fixture
def recovery_file(made: Made, tmp_path: Path) -> Path:
    """What `vrasctl recovery open` gives the second custodian."""
    file = tmp_path / "sato.recovery"
    file.write_text(made.recovery_key.hex())
    return file


def opens(file: Path, *, key_file: Path | None = None, typed: str = "") -> bool:
    known = ["--key-file", str(key_file)] if key_file else []
    command = ["cryptsetup", "open", "--type", "luks", "--test-passphrase", *known, str(file)]
    return subprocess.run(command, input=typed, text=True, capture_output=True, check=False).returncode == 0


def letter_in(file: Path, recovery_file: Path, scratch: Path) -> str:
    """The letter, from a volume that QEMU decrypts into a plain image; as large as the volume was."""
    image, place = scratch / "sato.img", scratch / "mnt"
    source = f"driver=luks,key-secret=key,file.filename={file}"
    key = ["--object", f"secret,id=key,file={recovery_file}"]
    subprocess.run(["qemu-img", "convert", *key, "--image-opts", source, "-O", "raw", image], check=True)
    os.truncate(image, 8 * MIB)
    place.mkdir()
    subprocess.run(["mount", "-o", "ro,loop", image, place], check=True)
    try:
        return (place / "手紙.txt").read_text()
    finally:
        subprocess.run(["umount", place], check=True)


def test_the_recovery_key_opens_the_file_with_cryptsetup_from_a_file_or_typed(
    made: Made, recovery_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text(os.urandom(32).hex())

    assert opens(made.file, key_file=recovery_file)
    assert opens(made.file, typed=made.recovery_key.hex() + "\n")
    assert not opens(made.file, key_file=tmp_path / "wrong")


def test_a_letter_comes_out_by_qemu_where_there_is_no_dm_crypt(
    made: Made, recovery_file: Path, tmp_path: Path
) -> None:
    assert letter_in(made.file, recovery_file, tmp_path) == LETTER


def test_a_letter_comes_out_of_a_file_that_was_cut(made: Made, recovery_file: Path, tmp_path: Path) -> None:
    os.truncate(made.file, made.file.stat().st_size - MIB - 1)

    assert opens(made.file, key_file=recovery_file)
    assert letter_in(made.file, recovery_file, tmp_path) == LETTER


def test_what_is_kept_of_the_header_mends_a_copy_of_the_file(
    made: Made, recovery_file: Path, tmp_path: Path
) -> None:
    with made.file.open("r+b") as file:
        file.write(os.urandom(512))
    copy, start = tmp_path / "copy.luks", tmp_path / "start"
    subprocess.run(["cp", "--sparse=always", made.file, copy], check=True)
    assert not opens(copy, key_file=recovery_file)

    start.write_bytes(base64.b64decode(json.loads(made.note.read_bytes())["start"]))
    subprocess.run(["dd", f"if={start}", f"of={copy}", "conv=notrunc", "status=none"], check=True)

    assert opens(copy, key_file=recovery_file)
    assert letter_in(copy, recovery_file, tmp_path) == LETTER
