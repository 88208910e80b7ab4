#!/usr/bin/env python3
"""The simulator against reality: the same queries at the same times, once in real time through the runtime, its threads
and emulated engines (`teola bench workflow`), once in virtual time (`teola sim`).

    reality.py TEOLA [--seconds S] [--scale X] [--output RESULTS.json]

TEOLA is the program. Each case takes S seconds of real time (default 60). The profile's times are multiplied by X
(default 1): with a smaller one more queries fit in, and what the machine itself takes weighs more. Nothing is remembered
between queries and nothing is computed ahead, so both do the same work. On a machine that is busy with other work
threads wake up late: the table says by how much questions were sent late.
"""
import argparse
import json
import pathlib
import random
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORDS = "ash bay cay den elm fen gap hut ice jet key".split()
QUESTION_TOKENS, CHUNKS = 20, 48
CHUNK_TOKENS = 128  # of passages that the engine makes up for a document without content, when they may have 256
# With documents the level is paper: cost would choose by the size of the file, which is not that of what is made up.
# Workflow, whether documents come with the query, queries a second of the profile's own time, arm.
CASES = [
    ("naive-rag", True, 0.5, "paper"),
    ("advanced-rag", True, 0.5, "paper"),
    ("naive-rag", False, 1.0, "cost"),
    ("advanced-rag", False, 0.8, "cost"),
    ("advanced-rag", False, 0.4, "off,policy=per_invocation"),
]


def write_configuration(folder, scale):
    text = (ROOT / "profiles" / "rtx3090.yaml").read_text()
    text = text.replace("type: emulated", f"type: emulated, scale: {scale}")
    text = text.replace("serves: [documents]", f"serves: [documents], document_ms: 0, document_chunks: {CHUNKS}")
    path = folder / "engines.yaml"
    path.write_text(text + "memo_bytes: 0\nprewarm: false\n")
    return path


def questions(count):
    draw = random.Random(1)
    return ["".join(draw.choice(WORDS) + " " for _ in range(QUESTION_TOKENS)) for _ in range(count)]


def really(options, folder, configuration, case):
    """The queries' [{at_ms, latency_ms, ...}] and the pass' numbers."""
    workflow, documents, rate, arm = case
    rate /= options.scale
    count = max(1, round(rate * options.seconds))
    (folder / "questions.txt").write_text("\n".join(questions(count)) + "\n")
    (folder / "document.txt").write_text("A document.\n")
    source = ["--docs", str(folder / "document.txt")] if documents else ["--collection", "library"]
    done = subprocess.run([options.teola, "bench", "workflow", workflow, "--config", str(configuration), *source,
                           "--questions", str(folder / "questions.txt"), "--rate", f"{rate:.6f}", "--requests", str(count),
                           "--warmup", "0", "--arm", arm, "--format", "json", "--each", "-q"],
                          capture_output=True, text=True, check=True, cwd=ROOT)
    one = json.loads(done.stdout)["points"][0]["passes"][0]
    return one["each"], one


def simulated(options, folder, configuration, case, each):
    workflow, documents, _, arm = case
    (folder / "arrivals.txt").write_text("".join(f"{query['at_ms'] / 1000:.9f}\n" for query in each))
    words = arm.split(",")
    policy = [word.split("=")[1] for word in words if word.startswith("policy=")]
    (folder / "scenario.yaml").write_text(
        f"config: {configuration}\nmemo_bytes: 0\nruns: {len(each)}\n" + (f"policy: {policy[0]}\n" if policy else "")
        + f"optimize: {words[0]}\nload:\n  - workflow: {workflow}\n    arrivals: {{trace: {folder / 'arrivals.txt'}}}\n"
        + f"    question: {QUESTION_TOKENS}\n"
        + (f"    documents: {{count: {CHUNKS}, tokens: {CHUNK_TOKENS}}}\n" if documents else "    collection: library\n"))
    done = subprocess.run([options.teola, "sim", str(folder / "scenario.yaml"), "--format", "json"], capture_output=True,
                          text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


def name_of(case):
    workflow, documents, rate, arm = case
    return f"{workflow}, {'documents' if documents else 'collection'}, {rate}/s, {arm}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teola")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    options.teola = str(pathlib.Path(options.teola).resolve())
    results = []
    print("| queries | count | mean, ms: real | simulated | differ | p95: real | simulated | differ | sent late, p95 |")
    print("|---|" + "--:|" * 8)
    for case in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            configuration = write_configuration(folder, options.scale)
            each, real = really(options, folder, configuration, case)
            result = simulated(options, folder, configuration, case, each)
        times = result["loads"][0]["latency_s"]
        row = {"case": name_of(case), "count": len(each), "late_ms": real["sent_late_ms_p95"]}
        for measure in ("mean", "p95"):
            row[measure] = [real[f"latency_ms_{measure}"], times[measure] * 1000]
            row[measure].append(row[measure][1] / row[measure][0] - 1)
        results.append(row)
        print(f"| {row['case']} | {row['count']} | "
              + " | ".join(f"{row[m][0]:.0f} | {row[m][1]:.0f} | {100 * row[m][2]:+.1f} %" for m in ("mean", "p95"))
              + f" | {row['late_ms']:.1f} ms |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(results, indent=1))
    worst = max(abs(row[m][2]) for row in results for m in ("mean", "p95"))
    print(f"\nThe largest difference is {100 * worst:.1f} %.")


if __name__ == "__main__":
    main()
