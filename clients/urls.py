"""Addresses of the registry. `api` are REST routes, `node` the PC's, `pages` the portal's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from clients import api, views
from clients.devices import api as deviceapi
from clients.devices import views as deviceviews
from clients.enrolment import node
from clients.sites import api as siteapi
from clients.sites import views as siteviews
from clients.wifi import api as networkapi
from clients.wifi import views as networkviews

router = SimpleRouter()
router.register("groups", api.GroupViewSet)
router.register("clients", api.ClientViewSet)
router.register("groups", deviceapi.GroupPolicyViewSet, basename="group-policy")
router.register("clients", deviceapi.ClientDevicesViewSet, basename="client-devices")
router.register("groups", networkapi.GroupWifiViewSet, basename="group-wifi")
router.register("users", deviceapi.UserViewSet, basename="user")
router.register("enrolment-tokens", api.EnrolmentTokenViewSet)
router.register("tokens", api.ApiTokenViewSet, basename="token")
router.register("publisher-keys", api.PublisherKeyViewSet)
router.register("sites", siteapi.SiteViewSet)
router.register("events", api.EventViewSet)

node_patterns = [
    path("installation", node.installation),
    path("enrol", node.enrol),
    path("certificate", node.certificate),
    path("renew", node.renew),
    path("desired", node.desired),
    path("reports/<slug:app>", node.report),
]

pages = (
    [
        path("pcs/", views.pcs, name="pcs"),
        path("pcs/bulk/", views.bulk, name="bulk"),
        path("pcs/<uuid:pk>/", views.pc, name="pc"),
        path("pcs/<uuid:pk>/approve/", views.approve, name="approve"),
        path("pcs/<uuid:pk>/move/", views.move, name="move"),
        path("pcs/<uuid:pk>/devices/<slug:bus>/<str:key>/", deviceviews.why, name="device-why"),
        path("pcs/<uuid:pk>/assign/", views.assign, name="assign"),
        path("pcs/<uuid:pk>/revoke/", views.revoke, name="revoke"),
        path("groups/", views.groups, name="groups"),
        path("groups/<int:pk>/", views.group, name="group"),
        path("groups/<int:pk>/edit/", views.group_edit, name="group-edit"),
        path("groups/<int:pk>/wifi/", networkviews.wifi, name="group-wifi"),
        path("groups/<int:pk>/delete/", views.group_delete, name="group-delete"),
        path("policies/<slug:scope>/<slug:pk>/", deviceviews.policy, name="policy"),
        path("policies/<slug:scope>/<slug:pk>/change/", deviceviews.change, name="policy-change"),
        path("policies/<slug:scope>/<slug:pk>/rules/<int:place>/", deviceviews.rule, name="policy-rule"),
        path("policies/<slug:scope>/<slug:pk>/preview/", deviceviews.preview, name="policy-preview"),
        path("policies/<slug:scope>/<slug:pk>/usbguard/", deviceviews.usbguard_text, name="policy-usbguard"),
        path("sites/", siteviews.sites, name="sites"),
        path("sites/<int:pk>/", siteviews.site, name="site"),
        path("enrolment/", views.enrolment, name="enrolment"),
        path("enrolment/<slug:pk>/delete/", views.enrolment_delete, name="enrolment-delete"),
        path("audit/", views.audit, name="audit"),
        path("keys/", views.keys, name="keys"),
        path("keys/<slug:pk>/endorse/", views.key_endorse, name="key-endorse"),
        path("keys/<slug:pk>/revoke/", views.key_revoke, name="key-revoke"),
        path("my/tokens/", views.api_tokens, name="api-tokens"),
        path("my/tokens/<slug:pk>/delete/", views.api_token_delete, name="api-token-delete"),
    ],
    "clients",
)
