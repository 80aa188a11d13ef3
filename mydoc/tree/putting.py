"""Forms whose file stays in memory: a door for them, by which nothing of it touches this server's disk."""

import functools
from collections.abc import Callable
from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from mydoc.tree.uploading import PAGE_BYTES


class InMemory(MemoryFileUploadHandler):
    """Whatever is larger than a form may bring is left out, and then there is no file."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803  (the name is Django's)
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        self.activated = content_length <= PAGE_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if not self.activated:
            raise SkipFile
        super().new_file(*args, **kwargs)


def in_memory(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The handlers are set before anything, the check against forged requests too, reads the form."""
    checked = csrf_protect(view)

    @csrf_exempt
    @functools.wraps(view)
    def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.upload_handlers = [InMemory(request)]
        return checked(request, *args, **kwargs)

    return door
