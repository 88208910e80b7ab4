#!/usr/bin/env python3
"""Checks what structured_output wrote, by another JSON reader and another JSON Schema (the Python package jsonschema).

    check.py LINES...

Each line's output must fit the line's schema. A list that max_tokens ended may have fewer items; each item has a letter, no
control character, and not the first four words of another. Prints a table for each temperature; exit status 1 when something isn't valid.
"""
import collections
import json
import sys

import jsonschema

COLUMNS = ("prompts", "valid", "cut", "tokens", "forced", "share", "calls", "a call", "refused")


def findings(line):
    if "output" not in line:
        return [line.get("failure", "no output")]
    schema, output = line["schema"], line["output"]
    is_list = line["kind"].startswith("list")
    if is_list and line["finish"] == "length":
        schema = {**schema, "minItems": 0}
    found = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(output)]
    if is_list and not found:
        starts = [" ".join(item.lower().split()[:4]) for item in output]
        found += [f"'{start}' begins two items" for start, times in collections.Counter(starts).items() if times > 1]
        found += [f"'{item}' has no letter" for item in output if not any(letter.isalpha() for letter in item)]
        found += [f"{item!r} has a control character" for item in output if any(letter < " " for letter in item)]
    return found


def row(name, lines):
    total = {key: sum(line[key] for line in lines) for key in ("tokens", "forced", "calls", "refused")}
    cells = (len(lines), sum(line["valid"] for line in lines), sum(line["finish"] == "length" for line in lines),
             total["tokens"], total["forced"], f"{100 * total['forced'] / max(total['tokens'], 1):.1f}%", total["calls"],
             f"{total['tokens'] / max(total['calls'], 1):.2f}", total["refused"])
    print(f"{name:26}", *(f"{cell:>8}" for cell in cells))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    lines, seen = [], set()
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(text) for text in file]
    for line in lines:
        found = findings(line)
        line["valid"] = not found
        for finding in found:
            print(f"prompt {line['prompt']}, {line['kind']}, temperature {line['temperature']:g}: {finding}")
        if line["prompt"] in seen:
            sys.exit(f"prompt {line['prompt']} is there twice")
        seen.add(line["prompt"])
    for temperature in sorted({line["temperature"] for line in lines}):
        part = [line for line in lines if line["temperature"] == temperature]
        print(f"{'temperature ' + format(temperature, 'g'):26}", *(f"{column:>8}" for column in COLUMNS))
        for kind in dict.fromkeys(line["kind"] for line in part):
            row(kind, [line for line in part if line["kind"] == kind])
    row("all", lines)
    return 0 if all(line["valid"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
