#!/usr/bin/env python3
"""Verify an audit log: verify_audit_log.py [--live] [--key KEY] [--seals audit.seals] FILE... (in order, the live one
last; - is standard input). Written from audit-format.md alone. Exit code: 0 intact, 3 no key given, 1 broken."""
import argparse, base64, hashlib, json, re, sys
from datetime import datetime, timedelta
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
TEXT = rb'"(?:(?!\xc2[\x80-\x9f])[^"\\\x00-\x1f\x7f]|\\["\\]|\\u00[0-9a-f]{2})*"'
MEMBER = rb',"[a-z0-9_.]+":(?:' + TEXT + rb'|(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,3})?)'
SHAPE = re.compile(
    rb'\{"seq":([1-9][0-9]{0,18}),"ts":"((?:19[7-9]|[2-9][0-9]{2})[0-9T:.-]{23}Z)","event_type":"([a-z0-9_.]+)"(?:' + MEMBER + rb'){1,32}'
    rb',"prev_hash":"([0-9a-f]{64})"(,"signature":"[^"]{88}")?,"event_hash":"([0-9a-f]{64})"\}\n')

def binary(text):
    if base64.b64encode(found := base64.b64decode(text, validate=True)).decode() != text:
        raise ValueError("base64 that says the same in another way")
    return found
def read(line):  # its members, or None if it is not a record as it was written
    shape = SHAPE.fullmatch(line) if len(line) <= 4096 else None
    if not shape or hashlib.sha256(line[:-82]).hexdigest().encode() != shape[6]:
        return None
    number = lambda text: None if int(text.partition(".")[0]) >= 2**64 else text if "." in text else int(text)  # 64 bits
    try:
        members = json.loads(line.decode(), object_pairs_hook=list, parse_int=number, parse_float=number)
        record = dict(members, **{"the time": datetime.strptime(dict(members)["ts"], "%Y-%m-%dT%H:%M:%S.%fZ")})
    except ValueError:
        return None
    sealed = ("signature" in record) == bool(shape[5]) == (record["event_type"] == "log.sealed")
    return record if sealed and len(record) == len(members) + 1 and None not in record.values() else None
def accounts(record, torn):  # for the bytes before it and the newline that ends them
    found = torn[-1:], record["event_type"], record.get("torn_bytes"), record.get("torn_sha256")
    return found == (b"\n", "log.recovered", len(torn) - 1, hashlib.sha256(torn[:-1]).hexdigest())
def pieces(files):  # lines, or as much of one as a record can have, and where a file ends
    for file in files:
        yield from iter(lambda: file.readline(4096), b"")
        yield b""

def sealed(record, line, epoch, current):  # the next epoch and its key
    if (record["epoch"], record["key"]) != (epoch, current):
        raise ValueError(f"the seal {record['seq']} was made with another key than it had to be")
    signed, signature = line.rpartition(b',"signature"')[0], binary(record["signature"])
    Ed25519PublicKey.from_public_bytes(binary(current)).verify(signature, signed)
    return epoch + 1, record["next_key"]
def proven(kept, key, first):  # the epoch and key at the first record, by the seals of what was removed before it
    epoch, current, last = 0, key, 0
    while epoch < first["epoch"]:
        line = kept.pop(0) if kept else b""
        record = read(line)
        if not record or record["event_type"] != "log.sealed" or not last < record["seq"] < first["seq"]:
            raise ValueError(f"the seal of epoch {epoch} is missing or changed")
        last = record["seq"]
        epoch, current = sealed(record, line, epoch, current or record["key"])
    return epoch, current or first["key"]
def is_kept(kept, record, line):  # a seal of a removal that was interrupted stands in both places
    if kept and (other := read(kept[0])) and other["seq"] <= record["seq"] and kept.pop(0) != line:
        raise ValueError(f"the seal {other['seq']} was kept and is not in the log")

def verify(files, key, live, seals=()):
    seq, prev, torn, ended, log_id, epoch, current, unsealed_since = 0, "0" * 64, bytearray(), False, *[None] * 4
    kept, missing, removal, removed = [line for file in seals for line in file], None, None, None
    for line in pieces(files):
        if torn and (ended or len(torn) > 1052673):
            raise ValueError(f"after record {seq} comes neither the next one nor what is accounted for")
        record, ended = read(line), not line
        if record and not seq and not torn and record["seq"] > 1 and record["event_type"] == "log.resumed":
            seq, prev, log_id = record["seq"] - 1, record["prev_hash"], record["log_id"]
            (epoch, current), missing = proven(kept, key, record), (seq, prev, record["epoch"])
        if not record or record["seq"] != seq + 1 or record["prev_hash"] != prev or torn and not accounts(record, torn):
            torn += line
            continue
        kind, seq, prev, torn = record["event_type"], record["seq"], record["event_hash"], bytearray()
        if (kind == "log.open") != (seq == 1):
            raise ValueError(f"record {seq}: a log begins with log.open, and only there")
        if kind == "log.open":
            log_id, epoch, current = record["log_id"], record["epoch"], record["key"]
            if current != (key or current) or epoch != 0:
                raise ValueError("the log begins with another key")
        elif kind == "log.resumed" and (record["log_id"], record["epoch"], record["key"]) != (log_id, epoch, current):
            raise ValueError(f"record {seq} goes on with another log or key")
        elif kind == "log.pruned":
            known = isinstance(record["epoch"], int) and isinstance(record["last_hash"], str) and record["reason"] in ("age", "size")
            if not (known and 0 < record["first_seq"] <= record["last_seq"] < seq):
                raise ValueError(f"record {seq} does not say what was removed")
            if record["first_seq"] > (removed or record["first_seq"]) + 1:
                raise ValueError(f"before record {record['first_seq']} more was removed than is on record")
            removed = max(removed or 0, record["last_seq"])
            if (record["last_seq"], record["last_hash"], record["epoch"]) == missing:
                removal = removal or "unsealed"
        elif kind == "log.sealed":
            is_kept(kept, record, line)
            (epoch, current), unsealed_since, removal = sealed(record, line, epoch, current), None, removal and "sealed"
            continue
        unsealed_since = unsealed_since or record["the time"]
        if not kind.startswith("log.") and record["the time"] - unsealed_since > timedelta(seconds=120):
            raise ValueError(f"record {seq} stands too long after the first unsealed one")
    if missing and removal != "sealed":
        raise ValueError("the log's beginning is missing, and no sealed record says that it was removed")
    if kept and read(kept[0]):
        raise ValueError("a seal was kept that is not in the log")
    if seq and (not torn or live and b"\n" not in torn and len(torn) < 4096):
        return seq, epoch
    raise ValueError(f"after record {seq} the log is cut or changed")

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="+"), parser.add_argument("--key"), parser.add_argument("--live", action="store_true")
    parser.add_argument("--seals", help="the file of the seals of what retention removed")
    given = parser.parse_args()
    try:
        files = (sys.stdin.buffer if name == "-" else open(name, "rb") for name in given.file)
        seals = [open(given.seals, "rb")] if given.seals else []
        print("intact: up to record %d, epoch %s" % verify(files, given.key, given.live, seals))
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        sys.exit(f"broken: {error or 'a signature is not right'}")
    sys.exit(0 if given.key else 3)
