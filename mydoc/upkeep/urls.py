"""Addresses of the upkeep of replicas, and of the NAS."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.upkeep import api, views

router = SimpleRouter()
router.register("replicas", api.ReplicaViewSet)
router.register("replica-alarms", api.ReplicaAlarmViewSet)
router.register("upkeep", api.UpkeepViewSet)
router.register("keeping", api.KeepingViewSet)
router.register("nas", api.NasViewSet)

pages = [
    path("replicas/", views.replicas, name="replicas"),
    path("replicas/rules/", views.rules, name="rules"),
    path("replicas/nas/", views.nas, name="nas"),
    path("replicas/nas/test/", views.test_nas, name="test-nas"),
    path("replicas/alarms/<uuid:pk>/release/", views.release, name="release"),
]
