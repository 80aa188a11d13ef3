"""The repository's own shape: who imports whom, what is pinned, what is written down. Not its style."""

import ast
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from django.core.management import call_command

from config.env import VARIABLES
from tests.lab.server import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PURE = {"chunks", "devicepolicy", "domainxml", "errors", "preflight", "sealing", "wire", "words"}
ONE_WORLD = {
    "libvirt": {
        f"vrasnode/machines/{name}.py" for name in ("libvirtd", "hypervisor", "networks", "guestagent")
    },
    "libvirt_qemu": {"vrasnode/machines/guestagent.py"},
    "urllib3": {"vrasnode/contact/calling.py", "vrasnode/contact/marked.py"},
    "websockets": {"vrasnode/contact/calling.py"},
}
# Folders that documents name by a path; those of the apps are also names on a PC's disk.
OURS = "(?:benchmarks|clients|config|deploy|docs|locale|requirements|static|templates|tests|vrasctl|vrasnode)"
ADDRESSES = re.compile(
    r"(pypi\.org|pythonhosted\.org|registry\.(npmjs|yarnpkg)|[^t]-index-url|--find-links)", re.I
)


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def imports(path: Path) -> set[str]:
    """Top-level names of what a module imports, also late."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def pins(lock: Path) -> dict[str, str]:
    """Package → version of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", lock.read_text(), re.M))


def test_imports_go_only_to_the_right() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:]


def test_the_servers_contract_names_every_module_of_the_pc_that_is_not_pure() -> None:
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    forbidden = contracts["importlinter:contract:contract-only"]["forbidden_modules"].split()
    files = {path.stem for path in (ROOT / "vrasnode").glob("*.py")} - {"__init__", "__main__"}
    modules = files | {path.parent.name for path in (ROOT / "vrasnode").glob("*/__init__.py")}

    assert set(forbidden) == {f"vrasnode.{name}" for name in modules - PURE}


@pytest.mark.parametrize("world", ONE_WORLD)
def test_one_module_of_the_agent_knows_each_foreign_world(world: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "vrasnode").rglob("*.py")
        if world in imports(path)
    }

    assert found == ONE_WORLD[world]


def test_one_module_of_the_server_reads_private_keys() -> None:
    apps = [
        path for app in ("clients", "imaging", "mydoc", "checkout") for path in (ROOT / app).rglob("*.py")
    ]

    found = {path.relative_to(ROOT).as_posix() for path in apps if "load_pem_private_key" in path.read_text()}

    assert found == {"clients/enrolment/signing.py"}


