"""The checked configuration, and where everything lies."""

from pathlib import Path

from snakemake.exceptions import WorkflowError

from ganformer import config as settings
from ganformer.errors import ConfigError
from ganformer.workflow import find_commands, gpus

RUN = "results/runs/{dataset}/{model}/seed{seed}"
TABLE_KINDS = {"comparison", "cost"}
# The order of the report, whatever the order in which overlays name their entries.
KINDS = ["comparison", "learning-curves", "samples", "attention", "cost"]

try:
    cfg = settings.load(
        config, " + ".join(map(str, workflow.configfiles)) or "config.yaml"
    )
except ConfigError as error:
    raise WorkflowError(str(error)) from None

find_commands()


wildcard_constraints:
    dataset="|".join(cfg.datasets),
    model="|".join(cfg.models),
    seed=r"\d+",
    step=r"\d+",


def named(*kinds):
    """Constraint of the wildcard `experiment`: the entries of these kinds."""
    names = [
        name for name, experiment in cfg.experiments.items() if experiment.kind in kinds
    ]
    return "|".join(names) or "(?!)"


def stem(name):
    """Path of a table or figure without its suffix."""
    return f"results/{'tables' if cfg.experiments[name].kind in TABLE_KINDS else 'figures'}/{name}"


def target(name):
    """Files of one table or figure."""
    suffixes = (
        ["csv", "md", "tex"]
        if cfg.experiments[name].kind in TABLE_KINDS
        else ["png", "pdf"]
    )
    return [f"{stem(name)}.{suffix}" for suffix in suffixes]


def exhibit(name):
    """What the report page needs to know of one table or figure."""
    return f"{stem(name)}.json"


def exhibits():
    """Names of all tables and figures in the order of the report."""
    return sorted(
        cfg.experiments,
        key=lambda name: (KINDS.index(cfg.experiments[name].kind), name),
    )


def used_datasets():
    """Names of the data sets that some experiment needs."""
    return sorted({dataset for dataset, _, _ in cfg.runs()})


def run_folder(dataset, model, seed):
    """Where one run lies."""
    return RUN.format(dataset=dataset, model=model, seed=seed)


def per_run(file):
    """Input function: `file` of every run of the experiment; `{count}` in it is the experiment's."""

    def files(wildcards):
        experiment = cfg.experiments[wildcards.experiment]
        count = getattr(experiment, "count", None)
        return [
            f"{run_folder(*run)}/{file.format(count=count)}"
            for run in experiment.runs()
        ]

    return files


def metrics(every_snapshot):
    """Input function: metrics files of every run of the experiment, at the end or at every snapshot."""

    def files(wildcards):
        return [
            f"{run_folder(*run)}/metrics/step-{step}.json"
            for run in cfg.experiments[wildcards.experiment].runs()
            for step in cfg.spec(*run).snapshot_steps[0 if every_snapshot else -1 :]
        ]

    return files


def experiment_json(wildcards):
    """The experiment's settings as canonical JSON."""
    return cfg.experiments[wildcards.experiment].json()
