"""A dossier on paper: what it says, and the first files of each volume; of a long list, where it is."""

from itertools import islice

from django.conf import settings

from checkout.reporting import Dossier
from clients import pdf
from mydoc.replicas.lastreplica import KeptFile

VOLUME_FILES = 200  # of one volume
MOST_FILES = 1000  # of all: what is set in some seconds


def dossier(found: Dossier, *, language: str, whole: str) -> bytes:
    """The PDF. `whole` is where the table with every file is. Raises Refusal, as `pdf.made`."""
    files: dict[object, list[KeptFile]] = {}
    left = MOST_FILES
    for one in found.volumes:
        files[one.volume.pk] = list(islice(one.files(), min(VOLUME_FILES, left)))
        left -= len(files[one.volume.pk])
    context = {
        "dossier": found,
        "files": files,
        "whole": whole,
        "installation_name": settings.INSTALLATION_NAME,
    }
    return pdf.made("checkout/dossier_pdf.html", context, language=language)
