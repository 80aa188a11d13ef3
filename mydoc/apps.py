from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MydocConfig(AppConfig):
    name = "mydoc"
    verbose_name = _("My Doc Manager")

    def ready(self) -> None:
        from mydoc import wishes
        from mydoc.replicas import wishes as replicawishes

        wishes.register()
        replicawishes.register()
