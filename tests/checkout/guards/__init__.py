"""What keeps the attacks of docs/checkout.md out, and what takes it out: `pc` and `server` are the guards,
`attacks` says which of them an attack meets, `out` runs its test without them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """`words` say what it does. `text` stands once in `file`, a path from the root; `without` is what stands
    there when the guard is taken out."""

    words: str
    file: str
    text: str
    without: str = ""
