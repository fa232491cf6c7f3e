#!/usr/bin/env python3
"""Verifies a bundle that `escrowgrid export` wrote, with nothing but Python's standard library.

    python3 verify_bundle.py [--allow-unsigned N] BUNDLE PUBLIC_KEY...

It shares no code with EscrowGrid: it follows docs/transparency-log.md, for those who would rather not trust the
program that made the bundle. A public key is name+hash+base64. The exit code is 1 if something differs, cannot be read
or is not there, or if nothing is signed; 2 if this is not how it is called; and 3 if only the newest entries are not
signed, more than N of them (0 when left out).
"""
import base64
import datetime
import decimal
import hashlib
import json
import os
import sqlite3
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
        name, key_hash, encoded = text.split("+", 2)
        key = base64.b64decode(encoded)
        made = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
        require(key[0] == 1 and made.hex() == key_hash, f"{text} is no public key")
        keys[name, made] = key[1:]
    return keys


def open_note(note, keys):
    """Returns the lines of a signed note. At least one of the keys must have signed it, none wrongly."""
    text, signatures = note.rsplit("\n\n", 1)
    known = False
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        content = base64.b64decode(encoded)
        if key := keys.get((name, content[:4])):
            require(dash == "\u2014" and signed(key, text.encode() + b"\n", content[4:]), f"a signature is wrong:\n{note}")
            known = True
    require(known, f"no key that was given has signed:\n{note}")
    return text.split("\n")


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


def apply(positions, sequence, kind, event):
    """Applies an entry to its position: creates it, or moves all that is due or a part of what is held."""
    amount = decimal.Decimal(event.get("amount", "0"))
    if kind == "POSITION_CREATED":
        require(event["id"] not in positions and amount > 0, f"entry {sequence} cannot create {event['id']}")
        positions[event["id"]] = {"state": "CREATED", "amount": amount, "currency": event["currency"], "held": decimal.Decimal(0)}
        return
    p, state = positions.get(event["id"], {}), event["toState"]
    require(p.get("state") == event["fromState"] and p["currency"] == event["currency"], f"entry {sequence} cannot follow on {event['id']}")
    require(p["state"] in ("CREATED", "FUNDED", "PARTIALLY_RELEASED"), f"entry {sequence} follows a final state")
    funds = state == "FUNDED"
    require(amount == (p["amount"] if funds else p["held"]) or state == "PARTIALLY_RELEASED" and 0 < amount < p["held"],
            f"entry {sequence} moves {amount}")
    require(funds == (p["state"] == "CREATED") or state in ("CANCELLED", "EXPIRED"), f"entry {sequence} goes from {p['state']} to {state}")
    p["state"], p["held"] = state, p["held"] + amount if funds else p["held"] - amount


def visible(text):
    """Returns a text without what could act on a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def require(holds, message):
    """Ends the program with a difference, unless what is required holds."""
    if not holds:
        sys.exit(f"DIFFERENCE {visible(message)}")


# A file with anything else in it is no bundle: a view or a trigger could show one thing now and another later.
SCHEMA = [
    "CREATE TABLE bundle (format INTEGER NOT NULL, institution TEXT NOT NULL, exported_at TEXT NOT NULL) STRICT",
    "CREATE TABLE keys (verifier_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL) STRICT",
    "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, at TEXT NOT NULL, note TEXT NOT NULL) STRICT",
    "CREATE INDEX entries_subject ON entries (subject, sequence)",
]


def open_bundle(path):
    """Opens a bundle, and returns it with the id of its institution."""
    for suffix in ("-wal", "-journal"):
        require(not os.path.lexists(path + suffix), f"a bundle is one file, and {path}{suffix} is beside it")
    bundle = sqlite3.connect(f"file:{urllib.parse.quote(os.path.abspath(path))}?mode=ro", uri=True)
    for pragma in ("query_only = on", "trusted_schema = off", "cell_size_check = on"):
        bundle.execute(f"PRAGMA {pragma}")
    found = [sql for (sql,) in bundle.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")]
    require(found == SCHEMA, "its tables are not those of a bundle")
    require(bundle.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",), "the file is damaged")
    about = bundle.execute("SELECT format, institution, exported_at FROM bundle").fetchall()
    require(len(about) == 1 and about[0][0] == 1, "it is no bundle of format 1")
    datetime.datetime.fromisoformat(about[0][2])
    require(about[0][1].startswith("inst_"), "it is the bundle of no institution")
    return bundle, about[0][1]


def main(allowed, path, *trusted):
    (bundle, institution), keys = open_bundle(path), read_keys(trusted)
    checkpoints = bundle.execute("SELECT size, note, at FROM checkpoints ORDER BY size")
    checkpoint, count, size, covered, at, subtrees, positions = checkpoints.fetchone(), 0, 0, 0, "", [], {}
    for sequence, body, *repeated in bundle.execute("SELECT sequence, body, at, actor, kind, subject FROM entries ORDER BY sequence"):
        entry, size = json.loads(body), size + 1
        require(sequence == size == entry["sequence"] and entry["institutionId"] == institution, f"entry {size} is missing or another's")
        require(entry["at"] > at, f"entry {size} is not later than the one before it")
        at = entry["at"]
        require(repeated == [at, entry["actor"], entry["kind"], entry["subject"]], f"the columns beside entry {size} are not its own")
        add_leaf(subtrees, body.encode())
        if entry["kind"].startswith("POSITION_"):
            apply(positions, size, entry["kind"], entry["event"])
        if checkpoint and checkpoint[0] == size:
            origin, signed_size, signed_root, *extensions = open_note(checkpoint[1], keys)
            require(f"time {checkpoint[2]}" in extensions, f"the checkpoint of {size} entries is of another time")
            require(origin.endswith("/" + institution) and signed_size == str(size), f"the checkpoint of {size} entries is of another journal")
            require(base64.b64decode(signed_root) == root(subtrees), f"entries {covered + 1} to {size} are not those that were signed")
            checkpoint, count, covered = checkpoints.fetchone(), count + 1, size
    require(not checkpoint, f"the journal ends at {size}, before its checkpoints")
    require(size, "there is nothing to verify: the journal has no entry")
    require(count, "no key that was given has signed any of it, so nothing of it is verified")
    print(f"Verified {size} entries of {institution} and {count} checkpoints, the last of {covered} entries; {len(positions)} positions.")
    if size - covered > allowed:
        print(f"UNSIGNED entries {covered + 1} to {size}: they are newer than the last checkpoint, so they are not verified", file=sys.stderr)
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
        sys.exit(f"DIFFERENCE what cannot be read: {visible(repr(error))}")
