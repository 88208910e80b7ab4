#!/usr/bin/env python3
"""Puts bugs into the scheduler on purpose: the property test must find each of them.

    mutants.py BUILD_DIRECTORY [NAME...]

Each mutant is one source file with one line changed, compiled as the build compiles it and linked in front of the
library. A mutant whose text no longer occurs in the source is an error: it has to follow the code.
"""
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# name: file, the text, what becomes of it
MUTANTS = {
    "a node starts before its last input": (
        "src/sched/instance.c", "    if (--node->missing == 0) tl_node_ready(node);",
        "    if (--node->missing == 1 || node->missing == 0) tl_node_ready(node);"),
    "a deadline is looked at a little late": (
        "src/sched/run.c", "sched->heap[0]->deadline <= sched->now", "sched->heap[0]->deadline + 50 <= sched->now"),
    "an instance stays idle after a batch": (
        "src/sched/engine.c", "    instance->more = more;\n", "    instance->more = more;\n    if (sched->next_quantum % 64 == 7) return;\n"),
    "what a cancelled run has queued is left there": (
        "src/sched/engine.c", "    while (run->queued) {", "    while (run->queued && run->queued->next) {"),
    "a batch is larger than its instance": (
        "src/sched/policy.c", "offer->items[i]->units <= left; i++)", "offer->items[i]->units <= left + 1; i++)"),
    "what a lost instance held is forgotten": (
        "src/sched/fault.c", "    for (size_t i = count; i-- > 0;) {", "    for (size_t i = count; i-- > 1;) {"),
    "nobody wakes what waits for a fuller batch": (
        "src/sched/sched.c", "    if (sched->look_again && (next == 0 || sched->look_again < next)) next = sched->look_again;\n", ""),
    "a value is freed one use early": (
        "src/sched/instance.c", "    if (--slot->uses == 0 && slot->ready)", "    if (--slot->uses <= 1 && slot->ready)"),
    "the queue forgets to sift down": (
        "src/sched/queue.c", "        sift_down(queue, place, last);\n", "        put(queue, place, last);\n"),
    "nobody wakes to see whether an instance has answered": (
        "src/sched/sched.c", "    if (sched->watch_at && (next == 0 || sched->watch_at < next)) next = sched->watch_at;\n", ""),
    "an instance is watched only while it computes": (
        "src/sched/watch.c", "    return instance->busy || (instance->held_items > 0 && !instance->more);",
        "    return instance->busy;"),
    "what a hung instance may read is freed with its run": (
        "src/sched/watch.c", "    item->abandoned = true;\n",
        "    item->abandoned = true;\n    item->node->instance->run->held_count--;\n"),
    "what a hung instance may read is freed with its last use": (
        "src/sched/watch.c", "        if (item->item.inputs[i]) tl_value_ref(item->item.inputs[i]);",
        "        if (item->item.inputs[i] && item->item.id % 2) tl_value_ref(item->item.inputs[i]);"),
    "a device that was held up stays so": (
        "src/sched/watch.c", "        instance->stuck = instance->lost = false;\n", "        instance->stuck = false;\n"),
    "a tenant's runs are counted once too often": (
        "src/sched/limit.c", "    tl_tenant_leave(sched, run->tenant_number);\n", "    if (run->id % 5) tl_tenant_leave(sched, run->tenant_number);\n"),
}


def compiler_words(build, source):
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if pathlib.Path(entry["file"]) == source and "libteola.dir" in entry["command"]:
            return shlex.split(entry["command"]), entry["directory"]
    sys.exit(f"{source} is not in {build}/compile_commands.json")


def link_words(build):
    """How the property test is linked, by the build's own account."""
    printed = subprocess.run(["ninja", "-C", build, "-t", "commands", "-s", "tests/sched_property_test"], check=True,
                             capture_output=True, text=True).stdout.strip().splitlines()[-1]
    words = shlex.split(printed) # ": && cc ... && :"
    words = words[words.index("&&") + 1:]
    return words[:words.index("&&")]


def run(build, folder, name, mutant):
    path, text, instead = mutant
    source = ROOT / path
    original = source.read_text()
    if original.count(text) != 1:
        return f"its text occurs {original.count(text)} times in {path}"
    changed = pathlib.Path(folder) / source.name
    changed.write_text(original.replace(text, instead))
    words, directory = compiler_words(build, source)
    object_file = pathlib.Path(folder) / "mutant.o"
    words[words.index("-o") + 1] = str(object_file)
    words[words.index("-c") + 1] = str(changed)
    subprocess.run([*words, "-Wno-error"], cwd=directory, check=True, stderr=subprocess.DEVNULL)
    link = link_words(build)
    program = pathlib.Path(folder) / "mutant"
    link[link.index("-o") + 1] = str(program)
    first = next(i for i, word in enumerate(link) if word.endswith(".o"))
    link.insert(first, str(object_file))
    subprocess.run(link, cwd=build, check=True)
    try:
        result = subprocess.run([program, "1", "60"], cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=120)
    except subprocess.TimeoutExpired:
        return ""
    return "" if result.returncode != 0 else "60 seeds did not find it"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:] or list(MUTANTS)
    bad = 0
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            why = run(build, folder, name, MUTANTS[name])
        print(f"{'found' if not why else 'MISSED'}: {name}{': ' + why if why else ''}", flush=True)
        bad += bool(why)
    sys.exit(1 if bad else 0)


main()
