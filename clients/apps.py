from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClientsConfig(AppConfig):
    name = "clients"
    verbose_name = _("PCs")

    def ready(self) -> None:
        from clients import (
            devicepolicing,
            networking,
            openapi,  # noqa: F401  (registers itself)
        )

        devicepolicing.register()
        networking.register()
