#!/usr/bin/env python3
"""What `parallel: true` does to retrieval: thirty questions over the SQLite documentation.

    compare.py TEOLA STORE COLLECTION [--set NAME=VALUE]... [--show] [--reranked]

STORE and COLLECTION are of the pages in scripts/demo-documents.txt, indexed. Each question is searched for alone, with the
rewrites of a list written item after item, and with those of a list written in parallel (retrieval.yaml; --reranked: with
the reranker behind, reranked.yaml, which takes far longer). A fact counts as found where a passage of one of its pages
holds it. Prints for each way

    hit@3    of how many questions the fact is among the best three passages
    MRR      the mean of 1 / place of the first passage with it, among the best ten

and what the rewrites cost: how many there are that differ, tokens computed of prompts, tokens written, and the steps that
writing takes when all items of a parallel list are written side by side (the longest item). These are counts, so they do not
depend on the machine's load. --show prints the rewrites too.
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WAYS = ("alone", "serial", "parallel")


def questions():
    loaded = []
    for path in (os.path.join(ROOT, "tests/retrieval/questions.json"), os.path.join(HERE, "questions.json")):
        with open(path, encoding="utf-8") as file:
            loaded += json.load(file)
    return loaded


def ask(teola, store, collection, workflow, settings, question):
    result = subprocess.run(
        [teola, "run", os.path.join(HERE, workflow), "--collection", collection, "--set", f"store.path={store}",
         *settings, "--question", question, "--format", "json", "-q"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{question}: teola exited with {result.returncode}:\n{result.stdout}{result.stderr}")
    return json.loads(result.stdout)


def place(hits, entry):
    """Of the first passage that holds the fact, from 1; 0 when there is none."""
    fact = re.compile(entry["fact"], re.IGNORECASE)
    for number, hit in enumerate(hits, 1):
        if os.path.basename(hit["chunk"]["uri"]) in entry["pages"] and fact.search(hit["chunk"]["text"]):
            return number
    return 0


def count(totals, result, way):
    items = [item for item in result["items"] if item["label"].startswith(way + "/")]
    written = [item["tokens_out"] for item in items if item["primitive"] == "decode"]
    totals["queries"] += len(result["outputs"][way + "_queries"]) - 1
    totals["computed"] += sum(item["tokens_computed"] for item in items if "prefill" in item["primitive"])
    totals["written"] += sum(written)
    totals["steps"] += max(written)


def main():
    arguments, settings, show, workflow = sys.argv[1:], [], False, "retrieval.yaml"
    while len(arguments) > 3:
        option = arguments.pop(3)
        if option == "--set" and len(arguments) > 3:
            settings += [option, arguments.pop(3)]
        elif option == "--show":
            show = True
        elif option == "--reranked":
            workflow = "reranked.yaml"
        else:
            sys.exit(__doc__)
    if len(arguments) != 3:
        sys.exit(__doc__)
    places = {way: [] for way in WAYS}
    totals = {way: dict.fromkeys(("queries", "computed", "written", "steps"), 0) for way in WAYS[1:]}
    for entry in questions():
        result = ask(*arguments, workflow, settings, entry["question"])
        for way in WAYS:
            places[way].append(place(result["outputs"][way][:10], entry))
        for way in totals:
            count(totals[way], result, way)
        print(*(places[way][-1] for way in WAYS), entry["question"], flush=True)
        for way in totals if show else ():
            print(f"    {way}: {result['outputs'][way + '_queries'][1:]}", flush=True)
    asked = len(places["alone"])
    print(f"\n| {asked} questions | hit@3 | MRR | rewrites | prompt tokens computed | tokens written | steps |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for way in WAYS:
        found = sum(0 < p <= 3 for p in places[way])
        mean = sum(1 / p for p in places[way] if p) / asked
        each = (f"{totals[way][name] / asked:.1f}" for name in ("queries", "computed", "written", "steps")) \
            if way in totals else ("", "", "", "")
        print(f"| {way} | {found} | {mean:.3f} | {' | '.join(each)} |")


main()
