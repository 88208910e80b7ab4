"""What the structure checks share: the files, their text without comments and strings, and the report."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("TEOLA_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("TEOLA_BUILD_DIR", ROOT / "build" / "debug"))
SKIPPED = 77


def files(*patterns):
    """The project's files that match: those that git knows or would add, or all when there is no git here."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True)
    if listed.returncode == 0:
        found = [ROOT / name for name in os.fsdecode(listed.stdout).split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if "build" not in path.relative_to(ROOT).parts[:1]]
    return sorted({path for path in found
                   if path.is_file() and any(path.relative_to(ROOT).match(pattern) for pattern in patterns)})


def c_files():
    return [path for path in files("*.c", "*.h") if path.relative_to(ROOT).parts[0] in ("src", "include", "tests", "examples")]


def relative(path):
    return path.relative_to(ROOT).as_posix()


TOKEN = re.compile(r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.S | re.X)


def code_only(text, keep_strings=False):
    """The text with comments (and the inside of strings) blanked; line numbers stay."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token if keep_strings else token[0] + token[0]
        return "\n" * token.count("\n") or " "
    return TOKEN.sub(blank, text)


def lines_matching(text, pattern):
    """(line number, match) of each match of the compiled pattern."""
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match


def report(findings, checked):
    """Ends the check: prints the findings, or how much was looked at."""
    for finding in findings:
        print(finding)
    if not checked:
        sys.exit("nothing was checked: the patterns or the working directory are wrong")
    print(f"{checked} checked, {len(findings)} findings")
    sys.exit(1 if findings else 0)
