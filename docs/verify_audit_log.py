#!/usr/bin/env python3
"""Verify an audit log: verify_audit_log.py [--live] [--key KEY] FILE...

Files in order, the live one last; - is standard input. Written from
audit-format.md alone. Exit code: 0 intact, 3 no key given, 1 broken."""
import argparse, base64, hashlib, json, re, sys
from datetime import datetime, timedelta
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SHAPE = re.compile(
    rb'\{"seq":([1-9][0-9]{0,18}),"ts":"([0-9T:.-]{26}Z)","event_type":"([^"]*)",.+,"prev_hash":"([0-9a-f]{64})"'
    rb'(,"signature":"[^"]{88}")?,"event_hash":"([0-9a-f]{64})"\}\n')

class Broken(Exception): pass

def read(line):  # its members, or None if it is not a record as it was written
    shape = SHAPE.fullmatch(line) if len(line) <= 4096 else None
    hashed = line.rpartition(b',"event_hash"')[0]
    if not shape or hashlib.sha256(hashed).hexdigest().encode() != shape[6]:
        return None
    try:
        record = json.loads(line)
        record["at"] = datetime.strptime(record["ts"], "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return None
    return record if bool(shape[5]) == (record["event_type"] == "log.sealed") else None


def verify(lines, key, live):
    seq, prev, torn = 0, "0" * 64, b""
    log_id = epoch = current = unsealed_since = None
    for line in lines:
        record = read(line)
        if record is None:
            torn += line
            continue
        kind, number = record["event_type"], record["seq"]
        if number != seq + 1 or record["prev_hash"] != prev:
            raise Broken(f"after record {seq} comes {number}, or another one's successor")
        if torn and (kind != "log.recovered" or record["torn_bytes"] != len(torn) - 1
                     or record["torn_sha256"] != hashlib.sha256(torn[:-1]).hexdigest()):
            raise Broken(f"after record {seq} stands what is no record")
        seq, prev, torn = number, record["event_hash"], b""
        if (kind == "log.open") != (seq == 1):
            raise Broken(f"record {seq}: a log begins with log.open, and only there")
        if kind == "log.open":
            log_id, epoch, first = record["log_id"], record["epoch"], record["key"]
            key, current = key or first, first
            if first != key:
                raise Broken("the log begins with another key")
        elif kind == "log.resumed" and (record["log_id"], record["epoch"], record["key"]) != (log_id, epoch, current):
            raise Broken(f"record {seq} goes on with another log or key")
        elif kind == "log.sealed":
            if (record["epoch"], record["key"]) != (epoch, current):
                raise Broken(f"the seal {seq} was made with another key than it had to be")
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(current, validate=True))
            public.verify(base64.b64decode(record["signature"], validate=True), line.rpartition(b',"signature"')[0])
            epoch, current, unsealed_since = epoch + 1, record["next_key"], None
            continue
        unsealed_since = unsealed_since or record["at"]
        if not kind.startswith("log.") and record["at"] - unsealed_since > timedelta(seconds=120):
            raise Broken(f"record {seq} stands too long after the first unsealed one")
    if seq == 0 or torn and not (live and b"\n" not in torn):
        raise Broken(f"after record {seq} the log is cut or changed")
    return seq, epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, kind in ("--key", {}), ("--live", {"action": "store_true"}), ("file", {"nargs": "+"}):
        parser.add_argument(name, **kind)
    given = parser.parse_args()
    files = (sys.stdin.buffer if name == "-" else open(name, "rb") for name in given.file)
    try:
        print("intact: %d records, epoch %s" % verify((line for file in files for line in file), given.key, given.live))
    except (Broken, InvalidSignature, KeyError, TypeError, ValueError) as error:
        sys.exit(f"broken: {error or 'a signature is not right'}")
    sys.exit(0 if given.key else 3)
