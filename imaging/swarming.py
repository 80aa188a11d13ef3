"""PCs of one place share a version: who takes part, and which of them gets which piece from here, once.

All of it is in the quick store, nothing in the database: what is lost there, PCs tell again (they join anew).
A swarm is one distribution at one place, for PCs that can use the same frames. Scripts run whole, so two PCs
are never told to get the same piece; a piece that was given out and then is nowhere, because whoever got it
went away, is given out again when somebody misses it. A PC that others say sends wrong bytes is left by all
and gets its own from the server, when the others have theirs: else it would take from what they wait for.
"""

import hashlib
import hmac
import ipaddress
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.utils.translation import gettext as _

from clients import auditing, networks, quickstore
from clients.enrolment import identity
from clients.errors import Refusal
from clients.models import Client
from clients.sites.finding import site_of
from imaging.models import Delivery
from vrasnode.wire.swarm import (
    BELOW,
    CELL_PCS,
    MAX_CLAIM,
    MAX_PIECES,
    SILENT_PLACES,
    SwarmAnswer,
    SwarmCall,
    SwarmMember,
    SwarmTerms,
)

DOOR = "/node/v1/swarm/"
PERMISSION_S = 3600
LIFE_S = 86400
DEAD_S = 15  # of silence; PCs call every second or five
AGAIN_S = 1  # before a piece that was given out again is given out once more
REPORTERS = 2  # that have to say of a PC that it sends wrong bytes, before all leave it
HOLD_S, HELD_CALL_S = 600, 5  # how long it waits for the others at most, and how often it asks
PREFIXES = {4: 24, 6: 64}  # where no site is set up, a place is a subnet of this size

_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # the quick store counts from the highest

# KEYS: todo given again members seen lacking slots revisions.
# ARGV: client now member need lastbit dead life sends
_JOIN = """
local client, now = ARGV[1], tonumber(ARGV[2])
local function leave(who)
  local slot = redis.call('HGET', KEYS[7], 'of:' .. who)
  redis.call('HDEL', KEYS[4], who); redis.call('ZREM', KEYS[5], who); redis.call('SREM', KEYS[6], who)
  if slot then
    redis.call('HDEL', KEYS[7], slot, 'of:' .. who)
    redis.call('HINCRBY', KEYS[8], math.floor(slot / CELL), 1)
  end
end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - tonumber(ARGV[6]))) do leave(who) end
local others = redis.call('ZCARD', KEYS[5])
if redis.call('ZSCORE', KEYS[5], client) then others = others - 1 end
if others == 0 then redis.call('DEL', KEYS[1], KEYS[2], KEYS[3]) end
for key = 1, 2 do
  local was = redis.call('GETBIT', KEYS[key], ARGV[5])
  redis.call('SETBIT', KEYS[key], ARGV[5], was)
end
local need, free = KEYS[1] .. ':need', KEYS[1] .. ':free'
redis.call('SET', need, ARGV[4]); redis.call('BITOP', 'NOT', free, KEYS[2])
redis.call('BITOP', 'AND', need, need, free); redis.call('BITOP', 'OR', KEYS[1], KEYS[1], need)
redis.call('DEL', need, free)
local slot = redis.call('HGET', KEYS[7], 'of:' .. client)
if not slot then
  local most = CELL - SILENT
  if ARGV[8] == '0' then
    local newest = 0
    while redis.call('HEXISTS', KEYS[8], newest + 1) == 1 do newest = newest + 1 end
    newest = math.min(newest, math.floor(others / most))
    for step = 1, newest + 1 do
      local cell = newest - step
      if cell < 0 then cell = newest end
      for place = most, CELL - 1 do
        local free = redis.call('HEXISTS', KEYS[7], cell * CELL + place) == 0
        if free and not slot then slot = cell * CELL + place end
      end
      if slot then break end
    end
  end
  local next = 0
  while not slot do
    local fits = ARGV[8] == '0' or next % CELL < most
    if fits and redis.call('HEXISTS', KEYS[7], next) == 0 then slot = next end
    next = next + 1
  end
  redis.call('HSET', KEYS[7], slot, client, 'of:' .. client, slot)
end
redis.call('HSET', KEYS[4], client, ARGV[3])
redis.call('SADD', KEYS[6], client)
redis.call('HINCRBY', KEYS[8], math.floor(slot / CELL), 1)
redis.call('ZADD', KEYS[5], now, client)
for key = 1, 8 do redis.call('EXPIRE', KEYS[key], ARGV[7]) end
"""

