"""Checked configuration, and paths of all files."""

from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecMode

from ganformer import config as settings
from ganformer.artifacts import digest
from ganformer.errors import ConfigError
from ganformer.report.check import date_back
from ganformer.workflow import (
    caption,
    command,
    find_commands,
    from_here,
    gpus,
    settings_files,
)

RUN = settings.RUN

if workflow.storage_settings.default_storage_provider:
    raise WorkflowError(
        "--default-storage-provider: training keeps its checkpoints beside its outputs, where a storage provider does "
        "not see them; use a folder that all jobs share, e.g. with --directory"
    )

RESULTS = str(workflow.modifier.path_modifier.modify("results/")).rstrip("/")

try:
    cfg = settings.load(
        # Another module may have been given the same mapping, to which what follows adds.
        {key: value for key, value in config.items() if key != "command"},
        settings_files(workflow.configfiles, workflow.sourcecache.runtime_cache_path),
    )
except ConfigError as error:
    raise WorkflowError(str(error)) from None

find_commands()
settings.hand_on(cfg.logging)

if workflow.exec_mode == ExecMode.DEFAULT:
    date_back(cfg, Path(RESULTS))

# Command that makes a result again, for captions and the report page.
config["command"] = command(
    workflow.config_settings.configfiles, workflow.config_settings.config
)


wildcard_constraints:
    dataset="|".join(cfg.datasets),
    extractor="|".join(cfg.evaluation.parts()),
    model="|".join(cfg.models),
    seed=r"0|[1-9]\d*",
    step=r"\d+",


def is_elsewhere():
    """Return True if jobs run on other machines than planning, here and within such a job."""
    # A dry run replaces the executor; that jobs are started by threads is all it leaves of another one than the local.
    return (
        workflow.non_local_exec
        or workflow.remote_exec
        or (workflow.dryrun and workflow.execution_settings.use_threads)
    )


def gpu(wildcards):
    """Return the GPUs of a job that computes: one; on this machine none if it has none."""
    if not is_elsewhere():
        return gpus()
    if (
        "gpu" in workflow.global_resources
        and not workflow.global_resources["gpu"].value
    ):
        raise WorkflowError(
            "--resources gpu=0: jobs on other machines do not see this limit and would want a GPU that they were not "
            "given; say it of each rule, as in --set-resources train:gpu=0 evaluate:gpu=0"
        )
    return 1


def early_signal(wildcards):
    """Return options for Slurm: time to save before the time limit ends a job."""
    return "--signal=TERM@120" if is_elsewhere() else None


def named(*kinds):
    """Return the constraint of the wildcard `experiment`: the entries of these kinds."""
    names = [
        name for name, experiment in cfg.experiments.items() if experiment.kind in kinds
    ]
    return "|".join(names) or "(?!)"


def kinds():
    """Return the settings of each kind of table and figure that the configuration has, by its name."""
    return {entry.kind: type(entry) for entry in cfg.experiments.values()}


def target(name):
    """Return the files of one table or figure."""
    experiment = cfg.experiments[name]
    return [f"{experiment.stem(name)}.{form}" for form in experiment.forms]


def exhibit(name):
    """Return the file that the report page reads of one table or figure."""
    return f"{cfg.experiments[name].stem(name)}.json"


def drawn_from(wildcards):
    """Return the files that one table or figure is drawn from."""
    name = wildcards.experiment
    return paths(map(from_here, cfg.experiments[name].inputs(name, cfg)))


def exhibits(page):
    """Return the names of the tables and figures of a page in its order: `report` or, with all, `extended`."""
    chosen = [
        name
        for name in cfg.experiments
        if page == "extended" or not cfg.experiments[name].extended
    ]
    return sorted(chosen, key=lambda name: (cfg.experiments[name].place, name))


def shown(page):
    """Return the configuration of a page."""
    return cfg.only(exhibits(page))


def used_datasets(page):
    """Return the names of the data sets that some table or figure of a page needs."""
    return sorted({dataset for dataset, _, _ in shown(page).runs()})


def results(wildcards):
    """Return the folder that stands for `results` in settings: another one in a module with a prefix."""
    return RESULTS


def refuse(target, problem):
    """End planning, since nothing can make `target`."""
    raise WorkflowError(f"{target}: {problem}")


def at_snapshot(wildcards):
    """Return the weights of a run with a snapshot of the wanted step."""
    w = wildcards
    steps = cfg.spec(w.dataset, w.model, int(w.seed)).snapshot_steps
    if int(w.step) not in steps:
        refuse(
            f"{run_folder(w.dataset, w.model, w.seed)}/metrics/step-{w.step}.json",
            f"the run has no snapshot of step {w.step}; there are snapshots of {', '.join(map(str, steps))}",
        )
    return f"{run_folder(w.dataset, w.model, w.seed)}/weights.safetensors"


