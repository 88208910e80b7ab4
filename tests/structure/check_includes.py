"""Includes point one way, and each library is seen by one folder only (docs/architecture.md)."""
import re

from sources import code_only, files, lines_matching, relative, report

# Each module and what it may include besides itself. `engine` is the contract (files directly in src/engine); an
# engine is a folder below it, and sees the contract and base alone; engine/llm is no engine but what the engines of
# language models decide by.
BELOW = {
    "base": [],
    "schema": ["base"],
    "graph": ["base", "schema"],
    "workflow": ["base", "graph", "builtin", "schema"],
    "cost": ["base", "graph"],
    "opt": ["base", "graph", "workflow", "cost", "builtin"],
    "plan": ["base", "graph", "workflow", "cost", "opt", "builtin", "engine"],
    "engine": ["base"],
    "builtin": ["base", "engine"],
    "models": ["base"],
    "bench": ["base", "engine"],
    "indexer": ["base", "engine"],
    "profiler": ["base", "engine", "cost"],
    "sched": ["base", "graph", "workflow", "cost", "opt", "plan", "engine", "builtin"],
}
BELOW["sim"] = [*BELOW["sched"], "sched", "engine/emulated"]
BELOW["choice"] = [*BELOW["sched"], "sched", "sim"]
BELOW["runtime"] = [*BELOW["sched"], "sched", "choice", "models", "indexer"]
BELOW["scenario"] = [*BELOW["runtime"], "runtime", "sim", "engine/emulated"]
BELOW["server"] = [*BELOW["runtime"], "runtime", "engine/emulated"]
BELOW["cli"] = [*BELOW["server"], "server", "sim", "scenario", "profiler", "bench"]

# What a folder may see beyond that: (folder, header) and why.
EXCEPTIONS = {
    ("src/models", "engine/llama/quantize.h"): "re-quantising is llama.cpp's work, and llama.h stays in one folder",
    ("src/models", "engine/llama/llama_measure.h"): "tuning runs a model, and llama.h stays in one folder",
    ("src/cli", "engine/llama/llama_memory.h"): "`teola doctor` lists llama.cpp's devices",
    ("src/cli", "engine/llama/llama_prefix_files.h"): "`teola doctor` says what lies in files",
    ("src/indexer", "engine/documents/chunker.h"): "indexing goes on outside any run, with the store itself",
    ("src/indexer", "engine/sqlite/store.h"): "indexing goes on outside any run, with the store itself",
    ("src/cli", "engine/documents/chunker.h"): "`teola index` takes the chunker's settings as options",
    ("src/cli", "engine/sqlite/store.h"): "`teola index` and `teola doctor` open the store itself",
}

# Library header: the folders, or the file, in which it may be included.
LIBRARIES = {
    r"(llama|ggml.*|gguf)\.h": ["src/engine/llama"],
    r"sqlite3\.h": ["src/engine/sqlite"],
    r"curl/.*": ["src/models", "src/engine/openai", "src/engine/web", "src/bench/server_target.c"],
    r"uv\.h": ["src/runtime", "src/server"],
    r"event2/.*": ["src/server"],
    r"libpq-fe\.h": ["src/engine/postgres"],
    r"libxml/.*": ["src/engine/documents"],
    r"md4c.*\.h": ["src/engine/documents"],
    r"utf8proc\.h": ["src/base", "src/engine/documents"],
    r"yaml\.h": ["src/base/yaml.c"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def module_of(folder):
    parts = folder.split("/")
    return "/".join(parts[1:3]) if parts[1:2] == ["engine"] and len(parts) > 2 else parts[1]


def project_module(header):
    parts = header.split("/")
    if parts[0] == "engine" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


DECIDED_BY_LLM = ["engine/llama", "engine/emulated"]


def may_include(module, other):
    if module == other or other == "teola":
        return True
    if other == "engine/llm":
        return module in DECIDED_BY_LLM
    if module.startswith("engine/"):
        return other in ("base", "schema", "engine")
    return other in BELOW.get(module, [])


def main():
    findings = []
    sources = [path for path in files("*.c", "*.h") if relative(path).startswith("src/")]
    for path in sources:
        name = relative(path)
        folder = name.rsplit("/", 1)[0]
        module = module_of(folder)
        # Tests may reach for anything that helps them; what ships may not.
        is_test = name.endswith(("_test.c", "_test_support.c", "_test_support.h"))
        if module.split("/")[0] not in BELOW:
            findings.append(f"{name}:1: src/{module} is not in the table of modules in {__file__}")
            continue
        text = code_only(path.read_text(errors="replace"), keep_strings=True)
        for line, match in lines_matching(text, INCLUDE):
            header = match.group(2)
            for pattern, places in LIBRARIES.items():
                if re.fullmatch(pattern, header) and not any((name + "/").startswith(place + "/") for place in places):
                    findings.append(f"{name}:{line}: <{header}> belongs to {', '.join(places)} alone")
            if match.group(1) != '"' or is_test or "/" not in header:
                if match.group(1) == '"' and "/" not in header and not re.fullmatch(r"(llama|gguf|ggml.*)\.h", header):
                    findings.append(f'{name}:{line}: write "{header}" from src/: "FOLDER/{header}"')
                continue
            other = project_module(header)
            if not may_include(module, other) and (folder, header) not in EXCEPTIONS:
                findings.append(f'{name}:{line}: src/{module} may not see "{header}"')
    report(findings, len(sources))


main()
