"""A plugin of pytest: loads the house as if the guards of one attack had been taken out, and tells how its
test ended. `OPENVRAS_WITHOUT_GUARDS_OF` is the attack's place in the list, or "" for none; `OPENVRAS_TELL`
names the file for what became of each test.

No file is changed and none is copied: what a module is compiled from is.
"""

import json
import os
import sys
from collections.abc import Generator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tests.checkout.guards import Guard
from tests.checkout.guards.attacks import ATTACKS

ROOT = Path(__file__).parents[3]
PLACE = os.environ["OPENVRAS_WITHOUT_GUARDS_OF"]
OUT = ATTACKS[int(PLACE)].guards if PLACE else ()
LOADED: set[Path] = set()


def without(guards: Sequence[Guard], source: str) -> str:
    """A file's text without these guards, which all stand in it."""
    for guard in guards:
        source = source.replace(guard.text, guard.without)
    return source


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.path)
        LOADED.add(path)
        here = [guard for guard in OUT if ROOT / guard.file == path]
        return compile(without(here, path.read_text()), self.path, "exec", dont_inherit=True)


class _Finder(PathFinder):
    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target)
        if spec is None or spec.origin is None or Path(spec.origin) not in {ROOT / one.file for one in OUT}:
            return None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder)
TOLD: dict[str, list[str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps what was raised while the test itself ran; what came before or after it is an error."""
    report = yield
    if report.when == "call":
        raised = call.excinfo
        TOLD[item.nodeid] = [raised.typename, _where(item, raised) + raised.exconly()] if raised else ["", ""]
    elif report.failed:
        TOLD.setdefault(item.nodeid, [f"error in {report.when}", str(report.longrepr)[-2000:]])
    return report


def _where(item: pytest.Item, raised: pytest.ExceptionInfo[BaseException]) -> str:
    """The line of the test at which it failed."""
    lines = [entry for entry in raised.traceback if Path(entry.path) == item.path]
    return f"{lines[0].statement}: ".strip() + " " if lines else ""


def pytest_sessionfinish() -> None:
    loaded = all(ROOT / guard.file in LOADED for guard in OUT)
    Path(os.environ["OPENVRAS_TELL"]).write_text(json.dumps(TOLD if loaded else {}))
