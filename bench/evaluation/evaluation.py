#!/usr/bin/env python3
"""The evaluation of many queries at once, in virtual time: tables, plots, and whether the marks are met.

    evaluation.py PROGRAM [--queries N] [--seeds N] [--jobs N] [--plots FOLDER] [--output RESULTS.json]

PROGRAM is <build>/bench/evaluation. For each mix of queries, each rate (as a share of the capacity) and each arm, the
same arrivals (Poisson, seeded) go through the scheduler over emulated engines; the numbers are those of all seeds
together without the first twentieth of each. Virtual time: what else the machine does changes nothing.

capacity   what the busiest engine could do if it had nothing but full batches
bound      no schedule has a lower mean: the embedder has nothing but full batches, and each query's rest takes what it
           takes alone (bound.py)
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys

import plot

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "emulated"
sys.path.append(str(FOLDER))
import bound  # noqa: E402
MIXES = {"naive": ["naive"], "advanced": ["advanced"], "naive and advanced": ["naive", "advanced"]}
RATES = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
MEASURES = ["mean", "p50", "p95", "p99"]
KEEPS = "--set=llm.prefix_cache=true"
ARMS = {
    "off, per_invocation": ["--optimize=off", "--policy=per_invocation"],
    "off, throughput": ["--optimize=off", "--policy=throughput"],
    "modules in parallel, prefix cache": ["--optimize=paper", "--pass=-all", "--pass=+prune", "--policy=throughput",
                                          KEEPS],
    "paper, topology": ["--optimize=paper", "--policy=topology", KEEPS],
    "cost, critical_path": ["--optimize=cost", "--policy=critical_path", KEEPS],
}
OURS, PAPER, FIRST = "cost, critical_path", "paper, topology", "off, per_invocation"
PASSES = ["prune", "share", "stages", "pipeline_decode", "split_prefill", "overlap"]
ABLATION = {
    "cost, critical_path": ARMS[OURS],
    **{f"without {name}": [*ARMS[OURS], f"--pass=-{name}"] for name in PASSES},
    "without prefix cache": ["--optimize=cost", "--policy=critical_path"],
    "paper": ["--optimize=paper", "--policy=critical_path", KEEPS],
    "off": ["--optimize=off", "--policy=critical_path", KEEPS],
    **{f"policy {name}": ["--optimize=cost", f"--policy={name}", KEEPS]
       for name in ("fifo", "topology", "throughput", "per_invocation")},
}
ABLATION_RATE = 0.8
UNITS = {"embed-chunks": 48, "embed-question": 1, "embed-queries": 3}  # texts of the embeddings in the .work files


# ---- what the profile and the work say ----

def work_of(query):
    return FOLDER / f"{query}.work"


def least_time(profile, query):
    """ms of each engine that the query's work takes in the best of batches."""
    times = {name: 0.0 for name in profile}
    for name, operation, numbers, _ in bound.read_work(work_of(query)):
        def of(engine, key):
            return profile[engine]["settings"][key]
        if operation == "embed":
            times["embedder"] += numbers[0] * of("embedder", "embed_token_ms")
            times["embedder"] += of("embedder", "embed_ms") * UNITS[name] / of("embedder", "batch")
        elif operation == "score":
            times["reranker"] += numbers[0] * numbers[1] * of("reranker", "score_token_ms")
            times["reranker"] += of("reranker", "score_ms") * numbers[0] / of("reranker", "batch")
        elif operation == "ingest":
            times["store"] += of("store", "ingest_ms") + numbers[0] * of("store", "ingest_row_ms")
        elif operation == "search":
            times["store"] += numbers[0] * of("store", "search_query_ms")
        elif operation == "prefill":
            times["llm"] += numbers[0] * of("llm", "prompt_token_ms")
        elif operation == "decode":
            rows = of("llm", "sequences")
            times["llm"] += numbers[0] * (of("llm", "iteration_ms") + of("llm", "sequence_ms") * (rows - 1)) / rows
    return {name: time / profile[name]["instances"] for name, time in times.items()}


def capacity(profile, mix):
    """(queries a second, the engine that allows no more)."""
    times = {name: sum(least_time(profile, query)[name] for query in mix) / len(mix) for name in profile}
    busiest = max(times, key=times.get)
    return 1000 / times[busiest], busiest


def alone(profile, query):
    """ms of the query alone, at best."""
    return max(bound.critical_path(profile, work_of(query))[0].values())