def with_attention(wildcards):
    """Return the weights of a run of a model with attention maps."""
    w = wildcards
    if "attention maps" not in cfg.models[w.model].abilities:
        able = [
            name
            for name, model in cfg.models.items()
            if "attention maps" in model.abilities
        ]
        refuse(
            run_folder(w.dataset, w.model, w.seed),
            f"model {w.model} has no attention maps; models that have them: {', '.join(able)}",
        )
    return f"{run_folder(w.dataset, w.model, w.seed)}/weights.safetensors"


def with_latents(wildcards):
    """Return the weights of a run of a model with mapped latents."""
    w = wildcards
    able = [name for name, model in cfg.models.items() if "latents" in model.abilities]
    if w.model not in able:
        refuse(
            run_folder(w.dataset, w.model, w.seed),
            f"model {w.model} has no latents that are mapped; models that have them: {', '.join(able)}",
        )
    return f"{run_folder(w.dataset, w.model, w.seed)}/weights.safetensors"


def parser_inputs(wildcards):
    """Return the files that the parser of a data set is made from."""
    try:
        parsing = cfg.parser(wildcards.dataset)
    except ConfigError as error:
        refuse(f"results/parsers/{wildcards.dataset}/parser.json", error)
    return paths(parsing.inputs)


def run_folder(dataset, model, seed):
    """Return the folder of one run."""
    return RUN.format(dataset=dataset, model=model, seed=seed)


def paths(files):
    """Return paths as Snakemake takes them; the user's own stay as they are, also in a module with a prefix."""
    return [
        str(file) if Path(file).parts[:1] == ("results",) else local(str(file))
        for file in files
    ]


def outermost(files):
    """Return the files and folders that are in none of the others."""
    inside = set(files)
    return [file for file in files if not inside.intersection(Path(file).parents)]


def newest(files):
    """Return a digest that changes with the content of folders among these: of all that are in another of them."""
    inner = sorted(set(files).difference(outermost(files)))
    return digest(
        [[str(file), file.stat().st_mtime_ns] for file in inner if file.exists()]
    )


def extractor_inputs():
    """Return the weights of all networks that look at images."""
    networks = [part.extractor for part in cfg.evaluation.parts().values()]
    networks += [cfg.evaluation.path_length] if cfg.evaluation.path_length else []
    return paths(sorted({path for network in networks for path in network.inputs}))


def extractor_alone(file):
    """Return the evaluation, as JSON, of only the network that reads this file of weights."""
    parts = cfg.evaluation.parts().values()
    for extractor in (cfg.evaluation.extractor, *(part.extractor for part in parts)):
        if file in paths(extractor.inputs):
            return settings.Evaluation(extractor=extractor.model_dump()).json()
    raise WorkflowError(
        f"{file}: no extractor of the configuration has these weights, so nothing fetches them; put the file there"
    )


def references(wildcards):
    """Return the statistics of the real images that generated ones are measured against."""
    return [
        f"results/reference/{cfg.reals(wildcards.dataset)}/{part}.npz"
        for part in cfg.evaluation.parts()
    ]


def weights(wildcards):
    """Return the weights of a run."""
    w = wildcards
    return f"{run_folder(w.dataset, w.model, w.seed)}/weights.safetensors"


def real_images(wildcards):
    """Return the manifest of the images that a run is measured against."""
    return f"results/data/{cfg.reals(wildcards.dataset)}/manifest.json"


def as_options(names):
    """Return a function of a rule's params that writes the inputs of these names as options of a command."""
    return lambda wildcards, input: "".join(
        f" --{name} {input[name]}" for name in names
    )


def held_out(wildcards):
    """Return the manifest of images that a run was not trained on, if the experiment names some."""
    other = cfg.experiments[wildcards.experiment].held_out.get(wildcards.dataset)
    return [f"results/data/{other}/manifest.json"] if other else []


def looked_with(wildcards):
    """Return the files that a look reads beside the run."""
    return paths(cfg.experiments[wildcards.experiment].look.inputs)


def copies_evaluation(wildcards):
    """Return the network that looks for copies, and the seed of the images that it looks at, as JSON."""
    return settings.Evaluation(
        extractor=cfg.evaluation.extractor.model_dump(), seed=cfg.evaluation.seed
    ).json()


def experiment_json(wildcards):
    """Return the experiment's settings as canonical JSON."""
    return cfg.experiments[wildcards.experiment].json()
