#!/usr/bin/env python3
"""Verify an audit log: verify_audit_log.py [--live] [--key KEY] [--state DIR] [--head LINE]... [--seals audit.seals]
FILE... (in order, the live one last; - is standard input). Written from audit-format.md alone. Exit code: 0 intact; 1 broken; 3 unproven: no
--key, or neither a private key in DIR nor a head shows that the log was not cut off at its end, or the end of a --live log has been unsealed
for two minutes; 64 usage; 66 cannot be read."""
import argparse, base64, hashlib, json, os, re, stat, sys
from datetime import datetime, timedelta, timezone
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
HEAD = re.compile(r"\s*seq=([1-9][0-9]{0,18})\s+epoch=[0-9]+\s+ts=\S+\s+log_id=[0-9a-f]+\s+event_hash=([0-9a-f]{64})\s*")
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
def regular(name):  # no link is followed and no FIFO waited for: whoever may write there can put one there
    file = open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise OSError(f"{name}: not a regular file")
    return file
def private_keys(directory):  # by their public halves; what a file says of its log and epoch is worth nothing by itself
    keys = {}
    for name in os.listdir(directory) if directory else []:
        try:
            log_id, epoch, seed = regular(os.path.join(directory, name)).read(512).decode().removesuffix("\n").split(" ")
            half = Ed25519PrivateKey.from_private_bytes(binary(seed)).public_key()
            keys[base64.b64encode(half.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()] = log_id, int(epoch)
        except (OSError, ValueError):
            pass  # no key, not to be read, or erased meanwhile
    return keys
def shows_the_end(log_id, epoch, current, announced, keys, look_again):  # whether the keys do; an error if they deny it
    if current not in keys and keys.keys() & announced.keys() and look_again() != keys:
        return True  # seals were made since they were read
    for half, (log, number) in keys.items():
        known = announced.get(half)  # the epoch; as a crash leaves it, the one before or the one after may be there too
        spare = known == epoch - 1 or known is None and (log != log_id or number == epoch + 1)
        if half != current and not (spare and current in keys):
            raise ValueError("the private key is not the one that the last seal announced: the log was cut off there, or "
                             "an erased key was put back, or it is another log's")
    return current in keys
def pieces(files):  # lines, or as much of one as a record can have, and where a file ends
    for file in files:
        named = re.fullmatch(r"audit\.log-([0-9]{12,})", os.path.basename(str(file.name)))
        first = file.readline(4096)
        if named and (record := read(first)) and record["seq"] != int(named[1]):
            raise ValueError(f"{file.name} begins with record {record['seq']}")
        yield from [first] if first else []
        yield from iter(lambda: file.readline(4096), b"")
        yield b""

def sealed(record, line, epoch, current):  # the next epoch and its key
    if (record["epoch"], record["key"]) != (epoch, current):
        raise ValueError(f"the seal {record['seq']} was made with another key than it had to be")
    signed, signature = line.rpartition(b',"signature"')[0], binary(record["signature"])
    Ed25519PublicKey.from_public_bytes(binary(current)).verify(signature, signed)
    return epoch + 1, record["next_key"]
def proven(kept, key, first, announced):  # the epoch and key at the first record, by the seals of what was removed
    epoch, current, last = 0, key, 0
    while epoch < first["epoch"]:
        record = read(line := kept.pop(0) if kept else b"")
        if not record or record["event_type"] != "log.sealed" or not last < record["seq"] < first["seq"]:
            raise ValueError(f"the seal of epoch {epoch} is missing or changed")
        announced.setdefault(record["key"], epoch)
        (epoch, current), last = sealed(record, line, epoch, current or record["key"]), record["seq"]
    announced[current or first["key"]] = epoch
    return epoch, current or first["key"]
def is_kept(kept, record, line):  # a seal of a removal that was interrupted stands in both places
    if kept and (other := read(kept[0])) and other["seq"] <= record["seq"] and kept.pop(0) != line:
        raise ValueError(f"the seal {other['seq']} was kept and is not in the log")
def removal(record, removed):  # the last record that was removed; an error if it cannot be so
    known = isinstance(record["epoch"], int) and isinstance(record["last_hash"], str) and record["reason"] in ("age", "size")
    if not (known and 0 < record["first_seq"] <= record["last_seq"] < record["seq"]):
        raise ValueError(f"record {record['seq']} does not say what was removed")
    if record["first_seq"] > (removed or record["first_seq"]) + 1:
        raise ValueError(f"before record {record['first_seq']} more was removed than is on record")
    return max(removed or 0, record["last_seq"])

def verify(files, key, live, look=dict, heads=(), seals=()):  # the last record, the epoch, and whether something shows the end
    seq, prev, torn, ended, log_id, epoch, current, unsealed_since = 0, "0" * 64, bytearray(), False, *[None] * 4
    keys, announced = look(), {}  # before the files are opened
    kept, missing, told, removed = [line for file in seals for line in file], None, None, None
    for line in pieces(files):
        if torn and (ended or len(torn) > 1052673):
            raise ValueError(f"after record {seq} comes neither the next one nor what is accounted for")
        record, ended = read(line), not line
        if record and not seq and not torn and record["seq"] > 1 and record["event_type"] == "log.resumed":
            seq, prev, log_id = record["seq"] - 1, record["prev_hash"], record["log_id"]
            (epoch, current), missing = proven(kept, key, record, announced), (seq, prev, record["epoch"])
        if not record or record["seq"] != seq + 1 or record["prev_hash"] != prev or torn and not accounts(record, torn):
            torn += line
            continue
        kind, seq, prev, torn = record["event_type"], record["seq"], record["event_hash"], bytearray()
        if any(number == seq and found != prev for number, found in heads):
            raise ValueError(f"record {seq} is not the one that is known from elsewhere")
        if (kind == "log.open") != (seq == 1):
            raise ValueError(f"record {seq}: a log begins with log.open, and only there")
        if kind == "log.open":
            log_id, epoch, current = record["log_id"], record["epoch"], record["key"]
            announced[current] = 0
            if current != (key or current) or epoch != 0:
                raise ValueError("the log begins with another key")
        elif kind == "log.resumed" and (record["log_id"], record["epoch"], record["key"]) != (log_id, epoch, current):
            raise ValueError(f"record {seq} goes on with another log or key")
        elif kind == "log.pruned":
            removed = removal(record, removed)
            is_it = (record["last_seq"], record["last_hash"], record["epoch"]) == missing
            told = told or ("unsealed" if is_it else None)
        elif kind == "log.sealed":
            is_kept(kept, record, line)
            (epoch, current), unsealed_since, told = sealed(record, line, epoch, current), None, told and "sealed"
            announced[current] = epoch
            continue
        unsealed_since = unsealed_since or record["the time"]
        if not kind.startswith("log.") and record["the time"] - unsealed_since > timedelta(seconds=120):
            raise ValueError(f"record {seq} stands too long after the first unsealed one")
    if not seq or torn and not (live and b"\n" not in torn and len(torn) < 4096):
        raise ValueError(f"after record {seq} the log is cut or changed")
    if missing and told != "sealed":
        raise ValueError("the log's beginning is missing, and no sealed record says that it was removed")
    if kept and read(kept[0]):
        raise ValueError("a seal was kept that is not in the log")
    if (last := max([0, *(number for number, _ in heads)])) > seq:
        raise ValueError(f"the log ends at record {seq}, but record {last} is known from elsewhere")
    is_late = live and unsealed_since and datetime.now(timezone.utc).replace(tzinfo=None) - unsealed_since > timedelta(seconds=120)
    return seq, epoch, (shows_the_end(log_id, epoch, current, announced, keys, look) or last > 0) and not is_late

class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr), self.exit(64, f"{self.prog}: error: {message}\n")

if __name__ == "__main__":
    parser = Parser()
    parser.add_argument("file", nargs="+"), parser.add_argument("--live", action="store_true")
    parser.add_argument("--seals"), parser.add_argument("--key"), parser.add_argument("--state"), parser.add_argument("--head", action="append", default=[])
    given = parser.parse_args()
    heads = [HEAD.fullmatch(line) or parser.error(f"not a head: {line}") for line in given.head]
    heads = [(int(head[1]), head[2]) for head in heads]
    try:
        files = (sys.stdin.buffer if name == "-" else regular(name) for name in given.file)
        seals = [regular(given.seals)] if given.seals else []
        *found, is_shown = verify(files, given.key, given.live, lambda: private_keys(given.state), heads, seals)
    except (InvalidSignature, KeyError, TypeError, ValueError) as error:
        sys.exit(f"broken: {error or 'a signature is not right'}")
    except OSError as error:
        print(error, file=sys.stderr), sys.exit(66)
    is_proven = given.key and is_shown
    print("intact" if is_proven else "unproven", "up to record %d, epoch %s" % tuple(found), sep=": ")
    sys.exit(0 if is_proven else 3)
