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
