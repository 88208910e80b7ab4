"""Plain rules of text: encoding, ends of lines, length, and nothing that is true on one machine only."""
import re

from sources import files, relative, report

LONGEST = 130  # aim at 120; a few more columns are better than an ugly break
MACHINE = re.compile(r"(?<![\w.$}~*<-])/(?:home|Users|work|workspace)/[A-Za-z]")
OPENING_BRACE = re.compile(r"^\{\s*$")
TABLE_BEGINS, TABLE_ENDS = "/* clang-format off", "/* clang-format on"


def findings_in(path):
    name = relative(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        yield f"{name}:1: is not UTF-8 ({error.reason})"
        return
    if text and not text.endswith("\n"):
        yield f"{name}:{text.count(chr(10)) + 1}: the last line has no end"
    in_table = False
    is_c = path.suffix in (".c", ".h")
    for number, line in enumerate(text.split("\n"), 1):
        in_table = TABLE_BEGINS in line or (in_table and TABLE_ENDS not in line)
        if line != line.rstrip() and path.suffix != ".md":
            yield f"{name}:{number}: white space at the end of the line"
        if "\t" in line and is_c:
            yield f"{name}:{number}: a tab; indent with spaces"
        if len(line) > LONGEST and is_c and not in_table and not line.endswith("\\"):
            yield f"{name}:{number}: {len(line)} columns, the limit is {LONGEST}"
        if is_c and OPENING_BRACE.match(line):
            yield f"{name}:{number}: the brace stands at the end of the line before"
        if MACHINE.search(line) and not path.name.endswith("_test.c"):
            yield f"{name}:{number}: names a folder of one machine: {MACHINE.search(line).group(0)}"


def main():
    paths = [path for path in files("*.c", "*.h", "*.md", "*.cmake", "CMakeLists.txt", "*.in", "*.py", "*.sh", "*.yaml", "*.json",
                                    "*.txt", "scripts/*")
             if not {"golden", "data", "fixtures", "odd"} & set(path.parts)]
    report([finding for path in paths for finding in findings_in(path)], len(paths))


main()
