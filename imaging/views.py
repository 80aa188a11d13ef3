"""Workgroup Desktop's pages: images, distributions, and what a group is sent by itself."""

from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from clients import auditing
from clients.forms import ConfirmForm
from clients.models import Client, Group, PublisherKey
from clients.pages import form_page, page_of, staff
from imaging import arriving, distributing, previewing, publishing, reasons, waving
from imaging.forms import DistributeForm, ImageForm, RollbackForm, SubscriptionForm, UploadForm
from imaging.models import Delivery, Distribution, ImageVersion, MasterImage, Subscription
from vrasnode.wire.imaging import Machine


@form_page
@staff
def images(request: HttpRequest) -> HttpResponse:
    """All images, and a new one."""
    form = ImageForm(request.POST or None)
    if form.is_valid():
        with transaction.atomic():
            made = form.save()
            auditing.record("masterimage.created", made)
        return redirect("imaging:image", made.pk)
    ready = Q(versions__state=ImageVersion.State.READY)
    rows = MasterImage.objects.annotate(
        ready=Count("versions", filter=ready),
        newest=Max("versions__number", filter=ready),
        published=Max("versions__ready_at", filter=ready),
    ).order_by("name")
    if words := request.GET.get("q"):
        rows = rows.filter(name__icontains=words)
    checked = ImageVersion.objects.filter(state=ImageVersion.State.SEALED).select_related("image")
    context = {"page": page_of(request, rows), "form": form, "checked": checked}
    return render(request, "imaging/images.html", context)


@require_GET
@staff
def image(request: HttpRequest, pk: int) -> HttpResponse:
    """One image and its versions."""
    row = get_object_or_404(MasterImage, pk=pk)
    page = page_of(
        request, row.versions.select_related("image").prefetch_related("delta_sets__base").order_by("-pk")
    )
    keys = {version.publisher_key for version in page.object_list}
    context = {
        "image": row,
        "page": page,
        "signers": dict(PublisherKey.objects.filter(pk__in=keys).values_list("pk", "name")),
        "groups": Group.objects.filter(subscriptions__image=row),
    }
    return render(request, "imaging/image.html", context)


@form_page
@staff
def image_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Retention and health of an image. Its name is signed into every version and stays."""
    row = get_object_or_404(MasterImage, pk=pk)
    form = ImageForm(request.POST or None, instance=row)
    form.fields["name"].disabled = form.fields["machine"].disabled = True
    if form.is_valid():
        with transaction.atomic():
            form.save()
            auditing.record("masterimage.changed", row, after={name: form[name].data for name in form.fields})
        messages.success(request, _("Saved."))
        return redirect("imaging:image", pk)
    return render(request, "imaging/image_edit.html", {"image": row, "form": form})


@form_page
@staff
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    """Takes a raw or qcow2 file as the next version."""
    row = get_object_or_404(MasterImage, pk=pk)
    form = UploadForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        arriving.take_file(row, form.cleaned_data["file"], note=form.cleaned_data["note"])
        messages.success(request, _("The file has arrived. It is being cut and checked."))
        return redirect("imaging:image", pk)
    return render(request, "imaging/upload.html", {"image": row, "form": form})


@form_page
@staff
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends a version; asks first."""
    version = get_object_or_404(ImageVersion.objects.select_related("image"), pk=pk)
    form = ConfirmForm(request.POST or None, name=str(version))
    del form.fields["reason"]
    if form.is_valid():
        publishing.retire(version)
        messages.success(request, _("%(version)s is retired.") % {"version": version})
        return redirect("imaging:image", version.image_id)
    return render(request, "imaging/retire.html", {"version": version, "form": form})


@require_GET
@staff
def distributions(request: HttpRequest) -> HttpResponse:
    """All distributions, the newest first."""
    rows = Distribution.objects.select_related("version__image", "group")
    state, words = request.GET.get("state", ""), request.GET.get("q", "")
    if state == "failed":
        last = Delivery.objects.filter(state=Delivery.State.FAILED).last_sent()
        rows = rows.filter(deliveries__in=last).distinct()
    elif state == "stopped":
        rows = rows.waiting_for_people()
    elif state in Distribution.State.values:
        rows = rows.filter(state=state)
    if words:
        rows = rows.filter(Q(version__image__name__icontains=words) | Q(group__name__icontains=words))
    page = page_of(request, rows)
    # The list's own rows only: counting every PC of every distribution ever would not stay quick.
    counted = {row.pk: Counts(row) for row in page.object_list}
    context = {"page": page, "counts": counted, "states": Distribution.State.choices}
    return render(request, "imaging/distributions.html", context)


class Counts:
    """How many PCs of a distribution are in which state."""

    def __init__(self, row: Distribution) -> None:
        self.by_state = row.deliveries.all().by_state()
        self.total = sum(self.by_state.values())
        self.booted = self.by_state.get(Delivery.State.BOOTED, 0)
        self.failed = self.by_state.get(Delivery.State.FAILED, 0)
        self.staged = self.by_state.get(Delivery.State.STAGED, 0)
        bytes_of = row.deliveries.aggregate(done=Sum("done_bytes"), peers=Sum("peer_bytes"))
        self.peer_bytes = bytes_of["peers"] or 0
        self.server_bytes = max(0, (bytes_of["done"] or 0) - self.peer_bytes)
        self.rows = [(code, label, self.by_state.get(code, 0)) for code, label in Delivery.State.choices]


