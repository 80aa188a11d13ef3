"""The rules that a desktop can hardly do without, for who begins with an empty policy. No storage."""

from vrasnode.wire.devices import Bus, Rule, Scope, Verdict

_WANTED = (
    (Bus.PCI, "03", ()),  # displays
    (Bus.PCI, "04", ()),  # sound and video
    (Bus.USB, "", ("03:*:*",)),  # keyboards, mice, and the buttons of a headset
    (Bus.USB, "", ("01:*:*",)),  # the sound of a headset
)


def desktop_rules() -> list[Rule]:
    """Rules for displays, sound, keyboards, mice and headsets, not saved yet (id 0)."""
    return [
        Rule(
            id=0, scope=Scope.GROUP, verdict=Verdict.PASS, bus=bus, device_class=kind, interfaces=list(faces)
        )
        for bus, kind, faces in _WANTED
    ]
