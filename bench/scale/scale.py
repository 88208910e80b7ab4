#!/usr/bin/env python3
"""How the simulation of a cluster grows with the runs in flight: `teola sim` with all runs arriving at once.

    bench/scale/scale.py build/release/teola --output scale.json      measures (some minutes) and draws docs/plots/scale.svg
    bench/scale/scale.py --from scale.json                            draws again

Processor time is that of the whole program, reading the scenario and planning included; of several repeats the least counts,
since all else on the machine can only add to it. Memory is the peak of the whole program."""
import argparse
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "evaluation"))
import plot  # noqa: E402  (found by the line above)

SCENARIOS = ["cluster-64", "cluster-64-large"]
SIZES = [100, 1000, 10000, 30000, 100000]
PANELS = {"us": "processor time, µs per primitive", "faster": "times faster than real time",
          "kib": "peak memory, KiB per run in flight", "s": "processor time, s"}


def simulate(teola, scenario, runs):
    command = [teola, "sim", str(ROOT / "profiles" / f"{scenario}.yaml"), "--rate", "100000", "--runs", str(runs),
               "--format", "json"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if result["all"]["done"] != runs:
        sys.exit(f"{scenario}: {result['all']['done']} of {runs} runs are done")
    speed, flight = result["speed"], result["in_flight_max"]
    return {"in_flight": flight, "virtual_s": result["end_s"], "s": speed["cpu_s"], "us": speed["us_per_primitive"],
            "faster": speed["virtual_s_per_cpu_s"], "memory": speed["peak_memory_bytes"],
            "kib": speed["peak_memory_bytes"] / 1024 / flight, "primitives": round(speed["cpu_s"] / speed["us_per_primitive"] * 1e6),
            "trace": result["scheduler"]["trace_hash"]}


def measure(teola, sizes):
    measured = {}
    for scenario in SCENARIOS:
        measured[scenario] = {}
        for runs in sizes:
            repeats = [simulate(teola, scenario, runs) for _ in range(3 if runs <= 10000 else 1)]
            if len({repeat["trace"] for repeat in repeats}) > 1:
                sys.exit(f"{scenario}: the same simulation went differently")
            best = min(repeats, key=lambda repeat: repeat["s"])
            measured[scenario][str(runs)] = best
            print(f"{scenario} {runs}: {best['primitives']} primitives, {best['virtual_s']:.0f} s in {best['s']:.2f} s, "
                  f"{best['us']:.1f} µs each, {best['faster']:.0f} times faster, {best['memory'] / 2**20:.0f} MiB, "
                  f"{best['kib']:.1f} KiB per run", flush=True)
    return measured


def draw(measured):
    values, limits = {}, {}
    for key, title in PANELS.items():
        values[title] = {name: [(int(runs), point[key]) for runs, point in points.items()]
                         for name, points in measured.items()}
        limits[title] = max(y for points in values[title].values() for _, y in points[1:]) * 1.1
    # What n log n allows: from the cost of a primitive at 1,000 runs.
    title = PANELS["us"]
    first = max(dict(points)[1000] for points in values[title].values() if 1000 in dict(points))
    sizes = [x for x, _ in next(iter(values[title].values()))]
    values[title]["bound"] = [(x, first * math.log(x) / math.log(1000)) for x in sizes]
    limits[title] = max(limits[title], values[title]["bound"][-1][1] * 1.1)
    return plot.panels(list(PANELS.values()), SCENARIOS + ["bound"], values, limits, "runs in flight", logarithmic=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teola", nargs="?", help="the program, of a release build")
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=SIZES)
    parser.add_argument("--output", help="where the figures are written, as JSON")
    parser.add_argument("--from", dest="source", help="figures written before, instead of measuring")
    parser.add_argument("--plot", default=str(ROOT / "docs" / "plots" / "scale.svg"))
    options = parser.parse_args()
    if bool(options.teola) == bool(options.source):
        parser.error("the program, or --from")
    measured = (json.loads(pathlib.Path(options.source).read_text()) if options.source
                else measure(options.teola, options.sizes))
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(measured, indent=1) + "\n")
    pathlib.Path(options.plot).write_text(draw(measured))


if __name__ == "__main__":
    main()
