"""Guards of the server's half: in its verbs, and in the database itself."""

from tests.checkout.guards import Guard

_DATABASE = "checkout/migrations/0001_requests_and_leases.py"
_TRIGGERS = "checkout/migrations/0002_lease_needs_decisions.py"
_NOT_YOURS = "    if request.requester_id != by.pk:\n        raise not_yours()\n"

# The server: who decides.

OWN = Guard(
    "nobody decides about their own",
    "checkout/approvers.py",
    "    if user.pk == step.requester_id:\n",
    "    if False:\n",
)
NOT_MEANT = Guard(
    "the chain never means the requester",
    "checkout/approvers.py",
    "    if requester is not None and requester.pk == user.pk:\n",
    "    if False:\n",
)
OWN_ROW = Guard(
    "database: nobody decides their own",
    _DATABASE,
    "models.Q(('decided_by', models.F('requester')), _negated=True)",
    "models.Q(('decided_by__isnull', False))",
)
PLACE_ROW = Guard(
    "database: nobody decides in the requester's place",
    _DATABASE,
    "models.Q(('instead_of', models.F('requester')), _negated=True)",
    "models.Q(('instead_of__isnull', False))",
)
DEPUTYS_DAYS = Guard(
    "a deputy's days",
    "checkout/models/chains.py",
    "        return self.filter(starts__lte=day, ends__gte=day)\n",
    "        return self.all()\n",
)
ONE_REMOVE = Guard(
    "no deputy of a deputy",
    "checkout/approvers.py",
    '    return [row.principal for row in rows.select_related("principal__directory_user")]\n',
    '    near = [row.principal for row in rows.select_related("principal__directory_user")]\n'
    "    return near + [far for one in near for far in principals(one, now=now)]\n",
)
HAS_THE_ROLE = Guard(
    "the role of now",
    "checkout/approvers.py",
    "    if not has:\n        return False\n    match step.kind:\n        case Kind.ROLE:\n"
    "            return Role.APPROVER in has\n",
    "    match step.kind:\n        case Kind.ROLE:\n            return True\n",
)
MANAGER_NOW = Guard(
    "the manager of now",
    "checkout/approvers.py",
    " and requester is not None and asked.manages(user, requester)\n",
    "\n",
)
GROUP_NOW = Guard(
    "the members of now",
    "checkout/approvers.py",
    "            return asked.in_group(user, step.directory_group)\n",
    "            return True\n",
)
ENABLED_NOW = Guard(
    "a disabled account has no role",
    "checkout/approvers.py",
    "        if person is None or not person.enabled:\n",
    "        if person is None:\n",
)
OWN_CHAIN = Guard(
    "no chain that leads to oneself",
    "checkout/chaining.py",
    "        if person is not None and person.pk == requester.pk:\n",
    "        if False:\n",
)
IN_ORDER = Guard(
    "steps in their order",
    "checkout/models/requests.py",
    "        return next((step for step in self.current_steps if not step.decision), None)\n",
    "        return next((step for step in self.current_steps[::-1] if not step.decision), None)\n",
)
OWN_COPY = Guard(
    "the chain of the submission",
    "checkout/deciding.py",
    "        if done < row.steps_total:\n",
    "        if done < len(lending.chaining.of(row.group).chain):\n",
)
TWICE_ROW = Guard(
    "database: nobody approves two steps",
    _DATABASE,
    "fields=('request', 'round', 'decided_by')",
    "fields=('request', 'round', 'decided_by', 'position')",
)
STEPS_ROW = Guard(
    "database: permitted is approved at each step",
    _DATABASE,
    "models.Q(('steps_done', models.F('steps_total')), ('steps_total__gte', 1))",
    "models.Q(('steps_total__gte', 1))",
)

# The server: in which state, for how long, for whom.

