#!/usr/bin/env python3
"""Verifies a bundle that `escrowgrid export` wrote, or the disclosure of one entry, with nothing but Python's standard
library.

    python3 verify_bundle.py [--allow-unsigned N] BUNDLE PUBLIC_KEY...
    python3 verify_bundle.py DISCLOSURE PUBLIC_KEY...

It shares no code with EscrowGrid: it follows docs/transparency-log.md and docs/personal-data.md, for those who would
rather not trust the program that made the file. A public key is name+hash+base64. The exit code is 1 if something differs, cannot be read
or is not there, or if nothing is signed; 2 if this is not how it is called; and 3 if only the newest entries are not
signed, more than N of them (0 when left out). The first line says PASSED or FAILED.
"""
import base64
import datetime
import decimal
import hashlib
import json
import os
import re
import sqlite3
import stat
import sys
import urllib.parse

# Ed25519 (RFC 8032, 5.1): the curve's points are in extended coordinates (X, Y, Z, T).
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    product = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        product = add(product, product)
        if bit == "1":
            product = add(product, point)
    return product


def point(text):
    """Decodes a point of the curve from its 32 bytes."""
    y, sign = int.from_bytes(text, "little") & (1 << 255) - 1, text[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or y >= P or not x and sign:
        raise ValueError("no point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(public, message, signature):
    """Reports whether a signature of a message is the public key's."""
    s, r = int.from_bytes(signature[32:], "little"), signature[:32]
    h = int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % Q
    a, b = multiply(s, BASE), add(point(r), multiply(h, point(public)))
    return len(signature) == 64 and s < Q and not (a[0] * b[2] - b[0] * a[2]) % P and not (a[1] * b[2] - b[1] * a[2]) % P


def read_keys(texts):
    """Returns the public keys by name and hash, as signatures name them (C2SP signed-note)."""
    keys = {}
    for text in texts:
        require(text.count("+") > 1, f"{text} is no public key")
        name, key_hash, encoded = text.split("+", 2)
        key = base64.b64decode(encoded)
        made = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
        require(len(key) == 33 and key[0] == 1 and made.hex() == key_hash, f"{text} is no public key")
        keys[name, made] = key[1:]
    return keys


def open_note(note, keys):
    """Returns the lines of a signed note, and the names and hashes of the keys that have signed it. At least one of those
    given must have, none wrongly; of two signatures of one key the first counts."""
    text, signatures = note.rsplit("\n\n", 1)
    lines, known = signatures.split("\n"), []
    require(not re.search("[\0-\t\v-\x1f]", note), "a note has control characters")
    require(lines.pop() == "" and 0 < len(lines) <= 100, f"the signatures are no lines:\n{note}")
    for line in lines:
        dash, name, encoded = line.split(" ")
        content = base64.b64decode(encoded, validate=True)
        written = base64.b64encode(content).decode() == encoded
        require(dash == "\u2014" and re.fullmatch(r"[^\s+]+", name) and len(content) >= 5 and written, f"a line is no signature:\n{note}")
        signer = name, content[:4]
        if signer in keys and signer not in known:
            require(signed(keys[signer], text.encode() + b"\n", content[4:]), f"a signature is wrong:\n{note}")
            known.append(signer)
    require(known, f"no key that was given has signed:\n{note}")
    return text.split("\n"), known


# The members of an entry, and those of its event by kind, in this order. One with ? is left out where it would be empty.
MEMBERS = ["v", "institutionId", "sequence", "id", "at", "actor", "requestId", "kind", "subject", "approval", "event"]
UPKEEP = ["version", "createdAt", "closedAt?"]
INSTITUTION = ["id", "name", "regions", "verticals"] + UPKEEP
KEY = ["id", "label?", "owner?", "role?", "permissions?", "restrict?", "holderReferences?", "allowedNetworks?", "hash", "createdAt",
       "expiresAt?", "revokedAt?", "rotatedTo?", "createdBy?", "origin?", "version"]
PROVIDER = ["issuer", "clientId", "hasSecret", "secretNumber", "audience?", "claims", "roleByGroup?", "version", "createdAt"]
USER = ["id", "issuer", "identitySubject?", "displayName?", "email?", "joinedAt", "suspendedAt?", "suspensions", "version"]
TEMPLATE = ["id", "code", "name", "vertical", "region", "config"] + UPKEEP
ASSET = ["id", "templateId", "label?"] + UPKEEP + ["metadata?"]
EVENTS = {
    "INSTITUTION_CREATED": INSTITUTION,
    "INSTITUTION_UPDATED": INSTITUTION,
    "INSTITUTION_CLOSED": INSTITUTION,
    "API_KEY_CREATED": KEY,
    "API_KEY_ROTATED": KEY + ["replaces", "replacedExpiresAt"],
    "API_KEY_REVOKED": KEY,
    "API_KEY_UPDATED": KEY,
    "IDENTITY_PROVIDER_SET": PROVIDER,
    "IDENTITY_PROVIDER_REMOVED": PROVIDER + ["removedAt"],
    "USER_JOINED": USER,
    "USER_UPDATED": USER,
    "USER_SUSPENDED": USER,
    "USER_RESTORED": USER,
    "ROLE_SET": ["name", "permissions", "version", "createdAt"],
    "POLICY_SET": ["region", "position", "createdAt"],
    "ASSET_TEMPLATE_CREATED": TEMPLATE,
    "ASSET_TEMPLATE_UPDATED": TEMPLATE,
    "ASSET_TEMPLATE_CLOSED": TEMPLATE,
    "ASSET_CREATED": ASSET,
    "ASSET_UPDATED": ASSET,
    "ASSET_CLOSED": ASSET,
    "POSITION_CREATED": ["id", "assetId", "holderReference?", "externalReference?", "uniqueIn?", "currency", "amount", "retained?", "expiresAt?", "metadata?"],
    "POSITION_STATE_CHANGED": ["id", "fromState", "toState", "currency", "amount?", "reason?", "metadata?"],
    "POSITION_DATA_ERASED": ["id", "entries", "reason?"],
    "HOLD_PLACED": ["id", "holdId", "kind", "currency?", "amount?", "reviewAt?", "reason?", "reference?"],
    "HOLD_LIFTED": ["id", "holdId", "kind", "currency", "amount", "reason?"],
    "HOLDER_DATA_ERASED": ["id", "erased", "open", "retained", "onHold?", "approvalsErased?", "approvalsPending?", "approvalsRetained?", "retainedUntil?", "complete"],
    "HISTORY_ACCEPTED": ["id", "lostSequence", "checkpoint?"],
    "APPROVAL_RULES_SET": ["rules", "version", "createdAt"],
    "APPROVAL_REQUESTED": ["id", "command", "subjects", "rules", "expiresAt", "breakGlass?", "reason?", "entries?"],
    "APPROVAL_GIVEN": ["id", "roles", "comment?", "outcome?", "entries?"],
    "APPROVAL_REJECTED": ["id", "comment?"],
    "APPROVAL_WITHDRAWN": ["id"],
    "APPROVAL_EXPIRED": ["id"],
    "APPROVAL_FAILED": ["id", "refusal"],
    "APPROVAL_DATA_ERASED": ["id", "entries", "reason?"],
}
# The members whose values stand beside the entry, which has a commitment to each. Of keys and assets the label is one.
NUMBERS = ["version", "lostSequence", "entries", "erased", "open", "onHold", "approvalsErased", "approvalsPending", "approvalsRetained", "secretNumber", "suspensions"]
PRIVATE = ["comment", "displayName", "email", "externalReference", "holderReference", "holderReferences", "identitySubject", "label", "metadata", "owner", "reason", "reference"]
PERMISSIONS = [
    "approval_rules.set", "approvals.decide", "approvals.read", "assets.create", "assets.read", "assets.update", "audit.read", "holds.legal", "holds.lift", "holds.place",
    "holds.read", "identity_provider.set", "institutions.create",
    "institutions.read", "institutions.update",
    "journal.read", "keys.manage", "keys.read", "metrics.read", "personal_data.read", "policies.read", "policies.set", "positions.cancel",
    "positions.create", "positions.erase", "positions.fund", "positions.read", "positions.release", "proofs.read", "reports.read",
    "roles.manage", "roles.read", "security_events.read", "templates.create", "templates.read", "templates.update",
    "users.manage", "users.read"]
RESTRICTION = ["templateIds", "assetIds", "maxAmount"]
CLAIMS = ["groups", "name", "email"]
CODES = ["CONSTR_ESCROW", "CONSTR_RETAINAGE", "TF_INVOICE", "TF_LC"]
CONFIG = ["currency", "region", "minAmount", "maxAmount", "retainagePercentage", "maxTenorDays", "country", "issuingBankCountry", "uniqueExternalReference"]
REFERENCES = {"assetId": "ast", "assetIds": "ast", "templateId": "tmpl", "templateIds": "tmpl", "uniqueIn": "tmpl", "holdId": "hld", "replaces": "key", "rotatedTo": "key", "origin": "key"}
# What the kinds of entry on a position begin with, and the states that a position stays in.
OF_POSITION, FINAL = ("POSITION_", "HOLD_"), ("RELEASED", "CANCELLED", "EXPIRED")
ID = "_[0-7][0-9a-hjkmnp-tv-z]{25}"
ACTOR = "root|system|(key|usr|opr)" + ID


def refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def read_entry(body, sequence):
    """Reads an entry from its bytes, which must be the only ones that it can be written in."""
    # A number with a fraction stays the text that it is, marked by half a surrogate pair, which UTF-8 does not have.
    entry = json.loads(body, parse_float=lambda text: "\ud800" + text, parse_constant=refuse)
    written = re.sub('"\ud800([^"]*)"', r"\1", dump(entry))
    members = [m for m in MEMBERS if m != "approval" or m in entry]
    require(written == body and list(entry) == members and body.startswith('{"v":2,'), f"entry {sequence} is not written as entries are")
    event, kind = entry["event"], entry["kind"]
    require(kind in EVENTS, f"entry {sequence} is of no kind that is known")
    expected = [m.rstrip("?") for m in EVENTS[kind] if m[-1] != "?" or m[:-1] in event]
    optional = [m[:-1] for m in EVENTS[kind] if m[-1] == "?"]
    empty = [member for member in optional if event.get(member) == "" or member in NUMBERS and event.get(member) == 0]
    require(list(event) == expected and not empty, f"entry {sequence} has not the members of its kind")
    for member, value in event.items():
        if member in PRIVATE:
            require(list(value) == ["sha256"] and len(decode(value["sha256"])) == 32, f"entry {sequence}: {member} is no commitment")
        elif member.endswith("At") or member == "retainedUntil":
            require_time(value)
        elif member in REFERENCES:
            require(re.fullmatch(REFERENCES[member] + ID, value), f"entry {sequence}: {member} is no id")
        elif member in NUMBERS or member == "retained" and kind == "HOLDER_DATA_ERASED":
            require(type(value) is int and -2**63 <= value < 2**63, f"entry {sequence}: {member} is no number")
        elif member in ("amount", "retained"):
            minor_units(value)
        elif member in ("complete", "hasSecret"):
            require(type(value) is bool, f"entry {sequence}: {member} is neither true nor false")
        elif member == "config":
            require(list(value) == [m for m in CONFIG if m in value] and "" not in value.values(), f"entry {sequence} has no config of a template")
            for bound in ("minAmount", "maxAmount"):
                require(minor_units(value.get(bound, "1")), f"entry {sequence} has a bound of 0")
            require(value.get("uniqueExternalReference", True) is True, f"entry {sequence} has a switch that is not on")
        elif member == "code":
            require(value in CODES, f"entry {sequence} is of a template of no code that is known")
        elif member == "hash":
            require(re.fullmatch("[0-9a-f]{64}", value), f"entry {sequence} has no hash of a key")
        elif member == "permissions":
            require(type(value) is list and value == [p for p in PERMISSIONS if p in value] and (value or kind == "ROLE_SET"),
                    f"entry {sequence} has not permissions in their order")
        elif member == "restrict":
            require_restriction(value, sequence)
        elif member == "claims":
            require(type(value) is dict and list(value) == [m for m in CLAIMS if m in value], f"entry {sequence} has no names of claims")
            require(all(type(one) is str and one for one in value.values()), f"entry {sequence} has an empty name of a claim")
        elif member == "roleByGroup":
            require(type(value) is dict and value and list(value) == sorted(value, key=str.encode), f"entry {sequence} has groups that are not in their order")
            require(all(type(one) is str and one != "holder" for one in value.values()), f"entry {sequence} has groups with no roles of groups")
        elif member == "allowedNetworks":
            require(type(value) is list and value and all(type(one) is str for one in value), f"entry {sequence} has no networks")
        elif member == "createdBy":
            require(re.fullmatch(ACTOR, value), f"entry {sequence} has a key that nobody made")
        elif member == "outcome":
            require(value in ("EXECUTED", "FAILED"), f"entry {sequence} has no outcome of an approval")
        elif member == "breakGlass":
            require(value is True, f"entry {sequence} has a switch that is not on")
        elif member in ("rules", "roles", "subjects"):
            require(type(value) is list, f"entry {sequence} has no list of {member}")
    for path, value in commitments(event):
        require(list(value) == ["sha256"] and len(decode(value["sha256"])) == 32, f"entry {sequence}: {path} is no commitment")
    subject = {"POLICY_SET": "policy/" + event.get("region", ""), "ROLE_SET": "role/" + event.get("name", ""), "IDENTITY_PROVIDER_SET":
               "identity-provider", "IDENTITY_PROVIDER_REMOVED": "identity-provider", "APPROVAL_RULES_SET": "approval-rules"}.get(kind) or event["id"]
    require(entry["subject"] == subject, f"entry {sequence} is on another subject than its event")
    require(re.fullmatch("entry" + ID, entry["id"]), f"entry {sequence} has no id")
    require(type(entry["sequence"]) is int, f"entry {sequence} has no sequence")
    require(re.fullmatch(ACTOR, entry["actor"]), f"entry {sequence} has no actor")
    require(kind != "USER_JOINED" or entry["actor"] == subject, f"entry {sequence} has a user join by another one")
    require(kind != "IDENTITY_PROVIDER_REMOVED" or not event["hasSecret"], f"entry {sequence} has a secret of what was removed")
    require("approval" not in entry or re.fullmatch("apr" + ID, entry["approval"]["id"]), f"entry {sequence} is of no approval")
    require(not kind.startswith("APPROVAL_") or kind == "APPROVAL_RULES_SET" or re.fullmatch("apr" + ID, event["id"]), f"entry {sequence} is on no approval")
    require_time(entry["at"])
    return entry


def commitments(value, path=""):
    """Yields the private members of an event by their paths: those of a command that waits for approval stand within it."""
    named = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, member in named:
        if name in PRIVATE and type(member) is dict:
            yield f"{path}{name}", member
        elif path or name == "command":
            yield from commitments(member, f"{path}{name}.")


def require_restriction(value, sequence):
    """Requires the part of a key's restriction that is not private, as the server writes it."""
    require(type(value) is dict and value and list(value) == [m for m in RESTRICTION if m in value], f"entry {sequence} has no restriction")
    for member, limits in value.items():
        require(limits, f"entry {sequence} has a restriction that restricts nothing")
        if member == "maxAmount":
            require(list(limits) == sorted(limits, key=str.encode), f"entry {sequence} has bounds that are not in their order")
            for bound in limits.values():
                whole = re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]{0,3}[1-9])?", bound)
                require(whole and decimal.Decimal(bound) <= 10**15, f"entry {sequence} has a bound that is no number")
        else:
            require(type(limits) is list, f"entry {sequence} has no list of {member}")
            for one in limits:
                require(re.fullmatch(REFERENCES[member] + ID, one), f"entry {sequence}: {member} has what is no id")


