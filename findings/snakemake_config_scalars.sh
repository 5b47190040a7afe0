#!/usr/bin/env bash
# One would guess that a value behind snakemake --config is read as the same YAML in a
# configuration file is. Whole numbers, floats and True by themselves are; inside braces
# or brackets every scalar becomes text: null, true, 3 and 0.5 arrive as "null", "true",
# "3" and "0.5". So --config 'part={key: null}' sets the word, it takes nothing away, and
# a check such as isinstance(value, bool) or value is None fails, while a configuration
# file with the same line passes. A bare null is text, too; nothing behind = is None.
# Names of one letter are refused.
# Seen with Snakemake 9.27.1. Where: snakemake/cli.py, parse_config (yaml's BaseLoader).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat >Snakefile <<'SMK'
print("CONFIG", sorted(config.items()))


rule all:
    shell:
        "true"
SMK
cat >file.yaml <<'YAML'
braces: {a: null, b: true, c: 3, d: 0.5}
bare: null
whole: 3
YAML
venv/bin/snakemake --version
in_file=$(venv/bin/snakemake -n --quiet all --configfile file.yaml 2>/dev/null | grep CONFIG)
on_line=$(venv/bin/snakemake -n --quiet all --config 'braces={a: null, b: true, c: 3, d: 0.5}' bare=null whole=3 empty= 2>/dev/null | grep CONFIG)
echo "file:         $in_file"
echo "command line: $on_line"
[[ $in_file == "CONFIG [('bare', None), ('braces', {'a': None, 'b': True, 'c': 3, 'd': 0.5}), ('whole', 3)]" ]] ||
    { echo "Changed: a file is read otherwise."; exit 1; }
[[ $on_line == "CONFIG [('bare', 'null'), ('braces', {'a': 'null', 'b': 'true', 'c': '3', 'd': '0.5'}), ('empty', None), ('whole', 3)]" ]] ||
    { echo "Changed: the command line is read otherwise."; exit 1; }
if said=$(venv/bin/snakemake -n --config a=1 2>&1); then
    echo "Changed: names of one letter are taken."; exit 1
fi
grep -q "must start with a valid identifier" <<<"$said" && echo "a=1 is refused: Config entry must start with a valid identifier."
