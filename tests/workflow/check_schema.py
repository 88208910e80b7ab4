"""docs/workflow.schema.json is a JSON Schema, takes every workflow that is shipped, and refuses what is malformed in form."""
import copy
import json
import pathlib
import sys

SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parents[2]

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"{error}: install the Python packages jsonschema and PyYAML for this test")
    sys.exit(SKIPPED)


def main():
    schema = json.loads((ROOT / "docs/workflow.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    findings = []
    files = [*sorted((ROOT / "workflows").glob("*.yaml")), ROOT / "tests/workflow/base.yaml"]
    for path in files:
        for error in validator.iter_errors(yaml.safe_load(path.read_text())):
            findings.append(f"{path.relative_to(ROOT)}: {error.message[:200]}")

    good = yaml.safe_load((ROOT / "tests/workflow/base.yaml").read_text())

    def refused(title, change):
        bad = copy.deepcopy(good)
        change(bad)
        if validator.is_valid(bad):
            findings.append(f"the schema takes {title}")

    refused("a workflow without a name", lambda w: w.pop("name"))
    refused("an unknown key", lambda w: w.update(stages=[]))
    refused("an unknown module", lambda w: w["steps"][0].update(module="indx"))
    refused("an unknown setting", lambda w: w["steps"][3].update(topk=3))
    refused("a setting out of range", lambda w: w["steps"][3].update(top_k=0))
    refused("an unknown choice", lambda w: w["steps"][3].update(mode="hibrid"))
    refused("a reference without a dollar", lambda w: w["steps"][4].update(hits="search.hits"))
    refused("a step without its required settings", lambda w: w["steps"][2].pop("texts"))
    refused("an input of unknown type", lambda w: w["inputs"].update(question="txt"))
    refused("an unknown role", lambda w: w["engines"].update(stor="sqlite"))

    for finding in findings:
        print(finding)
    print(f"{len(files)} workflows checked, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
