"""clang-format agrees with indentation and spacing. Where lines break is the author's choice: a difference that changes
the number of lines is not a finding, nor are columns aligned by more spaces. With --fix, the findings are put right in
place, functions' opening braces move to the end of the line before, and lines of more than 120 columns are broken."""
import concurrent.futures
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from sources import ROOT, SKIPPED, c_files, relative, report

COLUMNS = 120
OLDEST = 16  # the first to understand the project's .clang-format

BRACE = re.compile(r"^((?![#/}])[^\n]*[^\s;{}])\n\{\n", re.M)


def formatter():
    """The clang-format of the scripts' Python environment, else one on the path that is new enough."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    setup = os.environ.get("TEOLA_TEST_SETUP") or os.path.join(cache, "teola")
    own = pathlib.Path(setup) / "venv" / "bin" / "clang-format"
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


def put_right(tool, path, wrapping):
    """Whether the file was changed. `wrapping` is the path of the style with a limit of columns, for long lines alone."""
    before = path.read_text()
    path.write_text(BRACE.sub(r"\1 {\n", before))
    for _ in range(3):  # what one pass breaks may leave another long line
        lines = path.read_text().split("\n")
        # A comment behind code is moved by hand: clang-format would rather break the code.
        long = [number for number, line in enumerate(lines, 1)
                if len(line) > COLUMNS and "/*" not in line and not line.endswith("\\")]
        if not long:
            break
        subprocess.run([tool, f"--style=file:{wrapping}", "-i", *[f"--lines={n}:{n}" for n in long], str(path)], check=True)
    lines = path.read_text().splitlines(keepends=True)
    for first, have, want in differences(tool, path):
        lines[first:first + len(have)] = want
    after = "".join(lines)
    path.write_text(after)
    return after != before


def fix(tool, paths):
    style = (ROOT / ".clang-format").read_text()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as wrapping:
        wrapping.write(re.sub(r"(?m)^ColumnLimit: 0$", f"ColumnLimit: {COLUMNS}", style) + "AllowAllArgumentsOnNextLine: false\n")
        wrapping.flush()
        for path in paths:
            if put_right(tool, path, wrapping.name):
                print(f"{relative(path)}: put right")


def main():
    tool = formatter()
    if not tool:
        print(f"clang-format {OLDEST} or newer is not installed; ./scripts/setup brings it")
        sys.exit(SKIPPED)
    if "--fix" in sys.argv[1:]:
        chosen = [pathlib.Path(name).resolve() for name in sys.argv[1:] if name != "--fix"]
        fix(tool, chosen or c_files())
        return
    paths = c_files()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [f"{relative(path)}:{first + 1}: format\n-{'-'.join(have)}+{'+'.join(want)}".rstrip()
                    for path, found in zip(paths, pool.map(lambda path: list(differences(tool, path)), paths))
                    for first, have, want in found]
    report(findings, len(paths))


main()
