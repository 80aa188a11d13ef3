"""What people fill in about sites."""

from typing import ClassVar

from django import forms

from clients.models import Site


class SiteForm(forms.ModelForm[Site]):
    class Meta:
        model = Site
        fields = ["name", "ranges", "rates", "at_once", "peers"]
        widgets: ClassVar = {
            "ranges": forms.Textarea(attrs={"rows": 2}),
            "rates": forms.Textarea(attrs={"rows": 3}),
        }
