"""Addresses of My Doc Manager. `router` are REST routes, `node` the PC's, `pages` the
portal's, `doors` the client VM's."""

from django.urls import path, register_converter
from rest_framework.routers import SimpleRouter

from mydoc.converters import BytePath
from mydoc.losses import api as lossapi
from mydoc.losses import node as lossnode
from mydoc.losses import views as lossviews
from mydoc.replicas import api as replicaapi
from mydoc.replicas import node as replicanode
from mydoc.replicas import views as replicaviews
from mydoc.restorations import api as restoreapi
from mydoc.restorations import ownapi, ownviews
from mydoc.restorations import views as restoreviews
from mydoc.tree import api as treeapi
from mydoc.tree import myviews, putting, sharedapi, sharedviews
from mydoc.tree import node as asknode
from mydoc.tree import views as treeviews
from mydoc.upkeep import api as keepapi
from mydoc.upkeep import views as keepviews
from mydoc.volumes import api, logon, node

register_converter(BytePath, "bytes")

router = SimpleRouter()
router.register("custodians", api.CustodianViewSet)
router.register("volumes", api.VolumeViewSet)
router.register("volumes", treeapi.VolumeTreeViewSet, basename="volume-tree")
router.register("volumes", replicaapi.VolumeReplicaViewSet, basename="volume-replica")
router.register("openings", api.OpeningViewSet)
router.register("losses", lossapi.LossViewSet)
router.register("clients", lossapi.ClientLossViewSet, basename="client-loss")
router.register("shared", sharedapi.SharedViewSet, basename="shared")
router.register("my-volumes", ownapi.OwnVolumeViewSet, basename="my-volume")
router.register("replications", replicaapi.ReplicationRunViewSet)
router.register("restorations", restoreapi.RestorationViewSet)
router.register("replicas", keepapi.ReplicaViewSet)
router.register("replica-alarms", keepapi.ReplicaAlarmViewSet)
router.register("upkeep", keepapi.UpkeepViewSet)
router.register("keeping", keepapi.KeepingViewSet)
router.register("nas", keepapi.NasViewSet)

node_patterns = [
    path("mydoc/key", node.key),
    path("mydoc/recovery", node.recovery),
    path("mydoc/kill", lossnode.kill),
    path("mydoc/questions", asknode.questions),
    path("mydoc/answers/<slug:question>", asknode.answer),
    path("replication/key", replicanode.key),
    path("replication/manifest/<uuid:pk>", replicanode.manifest),
]

# Of nobody who has logged in: this is where logging on is proven.
doors = [path("mydoc/logon", logon.logon, name="mydoc-logon")]

pages = (
    [
        path("replicas/", keepviews.replicas, name="replicas"),
        path("replicas/rules/", keepviews.rules, name="rules"),
        path("replicas/nas/", keepviews.nas, name="nas"),
        path("replicas/nas/test/", keepviews.test_nas, name="test-nas"),
        path("replicas/alarms/<uuid:pk>/release/", keepviews.release, name="release"),
        path("volumes/", treeviews.volumes, name="volumes"),
        path("volumes/find/", treeviews.find_in_each, name="find-in-each"),
        path("volumes/<uuid:pk>/", treeviews.volume, name="volume"),
        path("volumes/<uuid:pk>/replicate/", replicaviews.replicate, name="replicate"),
        path("volumes/<uuid:pk>/restore/", restoreviews.restore, name="restore"),
        path("restorations/<uuid:pk>/stop/", restoreviews.stop, name="stop-restoring"),
        path("volumes/<uuid:pk>/reason/", treeviews.reason, name="reason"),
        path("volumes/<uuid:pk>/folder/<bytes:path>/", treeviews.folder, name="folder"),
        path("volumes/<uuid:pk>/file/<bytes:path>/", treeviews.file, name="file"),
        path("volumes/<uuid:pk>/find/", treeviews.find, name="find"),
        path("volumes/<uuid:pk>/sharing/<bytes:path>/", treeviews.share, name="share"),
        path("volumes/<uuid:pk>/grants/<int:grant>/withdraw/", treeviews.withdraw, name="withdraw"),
        path("pcs/<uuid:pk>/volumes/", treeviews.client_card, name="client-card"),
        path("pcs/locked-out/", lossviews.locked_out, name="locked-out"),
        path("pcs/<uuid:pk>/lost/", lossviews.lost, name="lost"),
        path("pcs/<uuid:pk>/found/", lossviews.found, name="found"),
        path("pcs/<uuid:pk>/let-in/", lossviews.let_in, name="let-in"),
        path("losses/<int:pk>/erasure.json", lossviews.erasure, name="erasure"),
        path("my/", myviews.my, name="my"),
        path("my/volumes/<uuid:pk>/replicate/", replicaviews.my_replicate, name="my-replicate"),
        path("my/pcs/<uuid:pk>/lost/", lossviews.my_lost, name="my-lost"),
        path("my/data/<uuid:pk>/<bytes:path>/", ownviews.earlier, name="earlier"),
        path("my/data/<uuid:pk>/versions/<bytes:path>/", ownviews.versions, name="versions"),
        path("my/data/<uuid:pk>/file/<bytes:path>/", ownviews.recalled_file, name="recalled-file"),
        path("my/data/<uuid:pk>/zip/<bytes:path>/", ownviews.recalled_folder, name="recalled-folder"),
        path("my/data/<uuid:pk>/put-back/<bytes:path>/", ownviews.put_back, name="put-back"),
        path("my/shared/<int:pk>/<bytes:path>/", sharedviews.shared, name="shared"),
        path(
            "my/shared/<int:pk>/put/<bytes:path>/",
            putting.in_memory(sharedviews.shared_put),
            name="shared-put",
        ),
        path("my/shared/<int:pk>/file/<bytes:path>/", sharedviews.shared_file, name="shared-file"),
    ],
    "mydoc",
)
