"""Addresses of replicas."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from mydoc.replicas import api, node, views

router = SimpleRouter()
router.register("volumes", api.VolumeReplicaViewSet, basename="volume-replica")
router.register("replications", api.ReplicationRunViewSet)
router.register("late-replicas", api.LateReplicaViewSet, basename="late-replica")

node_patterns = [
    path("replication/key", node.key),
    path("replication/manifest/<uuid:pk>", node.manifest),
]

pages = [
    path("volumes/<uuid:pk>/replicate/", views.replicate, name="replicate"),
    path("my/volumes/<uuid:pk>/replicate/", views.my_replicate, name="my-replicate"),
]