# KEYS as above, and what is remembered of the PC. ARGV: client now want finished dead again missing...
_CALL = """
local client, now = ARGV[1], tonumber(ARGV[2])
local mark = redis.call('GET', KEYS[9])
if mark and (MARKS) then return 'refused' end
local slot = redis.call('HGET', KEYS[7], 'of:' .. client)
if not slot then return false end
redis.call('ZADD', KEYS[5], now, client)
if ARGV[4] == '1' then redis.call('SREM', KEYS[6], client) end
for _, who in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - tonumber(ARGV[5]), 'LIMIT', 0, 8)) do
  local its = redis.call('HGET', KEYS[7], 'of:' .. who)
  redis.call('HDEL', KEYS[4], who); redis.call('ZREM', KEYS[5], who); redis.call('SREM', KEYS[6], who)
  if its then
    redis.call('HDEL', KEYS[7], its, 'of:' .. who)
    redis.call('HINCRBY', KEYS[8], math.floor(its / CELL), 1)
  end
end
local take = {}
for n = 7, #ARGV do
  local piece = ARGV[n]
  if redis.call('GETBIT', KEYS[2], piece) == 1 then
    local last = redis.call('HGET', KEYS[3], piece)
    if not last or now - tonumber(last) >= tonumber(ARGV[6]) then
      redis.call('HSET', KEYS[3], piece, now)
      take[#take + 1] = tonumber(piece)
    end
  end
end
local first = redis.call('BITPOS', KEYS[1], 1)
for n = 1, tonumber(ARGV[3]) do
  if first < 0 then break end
  redis.call('SETBIT', KEYS[1], first, 0); redis.call('SETBIT', KEYS[2], first, 1)
  take[#take + 1] = first
  first = redis.call('BITPOS', KEYS[1], 1, math.floor(first / 8))
end
local left = redis.call('BITCOUNT', KEYS[1])
if first < 0 then first = 8 * redis.call('STRLEN', KEYS[1]) end
local cell, revision = math.floor(slot / CELL), 0
local near = {cell, math.floor((cell - 1) / BELOW)}
for n = 1, BELOW do near[#near + 1] = BELOW * cell + n end
for _, one in ipairs(near) do revision = revision + tonumber(redis.call('HGET', KEYS[8], one) or 0) end
return {tonumber(slot), left, first, redis.call('SCARD', KEYS[6]), revision, take}
"""


@dataclass(frozen=True)
class Permission:
    """Who may call about which swarm, as it was checked."""

    client: uuid.UUID
    swarm: str


