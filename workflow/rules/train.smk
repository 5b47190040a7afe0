# Weights that training starts from, of official code in Google Drive. On the machine that runs Snakemake, as downloads
# are. Not removed before the job, since the import replaces only what an import wrote.
rule import_snapshot:
    output:
        update("results/imported/{snapshot}/run.json"),
    log:
        "results/logs/import/{snapshot}.log",
    wildcard_constraints:
        snapshot=r"[-\w.]+",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    params:
        # Beside the folder of all imports, wherever results are.
        cache=lambda w, output: Path(output[0]).parents[2] / "weights",
    shell:
        "exec ganformer --log {log} import gdrive:{wildcards.snapshot} --out $(dirname {output}) --cache {params.cache}"


# The resolved spec is a param: exactly the runs whose spec changed are made again. Checkpoints, logs, snapshots and
# sample grids are beside the outputs undeclared, so that a failed job keeps them and the next attempt resumes.
rule train:
    input:
        data="results/data/{dataset}/manifest.json",
        weights=lambda w: paths(cfg.models[w.model].inputs),
    output:
        # Not removed before the job, which leaves them as they are where nothing is trained.
        weights=update(f"{RUN}/weights.safetensors"),
        run=update(f"{RUN}/run.json"),
    log:
        "results/logs/train/{dataset}.{model}.seed{seed}.log",
    benchmark:
        "results/benchmarks/train/{dataset}.{model}.seed{seed}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=1440,
        slurm_extra=early_signal,
    params:
        results=results,
        spec=lambda w: cfg.spec(w.dataset, w.model, int(w.seed)).json(),
    shell:
        "exec ganformer --results {params.results:q} --log {log} train --dataset {wildcards.dataset} --model {wildcards.model}"
        " --spec {params.spec:q} --data {input.data} --out $(dirname {output.run})"
        " --threads {threads} --gpus {resources.gpu}"
