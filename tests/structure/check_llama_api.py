"""cmake/llama-api.txt lists every function of llama.cpp that src/engine/llama calls, so that the configuration can refuse
a llama.cpp that lacks one. With --fix, the list is written anew."""
import re
import sys

from sources import ROOT, code_only, files, lines_matching, relative, report

CALL = re.compile(r"\b((?:llama|ggml)_\w+)\s*\(")
DEFINITION = re.compile(r"^(?:[\w*][^;={}()]*?)[\s*]((?:llama|ggml)_\w+)\s*\([^;{}]*\)\s*[{;]", re.M)


def main():
    listed = set((ROOT / "cmake" / "llama-api.txt").read_text().split())
    texts = {path: code_only(path.read_text()) for path in files("*.c", "*.h")
             if relative(path).startswith("src/engine/llama/")}
    own = {match.group(1) for text in texts.values() for match in DEFINITION.finditer(text)}
    called = set()
    findings = []
    for path, text in texts.items():
        for line, match in lines_matching(text, CALL):
            name = match.group(1)
            if name not in own:
                called.add(name)
                if name not in listed:
                    findings.append(f"{relative(path)}:{line}: {name} is not in cmake/llama-api.txt")
    if "--fix" in sys.argv[1:]:
        (ROOT / "cmake" / "llama-api.txt").write_text("\n".join(sorted(called)) + "\n")
        return
    findings += [f"cmake/llama-api.txt: {name} is not called any more" for name in sorted(listed - called)]
    report(findings, len(called))


main()
