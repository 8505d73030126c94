#!/usr/bin/env python3
"""Validate output of pulse-sensorctl: validate_schema.py SCHEMAS, with lines "NAME<TAB>JSON" on
standard input, each for SCHEMAS/NAME.json. A "!" before NAME: the schema has to refuse the object.
Every schema has to be used, and every object in it to say which members it has."""
import json, pathlib, sys
from jsonschema import Draft202012Validator as Validator

def loose(schema, place=""):
    """The places of objects that take any member."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            yield place
    for key, inner in schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ():
        yield from loose(inner, f"{place}/{key}")

validators, problems, unused = {}, [], set()
for path in pathlib.Path(sys.argv[1]).glob("*.json"):
    schema = json.loads(path.read_text())
    Validator.check_schema(schema)
    problems += [f"{path}: {place} takes any member" for place in loose(schema)]
    validators[path.stem] = Validator(schema)
    unused.add(path.stem)
for line in sys.stdin:
    name, text = line.split("\t", 1)
    is_wrong, name = name.startswith("!"), name.lstrip("!")
    unused.discard(name)
    errors = [f"{error.json_path}: {error.message}" for error in validators[name].iter_errors(json.loads(text))]
    if is_wrong and not errors:
        problems.append(f"{name}: accepted: {text}")
    elif not is_wrong:
        problems += [f"{name}: {error} in {text}" for error in errors]
if "--all" in sys.argv:
    problems += [f"{name}: nothing was validated with it" for name in sorted(unused)]
sys.exit("\n".join(problems) or 0)
