#!/usr/bin/env python3
"""The simulator against reality: the same queries at the same times, once in real time through the runtime, its threads
and emulated engines (`teola bench workflow`), once in virtual time (`teola sim`).

    reality.py TEOLA [--only WORDS]... [--seconds S] [--scale X] [--repeat N] [--most PERCENT] [--output RESULTS.json] [--list]

TEOLA is the program. A case is a workflow, what it searches (a collection, or a document that comes with the query), how
its graph is rewritten, the policy, and one of two rates. --only takes those whose names have all of the WORDS; several
--only add up; --list prints the names. Each case takes S seconds of real time and the time of its last queries (default
60), N times (default 1): the one of the middle mean counts. The profile's times are multiplied by X (default 1): with a
smaller one more queries fit in, and what the machine itself takes weighs more.

Nothing is remembered between queries and nothing is computed ahead, so both do the same work: `work` says by how much the
tokens that engines were given differ. On a machine that is busy with other work threads wake up late: the table says by how
much questions were sent late.

The exit status is 1 when the mean or the 95th percentile of a case differs by more than PERCENT (default 5).
"""
import argparse
import itertools
import json
import pathlib
import random
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORDS = "ash bay cay den elm fen gap hut ice jet key".split()
QUESTION_TOKENS = 20
DOCUMENT_TOKENS = 256 + 53 * 226  # 54 passages of 256 tokens, of which 30 are those of the one before
DOCUMENT = "document-0000000000000000-0"  # passages bear the name, so it is as long as a simulated document's

WORKFLOWS, SOURCES = ("naive-rag", "advanced-rag"), ("documents", "collection")
LEVELS, POLICIES = ("off", "paper", "cost"), ("critical_path", "topology", "per_invocation")
# Queries a second of the profile's own time: about a third, and two thirds, of what the engine with the most work can do.
RATES = {("naive-rag", "documents"): (0.2, 0.4), ("naive-rag", "collection"): (0.5, 1.0),
         ("advanced-rag", "documents"): (0.2, 0.4), ("advanced-rag", "collection"): (0.4, 0.8)}
# Engines that take one request at a time do less.
RATES_ALONE = {("naive-rag", "documents"): (0.2, 0.4), ("naive-rag", "collection"): (0.2, 0.4),
               ("advanced-rag", "documents"): (0.1, 0.2), ("advanced-rag", "collection"): (0.1, 0.2)}


def all_cases():
    for workflow, source, level, policy in itertools.product(WORKFLOWS, SOURCES, LEVELS, POLICIES):
        if (level, policy) != ("cost", "per_invocation"):  # that choice is for an engine that batches
            rates = RATES_ALONE if policy == "per_invocation" else RATES
            for rate in rates[workflow, source]:
                yield workflow, source, level, policy, rate


def name_of(case):
    workflow, source, level, policy, rate = case
    return f"{workflow}, {source}, {level}, {policy}, {rate}/s"


def chosen(only):
    return [case for case in all_cases()
            if not only or any(all(word in name_of(case).split(", ") for word in words.split()) for words in only)]


def write_configuration(folder, scale):
    text = (ROOT / "profiles" / "rtx3090.yaml").read_text()
    (folder / "engines.yaml").write_text(text.replace("type: emulated", f"type: emulated, scale: {scale}")
                                         + "memo_bytes: 0\nprewarm: false\n")


def question(draw):
    return " ".join(draw.choice(WORDS) for _ in range(QUESTION_TOKENS)) + "?"


def run(options, folder, *arguments):
    done = subprocess.run([options.teola, *arguments, "--format", "json"], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"reality.py: teola {' '.join(arguments)}\n{done.stderr}")
    return json.loads(done.stdout)