def embedding(profile, query, only):
    """(ms of the embedder in full batches, least ms from the last of it to the end of the query)."""
    units = [(name, numbers[0]) for name, operation, numbers, _ in bound.read_work(work_of(query))
             if operation == "embed" and name in only]
    settings, rests = profile["embedder"]["settings"], bound.rests(profile, work_of(query))
    texts = sum(UNITS[name] for name, _ in units)
    service = sum(tokens for _, tokens in units) * settings["embed_token_ms"]
    return service + settings["embed_ms"] * texts / settings["batch"], min(rests[name] for name, _ in units)


def bounds(profile, load):
    """Latencies with the least mean: texts are embedded in order of arrival, and nothing else is waited for.

    Two bounds hold, the larger one is the bound: the embedder does nothing but embed passages; or it embeds all that is
    needed, and the query goes on after what it could do last. (Where queries need it for unequally long, all are taken to need
    it as the one that needs it least.)
    """
    best = []
    for only in (["embed-chunks"], UNITS):
        of = {query: embedding(profile, query, only) for _, query in load}
        least = {query: alone(profile, query) for query in of}
        service = min(each for each, _ in of.values())
        free, latencies = 0.0, []
        for at, query in load:
            free = max(free, at) + service
            latencies.append(max(least[query], free - at + of[query][1]))
        best = max(best, latencies, key=sum)
    return best


# ---- running ----

def make_load(mix, rate, queries, seed):
    """[(ms, query)], the same for all arms."""
    draw, at, load = random.Random(f"{rate} {seed} {mix}"), 0.0, []
    for _ in range(queries):
        at += draw.expovariate(rate) * 1000
        load.append((at, draw.choice(mix)))
    return load


