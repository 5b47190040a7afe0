"""The checked configuration, and where everything lies."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from ganformer import config as settings
from ganformer.errors import ConfigError

RUN = "results/runs/{dataset}/{model}/seed{seed}"
TABLE_KINDS = {"comparison", "cost"}

try:
    cfg = settings.load(
        config, " + ".join(map(str, workflow.configfiles)) or "config.yaml"
    )
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# `ganformer` is found beside the Python that runs Snakemake, also where that environment is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


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


def target(name):
    """Files of one table or figure."""
    if cfg.experiments[name].kind in TABLE_KINDS:
        return expand(
            "results/tables/{name}.{suffix}", name=name, suffix=["csv", "md", "tex"]
        )
    return expand("results/figures/{name}.{suffix}", name=name, suffix=["png", "pdf"])


def per_run(pattern):
    """Input function: `pattern` for every run of the experiment."""

    def files(wildcards):
        experiment = cfg.experiments[wildcards.experiment]
        return expand(
            pattern,
            dataset=experiment.datasets,
            model=experiment.models,
            seed=experiment.seeds,
        )

    return files


def metrics_of(dataset, model, seed, every_snapshot):
    """Metrics files of one run: at the end, or at every snapshot."""
    steps = cfg.spec(dataset, model, seed).snapshot_steps
    run = RUN.format(dataset=dataset, model=model, seed=seed)
    return [
        f"{run}/metrics/step-{step}.json"
        for step in (steps if every_snapshot else steps[-1:])
    ]


def metrics(every_snapshot):
    """Input function: metrics files of every run of the experiment."""

    def files(wildcards):
        experiment = cfg.experiments[wildcards.experiment]
        return [
            path
            for dataset in experiment.datasets
            for model in experiment.models
            for seed in experiment.seeds
            for path in metrics_of(dataset, model, seed, every_snapshot)
        ]

    return files


def experiment_json(wildcards):
    """The experiment's settings as canonical JSON."""
    return cfg.experiments[wildcards.experiment].json()


def gpus_here():
    """1 where this machine has a GPU, else 0; cluster profiles set the resource themselves."""
    return int(Path("/proc/driver/nvidia/gpus").exists())
