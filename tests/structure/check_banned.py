"""Functions that cannot be used safely are not used at all."""
import re

from sources import c_files, code_only, lines_matching, relative, report

INSTEAD = {
    "strcpy": "a tl_str, or memcpy with a known length", "strcat": "a tl_str", "stpcpy": "a tl_str",
    "sprintf": "snprintf or a tl_str", "vsprintf": "vsnprintf or a tl_str",
    "gets": "getline", "strtok": "strchr or memchr", "alloca": "the heap or an arena", "system": "posix_spawn",
    "popen": "posix_spawn", "tmpnam": "mkstemp", "mktemp": "mkstemp",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(INSTEAD) + r")\s*\(")


def main():
    findings = []
    paths = c_files()
    for path in paths:
        for line, match in lines_matching(code_only(path.read_text(errors="replace")), CALL):
            findings.append(f"{relative(path)}:{line}: {match.group(1)} is banned; use {INSTEAD[match.group(1)]}")
    report(findings, len(paths))


main()
