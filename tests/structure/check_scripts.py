"""shellcheck is content with every shell script; sourced files are followed from the scripts that source them."""
import shutil
import subprocess
import sys

from sources import ROOT, SKIPPED, files, relative, report


def main():
    if not shutil.which("shellcheck"):
        print("shellcheck is not installed")
        sys.exit(SKIPPED)
    scripts = []
    for path in files("scripts/*", "scripts/*/*", ".ci/*", "tests/*/*", "tests/*/*/*", "bench/*", "fuzz/*"):
        with path.open("rb") as file:
            first = file.readline()
        if first.startswith(b"#!") and (b"bash" in first or b"/sh" in first):
            scripts.append(relative(path))
    done = subprocess.run(["shellcheck", "--external-sources", "--check-sourced", "--format=gcc", *scripts],
                          cwd=ROOT, text=True, capture_output=True)
    report((done.stdout + done.stderr).splitlines() if done.returncode else [], len(scripts))


main()
