"""clang-format agrees with indentation and spacing. Where lines break is the author's choice: a difference that changes
the number of lines is not a finding, nor are columns aligned by more spaces. With --fix, the findings are put right in
place, and functions' opening braces move to the end of the line before."""
import concurrent.futures
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys

from sources import SKIPPED, c_files, relative, report

OLDEST = 16  # the first to understand the project's .clang-format

BRACE = re.compile(r"^((?![#/}])[^\n]*[^\s;{}])\n\{\n", re.M)


def formatter():
    """The clang-format of the scripts' Python environment, else one on the path that is new enough."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    own = pathlib.Path(cache) / "teola" / "venv" / "bin" / "clang-format"
    for candidate in (str(own) if own.exists() else None, shutil.which("clang-format")):
        if candidate:
            version = subprocess.run([candidate, "--version"], capture_output=True, text=True).stdout
            found = re.search(r"version (\d+)", version)
            if found and int(found.group(1)) >= OLDEST:
                return candidate
    return None


def but_for_columns(line):
    """The line with its runs of spaces shortened, but for its indentation; the end of a macro's line does not count."""
    text = line.rstrip("\\ \n")
    body = text.lstrip(" ")
    return text[:len(text) - len(body)] + re.sub(" +", " ", body)


def differences(tool, path):
    """(first line, its lines as they are, its lines as they should be) of each place with a finding."""
    have = path.read_text().splitlines(keepends=True)
    done = subprocess.run([tool, str(path)], capture_output=True, text=True, check=True)
    want = done.stdout.splitlines(keepends=True)
    for kind, a, b, c, d in difflib.SequenceMatcher(None, have, want, autojunk=False).get_opcodes():
        after_table = a > 0 and have[a - 1].startswith("#undef")  # X-macros in an enum are beyond clang-format
        if kind != "replace" or b - a != d - c or after_table:
            continue
        in_macro = have[a].rstrip().endswith("\\")
        if not in_macro and any(but_for_columns(x) != but_for_columns(y) for x, y in zip(have[a:b], want[c:d])):
            yield a, have[a:b], want[c:d]


def main():
    tool = formatter()
    if not tool:
        print(f"clang-format {OLDEST} or newer is not installed; ./scripts/setup brings it")
        sys.exit(SKIPPED)
    fix = "--fix" in sys.argv[1:]
    paths = c_files()
    findings = []
    if fix:
        for path in paths:
            text = path.read_text()
            attached = BRACE.sub(r"\1 {\n", text)
            if attached != text:
                path.write_text(attached)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, found in zip(paths, pool.map(lambda path: list(differences(tool, path)), paths)):
            if fix and found:
                text = path.read_text().splitlines(keepends=True)
                for first, have, want in found:
                    text[first:first + len(have)] = want
                path.write_text("".join(text))
                print(f"{relative(path)}: {len(found)} places put right")
            else:
                for first, have, want in found:
                    findings.append(f"{relative(path)}:{first + 1}: format\n-{'-'.join(have)}+{'+'.join(want)}".rstrip())
    report(findings, len(paths))


main()