def run(program, arm, load):
    """([latency in ms], [[engine, busy]])."""
    text = "".join(f"{at:.6f} {query}\n" for at, query in load)
    lines = subprocess.run([program, *arm], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    busy = [[row.split()[1], float(row.split()[2])] for row in lines if row.startswith("#")]
    return [float(row.split()[2]) for row in lines if not row.startswith("#")], busy


def summary(latencies):
    ordered = sorted(latencies)

    def quantile(p):
        at = p * (len(ordered) - 1)
        below = int(at)
        above = min(below + 1, len(ordered) - 1)
        return (ordered[below] + (at - below) * (ordered[above] - ordered[below])) / 1000

    mean = sum(ordered) / len(ordered) / 1000
    return {"mean": mean, "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99)}


def measure(options, profile, mix, share, arms):
    """{arm: summary}, and of the bound."""
    rate = capacity(profile, MIXES[mix])[0] * share
    loads = [make_load(MIXES[mix], rate, options.queries, seed) for seed in range(1, options.seeds + 1)]
    skip = options.queries // 20
    found = {name: [] for name in [*arms, "bound"]}
    by_query = {name: {} for name in arms}
    busy = {name: [] for name in arms}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {name: [pool.submit(run, options.program, arm, load) for load in loads] for name, arm in arms.items()}
        for name in arms:
            for load, future in zip(loads, runs[name]):
                latencies, shares = future.result()
                found[name] += latencies[skip:]
                for (_, query), latency in list(zip(load, latencies))[skip:]:
                    by_query[name].setdefault(query, []).append(latency)
                busy[name] = shares
    for load in loads:
        found["bound"] += bounds(profile, load)[skip:]
    result = {name: summary(latencies) for name, latencies in found.items()}
    for name in arms:
        result[name]["busy"] = busy[name]
        if len(MIXES[mix]) > 1:
            result[name]["of"] = {query: summary(latencies) for query, latencies in by_query[name].items()}
    return result


# ---- output ----

def table(mix, results):
    """Mean and p95; the rest is in the plots and in the JSON."""
    rows = [f"| {mix}: mean / p95 in s at | " + " | ".join(map(str, RATES)) + " |", "|---|" + "--:|" * len(RATES)]
    for name in ARMS:
        at = [results[mix][str(share)][name] for share in RATES]
        rows.append(f"| {name} | " + " | ".join(f"{values['mean']:.2f} / {values['p95']:.2f}" for values in at) + " |")
    means = [results[mix][str(share)]["bound"]["mean"] for share in RATES]
    rows.append("| bound of the mean | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join(rows)


def ablation_table(ablation):
    rows = [f"| mean and p95 in s, {ABLATION_RATE} of capacity | " + " | ".join(f"{mix} | p95" for mix in MIXES) + " |",
            "|---|" + "--:|" * (2 * len(MIXES))]
    for name in [*ABLATION, "bound"]:
        cells = [f"{ablation[mix][name]['mean']:.2f} | {ablation[mix][name]['p95']:.2f}" if name != "bound"
                 else f"{ablation[mix][name]['mean']:.2f} |" for mix in MIXES]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def marks(options, profile, results):
    """What was to be reached, and whether it was."""
    rows = []
    for query in ("naive", "advanced"):
        took = run(options.program, ARMS[OURS], [(0, query)])[0][0]
        ratio = took / alone(profile, query)
        rows.append((f"{query} alone within 3 % of its bound", f"{100 * ratio - 100:.1f} %", ratio <= 1.03))
    for mix in MIXES:
        at = results[mix]["0.8"]
        for measure_ in ("mean", "p95"):
            ratio = at[FIRST][measure_] / at[OURS][measure_]
            rows.append((f"{mix} at 0.8: {measure_} 1.5 times better than '{FIRST}'", f"{ratio:.2f}", ratio >= 1.5))
        gain, most = (1 - at[name]["mean"] / at[PAPER]["mean"] for name in (OURS, "bound"))
        rows.append((f"{mix} at 0.8: mean 10 % better than '{PAPER}'",
                     f"{100 * gain:.1f} %; the bound allows {100 * most:.1f} %, distance to the bound "
                     f"{100 * at[OURS]['mean'] / at['bound']['mean'] - 100:.1f} %",
                     gain >= 0.1 or (most < 0.1 and "the bound forbids it")))
    worst = max((results[mix][str(share)][OURS][m] / results[mix][str(share)][arm][m], f"{mix}, {share}, {m}, '{arm}'")
                for mix in MIXES for share in RATES for arm in ARMS for m in MEASURES)
    rows.append(("never more than 2 % slower than another arm", f"at most {100 * worst[0] - 100:.1f} % ({worst[1]})",
                 worst[0] <= 1.02))
    rows = [f"| {mark} | {found} | {met if isinstance(met, str) else 'yes' if met else 'no'} |" for mark, found, met in rows]
    return "\n".join(["| mark | found | met |", "|---|---|---|", *rows])


def draw(folder, results, ablation):
    folder.mkdir(parents=True, exist_ok=True)
    for mix in MIXES:
        titles = {f"{m}, s": m for m in MEASURES}
        values = {title: {name: [(share, results[mix][str(share)][name][m]) for share in RATES]
                          for name in ([*ARMS, "bound"] if m == "mean" else ARMS)} for title, m in titles.items()}
        # The slowest arm at 0.8 is in sight; what is beyond capacity grows with the length of the load.
        limits = {title: 1.15 * max(results[mix]["0.8"][name][m] for name in ARMS) for title, m in titles.items()}
        (folder / f"evaluation-{mix.replace(' ', '-')}.svg").write_text(
            plot.panels(list(titles), [*ARMS, "bound"], values, limits, f"{mix}: arrivals, share of capacity"))
    means = {name: {mix: ablation[mix][name]["mean"] for mix in MIXES} for name in ABLATION}
    (folder / "evaluation-ablation.svg").write_text(
        plot.bars(f"mean latency at {ABLATION_RATE} of capacity", list(ABLATION), list(MIXES), means, "s"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--queries", type=int, default=2000, help="of each seed (default 2000)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--plots", type=pathlib.Path, help="writes SVG files there")
    parser.add_argument("--output", type=pathlib.Path, help="writes all numbers as JSON")
    options = parser.parse_args()
    profile = json.loads((FOLDER / "rtx3090.json").read_text())
    for mix in MIXES:
        most, busiest = capacity(profile, MIXES[mix])
        print(f"{mix}: capacity {most:.3f} queries a second, by the {busiest}")
    results = {mix: {str(share): measure(options, profile, mix, share, ARMS) for share in RATES} for mix in MIXES}
    ablation = {mix: measure(options, profile, mix, ABLATION_RATE, ABLATION) for mix in MIXES}
    print("\n" + marks(options, profile, results))
    for mix in MIXES:
        print("\n" + table(mix, results))
    print("\n" + ablation_table(ablation))
    if options.plots:
        draw(options.plots, results, ablation)
    if options.output:
        options.output.write_text(json.dumps({"results": results, "ablation": ablation}, indent=1))


if __name__ == "__main__":
    main()
