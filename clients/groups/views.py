"""Pages of groups."""

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from clients.groups import grouping
from clients.groups.forms import GroupForm
from clients.models import Client, Group
from clients.pages import form_page, page_of, presence_of, staff


@form_page
@staff
def groups(request: HttpRequest) -> HttpResponse:
    """All groups, and a new one."""
    form = GroupForm(request.POST or None)
    if form.is_valid():
        group = form.save(commit=False)
        grouping.keep(group)
        return redirect("clients:group", group.pk)
    approved = Count("clients", filter=~Q(clients__state=Client.State.REVOKED))
    rows = Group.objects.annotate(pcs=approved).order_by("name")
    if words := request.GET.get("q"):
        rows = rows.filter(Q(name__icontains=words) | Q(note__icontains=words))
    return render(request, "clients/groups.html", {"page": page_of(request, rows), "form": form})


@require_GET
@staff
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """One group: its PCs, and what it is sent."""
    row = get_object_or_404(Group, pk=pk)
    page = page_of(request, row.clients.exclude(state=Client.State.REVOKED))
    context = {
        "group": row,
        "page": page,
        "presence": presence_of(request, page.object_list, now=timezone.now()),
    }
    return render(request, "clients/group.html", context)


@form_page
@staff
def group_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name or note."""
    row = get_object_or_404(Group, pk=pk)
    form = GroupForm(request.POST or None, instance=row)
    if form.is_valid():
        grouping.keep(form.save(commit=False))
        messages.success(request, _("Saved."))
        return redirect("clients:group", pk)
    # The heading keeps the name that is stored, whatever was typed.
    stored = get_object_or_404(Group, pk=pk)
    return render(request, "clients/group_edit.html", {"group": stored, "form": form})


@require_POST
@staff
def group_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends an unused group."""
    row = get_object_or_404(Group, pk=pk)
    grouping.delete(row)
    messages.success(request, _("%(group)s is deleted.") % {"group": row.name})
    return redirect("clients:groups")