@form_page
@staff
def distribute(request: HttpRequest) -> HttpResponse:
    """Begins a distribution."""
    chosen = {"group": request.GET.get("group"), "version": request.GET.get("version")}
    form = DistributeForm(request.POST or None, initial=chosen)
    if form.is_valid():
        wish = form.cleaned_data
        version, group, terms = wish["version"], wish["group"], form.terms()
        if "preview" in request.POST:
            preview = previewing.preview(version, group, now=timezone.now(), terms=terms)
            return render(request, "imaging/distribute.html", {"form": form, "preview": preview})
        row = distributing.start(version, group, now=timezone.now(), terms=terms)
        return redirect("imaging:distribution", row.pk)
    return render(request, "imaging/distribute.html", {"form": form})


@require_GET
@staff
def distribution(request: HttpRequest, pk: int) -> HttpResponse:
    """One distribution: how far each PC has come."""
    row = get_object_or_404(Distribution.objects.select_related("version__image", "group"), pk=pk)
    rows = row.deliveries.select_related("client").order_by("client__name")
    state = request.GET.get("state", "")
    now = timezone.now()
    if state in Delivery.State.values:
        rows = rows.filter(state=state)
    elif state == "stuck":
        rows = rows.stuck(now)
    stuck = reasons.gathered(row, now=now)
    context = {
        "distribution": row,
        "page": page_of(request, rows.select_related("distribution").defer("assignment")),
        "counts": Counts(row),
        "progress": waving.progress(row, now=now),
        "plot": waving.plot(row),
        "stuck": stuck,
        "stuck_pcs": sum(count for _reason, count in stuck),
        "now": now,
        "is_its_own": request.user.get_username() in row.begun_by,
    }
    return render(request, "imaging/distribution.html", context)


@form_page
@staff
def rollback(request: HttpRequest, group: int) -> HttpResponse:
    """Shows which version a rollback brings to how many PCs; then does it."""
    row = get_object_or_404(Group, pk=group)
    machine = _machine(request)
    before = distributing.rollback_target(row, machine)
    form = RollbackForm(request.POST or None, before=before)
    if form.is_valid():
        made = distributing.roll_back(
            row, now=timezone.now(), to=form.cleaned_data["version"], terms=form.terms()
        )
        return redirect("imaging:distribution", made.pk)
    context = {
        "whom": row,
        "back": reverse("clients:group", args=[row.pk]),
        "before": before,
        "current": distributing.last_sent(row, machine),
        "pcs": row.clients.approved().count(),
        "form": form,
    }
    return render(request, "imaging/rollback.html", context)


@form_page
@staff
def rollback_pc(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same for one PC alone."""
    row = get_object_or_404(Client.objects.approved().select_related("group"), pk=pk)
    machine = _machine(request)
    before = distributing.pc_rollback_target(row, machine)
    form = RollbackForm(request.POST or None, before=before)
    form.fields.pop("wave_size")
    if form.is_valid():
        made = distributing.roll_back_pc(
            row, now=timezone.now(), to=form.cleaned_data["version"], terms=form.terms(), machine=machine
        )
        return redirect("imaging:distribution", made.pk)
    context = {
        "whom": row,
        "back": reverse("clients:pc", args=[row.pk]),
        "before": before,
        "current": distributing.last_sent_to(row, machine),
        "pcs": 1,
        "form": form,
    }
    return render(request, "imaging/rollback.html", context)


@form_page
@staff
def automatic(request: HttpRequest, group: int) -> HttpResponse:
    """What a machine of a group's PCs gets by itself."""
    row = get_object_or_404(Group, pk=group)
    machine = _machine(request)
    kept = row.subscriptions.filter(machine=machine.value).first()
    form = SubscriptionForm(request.POST or None, group=row, machine=machine, kept=kept)
    if form.is_valid():
        _subscribe(form, kept)
        messages.success(request, _("Saved."))
        return redirect("clients:group", group)
    return render(request, "imaging/automatic.html", {"group": row, "form": form, "machine": machine})


def _machine(request: HttpRequest) -> Machine:
    """Which machine of the PCs a page is about: the client VM unless the address says the other."""
    asked = request.GET.get("machine")
    return Machine.VIRTUAL_SERVER if asked == Machine.VIRTUAL_SERVER.value else Machine.CLIENT_VM


def _subscribe(form: SubscriptionForm, kept: Subscription | None) -> None:
    with transaction.atomic():
        if form.cleaned_data["image"] is not None:
            made = form.save()
            after = {name: str(form.cleaned_data[name]) for name in form.fields}
            auditing.record(f"subscription.{'changed' if kept else 'created'}", made, after=after)
        elif kept is not None:
            auditing.record("subscription.deleted", kept)
            kept.delete()
