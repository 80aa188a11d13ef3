from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MydocConfig(AppConfig):
    name = "mydoc"
    verbose_name = _("My Doc Manager")

    def ready(self) -> None:
        from mydoc import replicawishes, wishes

        wishes.register()
        replicawishes.register()