def dump(value, **options):
    """Writes JSON as the server does."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), **options)
    return written.replace("\u2028", r"\u2028").replace("\u2029", r"\u2029")


def decode(text):
    """Decodes base64url without padding, which must be the only way to write the bytes."""
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(base64.urlsafe_b64encode(content).decode().rstrip("=") == text, f"{text} is not in base64url")
    return content


def check_private(sequence, event, beside, erased, redacted):
    """Compares the values beside an entry with the commitments in its event: each that is there must be the one that was
    committed to, and each that is not must have been erased by a later entry, or be left out of the bundle."""
    values = json.loads(beside) if beside is not None else {}
    require(beside is None or values and dump(values, sort_keys=True) == beside, f"what stands beside entry {sequence} is not written as it is")
    private = dict(commitments(event))
    for member, opening in values.items():
        require(member in private, f"{member} beside entry {sequence} is none of its private members")
        require(sorted(opening) == ["salt", "value"] and opening["value"], f"{member} beside entry {sequence} is no value with its salt")
        salt = decode(opening["salt"])
        require(len(salt) == 32, f"{member} beside entry {sequence} has no salt of 32 bytes")
        made = hashlib.sha256(b"\2" + salt + opening["value"].encode()).digest()
        require(made == decode(private[member]["sha256"]), f"{member} beside entry {sequence} is not the value that it has a commitment to")
        require(not erased, f"{member} beside entry {sequence} was erased by a later entry")
    missing = [member for member in private if member not in values and member.rpartition(".")[2] not in redacted]
    require(erased or not missing, f"{', '.join(missing)} is missing beside entry {sequence}, and nobody erased it")
    return bool(erased and private)


def require_time(text):
    """Requires a time as the server writes it."""
    require(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", text), f"{text} is no time")
    require(datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").year >= 1970, f"{text} is too early")


def minor_units(text):
    """Returns an amount in its smallest unit: how many decimals a currency has is left to the text."""
    require(re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]{1,4})?", text), f"{text} is no amount")
    return int(text.replace(".", ""))


def root(subtrees):
    """Returns the root hash of a tree, given as perfect subtrees (leaves, hash), the largest first (RFC 6962, 2.1)."""
    result = subtrees[-1][1]
    for _, left in reversed(subtrees[:-1]):
        result = hashlib.sha256(b"\1" + left + result).digest()
    return result


def add_leaf(subtrees, body):
    """Adds an entry to a tree, and joins subtrees of the same size."""
    subtrees.append((1, hashlib.sha256(b"\0" + body).digest()))
    while len(subtrees) > 1 and subtrees[-1][0] == subtrees[-2][0]:
        (size, left), (_, right) = subtrees[-2:]
        subtrees[-2:] = [(2 * size, hashlib.sha256(b"\1" + left + right).digest())]


def apply(positions, entry):
    """Applies an entry to its position: creates it, moves all that is due or a part of what is held and not on hold, places or lifts a hold, or
    erases its data."""
    sequence, kind, event = entry["sequence"], entry["kind"], entry["event"]
    amount = minor_units(event.get("amount", "0"))
    decimals = {len(event[member].partition(".")[2]) for member in ("amount", "retained") if member in event}
    if kind == "POSITION_CREATED":
        require(event["id"] not in positions and amount > 0, f"entry {sequence} cannot create {event['id']}")
        require(len(decimals) == 1, f"entry {sequence} has amounts of different decimals")
        positions[event["id"]] = {
            "state": "CREATED", "entries": 1, "amount": amount, "currency": event["currency"], "decimals": decimals, "held": 0, "holds": {}, "placed": set()}
        if "expiresAt" in event:
            positions[event["id"]]["expiresAt"] = event["expiresAt"]
        return
    p = positions.get(event["id"], {})
    if kind == "POSITION_DATA_ERASED":
        require(p.get("state") in FINAL and event["entries"] == p["entries"], f"entry {sequence} cannot erase the data of {event['id']}")
        require(not any(legal == "LEGAL" for legal, _ in p["holds"].values()), f"entry {sequence} erases the data of {event['id']}, which a legal hold keeps")
        p["entries"] += 1
        return
    if kind in ("HOLD_PLACED", "HOLD_LIFTED"):
        apply_hold(p, entry, amount, decimals)
        p["entries"] += 1
        return
    state = event["toState"]
    require(p.get("state") == event["fromState"] and p["currency"] == event["currency"], f"entry {sequence} cannot follow on {event['id']}")
    require(decimals <= p["decimals"], f"entry {sequence} has an amount of other decimals")
    require(p["state"] in ("CREATED", "FUNDED", "PARTIALLY_RELEASED"), f"entry {sequence} follows a final state")
    require(state in ("FUNDED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED", "EXPIRED"), f"entry {sequence} goes to no state that is known")
    funds = state == "FUNDED"
    require(funds or amount <= available(p), f"entry {sequence} moves {amount}, of which {available(p)} are not on hold")
    require(amount == (p["amount"] if funds else p["held"]) or state == "PARTIALLY_RELEASED" and 0 < amount < p["held"],
            f"entry {sequence} moves {amount}")
    require(funds == (p["state"] == "CREATED") or state in ("CANCELLED", "EXPIRED"), f"entry {sequence} goes from {p['state']} to {state}")
    clock = entry["actor"] == "system" and state == "EXPIRED"
    require(not clock or "expiresAt" in p and entry["at"] >= p["expiresAt"], f"entry {sequence} expires {event['id']}, which is not due")
    p["entries"] += 1
    p["state"], p["held"] = state, p["held"] + amount if funds else p["held"] - amount


def apply_hold(p, entry, amount, decimals):
    """Applies the placing or the lifting of a hold to its position. A hold without an amount is on all that the position holds."""
    sequence, event = entry["sequence"], entry["event"]
    check_hold(entry, amount)
    require(p, f"entry {sequence} is on no position")
    require("currency" not in event or event["currency"] == p["currency"] and decimals == p["decimals"], f"entry {sequence} has an amount of another currency")
    if entry["kind"] == "HOLD_PLACED":
        require(event["holdId"] not in p["placed"], f"entry {sequence} places {event['holdId']} again")
        require(amount <= p["held"] - sum(amount for _, amount in p["holds"].values()), f"entry {sequence} puts {amount} on hold")
        require(amount or p["state"] not in FINAL or event["kind"] == "LEGAL", f"entry {sequence} puts a position on hold that holds nothing")
        p["holds"][event["holdId"]] = event["kind"], amount
        p["placed"].add(event["holdId"])
    else:
        kind, held = p["holds"].pop(event["holdId"], (None, 0))
        require(kind == event["kind"] and amount == (held or p["amount"]), f"entry {sequence} lifts what is not on hold")


def check_hold(entry, amount):
    """Requires that an entry by itself tells of a hold that there can be."""
    sequence, event = entry["sequence"], entry["event"]
    require(event["kind"] in ("LEGAL", "COMPLIANCE"), f"entry {sequence} is of no kind of hold that is known")
    require(("currency" in event) == ("amount" in event) and ("amount" in event) == (amount > 0), f"entry {sequence} has a currency or an amount alone")


def available(p):
    """Returns what a position holds that is not on hold."""
    amounts = [amount for _, amount in p["holds"].values()]
    return 0 if 0 in amounts else p["held"] - sum(amounts)


def visible(text):
    """Returns a text without what could act on a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Difference(Exception):
    """What is not as it should be."""


