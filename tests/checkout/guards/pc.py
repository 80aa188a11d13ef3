"""Guards of the PC's half."""

from tests.checkout.guards import Guard

_PC = "vrasnode/checkout"

# The PC: clocks.

FLOOR = Guard(
    "a clock behind the floor is not believed",
    f"{_PC}/floor.py",
    "    if shown < least - TOLERANCE:\n",
    "    if False:\n",
)
RISES = Guard(
    "the floor rises while the PC is on",
    f"{_PC}/floor.py",
    "    least = floor.time + timedelta(seconds=on_s)\n",
    "    least = floor.time\n",
)
BUDGET = Guard(
    "hours that it may be on",
    f"{_PC}/periods.py",
    "    if used_s(lease, reading) >= lease.budget_s:\n",
    "    if False:\n",
)
DEADLINE = Guard(
    "the deadline",
    f"{_PC}/periods.py",
    "    if reading.time >= lease.ends:\n",
    "    if False:\n",
)
START = Guard(
    "the start",
    f"{_PC}/periods.py",
    '    return NOT_BEGUN if reading.time < lease.starts else ""\n',
    '    return ""\n',
)
ASKS_FIRST = Guard(
    "an open volume asks at each turn whether it may stay so",
    "vrasnode/mydoc/uservolume.py",
    "            why = means.lent.must_lock(self.record.lease) if means.is_welcome() else Cut.SERVER_SAID\n",
    '            why = ""\n',
)
NONCE = Guard(
    "the time answers this question",
    f"{_PC}/asking.py",
    "            if str(said.client) != self._client_id or said.nonce != nonce:\n",
    "            if str(said.client) != self._client_id:\n",
)
TIME_FOR_US = Guard(
    "the time is told to this PC",
    f"{_PC}/asking.py",
    "            if str(said.client) != self._client_id or said.nonce != nonce:\n",
    "            if said.nonce != nonce:\n",
)
TIME_SIGNED = Guard(
    "the time is signed",
    f"{_PC}/asking.py",
    "            said = keyring.open(signed, Role.LEASE, ServerTime, at=claimed.time)\n",
    "            said = claimed\n",
)

# The PC: its disk and its TPM.

SLOTS_KNOWN = Guard(
    "a slot of which nothing is known is killed",
    f"{_PC}/leases.py",
    "            if volume not in known and self._volumes.exists(volume):\n",
    "            if False:\n",
)
STATE_SIGNED = Guard(
    "the state file carries a code of this PC's key",
    f"{_PC}/state.py",
    "        if not hmac.compare_digest(self._mac(file.body), file.mac):\n",
    "        if False:\n",
)
STATE_COUNTED = Guard(
    "the TPM counts the changes of the state file",
    f"{_PC}/state.py",
    "        elif self._counter and kept.count not in (count, count + 1):\n",
    "        elif False:\n",
)
HALF_DESTROYED = Guard(
    "the TPM forgets the half at the end",
    f"{_PC}/chip.py",
    "                if counter == kept.counter:  # else it is another lease's by now\n",
    "                if False:\n",
)
IN_THE_TPM = Guard(
    "state and half are sealed by this PC's TPM",
    f"{_PC}/part.py",
    "        chip = Chip(means.tpm) if means.tpm.present() else None\n",
    "        chip = None\n",
)
NEEDS_TPM = Guard(
    "without a TPM of its own only what says so",
    f"{_PC}/leases.py",
    "        if self._keeper.kind is not Kind.TPM and not key.software:\n",
    "        if False:\n",
)

# The PC: the key, the PIN.

FOR_THE_USER = Guard(
    "the volume's owner",
    f"{_PC}/verifying.py",
    "    if key.owner != owner:\n",
    "    if False:\n",
)
FOR_THE_PC = Guard(
    "the PC's number",
    f"{_PC}/verifying.py",
    "    if str(key.client) != here.client_id or key.pc_key != here.pc_key:\n",
    "    if key.pc_key != here.pc_key:\n",
)
FOR_THE_PCS_KEY = Guard(
    "the PC's key",
    f"{_PC}/verifying.py",
    "    if str(key.client) != here.client_id or key.pc_key != here.pc_key:\n",
    "    if str(key.client) != here.client_id:\n",
)
FOR_THE_VOLUME = Guard(
    "the volume is here",
    f"{_PC}/verifying.py",
    "    if owner is None:\n",
    "    owner = owner or key.owner\n    if False:\n",
)
NOT_OVER_YET = Guard(
    "the period at the pick-up",
    f"{_PC}/leases.py",
    '        if why not in ("", periods.NOT_BEGUN):\n',
    "        if False:\n",
)
SIGNATURE = Guard(
    "the signature",
    "vrasnode/wire/signatures.py",
    "    except (InvalidSignature, ValueError) as error:\n",
    "    except (InvalidSignature, ValueError) as error:\n        return signed.payload\n",
)
KEYRING = Guard(
    "the root vouches for the key that signed",
    "vrasnode/wire/signatures.py",
    "        if key is None:\n",
    "        if key is None:\n            return decode(signed.payload, kind)\n",
)
CANONICAL = Guard(
    "one way to write it",
    f"{_PC}/verifying.py",
    "    if codec.encode(key) != signed.payload:\n",
    "    if False:\n",
)
SEEN_BEFORE = Guard(
    "a key that was here is not taken again",
    f"{_PC}/leases.py",
    "        if self._state.find(lambda one: one.lease == key.lease):\n            return\n",
    "        old = self._state.find(lambda one: one.lease == key.lease)\n"
    "        if old is not None and old.state is not LeaseState.ENDED:\n            return\n",
)
ENDED_KEPT = Guard(
    "what has ended stays ended",
    f"{_PC}/leases.py",
    "            leases=pruned([*kept.leases, lease]),\n",
    "            leases=pruned([*(one for one in kept.leases if one.lease != lease.lease), lease]),\n",
)
SERIAL = Guard(
    "serial numbers only grow",
    f"{_PC}/leases.py",
    "        if known is None and key.serial <= self._state.kept.serial:\n",
    "        if False:\n",
)
REPLACED = Guard(
    "the one before ends first",
    f"{_PC}/leases.py",
    '                self.begin_end(other.lease, "replaced")\n                self.finish(other.lease)\n',
    "                pass\n",
)
TRIES = Guard(
    "wrong PINs are counted",
    f"{_PC}/leases.py",
    "            elif counted.tries >= tries:\n",
    "            elif False:\n",
)
COUNTED_FIRST = Guard(
    "the try is kept before it is tried",
    f"{_PC}/leases.py",
    "        counted = self._change(lease.lease, counts=True, tries=lease.tries + 1)\n",
    "        counted = replace(lease, tries=lease.tries + 1)\n",
)
TPM_COUNTS = Guard(
    "the TPM counts wrong PINs",
    f"{_PC}/chip.py",
    '_ATTRIBUTES = "ownerread|ownerwrite|policyread|',
    '_ATTRIBUTES = "no_da|ownerread|ownerwrite|policyread|',
)
PIN_LENGTH = Guard("the PIN's length", f"{_PC}/secret.py", "    if len(pin) < least:\n", "    if False:\n")
PIN_ROW = Guard(
    "no row of numbers",
    f"{_PC}/secret.py",
    "    if len(set(pin)) < 3 or steps in ({1}, {-1}):\n",
    "    if False:\n",
)
WELCOME = Guard(
    "a PC that is none of the server's has no key",
    f"{_PC}/part.py",
    "            if unwelcome or why in periods.FINAL:\n",
    "            if why in periods.FINAL:\n",
)
