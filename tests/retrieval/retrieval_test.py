"""Are the facts in the sources? Asks ten factual questions over the SQLite documentation by the advanced workflow and
looks for the fact, and its page, among the three passages that the answer cites. The small model's prose is not judged.

The collection is made once, in the tests' cache, from the pages that the demo indexes; a later run finds it unchanged.
"""
import json
import os
import re
import subprocess
import sys

WANTED = 8  # of ten

source = os.environ["TEOLA_SOURCE_DIR"]
program = os.environ["TEOLA_PROGRAM"]
cache = os.environ["XDG_CACHE_HOME"]
setup = os.environ["TEOLA_TEST_SETUP"]


def documents():
    for folder in ("/usr/share/doc/sqlite3", os.path.join(setup, "sqlite3-doc/usr/share/doc/sqlite3")):
        if os.path.exists(os.path.join(folder, "lang.html")):
            return folder
    sys.exit("the SQLite documentation (package sqlite3-doc) is not installed: run scripts/test")


def teola(*arguments):
    environment = dict(os.environ, TEOLA_MODELS=os.environ["TEOLA_TEST_MODELS"])
    result = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"teola {arguments[0]} exited with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def main():
    folder = documents()
    with open(os.path.join(source, "scripts/demo-documents.txt"), encoding="utf-8") as file:
        pages = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    paths = [os.path.join(folder, page) for page in pages if os.path.exists(os.path.join(folder, page))]
    os.makedirs(cache, exist_ok=True)
    store = os.path.join(cache, "retrieval.db")
    print(teola("index", *paths, "--collection", "sqlite-doc", "--store", store, "--prune", "-q"), end="")
    with open(os.path.join(source, "tests/retrieval/questions.json"), encoding="utf-8") as file:
        questions = json.load(file)
    found = 0
    for entry in questions:
        result = json.loads(
            teola("run", os.path.join(source, "workflows/advanced-rag.yaml"), "--collection", "sqlite-doc",
                  "--set", f"store.path={store}", "--question", entry["question"], "--format", "json", "-q"))
        sources = [hit["chunk"] for hit in result["outputs"]["sources"]]
        if len(sources) != 3:
            sys.exit(f"{entry['question']}: {len(sources)} sources instead of 3")
        fact = re.compile(entry["fact"], re.IGNORECASE)
        place = next((number for number, chunk in enumerate(sources, 1)
                      if os.path.basename(chunk["uri"]) in entry["pages"] and fact.search(chunk["text"])), 0)
        found += place > 0
        shown = ", ".join(os.path.basename(chunk["uri"]) for chunk in sources)
        print(f"{'source ' + str(place) if place else 'not found'}: {entry['question']} ({shown})")
    print(f"{found} of {len(questions)} facts are in the three cited sources, {WANTED} are wanted")
    return 0 if found >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
