"""Addresses of My Doc Manager. `router` are REST routes, `node` the PC's, `pages` the portal's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc import asknode

router = SimpleRouter()

node_patterns = [
    path("mydoc/questions", asknode.questions),
    path("mydoc/answers/<slug:question>", asknode.answer),
]
