"""Addresses of checkout. `router` are REST routes, `node` are the PC's, `pages` the portal's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from checkout import dossierapi, node, views

router = SimpleRouter()
router.register("losses", dossierapi.DossierViewSet, basename="dossier")

node_patterns = [path("checkout/time", node.time)]

pages = (
    [
        path("losses/<int:pk>/dossier/", views.dossier, name="dossier"),
        path("losses/<int:pk>/dossier.csv", views.dossier_csv, name="dossier-csv"),
        path("losses/<int:pk>/dossier.pdf", views.dossier_pdf, name="dossier-pdf"),
    ],
    "checkout",
)