def terms(
    client: Client, distribution: int, *, now: datetime, upload_bytes_s: int | None
) -> SwarmTerms | None:
    """How this PC may share this distribution; None where it may not."""
    place = place_of(getattr(client, "seen_from", ""))
    if not settings.SWARM or place is None:
        return None
    swarm = f"{distribution}-{place}"
    until = (int(now.timestamp()) // PERMISSION_S + 2) * PERMISSION_S
    return SwarmTerms(
        path=DOOR + swarm,
        permission=f"{client.pk.hex}.{until}.{_mac(client.pk.hex, until, swarm)}",
        upload_bytes_s=upload_bytes_s,
        dscp=settings.IMAGE_DSCP,
    )


def place_of(address: str) -> str | None:
    """The name of the place that an address is at: its site, or where none is set up its subnet. None outside
    the company, and where the site's PCs do not give each other anything."""
    if not networks.inside(address):
        return None
    if site := site_of(address):
        return hashlib.sha256(f"site {site.pk}".encode()).hexdigest()[:12] if site.peers else None
    found = ipaddress.ip_address(address.partition("%")[0])
    plain = getattr(found, "ipv4_mapped", None) or found
    network = ipaddress.ip_network(f"{plain}/{PREFIXES[plain.version]}", strict=False)
    return hashlib.sha256(str(network).encode()).hexdigest()[:12]


def permitted(swarm: str, text: str, *, now: datetime) -> Permission:
    """Who shows this permission for this swarm; `answer` refuses whom it was taken from since.
    Raises Refusal(not_shared)."""
    parts = text.split(".")
    good = len(parts) == 3 and len(parts[0]) == 32 and parts[1].isdecimal() and len(parts[1]) <= 12
    if good and now.timestamp() < int(parts[1]):
        right = _mac(parts[0], int(parts[1]), swarm)
        if hmac.compare_digest(parts[2].encode(), right.encode()):
            return Permission(uuid.UUID(parts[0]), swarm)
    raise _not_shared()


def answer(permission: Permission, call: SwarmCall, *, address: str, now: datetime) -> SwarmAnswer:
    """Joins, gives out, tells who takes part. Raises Refusal(not_joined, not_shared, bad_call)."""
    keys = _keys(permission.swarm, call.base)
    if (call.need is not None or call.wrong) and identity.is_refused(permission.client):
        raise _not_shared()
    if call.need is not None:
        if hold_s := _hold_s(keys, permission, now=now):
            return SwarmAnswer(hold_s=hold_s)
        _join(keys, permission, call, address=address, now=now)
    if call.wrong:
        _hear_wrong(keys, permission, call, now=now)
    return _talk(keys, permission, call, now=now)


def _join(keys: list[str], permission: Permission, call: SwarmCall, *, address: str, now: datetime) -> None:
    need = call.need or b""
    if not 0 < call.pieces <= MAX_PIECES or len(need) != -(-call.pieces // 8) or not 0 < call.port < 65536:
        raise Refusal("bad_call", _("What this PC lacks does not fit the version."), status=400)
    row = Client.objects.filter(pk=permission.client, state=Client.State.APPROVED).values_list("signing_key")
    key = row.first()
    if key is None:
        raise _not_shared()
    member = SwarmMember(
        client_id=str(permission.client),
        address=_plain(address),
        port=call.port,
        key=hashlib.sha256(bytes(key[0])).hexdigest(),
        slot=0,
        sends=call.sends,
    )
    arguments: list[Any] = [permission.client.hex, now.timestamp(), msgspec.json.encode(member)]
    arguments += [need.translate(_BITS), 8 * len(need) - 1, DEAD_S, LIFE_S, int(call.sends)]
    _script("join")(keys=keys, args=arguments)


def _hold_s(keys: list[str], permission: Permission, *, now: datetime) -> float:
    """How long whoever sent wrong bytes waits before it asks again: while others lack something, but not for
    ever. Raises Refusal(not_shared) when it may go on without peers."""
    store = quickstore.client()
    wrong = _wrong_key(keys, permission.client.hex)
    if store.scard(wrong) < REPORTERS:
        return 0
    since = float(store.get(f"{wrong}:since") or 0)
    others = store.zcount(keys[4], now.timestamp() - DEAD_S, "+inf")
    if others and store.scard(keys[5]) and now.timestamp() - since < HOLD_S:
        return HELD_CALL_S
    raise Refusal("not_shared", _("Other PCs found this one's bytes wrong."), status=403)


def _talk(keys: list[str], permission: Permission, call: SwarmCall, *, now: datetime) -> SwarmAnswer:
    want = max(0, min(call.want, MAX_CLAIM))
    missing = [piece for piece in call.missing[:MAX_CLAIM] if 0 <= piece < MAX_PIECES]
    arguments = [permission.client.hex, now.timestamp(), want, int(call.finished), DEAD_S, AGAIN_S, *missing]
    found = _script("call")(keys=[*keys, identity.mark_key(permission.client)], args=arguments)
    if found == b"refused":
        raise _not_shared()
    if found is None:
        raise Refusal("not_joined", _("This PC has to say first what it lacks."))
    slot, left, frontier, lacking, revision, take = found
    return SwarmAnswer(
        take=take,
        left=left,
        frontier=frontier,
        unfinished=lacking,
        revision=revision,
        slot=slot,
        members=None if revision == call.revision else _members(keys, slot),
    )


def _members(keys: list[str], slot: int) -> list[SwarmMember]:
    """Those whom the PC of this slot may have to do with: of its cell, and of the cells beside it."""
    cell = slot // CELL_PCS
    near = {cell, *(BELOW * cell + 1 + step for step in range(BELOW))} | (
        {(cell - 1) // BELOW} if cell else set()
    )
    slots = [one * CELL_PCS + place for one in sorted(near) for place in range(CELL_PCS)]
    store = quickstore.client()
    taken = [
        (one, who) for one, who in zip(slots, store.hmget(keys[6], slots), strict=True) if who is not None
    ]
    rows = store.hmget(keys[3], [who for _slot, who in taken])
    return [
        msgspec.structs.replace(msgspec.json.decode(row, type=SwarmMember), slot=one)
        for (one, _who), row in zip(taken, rows, strict=True)
        if row is not None
    ]


def _hear_wrong(keys: list[str], permission: Permission, call: SwarmCall, *, now: datetime) -> None:
    """A PC that two others say sends wrong bytes is left by all."""
    store = quickstore.client()
    for liar in call.wrong[:CELL_PCS]:
        try:
            who = uuid.UUID(liar)
        except ValueError:
            continue
        if not store.hexists(keys[3], who.hex) or not store.sadd(
            _wrong_key(keys, who.hex), permission.client.hex
        ):
            continue
        store.expire(_wrong_key(keys, who.hex), LIFE_S)
        row = Client.objects.filter(pk=who).first()
        if row is not None:
            auditing.record("client.sent_wrong_bytes", row, after={"to": str(permission.client)})
        if store.scard(_wrong_key(keys, who.hex)) >= REPORTERS:
            store.zadd(keys[4], {who.hex: 0})  # dead to all at the next call
            store.set(f"{_wrong_key(keys, who.hex)}:since", now.timestamp(), ex=LIFE_S)
            distribution = int(permission.swarm.partition("-")[0])
            Delivery.objects.filter(distribution=distribution, client=who).update(distrusted_at=now)


def _keys(swarm: str, base: str) -> list[str]:
    name = f"vras:swarm:{swarm}:{base[:16]}"
    return [
        f"{name}:{part}"
        for part in ("todo", "given", "again", "members", "seen", "lacking", "slots", "revisions")
    ]


def _wrong_key(keys: list[str], who: str) -> str:
    return f"{keys[3]}:wrong:{who}"


@cache
def _script(name: str) -> Any:
    text = {"join": _JOIN, "call": _CALL}[name]
    for word, count in (("CELL", CELL_PCS), ("BELOW", BELOW), ("SILENT", SILENT_PLACES)):
        text = text.replace(word, str(count))
    marks = " or ".join(f"mark == '{mark.decode()}'" for mark in identity.MARKS.values())
    text = text.replace("MARKS", marks)
    return quickstore.client().register_script(text)


def _not_shared() -> Refusal:
    return Refusal("not_shared", _("This PC may not share this version, or no longer."), status=403)


def _plain(address: str) -> str:
    found = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)


def _mac(client_hex: str, until: int, swarm: str) -> str:
    return hmac.new(_mac_key(), f"{client_hex}.{until}.{swarm}".encode(), hashlib.sha256).hexdigest()[:40]


@cache
def _mac_key() -> bytes:
    return hashlib.sha256(b"openvras swarm v1\n" + settings.SECRET_KEY.encode()).digest()