@pytest.mark.slow
def test_the_agents_wheel_installs_and_imports_without_django(tmp_path: Path) -> None:
    python = make_environment(tmp_path, pins(ROOT / "requirements" / "agent.lock"))
    uv = [str(Path(sys.executable).with_name("uv")), "--offline", "--quiet"]
    source = copied(ROOT / "vrasnode", tmp_path / "source" / "vrasnode")
    build = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    run([*uv, *build, "--out-dir", str(tmp_path), str(source)])
    run([*uv, "pip", "install", "--no-deps", "--python", str(python), str(next(tmp_path.glob("*.whl")))])

    names = [
        "vrasnode" + "".join(f".{part}" for part in path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py") and path.relative_to(source).parts[0] != "build"
    ]
    output = run(
        [
            str(python),
            "-c",
            f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
            "try:\n    import django\nexcept ImportError:\n    print(len(sys.modules) > 0)",
        ]
    )

    assert output == "True\n"
    assert run([str(python.with_name("vrasnode")), "--version"]).startswith("vrasnode 0.")


def make_environment(directory: Path, packages: dict[str, str]) -> Path:
    """A virtual environment that sees, of ours, these packages alone: nothing is downloaded. Its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", str(directory / "venv")])
    site = next((directory / "venv" / "lib").glob("python*/site-packages"))
    for name, version in packages.items():
        found = distribution(name)
        assert found.version == version, f"{name} is {found.version} here: run `make setup`"
        for file in found.files or []:
            if file.parts[0] != ".." and not (site / file.parts[0]).exists():
                (site / file.parts[0]).symlink_to(Path(str(found.locate_file(file.parts[0]))))
    return directory / "venv" / "bin" / "python"


def copied(source: Path, target: Path) -> Path:
    """What git has of a directory, so that building leaves nothing in it."""
    files = [*source.rglob("*.py"), *source.rglob("files/*"), source / "pyproject.toml", source / "py.typed"]
    for path in files:
        if path.relative_to(source).parts[0] != "build":
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


def run(command: list[str]) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd="/", env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.django_db
def test_no_migration_is_pending() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)  # exits with 1 when one is


def test_the_rest_description_in_docs_is_the_servers() -> None:
    made = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=made)

    assert made.getvalue().strip() == (ROOT / "docs" / "openapi.yaml").read_text().strip(), "run `make docs`"


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    assert set(re.findall(r"^\| `(OPENVRAS_\w+)`", text, re.M)) == set(VARIABLES)


def test_links_in_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "CHANGES").glob("*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]

    assert broken == []


def test_what_documents_name_is_there() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in tracked()}
    places = files | {parent.as_posix() for name in files for parent in Path(name).parents}
    modules = {Path(name).name for name in files if name.endswith(".py")}
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))

    def lost() -> Iterator[str]:
        for page in tracked("*.md", ":!CHANGES", ":!static/vendor"):
            text = page.read_text()
            for name in re.findall(rf"`({OURS}/[\w./-]*\w|\w+/[\w./-]+\.py)/?`", text):
                if name not in places and not ignored(name):
                    yield f"{page.relative_to(ROOT)}: {name}"
            for name in re.findall(r"`(\w+\.py)`", text):
                if name not in modules:
                    yield f"{page.relative_to(ROOT)}: {name}"
            for name in re.findall(r"python -m ((?:benchmarks|config|tests|vras\w+)[\w.]*\w)", text):
                if not places & {f"{name.replace('.', '/')}{end}.py" for end in ("", "/__main__")}:
                    yield f"{page.relative_to(ROOT)}: python -m {name}"
            for name in re.findall(r"`make ([a-z-]+)", text):
                if name not in verbs:
                    yield f"{page.relative_to(ROOT)}: make {name}"

    assert list(lost()) == []


def ignored(name: str) -> bool:
    """Whether git knows it as something that is made here."""
    command = ["git", "check-ignore", name, f"{name}/"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_every_decision_is_listed() -> None:
    pages = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")} - {"README.md"}
    listed = re.findall(r"\]\(([^)]+\.md)\)", (ROOT / "docs" / "decisions" / "README.md").read_text())

    assert set(listed) == pages


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_pinned_by_hash_and_without_address(lock: Path) -> None:
    text = lock.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]

    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", line), line
        assert "--hash=sha256:" in line, line
    assert "://" not in text


def test_the_same_package_has_the_same_version_everywhere() -> None:
    development = pins(ROOT / "requirements" / "dev.lock")

    for name in ("server", "agent"):
        other = pins(ROOT / "requirements" / f"{name}.lock")
        assert other == {package: development.get(package) for package in other}


def test_no_file_names_where_packages_are_downloaded() -> None:
    def naming() -> Iterator[str]:
        for path in tracked(":!tests/test_house.py"):
            text = path.read_bytes().decode(errors="ignore")
            if found := ADDRESSES.search(text):
                yield f"{path.relative_to(ROOT)}: {found[0]}"

    assert list(naming()) == []


def test_what_other_people_made_is_listed_with_its_licence() -> None:
    vendor = ROOT / "static" / "vendor"
    listed = (vendor / "README.md").read_text()

    for path in vendor.glob("*/**/*"):
        name = path.relative_to(vendor).as_posix()
        assert path.is_dir() or f"`{name}`" in listed, f"static/vendor/README.md does not list {name}"
        assert (vendor / name.split("/")[0] / "LICENSE").is_file()


def test_no_module_is_longer_than_a_person_reads() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in tracked("*.py", ":!*/migrations/*", ":!tests/*")
        if (lines := len(path.read_text().splitlines())) > 420
    }

    assert long == {}
