"""Addresses of groups."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients.groups import api, views

router = SimpleRouter()
router.register("groups", api.GroupViewSet)

pages = [
    path("groups/", views.groups, name="groups"),
    path("groups/<int:pk>/", views.group, name="group"),
    path("groups/<int:pk>/edit/", views.group_edit, name="group-edit"),
    path("groups/<int:pk>/delete/", views.group_delete, name="group-delete"),
]
