"""`manage.py demo`: the whole product on this machine, with real parts. One Ctrl-C ends all of it."""

import json
import os
import signal
import tempfile
import time
from argparse import ArgumentTypeError
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.demo import bootimage, documents, story
from config.demo.directory import Directory
from config.demo.documents import DocumentsStory
from config.demo.office import GROUP, IMAGE, SIMULATED, Office, ended
from config.demo.server import ADMIN
from config.demo.story import Story
from vrasnode.errors import VrasError

LOOK_EVERY_S = 1.0


class Command(BaseCommand):
    help = (
        "Starts a private server and PCs, each with its own agent and libvirt, publishes a real bootable "
        "image and distributes it. Ctrl-C ends everything. --once plays the main job and ends."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--data", type=Path, help="directory for all state; started again on it, it goes on"
        )
        parser.add_argument(
            "--port", type=_port, default=8080, help="port of the portal on loopback; 0 takes a free one"
        )
        parser.add_argument("--pcs", type=_count, default=3, help="number of PCs, 1 to 16")
        parser.add_argument(
            "--simulated", type=_crowd, default=0, metavar="N", help="simulated PCs beside them, 1 to 500"
        )
        parser.add_argument(
            "--json", action="store_true", help="the report as one JSON object on the last line"
        )
        parser.add_argument("--once", action="store_true", help="v1, v2, rollback, each proven; then end")
        parser.add_argument(
            "--full",
            action="store_true",
            help="with a directory (Samba), virtual servers and user data as well",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if os.geteuid() != 0:
            raise CommandError("The demo makes network namespaces and machines: run it as root.")
        signal.signal(signal.SIGTERM, _end)
        with ExitStack() as undo:
            try:
                self._run(undo, options)
            except VrasError as error:
                raise CommandError(str(error)) from error
            except KeyboardInterrupt:
                self._say("Ending everything …")

    def _run(self, undo: ExitStack, options: dict[str, Any]) -> None:
        cache = bootimage.default_cache()
        started = time.monotonic()
        images = bootimage.build_images(cache, say=self._say)
        more = documents.build(cache, say=self._say) if options["full"] else None
        self._say(f"Boot images ready in {time.monotonic() - started:.1f} s: {images.v1.parent}")
        data = options["data"] or (None if options["once"] else Path("demo-data"))
        if data is None:
            data = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="openvras-demo-")))
        port = 0 if options["once"] and options["port"] == 8080 else options["port"]
        started = time.monotonic()
        office = undo.enter_context(
            Office(
                data,
                port=port,
                count=options["pcs"],
                cache=cache,
                say=self._say,
                simulated=options["simulated"],
                full=options["full"],
            )
        )
        office.furnish()
        self._say(f"Server and {options['pcs']} PCs run after {time.monotonic() - started:.1f} s.")
        if options["simulated"]:
            self._say(
                f"Beside them {options['simulated']} simulated PCs, group {SIMULATED}: programs, no hardware."
            )
        if more is None:
            self._say("Local accounts, no user data: --full starts a directory and virtual servers as well.")
        play = Story(office, images, say=self._say)
        self._say(story.HEADER)
        if options["once"]:
            self._once(office, play, more, options)
        else:
            self._stay(office, play, images, more, options)

    def _once(
        self, office: Office, play: Story, more: documents.Images | None, options: dict[str, Any]
    ) -> None:
        play.play()
        told = None
        if more is not None:
            documents.equip(office, more)
            told = DocumentsStory(office, say=self._say)
            told.play()
        for words in ended(office.children):
            self._say(words)
        if options["json"]:
            self.stdout.write(json.dumps(_report(play, told)))
        if not play.good or (told is not None and not told.good):
            raise CommandError("Not every step was proven from inside the guests.", returncode=1)

    def _stay(
        self,
        office: Office,
        play: Story,
        images: bootimage.BootImages,
        more: documents.Images | None,
        options: dict[str, Any],
    ) -> None:
        known = office.ctl("image", "show", IMAGE)["versions"]
        if not known:
            first = play.publish(images.v1, note="first version")["number"]
            play.distribute("v1 to all", first, marker=images.marker["v1"])
            play.publish(images.v2, note="editor replaced, remote tools added")
        told = None
        if more is not None:
            documents.equip(office, more)
            told = DocumentsStory(office, say=self._say)
            told.log_on()
        if options["json"]:
            self.stdout.write(json.dumps({**_report(play, told), "url": office.server.url}))
        self._say(
            f"\nPortal   {office.server.url}/\n"
            f"Log in   {ADMIN}, password {office.server.password_file.read_text()}\n"
            f"Try      distribute version 2 of {IMAGE} to {GROUP}, watch it, roll it back\n"
            f"{_people(told)}"
            f"State    {office.data} (start the demo again on it and it goes on)\n"
            "Ctrl-C ends everything."
        )
        said: set[str] = set()
        while True:
            for words in ended(office.children):
                if words not in said:
                    said.add(words)
                    self._say(words)
            time.sleep(LOOK_EVERY_S)

    def _say(self, words: str) -> None:
        self.stderr.write(words)
        self.stderr.flush()


def _report(play: Story, told: DocumentsStory | None) -> dict[str, Any]:
    report = play.report()
    if told is not None:
        report["documents"] = {"ok": told.good, "steps": [asdict(step) for step in told.steps]}
        report["ok"] = report["ok"] and told.good
    return report


def _people(told: DocumentsStory | None) -> str:
    """Who has logged on where, and as whom one may look at it."""
    if told is None:
        return ""
    who = ", ".join(f"{user} at {pc}" for pc, user in told.who().items())
    carol = Directory.password_of("carol")
    return (
        f"People   {who}; their documents under Volumes. An administrator of the directory: carol, {carol}\n"
        "         What is changed in the directory is gone when the demo ends.\n"
    )


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 16:
        raise ArgumentTypeError("from 1 to 16 PCs")
    return int(text)


def _crowd(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 500:
        raise ArgumentTypeError("from 1 to 500 simulated PCs")
    return int(text)
