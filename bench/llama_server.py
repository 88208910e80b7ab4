#!/usr/bin/env python3
"""Teola's LLM engine beside llama-server: the same version of llama.cpp, the same weights, the same requests.

    bench/llama_server.py [--repeats 5] [--mixes unshared,shared,workflows,arrival] [--output RESULT.json]

Both arms are timed by `teola bench llm`: Teola's engine in its process, llama-server over HTTP on this machine with streaming.
Each arm starts anew for each pass (model loaded, caches empty), the arms alternate, and what is printed are medians and ratios.
Greedy, lengths of outputs forced; llama-server with as many slots as Teola has sequences, and its prompt cache as it comes.
The arm "pinned" is Teola with the shared beginnings computed before, as it does for prompts that it knows from a workflow;
what that costs is not in its numbers.

llama-server is built once by bench/build-llama-server. Counters don't depend on the machine; times do: use a quiet one.
"""
import argparse
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = (
    # key of `teola bench llm`, what is printed, digits
    ("seconds", "whole load, s", 2),
    ("tokens_written_per_second", "tokens written a second", 1),
    ("ttft_ms_p50", "first text, p50, ms", 0),
    ("ttft_ms_p95", "first text, p95, ms", 0),
    ("gap_ms_p50", "between pieces, p50, ms", 1),
    ("gap_ms_p95", "between pieces, p95, ms", 1),
    ("gap_during_arrival_ms_p95", "  while a prompt came, p95, ms", 1),
    ("intruder_ttft_ms_p50", "  its first text, p50, ms", 0),
    ("prompt_tokens_asked", "prompt tokens asked", 0),
    ("prompt_tokens_computed", "prompt tokens computed", 0),
)


def bench(arguments, mix, *options):
    command = [arguments.program, "bench", "llm", "--mix", mix, "--seed", str(arguments.seed), "--format", "json", "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nfailed: {done.stderr.strip()}")
    return json.loads(done.stdout)["median"]


def teola(arguments, mix, *options):
    settings = {"model": arguments.model, "threads": arguments.threads, "parallel": arguments.slots, "context_size": arguments.context}
    return bench(arguments, mix, *[word for name, value in settings.items() for word in ("--set", f"llm.{name}={value}")],
                 *[word for setting in arguments.set for word in ("--set", setting)], *options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server, url, log):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url + "/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    log.seek(0)
    sys.exit("llama-server did not start:\n" + log.read().decode(errors="replace")[-2000:])


def llama_server(arguments, mix):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [arguments.server, "--model", arguments.weights, "--host", "127.0.0.1", "--port", str(port), "--parallel", str(arguments.slots),
               "--ctx-size", str(arguments.slots * arguments.context), "--threads", str(arguments.threads),
               "--threads-batch", str(arguments.threads)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until_ready(server, url, log)
            return bench(arguments, mix, "--url", url, "--api", arguments.api)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def arms_of(mix, arguments):
    arms = {"llama-server": lambda: llama_server(arguments, mix), "teola": lambda: teola(arguments, mix)}
    if mix in ("shared", "workflows"):
        arms["pinned"] = lambda: teola(arguments, mix, "--pin")
    return arms


def measure(arguments, mix):
    arms = arms_of(mix, arguments)
    passes = {arm: [] for arm in arms}
    for repeat in range(arguments.repeats):
        for arm in arms if repeat % 2 == 0 else reversed(arms):
            passes[arm].append(arms[arm]())
            print(f"{mix}, pass {repeat + 1} of {arguments.repeats}, {arm}: {passes[arm][-1]['seconds']:.1f} s", file=sys.stderr)
    return passes


def median_of(passes, key):
    return statistics.median(one[key] for one in passes)


def show(mix, passes):
    mark = passes["llama-server"]
    print(f"\n{mix:32}" + "".join(f"{arm:>14}" + ("" if arm == "llama-server" else f"{'ratio':>8}") for arm in passes))
    for key, name, digits in ROWS:
        if key not in mark[0]:
            continue
        line = f"{name:32}"
        for arm, entries in passes.items():
            value, base = median_of(entries, key), median_of(mark, key)
            line += f"{value:14,.{digits}f}" + ("" if arm == "llama-server" else f"{value / base:8.2f}" if base else f"{'':8}")
        print(line)
    times = ", ".join(f"{arm} {min(e['seconds'] for e in entries):.1f} to {max(e['seconds'] for e in entries):.1f} s" for arm, entries in passes.items())
    print(f"  of {len(mark)} passes each: {times}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/teola"))
    parser.add_argument("--server", help="a llama-server program (default: built by bench/build-llama-server)")
    parser.add_argument("--model", default="smollm2-135m-instruct-q8_0", help="a model's name, or the path of a GGUF file")
    parser.add_argument("--mixes", default="unshared,shared,workflows,arrival")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--context", type=int, default=4096, help="tokens of each sequence")
    parser.add_argument("--api", default="chat", choices=("chat", "completions"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="E.S=VALUE", help="a further setting of Teola's arms")
    parser.add_argument("--output", help="write all passes to this file as JSON")
    arguments = parser.parse_args()
    if not arguments.server:
        arguments.server = subprocess.run([ROOT / "bench/build-llama-server"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if "/" in arguments.model or arguments.model.endswith(".gguf"):
        arguments.weights = arguments.model
    else:
        arguments.weights = subprocess.run([arguments.program, "models", "path", arguments.model], check=True, stdout=subprocess.PIPE,
                                           text=True).stdout.strip()
    results = {mix: measure(arguments, mix) for mix in arguments.mixes.split(",")}
    for mix, passes in results.items():
        show(mix, passes)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(json.dumps({"arguments": vars(arguments), "passes": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
