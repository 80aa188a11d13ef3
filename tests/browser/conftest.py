"""One installation and one browser for all files of this directory: both take long to start."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.portal import Portal, chromium


@pytest.fixture(scope="package")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with Portal(tmp_path_factory.mktemp("portal")) as portal:
        yield portal


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
