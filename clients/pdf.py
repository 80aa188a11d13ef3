"""Pages on paper: a template becomes a PDF. The server's only way to the program that sets it.

It is set by a process of its own (`pdfsetting`), with bounds on its memory and time, which reads no address
but our own style sheets: what stands in a report, such as names of files, others chose. Whoever calls bounds
how much there is to set: some thousand lines take seconds.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from clients.errors import Refusal

PROGRAM = Path(__file__).with_name("pdfsetting.py")
LIMIT_S = 60.0
AT_ONCE = 2  # in one process of the server
CONTENT_TYPE = "application/pdf"
_turns = threading.BoundedSemaphore(AT_ONCE)


def made(template: str, context: Mapping[str, Any], *, language: str, limit_s: float = LIMIT_S) -> bytes:
    """The template, a whole HTML document, as a PDF. Style sheets are named `static:css/paper.css`.

    Raises Refusal: pdf_busy, pdf_failed, pdf_too_slow.
    """
    with translation.override(language):
        html = render_to_string(template, {**context, "language": language})
    if not _turns.acquire(blocking=False):
        raise Refusal("pdf_busy", _("Other PDFs are being made. Try again in a minute."), status=503)
    try:
        return _set(html, limit_s)
    finally:
        _turns.release()


def _set(html: str, limit_s: float) -> bytes:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [sys.executable, "-I", str(PROGRAM), str(settings.STATICFILES_DIRS[0])]
    try:
        done = subprocess.run(
            command, input=html.encode(), capture_output=True, env=kept, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        words = _("The PDF took longer than %(seconds)d seconds. Take the table (CSV): it has everything.")
        raise Refusal("pdf_too_slow", words % {"seconds": limit_s}, status=503) from None
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        words = _("The PDF cannot be made on this server: %(why)s. Take the table (CSV) meanwhile.")
        raise Refusal("pdf_failed", words % {"why": said or done.returncode}, status=503)
    return done.stdout
