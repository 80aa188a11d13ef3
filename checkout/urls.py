"""Addresses of checkout. `rest` are programs', `node_patterns` the PC's, `pages` the portal's."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from checkout import api, approvalviews, dossierapi, ledgerviews, myviews, node, termsapi, views

router = SimpleRouter()
router.register("checkouts", api.CheckoutViewSet)
router.register("deputies", api.DeputyViewSet)
router.register("groups", termsapi.GroupTermsViewSet, basename="group-checkout")
router.register("losses", dossierapi.DossierViewSet, basename="dossier")

rest = router.urls

node_patterns = [path("checkout/time", node.time)]

pages = (
    [
        path("losses/<int:pk>/dossier/", views.dossier, name="dossier"),
        path("losses/<int:pk>/dossier.csv", views.dossier_csv, name="dossier-csv"),
        path("losses/<int:pk>/dossier.pdf", views.dossier_pdf, name="dossier-pdf"),
        path("my/checkouts/", myviews.my, name="my"),
        path("my/checkouts/new/", myviews.new, name="new"),
        path("my/checkouts/days/", myviews.days, name="days"),
        path("my/checkouts/<int:pk>/", myviews.one, name="my-request"),
        path("my/checkouts/<int:pk>/withdraw/", myviews.withdraw, name="my-withdraw"),
        path("my/checkouts/<int:pk>/return/", myviews.give_back, name="my-return"),
        path("approvals/", approvalviews.inbox, name="inbox"),
        path("approvals/approve/", approvalviews.approve_several, name="approve-several"),
        path("approvals/again/", approvalviews.again, name="again"),
        path("approvals/deputies/", approvalviews.deputies, name="deputies"),
        path("approvals/deputies/<int:pk>/delete/", approvalviews.deputy_delete, name="deputy-delete"),
        path("approvals/<int:pk>/", approvalviews.decide, name="decide"),
        path("checkouts/", ledgerviews.book, name="ledger"),
        path("checkouts.csv", ledgerviews.table, name="table"),
        path("checkouts.pdf", ledgerviews.paper, name="paper"),
        path("checkouts/<int:pk>/waive/", ledgerviews.waive, name="waive"),
        path("checkouts/<int:pk>/call-back/", ledgerviews.call_back, name="call-back"),
        path("groups/<int:pk>/checkout/", ledgerviews.terms, name="terms"),
    ],
    "checkout",
)
