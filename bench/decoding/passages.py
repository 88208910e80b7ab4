#!/usr/bin/env python3
"""Makes passages.json: the questions of tests/retrieval, each with the three passages that are found for it.

    passages.py TEOLA STORE COLLECTION >passages.json

COLLECTION is of the pages in scripts/demo-documents.txt (SQLite's documentation, in the public domain). The questions are
searched for alone, by vector and by keyword, so no model writes anything.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
QUESTIONS = os.path.join(HERE, "../../tests/retrieval/questions.json")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    teola, store, collection = sys.argv[1:]
    entries = []
    with open(QUESTIONS, encoding="utf-8") as file:
        questions = [entry["question"] for entry in json.load(file)]
    for question in questions:
        result = subprocess.run(
            [teola, "run", os.path.join(HERE, "passages.yaml"), "--collection", collection, "--set", f"store.path={store}",
             "--question", question, "--format", "json", "-q"], capture_output=True, text=True, check=True)
        hits = json.loads(result.stdout)["outputs"]["hits"]
        entries.append({"question": question, "passages": [hit["chunk"]["text"] for hit in hits]})
    json.dump(entries, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
