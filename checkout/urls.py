"""Addresses of checkout; `node` are the PC's, `pages` the portal's."""

from django.urls import path

from checkout import node, views

node_patterns = [path("checkout/time", node.time)]

pages = (
    [
        path("losses/<int:pk>/dossier/", views.dossier, name="dossier"),
        path("losses/<int:pk>/dossier.csv", views.dossier_csv, name="dossier-csv"),
    ],
    "checkout",
)
