#!/usr/bin/env python3
"""The least time that a query can take: the critical path of its needed work, whatever the scheduler.

    bound.py [--path] PROFILE.json QUERY.work...

Reads the latency models of the profile and the work of a query (QUERY.work says how it is written), adds each unit's
time to the latest of those that it comes after, and prints the end of the last one in ms; --path prints the way to it.
Nothing waits for a device here, so no schedule can be faster unless it does other work.
"""
import json
import sys


def durations(profile):
    def of(engine, key):
        return profile[engine]["settings"][key]

    return {
        "embed": lambda tokens: of("embedder", "embed_ms") + of("embedder", "embed_token_ms") * tokens,
        "ingest": lambda rows: of("store", "ingest_ms") + of("store", "ingest_row_ms") * rows,
        "search": lambda vectors: of("store", "search_ms") + of("store", "search_query_ms") * vectors,
        "score": lambda pairs, tokens: of("reranker", "score_ms") + of("reranker", "score_token_ms") * pairs * tokens,
        "prefill": lambda tokens: of("llm", "iteration_ms") + of("llm", "prompt_token_ms") * tokens,
        "decode": lambda tokens: of("llm", "iteration_ms") * (tokens - 1),
    }


def read_work(path):
    """[(name, operation, numbers, the names that it comes after)] of each unit."""
    units = []
    with open(path) as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if not words:
                continue
            cut = words.index("after") if "after" in words else len(words)
            units.append((words[0], words[1], [float(number) for number in words[2:cut]], words[cut + 1:]))
    return units


def critical_path(profile, path):
    """({unit: when it ends}, the units on the longest way)."""
    models = durations(profile)
    ends, before = {}, {}
    for name, operation, numbers, others in read_work(path):
        start, before[name] = max(((ends[other], other) for other in others), default=(0.0, None))
        ends[name] = start + models[operation](*numbers)
    last = max(ends, key=ends.get)
    way = [last]
    while before[way[-1]]:
        way.append(before[way[-1]])
    return ends, way[::-1]


def rests(profile, path):
    """{unit: ms from its end to the end of the query}."""
    models = durations(profile)
    units = read_work(path)
    after = {name: 0.0 for name, _, _, _ in units}
    for name, operation, numbers, others in reversed(units):
        for other in others:
            after[other] = max(after[other], after[name] + models[operation](*numbers))
    return after


def main():
    arguments = [a for a in sys.argv[1:] if a != "--path"]
    with open(arguments[0]) as file:
        profile = json.load(file)
    for path in arguments[1:]:
        ends, way = critical_path(profile, path)
        print(f"{ends[way[-1]]:.1f}")
        if "--path" in sys.argv:
            for name in way:
                print(f"    {ends[name]:8.1f}  {name}")


if __name__ == "__main__":
    main()