ARROWS = Guard(
    "arrows between states",
    "checkout/models/requests.py",
    "    LIVE = (State.WAITING,",
    "    ARROWS = dict.fromkeys(State, set(State))\n    LIVE = (State.WAITING,",
)
WAITS = Guard(
    "only what waits is decided",
    "checkout/deciding.py",
    "    step = request.current_step\n    if step is None:\n",
    "    step = request.current_step or request.current_steps[-1]\n    if step is None:\n",
)
WAITS_STILL = Guard(
    "looked at again with the row held",
    "checkout/deciding.py",
    "    if here is None:\n        raise WrongState(row, row.state, State.PERMITTED)\n"
    "    if here.pk != step.pk:\n        raise decided()\n",
)
UNDECIDED = Guard(
    "one UPDATE of a step without decision",
    "checkout/deciding.py",
    "    if not changed:\n        raise decided()\n",
)
LOOKED_AT = Guard(
    "the step that was looked at",
    "checkout/deciding.py",
    "    if seen is not None and seen != step.pk:\n        raise decided()\n",
)
SAME_GROUP = Guard(
    "the PC's group at the decision",
    "checkout/deciding.py",
    "    if request.client.group_id != request.group_id:\n",
    "    if False:\n",
)
SAME_GROUP_STILL = Guard(
    "the PC's group when the key is made",
    "checkout/lending.py",
    "    if client.group_id != request.group_id:\n",
    "    if False:\n",
)
SHORTER = Guard(
    "no later end",
    "checkout/deciding.py",
    "    if not max(request.starts, now) < until <= request.ends:\n",
    "    if until <= max(request.starts, now):\n",
)
SHORTER_ROW = Guard(
    "database: no later end than was asked for",
    _DATABASE,
    ", ('ends__lte', models.F('asked_ends'))",
)
FREE_DAYS = Guard(
    "one request about the same days",
    "checkout/requesting.py",
    "    if (other := rows.first()) is not None:\n",
    "    if (other := rows.none().first()) is not None:\n",
)
OWN_DATA = Guard(
    "one's own data",
    "checkout/requesting.py",
    "    if volume.owner_id != by.pk or volume.client.state != Client.State.APPROVED:\n",
    "    if volume.client.state != Client.State.APPROVED:\n",
)
OWN_TO_WITHDRAW = Guard(
    "one's own to withdraw",
    "checkout/requesting.py",
    f"{_NOT_YOURS}    request.move(State.WITHDRAWN",
    "    request.move(State.WITHDRAWN",
)
OWN_TO_MEND = Guard(
    "one's own to mend",
    "checkout/requesting.py",
    f"{_NOT_YOURS}    terms = _checked(request.volume",
    "    terms = _checked(request.volume",
)
OWN_TO_RETURN = Guard(
    "one's own to give back",
    "checkout/requesting.py",
    f"{_NOT_YOURS}    with transaction.atomic():\n        request.move(State.RETURNED",
    "    with transaction.atomic():\n        request.move(State.RETURNED",
)
FROM_THE_FIRST = Guard(
    "no step is done of what was mended",
    "checkout/requesting.py",
    "            steps_done=0,\n",
)

# The server: keys.

ENDED_HERE = Guard(
    "a key that has ended is not handed out",
    "checkout/wishes.py",
    "    if lease.ended:\n        return lease.ended\n",
)
LENT_STILL = Guard(
    "nor one whose request is not lent",
    "checkout/wishes.py",
    "    if lease.request.state not in (State.LENT, State.OVERDUE):\n",
    "    if False:\n",
)
SEALED = Guard(
    "the secret is sealed to the PC",
    "checkout/lending.py",
    "        secret=sealed,\n",
    "        secret=secrets.token_bytes(SECRET_BYTES),\n",
)
VOLUME_ROW = Guard(
    "database: one current key of a volume",
    _DATABASE,
    "models.UniqueConstraint(condition=models.Q(('ended', '')), fields=('volume',)",
    "models.UniqueConstraint(condition=models.Q(('ended', '')), fields=('volume', 'serial')",
)
REQUEST_ROW = Guard(
    "database: one current key of a request",
    _DATABASE,
    "models.UniqueConstraint(condition=models.Q(('ended', '')), fields=('request',)",
    "models.UniqueConstraint(condition=models.Q(('ended', '')), fields=('request', 'serial')",
)
ENDED_ROW = Guard(
    "database: what has ended stays ended",
    _DATABASE,
    "models.Q(('ended', ''), ('ended_at', None))",
    "models.Q(('ended', ''))",
)
KEY_TRIGGER = Guard(
    "database: a key has its decisions",
    _TRIGGERS,
    "BEFORE INSERT ON checkout_lease WHEN {MISSING}",
    "BEFORE INSERT ON checkout_lease WHEN 0",
)
FINAL_TRIGGER = Guard(
    "database: a decision is final",
    _TRIGGERS,
    "BEFORE UPDATE ON checkout_requeststep WHEN {CHANGED}",
    "BEFORE UPDATE ON checkout_requeststep WHEN 0",
)
