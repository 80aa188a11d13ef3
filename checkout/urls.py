"""Addresses of checkout; `pages` are the portal's."""

from django.urls import path

from checkout import views

pages = (
    [
        path("losses/<int:pk>/dossier/", views.dossier, name="dossier"),
        path("losses/<int:pk>/dossier.csv", views.dossier_csv, name="dossier-csv"),
    ],
    "checkout",
)
