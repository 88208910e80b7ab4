#!/usr/bin/env python3
"""Compares two ways of running a workflow: the same questions in turn, A and B alternating, medians and ratios.

    bench/compare.py [--program build/release/teola] [--workflow advanced-rag] [--repeats 5] [--a=--optimize=off] [--b=--optimize=paper] RUN-OPTIONS...

for instance: bench/compare.py --collection sqlite-doc
Times are from the report of each run, without the loading of models. Counters come with them: they don't depend on the machine.
"""
import argparse
import json
import statistics
import subprocess
import sys

QUESTIONS = (
    "What is the default page size of a SQLite database?",
    "Which journal mode lets readers and a writer work at the same time?",
    "How many tables can be joined in one query at most?",
)


def run(arguments, option, question):
    command = [arguments.program, "run", arguments.workflow, option, "--question", question, "--format", "json", "-q", *arguments.options]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    times, usage = result["timings"], result["usage"]
    return {"latency ms": times["total_ms"] - times.get("loading_ms", 0),
            "prompt tokens computed": usage["tokens_computed"], "prompt tokens reused": usage["tokens_reused"],
            "tokens written": usage["tokens_out"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/teola")
    parser.add_argument("--workflow", default="advanced-rag")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--a", default="--optimize=off")
    parser.add_argument("--b", default="--optimize=paper")
    arguments, arguments.options = parser.parse_known_args()
    sides = {arguments.a: [], arguments.b: []}
    for repeat in range(arguments.repeats):
        for question in QUESTIONS:
            for side in (sides if repeat % 2 == 0 else reversed(sides)):
                sides[side].append(run(arguments, side, question))
    print(f"{'median of ' + str(arguments.repeats * len(QUESTIONS)) + ' runs':24}", *(f"{side:>20}" for side in sides), "   ratio")
    for key in sides[arguments.a][0]:
        medians = [statistics.median(entry[key] for entry in entries) for entries in sides.values()]
        ratio = f"{medians[1] / medians[0]:8.2f}" if medians[0] else ""
        print(f"{key:24}", *(f"{median:20.0f}" for median in medians), ratio)


if __name__ == "__main__":
    sys.exit(main())
