"""Each header compiles alone, twice in a row; public ones also as C11 and as C++."""
import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess

from sources import BUILD, ROOT, files, relative, report


def include_flags():
    """The folders that the library's own files are compiled with."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"].startswith(str(ROOT / "src")):
            words = shlex.split(entry["command"])
            flags = []
            for i, word in enumerate(words):
                if word.startswith(("-I", "-D")):
                    flags.append(word)
                elif word == "-isystem":
                    flags += [word, words[i + 1]]
            return words[0], flags
    raise SystemExit(f"{BUILD}/compile_commands.json names no file of src/")


def main():
    compiler, flags = include_flags()
    warnings = ["-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror"]
    jobs = []
    headers = [path for path in files("*.h") if relative(path).startswith(("src/", "include/"))]
    for path in headers:
        name = relative(path)
        short = name.split("/", 1)[1]
        text = f'#include "{short}"\n#include "{short}"\n'
        jobs.append((name, text, [compiler, "-x", "c", "-std=c17", *warnings, *flags]))
        if name.startswith("include/"):
            public = ["-I", str(ROOT / "include"), "-pedantic", "-Wall", "-Wextra", "-Werror"]
            jobs.append((f"{name} (C11)", text, [compiler, "-x", "c", "-std=c11", *public]))
            cxx = os.environ.get("CXX") or shutil.which("c++")
            if cxx:
                jobs.append((f"{name} (C++)", text, [cxx, "-x", "c++", "-std=c++17", *public]))

    def compile_one(job):
        name, text, command = job
        done = subprocess.run([*command, "-fsyntax-only", "-"], input=text, text=True, capture_output=True)
        return None if done.returncode == 0 else f"{name}:1: does not compile alone\n{done.stderr}"

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [finding for finding in pool.map(compile_one, jobs) if finding]
    report(findings, len(jobs))


main()
