"""Addresses of lost PCs."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.losses import api, node, views

router = SimpleRouter()
router.register("losses", api.LossViewSet)
router.register("clients", api.ClientLossViewSet, basename="client-loss")

node_patterns = [
    path("mydoc/kill", node.kill),
]

pages = [
    path("pcs/locked-out/", views.locked_out, name="locked-out"),
    path("pcs/<uuid:pk>/lost/", views.lost, name="lost"),
    path("pcs/<uuid:pk>/found/", views.found, name="found"),
    path("pcs/<uuid:pk>/let-in/", views.let_in, name="let-in"),
    path("losses/<int:pk>/erasure.json", views.erasure, name="erasure"),
    path("my/pcs/<uuid:pk>/lost/", views.my_lost, name="my-lost"),
]