def require(holds, message):
    """Ends the verification with a difference, unless what is required holds."""
    if not holds:
        raise Difference(message)


# A file with anything else in it is no bundle: a view or a trigger could show one thing now and another later.
SCHEMA = [
    "CREATE TABLE bundle (format INTEGER NOT NULL, institution TEXT NOT NULL, exported_at TEXT NOT NULL, redacted TEXT NOT NULL) STRICT",
    "CREATE TABLE keys (verifier_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, private TEXT) STRICT",
    "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, at TEXT NOT NULL, note TEXT NOT NULL) STRICT",
    "CREATE INDEX entries_subject ON entries (subject, sequence)",
]


def open_bundle(path):
    """Opens a bundle, and returns it with the id of its institution and the members that were left out."""
    require(os.path.lexists(path), f"there is no file {path}")
    require(stat.S_ISREG(os.lstat(path).st_mode), f"{path} is not a file as such, but a link, a pipe or the like")
    for suffix in ("-wal", "-journal"):
        require(not os.path.lexists(path + suffix), f"a bundle is one file, and {path}{suffix} is beside it")
    bundle = sqlite3.connect(f"file:{urllib.parse.quote(os.path.abspath(path))}?mode=ro", uri=True)
    for pragma in ("query_only = on", "trusted_schema = off", "cell_size_check = on"):
        bundle.execute(f"PRAGMA {pragma}")
    found = [sql for (sql,) in bundle.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")]
    require(found == SCHEMA, "its tables are not those of a bundle")
    require(bundle.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",), "the file is damaged")
    about = bundle.execute("SELECT format, institution, exported_at, redacted FROM bundle").fetchall()
    require(len(about) == 1 and about[0][0] == 2, "it is no bundle of format 2")
    require_time(about[0][2])
    require(re.fullmatch("inst" + ID, about[0][1]), "it is the bundle of no institution")
    redacted = json.loads(about[0][3])
    require(all(member in PRIVATE for member in redacted) and len(set(redacted)) == len(redacted), "it leaves out what is no private member")
    return bundle, about[0][1], redacted


# The members of a disclosure, in this order, and the steps that a position can take.
DISCLOSURE = ["format", "version", "entry", "members", "proof", "checkpoint"]
OPEN = ["PARTIALLY_RELEASED", "RELEASED", "CANCELLED", "EXPIRED"]
STEPS = {"CREATED": ["FUNDED", "CANCELLED", "EXPIRED"], "FUNDED": OPEN, "PARTIALLY_RELEASED": OPEN}


def decode_hash(text):
    """Decodes a hash of the tree from base64, which must be the only way to write it."""
    content = base64.b64decode(text, validate=True)
    require(len(content) == 32 and base64.b64encode(content).decode() == text, f"{text} is no hash")
    return content


def root_of(leaf, place, size, proof):
    """Returns the root hash that an audit path leads to from a leaf, by its place from 0 (RFC 9162, 2.1.3.2)."""
    last = size - 1
    require(0 <= place <= last, "the entry is not among those that were signed")
    for hash in proof:
        require(last, "the proof is too long")
        if place & 1 or place == last:
            leaf = hashlib.sha256(b"\1" + hash + leaf).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            leaf = hashlib.sha256(b"\1" + leaf + hash).digest()
        place, last = place >> 1, last >> 1
    require(not last, "the proof is too short")
    return leaf


def read_disclosure(path):
    """Reads a disclosure, and returns it with its entry and that in the bytes that are hashed."""
    with open(path, "rb") as file:
        content = file.read(2**20 + 1)
    require(len(content) <= 2**20, "it is larger than any disclosure")
    text = content.decode().rstrip("\r\n")
    disclosure = json.loads(text, parse_constant=refuse)
    known = list(disclosure) == DISCLOSURE and disclosure["format"] == "escrowgrid-disclosure" and disclosure["version"] == 1
    require(known and dump(disclosure) == text and type(disclosure["version"]) is int, "it is no disclosure of version 1")
    body, members = disclosure["entry"], disclosure["members"]
    require(type(members) is dict, "it has no members")
    entry = read_entry(body, "of the disclosure")
    kind, event, sequence = entry["kind"], entry["event"], entry["sequence"]
    check_private(sequence, event, dump(members) if members else None, False, PRIVATE)
    require(kind.startswith(OF_POSITION), f"entry {sequence} is on no position")
    require(re.fullmatch("pos" + ID, event["id"]), f"entry {sequence} is on no position")
    if kind == "POSITION_CREATED":
        apply({}, entry)
    elif kind == "POSITION_STATE_CHANGED":
        require(event["toState"] in STEPS.get(event["fromState"], []), f"entry {sequence} is a step that no position can take")
    elif kind in ("HOLD_PLACED", "HOLD_LIFTED"):
        check_hold(entry, minor_units(event.get("amount", "0")))
    return disclosure, entry


def happened(kind, event):
    """Says what became of a position with an entry."""
    if kind == "POSITION_CREATED":
        said = f"was created on {event['assetId']} with {event['amount']} {event['currency']}"
        said += f", of which {event['retained']} are retained" if "retained" in event else ""
        return said + (f", until {event['expiresAt']}" if "expiresAt" in event else "")
    if kind == "POSITION_STATE_CHANGED":
        moved = f"{event['amount']} {event['currency']} moved" if "amount" in event else "no money moved"
        return f"went from {event['fromState']} to {event['toState']}, and {moved}"
    if kind in ("HOLD_PLACED", "HOLD_LIFTED"):
        on = f"{event['amount']} {event['currency']}" if "amount" in event else "all that it holds"
        return f"had the {event['kind']} hold {event['holdId']} on {on} {kind[5:].lower()}"
    return f"had what is private of it erased, after {event['entries']} entries"


def verify_disclosure(path, keys):
    """Verifies the disclosure of one entry on a position, and says what it shows."""
    disclosure, entry = read_disclosure(path)
    (origin, size, root, *extensions), signers = open_note(disclosure["checkpoint"], keys)
    times = [e[5:] for e in extensions if e.startswith("time ")]
    require(all(extensions) and len(times) == 1, "the checkpoint does not say when it was signed")
    require_time(times[0])
    require(re.fullmatch("[1-9][0-9]{0,18}", size) and int(size) < 2**63, "the checkpoint has no size")
    institution, event, members = entry["institutionId"], entry["event"], disclosure["members"]
    require(re.fullmatch("inst" + ID, institution), "the entry is of no institution")
    require(origin.endswith("/" + institution) and origin != "/" + institution, "the checkpoint is of another journal than the entry")
    leaf = hashlib.sha256(b"\0" + disclosure["entry"].encode()).digest()
    proof = [decode_hash(hash) for hash in disclosure["proof"]]
    require(root_of(leaf, entry["sequence"] - 1, int(size), proof) == decode_hash(root), "the entry is not among those that were signed")
    said = [
        f"Entry {entry['sequence']} of the journal of {institution} is {entry['id']}, a {entry['kind']}, made at {entry['at']} by {entry['actor']}.",
        f"Position {event['id']} {happened(entry['kind'], event)}."]
    said += [f"Its {member} is disclosed: {members[member]['value']}" for member in members]
    hidden = [member for member in event if member in PRIVATE and member not in members]
    said += [f"It has, and does not disclose: {', '.join(hidden)}"] if hidden else []
    said.append(f"The checkpoint of {origin}, over {size} entries, was signed at {times[0]}.")
    for name, made in signers:
        key = b"\1" + keys[name, made]
        text = f"{name}+{made.hex()}+{base64.b64encode(key).decode()}"
        said.append(f"It was signed with the key that you gave, {text}, of the fingerprint {hashlib.sha256(name.encode() + bytes([10]) + key).hexdigest()}.")
    print("PASSED: the entry is in the journal that was signed.")
    print(*map(visible, said), sep="\n")


def is_disclosure(path):
    """Reports whether a file is written in JSON, and so is no bundle."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(1) == b"{"


def add_approvals(bundle, erasures):
    """Adds the last erasures of the private values of approvals: of an approval itself, and of the positions that it is about,
    or that were created with it."""
    about = "SELECT body FROM entries WHERE kind = 'APPROVAL_REQUESTED' OR kind = 'POSITION_CREATED' AND instr(body, '\"approval\":{')"
    for (body,) in bundle.execute(about):
        entry = json.loads(body)
        if entry["kind"] == "APPROVAL_REQUESTED":
            approval, positions = entry["subject"], [s.get("subject") for s in entry["event"]["subjects"]]
        else:
            approval, positions = entry.get("approval", {}).get("id"), [entry["subject"]]
        erasures[approval] = max(erasures.get(one, 0) for one in [approval, *positions])


# Approvals: what an entry does, by its kind or its new state, and which members a command has in common with the entry that it makes.
MOVES = {"FUNDED": "positions.fund", "PARTIALLY_RELEASED": "positions.release", "RELEASED": "positions.release",
         "CANCELLED": "positions.cancel", "EXPIRED": "positions.cancel"}
RULED = {
    "POSITION_CREATED": "positions.create", "POLICY_SET": "policies.set", "ASSET_TEMPLATE_CREATED": "templates.create",
    "ASSET_TEMPLATE_UPDATED": "templates.update", "ASSET_TEMPLATE_CLOSED": "templates.update", "ASSET_CREATED": "assets.create",
    "ASSET_UPDATED": "assets.update", "ASSET_CLOSED": "assets.update", "API_KEY_CREATED": "keys.manage", "API_KEY_UPDATED": "keys.manage",
    "API_KEY_ROTATED": "keys.manage", "USER_RESTORED": "users.manage", "ROLE_SET": "roles.manage", "APPROVAL_RULES_SET": "approval_rules.set",
    "IDENTITY_PROVIDER_SET": "identity_provider.set", "HOLD_LIFTED": "holds.lift"}
# What says whom an identity provider is: all but the secret of the client, which no rule is about.
TRUSTED = ["issuer", "clientId", "audience", "claims", "roleByGroup"]
COMMANDS = {
    "position.create": ("POSITION_CREATED", ["assetId", "currency", "amount"]),
    "position.transition": ("POSITION_STATE_CHANGED", ["toState"]),
    "hold.lift": ("HOLD_LIFTED", ["holdId"]),
    "policy.set": ("POLICY_SET", ["region", "position"]),
    "asset_template.create": ("ASSET_TEMPLATE_CREATED", ["code", "name", "vertical", "region", "config"]),
    "asset_template.update": ("ASSET_TEMPLATE_UPDATED", ["id"]),
    "asset_template.close": ("ASSET_TEMPLATE_CLOSED", ["id"]),
    "asset.create": ("ASSET_CREATED", ["templateId"]),
    "asset.update": ("ASSET_UPDATED", ["id"]),
    "asset.close": ("ASSET_CLOSED", ["id"]),
    "api_key.create": ("API_KEY_CREATED", ["role", "permissions", "restrict", "allowedNetworks", "hash", "expiresAt"]),
    "api_key.rotate": ("API_KEY_ROTATED", ["hash"]),
    "api_key.update": ("API_KEY_UPDATED", ["id"]),
    "user.restore": ("USER_RESTORED", ["id"]),
    "role.set": ("ROLE_SET", ["name", "permissions"]),
    "identity_provider.set": ("IDENTITY_PROVIDER_SET", TRUSTED),
    "approval_rules.set": ("APPROVAL_RULES_SET", ["rules"])}
NEW = ("position.create", "asset_template.create", "asset.create", "api_key.create")
# The roles that every institution has, and whether they may approve.
BUILT_IN = {"admin": True, "operator": False, "maker": False, "approver": True, "compliance": True, "auditor": False, "read_only": False, "holder": False}
LINE, ROTATIONS, WEEK, BATCH = 4, 16, 7 * 24, 1000


def hour(at, before=0):
    """Returns the hours from 1970 to a time, so many hours before it."""
    since = datetime.datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ") - datetime.datetime(1970, 1, 1)
    return since // datetime.timedelta(hours=1) - before


class Audit:
    """Follows the entries of a journal, and requires of each that it has the approvals which it takes by the rules in force. It
    does not ask what the parts of a batch come to together, and takes the roles of users as their approvals name them."""

    def __init__(self, bundle):
        self.bundle, self.rules, self.version, self.roles, self.keys, self.users, self.provider = bundle, [], 0, {}, {}, {}, {}
        self.pending, self.moves, self.carried, self.run = {}, {}, None, None

    def next(self, entry, private):
        """Follows the next entry; private are the values beside it."""
        sequence, event, kind, actor, named = entry["sequence"], entry["event"], entry["kind"], entry["actor"], entry.get("approval")
        if self.carried and sequence >= self.carried["until"]:
            require(self.carried["found"] == self.carried["entries"], "before it are fewer entries than an approval tells that it has carried out")
            self.carried = None
        run = (actor, entry["requestId"])
        if self.run and self.run["of"] == run and self.run["last"] == sequence - 1 and self.run["count"] < BATCH and not named:
            self.run["last"], self.run["count"] = sequence, self.run["count"] + 1
        else:
            self.run = {"of": run, "last": sequence, "count": 1, "moves": {of: dict(self.moves.get(of, {})) for of in (self.chain(actor), "institution")}}
        if named:
            self.execute(entry, named)
        else:
            require(not self.carried, f"it does not name the approval {self.carried and self.carried['id']}, whose command is carried out here")
            facts = self.facts(entry)
            secret = kind == "IDENTITY_PROVIDER_SET" and "removedAt" not in self.provider and all(dump(self.provider.get(m)) == dump(event.get(m)) for m in TRUSTED)
            if facts and not secret and not (actor == "system" and event.get("toState") == "EXPIRED"):
                require(actor != "system" or not self.rules, "the system does this of itself, under rules")
                met = self.matching(actor, [facts], entry["at"], self.run["moves"])
                require(not met, f"it takes an approval by the rule {met and met[0]['id']}, and names none")
        self.follow(entry, private)

    def follow(self, entry, private):
        """Keeps what later entries are held against."""
        event, kind, actor, at = entry["event"], entry["kind"], entry["actor"], entry["at"]
        if kind == "APPROVAL_RULES_SET":
            self.rules, self.version = event["rules"], event["version"]
        elif kind.startswith("APPROVAL_"):
            getattr(self, kind[9:].lower())(entry, event)
        elif kind.startswith("API_KEY_"):
            key = dict(event)
            key["owner"] = private["owner"]["value"] if "owner" in private else "of " + event["id"] if "owner" in event else ""
            if kind == "API_KEY_ROTATED" and event["replaces"] in self.keys:
                self.keys[event["replaces"]].update(expiresAt=event["replacedExpiresAt"], rotatedTo=event["id"])
            self.keys[event["id"]] = key
        elif kind.startswith("USER_"):
            self.users[event["id"]] = dict(event, email=private["email"]["value"] if "email" in private else "")
        elif kind.startswith("IDENTITY_PROVIDER_"):
            self.provider = event
        elif kind == "ROLE_SET":
            self.roles[event["name"]] = "approvals.decide" in event["permissions"]
        elif kind == "POSITION_STATE_CHANGED" and actor != "system" and minor_units(event.get("amount", "0")):
            if any("window" in rule.get("when", {}) for rule in self.rules):
                for of in (self.chain(actor), "institution"):
                    kept = {move: amount for move, amount in self.moves.get(of, {}).items() if move[0] >= hour(at, WEEK)}
                    move = hour(at), MOVES[event["toState"]], event["currency"]
                    self.moves[of] = {**kept, move: kept.get(move, 0) + decimal.Decimal(event["amount"])}

    def requested(self, entry, event):
        """Requires that something is asked for under all the rules that it meets, as they are in force, and for no longer."""
        actor, broken = entry["actor"], event.get("breakGlass", False)
        require(not broken or re.fullmatch("root|opr" + ID, actor), f"{actor} breaks the glass")
        command = event["command"]
        forms, facts = command["items"] if command["type"] == "positions.batch" else [command], []
        require(len(forms) == len(event["subjects"]), "it is about other subjects than its command")
        for form, about in zip(forms, event["subjects"]):
            kind = COMMANDS[form["type"]][0]
            permission = RULED.get(kind) or MOVES[form["toState"]]
            subject = {"policy.set": "policy/" + form.get("region", ""), "role.set": "role/" + form.get("name", ""), "approval_rules.set": "approval-rules",
                       "identity_provider.set": "identity-provider"}
            subject = "" if form["type"] in NEW else subject.get(form["type"]) or form.get("positionId") or form["id"]
            require(permission == about["permission"] and subject == about.get("subject", ""), "it is about something, and its command is not")
            if form["type"] == "position.create":
                require(all(form[m] == about.get(m) for m in ("amount", "currency")), "it is about an amount, and its command is not")
            facts.append(self.place(dict(about, kind=kind, region=form.get("region"), asset=form.get("assetId"))))
        require(event["rules"], "it names no rule")
        hours = 90 * 24
        for named in event["rules"]:
            rule = next((rule for rule in self.rules if rule["id"] == named["id"]), None)
            require(rule and named["version"] == self.version and named["require"] == rule["require"], f"it names the rule {named['id']}, which is not in force like that")
            hours = min(hours, int(rule["expiresIn"][:-1]))
        for rule in self.matching(actor, facts, entry["at"], self.moves):
            require(any(named["id"] == rule["id"] for named in event["rules"]), f"it takes an approval by the rule {rule['id']}, which it does not name")
        until = datetime.datetime.strptime(entry["at"], "%Y-%m-%dT%H:%M:%S.%fZ") + datetime.timedelta(hours=hours)
        until = until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        require(event["expiresAt"] == until, f"it waits until {event['expiresAt']}, and the rules say until {until}")
        require(event["id"] not in self.pending, "it was asked for before")
        parts = list(zip(forms, event["subjects"]))
        self.pending[event["id"]] = {"id": event["id"], "maker": actor, "given": [], "roles": [], "rules": event["rules"], "parts": parts, "expiresAt": until}
        if broken:
            self.carry(entry, self.pending.pop(event["id"]), True)

    def given(self, entry, event):
        """Requires that an approval is of somebody else, with a role that is asked for, and the last one where it says so."""
        require(event["id"] in self.pending, f"the approval {event['id']} is not pending")
        approval, actor, outcome = self.pending[event["id"]], entry["actor"], event.get("outcome")
        require(entry["at"] < approval["expiresAt"], f"the approval {event['id']} expired before that")
        for other in approval["given"] + [approval["maker"]]:
            require(not self.related(actor, other), f"{actor} approves what counts as its own, beside {other}")
            require(outcome != "EXECUTED" or self.stands(other), f"{other} has lost the right to act since")
        asked = [one["role"] for rule in approval["rules"] for one in rule["require"]]
        for role in event["roles"]:
            require(role in asked and self.has_role(actor, role, entry["at"]), f"{actor} does not approve as {role}")
        approval["given"].append(actor)
        approval["roles"].append(event["roles"])
        complete = all(self.complete(rule["require"], approval["roles"]) for rule in approval["rules"])
        require(complete == (outcome is not None), f"of the approvals {'none' if complete else 'some'} are missing, and it tells the outcome {outcome}")
        if outcome == "EXECUTED":
            self.carry(entry, self.pending.pop(event["id"]), False)

    def ended(self, entry, event):
        """Ends an approval that is pending."""
        require(self.pending.pop(event["id"], None), f"the approval {event['id']} is not pending")

    rejected = withdrawn = expired = failed = ended

    def data_erased(self, entry, event):
        """Requires that what is erased is an approval that has come to its end, with as many entries as the erasure says."""
        require(event["id"] not in self.pending, f"it erases what is private of the approval {event['id']}, which is pending")
        before = self.bundle.execute("SELECT kind FROM entries WHERE subject = ? AND sequence < ? ORDER BY sequence", (event["id"], entry["sequence"])).fetchall()
        require(before and before[0] == ("APPROVAL_REQUESTED",) and len(before) == event["entries"], f"the approval {event['id']} has not come to an end with {event['entries']} entries")

    def carry(self, entry, approval, broken):
        """Begins to carry an approval out, with the entries that follow."""
        entries = entry["event"].get("entries", 0)
        if entries:
            self.carried = dict(approval, left=list(approval["parts"]), found=0, entries=entries, until=entry["sequence"] + 1 + entries, broken=broken)

    def execute(self, entry, named):
        """Requires that an entry is a part of what was asked for, of who has asked, and names all who have approved."""
        c, event = self.carried, entry["event"]
        require(c and c["id"] == named["id"], f"it names the approval {named['id']}, which is not carried out here")
        require(entry["actor"] == c["maker"], f"its actor is {entry['actor']}, and {c['maker']} has asked for the approval {c['id']}")
        expected = {"id": c["id"], **({"by": c["given"]} if c["given"] else {}), **({"breakGlass": True} if c["broken"] else {})}
        require(list(named.items()) == list(expected.items()), f"it names others than those who approved {c['id']}")
        facts = self.facts(entry)
        for part in c["left"]:
            form, about = part
            kind, members = COMMANDS[form["type"]]
            if (facts and kind == entry["kind"] and about["permission"] == facts["permission"] and about.get("amount", "") == facts.get("amount", "")
                    and about.get("subject", facts["subject"]) == facts["subject"]
                    and (not about.get("amount") or about["currency"] == facts["currency"])
                    and all(dump(form.get(m)) == dump(event.get(m)) for m in members)):
                c["left"].remove(part)
                c["found"] += 1
                return
        raise Difference(f"it is not what the approval {c['id']} was asked for")

    def facts(self, entry):
        """Returns what rules ask of an entry, or nothing where it is under none."""
        event, kind = entry["event"], entry["kind"]
        permission = MOVES.get(event["toState"]) if kind == "POSITION_STATE_CHANGED" else RULED.get(kind)
        if not permission:
            return None
        facts = {"permission": permission, "subject": event.get("replaces") or entry["subject"], "kind": kind, "asset": event.get("assetId")}
        if kind.startswith(OF_POSITION):
            facts["currency"] = event["currency"]
            if minor_units(event.get("amount", "0")):
                facts["amount"] = event["amount"]
        elif kind == "POLICY_SET":
            facts["region"] = event["region"]
        return self.place(facts)

    def place(self, facts):
        """Adds the asset of a position, its template and their region, where a rule asks for them."""
        asks = any(m in rule.get("when", {}) for rule in self.rules for m in ("templateId", "assetId", "region"))
        if facts["kind"].startswith(OF_POSITION) and asks:
            facts["asset"] = facts.get("asset") or self.told(facts["subject"], "assetId")
            facts["template"] = self.told(facts["asset"], "templateId")
            facts["region"] = self.told(facts["template"], "region")
        return facts

    def told(self, subject, member):
        """Returns a member of the first entry on a subject."""
        body = self.bundle.execute("SELECT body FROM entries WHERE subject = ? ORDER BY sequence LIMIT 1", (subject,)).fetchone()
        return json.loads(body[0])["event"].get(member) if body else None

    def matching(self, actor, facts, at, moves):
        """Returns the rules that some facts meet: each the first that is about it."""
        met = []
        for rule in self.rules:
            when, sums = rule.get("when", {}), {}
            wanted = [("templateId", "template"), ("assetId", "asset"), ("region", "region")]
            concerned = [f for f in facts if f["permission"] in rule["on"] and all(m not in when or when[m] == f.get(name) for m, name in wanted)]
            bounds = when.get("amountFrom")
            for f in concerned:
                if bounds is not None and f.get("currency") in bounds:
                    sums[f["currency"]] = sums.get(f["currency"], 0) + decimal.Decimal(f.get("amount", 0))
            for currency in sums:
                if sums[currency] and "window" in when:
                    of = "institution" if when.get("windowScope") == "institution" else self.chain(actor)
                    since = hour(at, int(when["window"][:-1]))
                    sums[currency] += sum(moved for (when_moved, with_, code), moved in moves.get(of, {}).items()
                                          if when_moved >= since and with_ in rule["on"] and code == currency)
            about = [f for f in concerned if bounds is None or f.get("currency") in sums and sums[f["currency"]] >= decimal.Decimal(bounds[f["currency"]])]
            if about and rule["require"]:
                met.append(rule)
            facts = [f for f in facts if not any(f is one for one in about)]
        return met

    def complete(self, require_, roles):
        """Reports whether approvals can be shared out so that each place of a requirement has one of its own."""
        places = [one["role"] for one in require_ for _ in range(one["count"])]
        taken = {}

        def seat(approver, tried):
            for i, role in enumerate(places):
                if i not in tried and role in roles[approver]:
                    tried.add(i)
                    if i not in taken or seat(taken[i], tried):
                        taken[i] = approver
                        return True
            return False
        for approver in range(len(roles)):
            seat(approver, set())
        return len(taken) == len(places)

    def has_role(self, actor, role, at):
        """Reports whether somebody can approve with a role."""
        if not BUILT_IN.get(role, self.roles.get(role, False)):
            return False
        if actor.startswith("usr_"):
            return self.stands(actor) and role in self.provider.get("roleByGroup", {}).values()
        key = self.keys.get(actor)
        active = key and "revokedAt" not in key and ("expiresAt" not in key or at < key["expiresAt"])
        return active and key.get("role") == role and "restrict" not in key and "holderReferences" not in key

    def stands(self, actor):
        """Reports whether somebody has not lost the right to act."""
        if actor.startswith("usr_"):
            user, provider = self.users.get(actor), self.provider
            return user and "suspendedAt" not in user and provider and "removedAt" not in provider and provider["issuer"] == user["issuer"]
        for _ in range(ROTATIONS + 1):
            if not actor or not actor.startswith("key_"):
                return True
            key = self.keys.get(actor)
            if not key or "revokedAt" in key and "rotatedTo" not in key:
                return False
            actor = key.get("rotatedTo")
        return not actor

    def chain(self, actor):
        """Names somebody, and a key by the first that it was rotated from."""
        return self.keys.get(actor, {}).get("origin", actor)

    def names(self, actor):
        """Lists the names that somebody goes by: two who share one are the same person."""
        def owner(name):
            return "owner " + " ".join(name.split()).lower()
        names = []
        for _ in range(LINE + 1):
            key = self.keys.get(actor)
            if not key:
                if re.fullmatch("root|opr" + ID, actor):
                    return names + [actor, "root"]
                if actor.startswith("usr_"):
                    email = self.users.get(actor, {}).get("email")
                    return names + [actor, owner(actor)] + ([owner(email)] if email else [])
                return names + [actor]
            names.append(key.get("origin", key["id"]))
            if key["owner"]:
                return names + [owner(key["owner"])]
            actor = key.get("createdBy", "")
            if not actor.startswith(("key_", "usr_")):
                return names
        return names

    def line(self, actor):
        """Lists the names of somebody and of those who made the key, and whether these are all."""
        names = self.names(actor)
        for makers in range(LINE + 1):
            if not actor.startswith("key_"):
                return names, True
            if actor not in self.keys:
                return names, False
            actor = self.keys[actor].get("createdBy", "")
            if not actor or makers and not actor.startswith(("key_", "usr_")):
                return names, True
            names += self.names(actor)
        return names, False

    def related(self, one, other):
        """Reports whether one of two could be the other."""
        (line, whole), (other_line, other_whole) = self.line(one), self.line(other)
        return not whole or not other_whole or bool(set(line) & set(self.names(other)) or set(other_line) & set(self.names(one)))


def main(allowed, path, *trusted):
    keys = read_keys(trusted)
    if is_disclosure(path):
        require(not allowed, "--allow-unsigned has no meaning for a disclosure")
        verify_disclosure(path, keys)
        return
    bundle, institution, redacted = open_bundle(path)
    erasures = dict(bundle.execute("SELECT subject, MAX(sequence) FROM entries WHERE kind IN ('POSITION_DATA_ERASED', 'APPROVAL_DATA_ERASED') GROUP BY subject"))
    add_approvals(bundle, erasures)
    erased = 0
    checkpoints = bundle.execute("SELECT size, note, at FROM checkpoints ORDER BY size")
    audit = Audit(bundle)
    checkpoint, count, size, covered, at, subtrees, positions = checkpoints.fetchone(), 0, 0, 0, "", [], {}
    for sequence, body, private, *repeated in bundle.execute("SELECT sequence, body, private, at, actor, kind, subject FROM entries ORDER BY sequence"):
        size += 1
        try:
            entry = read_entry(body, size)
            erased += check_private(size, entry["event"], private, size < erasures.get(entry["subject"], 0), redacted)
        except (KeyError, TypeError, ValueError) as error:
            raise Difference(f"entry {size} is not written as entries are: {error!r}") from error
        require(sequence == size == entry["sequence"] and entry["institutionId"] == institution, f"entry {size} is missing or another's")
        # What does not follow on other entries may be right, and they not.
        altered = f"the first entry that differs is one of {covered + 1} to {size}"
        require(entry["at"] > at, f"{altered}: entry {size} is not later than the one before it")
        at = entry["at"]
        require(repeated == [at, entry["actor"], entry["kind"], entry["subject"]], f"the columns beside entry {size} are not its own")
        add_leaf(subtrees, body.encode())
        if entry["kind"].startswith(OF_POSITION):
            try:
                apply(positions, entry)
            except Difference as error:
                raise Difference(f"{altered}: {error}") from error
        try:
            audit.next(entry, json.loads(private) if private is not None else {})
        except Difference as error:
            raise Difference(f"entry {size} has not the approvals that it takes: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Difference(f"entry {size} is not written as entries are: {error!r}") from error
        if checkpoint and checkpoint[0] == size:
            try:
                (origin, signed_size, signed_root, *extensions), _ = open_note(checkpoint[1], keys)
            except (Difference, ValueError) as error:
                raise Difference(f"the checkpoint of {size} entries: {error}") from error
            require_time(checkpoint[2])
            require(all(extensions) and [e for e in extensions if e.startswith("time ")] == [f"time {checkpoint[2]}"], f"the checkpoint of {size} entries is of another time")
            require(origin.endswith("/" + institution) and origin != "/" + institution and signed_size == str(size), f"the checkpoint of {size} entries is of another journal")
            require(signed_root == base64.b64encode(root(subtrees)).decode(), f"{altered}: they are not those that were signed")
            checkpoint, count, covered = checkpoints.fetchone(), count + 1, size
    require(not checkpoint, f"the journal ends at {size}, before its checkpoints")
    require(size, "there is nothing to verify: the journal has no entry")
    require(count, "no key that was given has signed any of it, so nothing of it is verified")
    unsigned = size - covered > allowed
    print("FAILED: the newest entries have no signature yet, so they are not verified." if unsigned else "PASSED: nothing differs.")
    print(f"Verified {size} entries of {institution} and {count} checkpoints, the last of {covered} entries; {len(positions)} positions.")
    if erased:
        print(f"The private values of {erased} entries were erased.")
    if redacted:
        print(f"The bundle leaves out {', '.join(redacted)}.")
    print(f"Signatures were checked with the keys that you gave: {visible(', '.join(trusted))}")
    if unsigned:
        print(f"UNSIGNED entries {covered + 1} to {size}: they are newer than the last checkpoint")
        sys.exit(3)


if __name__ == "__main__":
    arguments, allowed = sys.argv[1:], 0
    if arguments[:1] == ["--allow-unsigned"] and arguments[1:] and arguments[1].isdecimal():
        allowed, arguments = int(arguments[1]), arguments[2:]
    if len(arguments) < 2 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        main(allowed, *arguments)
    except Exception as error:
        what = str(error) if isinstance(error, Difference) else f"it cannot be read: {error!r}"
        print(f"FAILED: {visible(what)}\nThe keys that you gave: {visible(', '.join(arguments[1:]))}")
        sys.exit(1)