def really(options, folder, case):
    """What `teola bench workflow` says of one pass."""
    workflow, source, level, policy, rate = case
    rate /= options.scale
    count = max(1, round(rate * options.seconds))
    draw = random.Random(1)
    (folder / "questions.txt").write_text("".join(question(draw) + "\n" for _ in range(count)))
    (folder / DOCUMENT).write_text("ash " * DOCUMENT_TOKENS)
    where = ["--docs", DOCUMENT] if source == "documents" else ["--collection", "library"]
    result = run(options, folder, "bench", "workflow", str(ROOT / "workflows" / f"{workflow}.yaml"), "--config", "engines.yaml",
                 *where, "--questions", "questions.txt", "--rate", f"{rate:.6f}", "--requests", str(count), "--warmup", "0",
                 "--arm", f"{level},policy={policy}", "--each", "-q")
    return result["points"][0]["passes"][0]


def simulated(options, folder, case, each):
    workflow, source, level, policy, _ = case
    (folder / "arrivals.txt").write_text("".join(f"{query['at_ms'] / 1000:.9f}\n" for query in each))
    brings = f"documents: {{count: 1, tokens: {DOCUMENT_TOKENS}}}" if source == "documents" else "collection: library"
    (folder / "scenario.yaml").write_text(
        f"config: engines.yaml\nmemo_bytes: 0\nruns: {len(each)}\npolicy: {policy}\noptimize: {level}\nload:\n"
        f"  - {{workflow: {ROOT}/workflows/{workflow}.yaml, arrivals: {{trace: arrivals.txt}}, question: {QUESTION_TOKENS},\n"
        f"     {brings}, same_documents: true}}\n")
    return run(options, folder, "sim", "scenario.yaml")


def compare(options, folder, case):
    real = really(options, folder, case)
    result = simulated(options, folder, case, real["each"])
    times, tokens = result["loads"][0]["latency_s"], sum(engine["tokens_in"] for engine in result["engines"])
    row = {"case": name_of(case), "count": len(real["each"]), "late_ms": real["sent_late_ms_p95"],
           "work": tokens / real["prompt_tokens_asked"] - 1}
    if real["queries_done"] != row["count"] or result["loads"][0]["done"] != row["count"]:
        raise SystemExit(f"reality.py: {row['case']}: not every query was answered")
    for measure in ("mean", "p95"):
        row[measure] = [real[f"latency_ms_{measure}"], times[measure] * 1000]
        row[measure].append(row[measure][1] / row[measure][0] - 1)
    return row


def difference(row):
    return max(abs(row[measure][2]) for measure in ("mean", "p95"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teola")
    parser.add_argument("--only", action="append", metavar="WORDS")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--most", type=float, default=5, metavar="PERCENT")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    options.teola = str(pathlib.Path(options.teola).resolve())
    cases = chosen(options.only)
    if not cases:
        parser.error("no case has these words; --list prints the names")
    if options.list:
        print("\n".join(map(name_of, cases)))
        return
    results = []
    print("| queries | count | mean, ms: real | simulated | differ | p95: real | simulated | differ | work | sent late, p95 |")
    print("|---|" + "--:|" * 9)
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            write_configuration(folder, options.scale)
            rows = [compare(options, folder, case) for _ in range(max(1, options.repeat))]
        row = sorted(rows, key=lambda row: row["mean"][0])[(len(rows) - 1) // 2]
        results.append(row)
        print(f"| {row['case']} | {row['count']} | "
              + " | ".join(f"{row[m][0]:.0f} | {row[m][1]:.0f} | {100 * row[m][2]:+.1f} %" for m in ("mean", "p95"))
              + f" | {100 * row['work']:+.1f} % | {row['late_ms']:.1f} ms |", flush=True)
        if options.output:
            options.output.write_text(json.dumps(results, indent=1))
    worst = max(results, key=difference)
    beyond = [row["case"] for row in results if difference(row) > options.most / 100]
    print(f"\nThe largest difference of {len(results)} cases is {100 * difference(worst):.1f} %: {worst['case']}.")
    if beyond:
        print(f"Beyond {options.most:g} %:", *beyond, sep="\n- ")
    raise SystemExit(1 if beyond else 0)


if __name__ == "__main__":
    main()
