# On the machine that runs Snakemake: the nodes of a cluster may have no way to the web.
rule weights:
    output:
        "results/weights/{file}",
    log:
        "results/logs/weights/{file}.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    params:
        results=results,
        # Nothing but the extractor, lest a change of something else fetches them again.
        evaluation=lambda w: extractor_alone(f"results/weights/{w.file}"),
    shell:
        "exec ganformer --results {params.results:q} --log {log} step weights --evaluation {params.evaluation:q}"


rule reference:
    input:
        data="results/data/{dataset}/manifest.json",
        weights=lambda w: paths(cfg.evaluation.parts()[w.extractor].extractor.inputs),
    output:
        update("results/reference/{dataset}/{extractor}.npz"),
    log:
        "results/logs/reference/{dataset}.{extractor}.log",
    benchmark:
        "results/benchmarks/reference/{dataset}.{extractor}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=120,
    params:
        results=results,
        evaluation=lambda w: cfg.evaluation.parts()[w.extractor].json(),
    shell:
        "exec ganformer --results {params.results:q} --log {log} step reference --evaluation {params.evaluation:q} --data {input.data}"
        " --out $(dirname {output}) --threads {threads} --gpus {resources.gpu}"


rule evaluate:
    input:
        weights=at_snapshot,
        run=f"{RUN}/run.json",
        data=lambda w: f"results/data/{cfg.reals(w.dataset)}/manifest.json",
        reference=references,
        extractors=extractor_inputs(),
    output:
        update(f"{RUN}/metrics/step-{{step}}.json"),
    log:
        "results/logs/evaluate/{dataset}.{model}.seed{seed}.step-{step}.log",
    benchmark:
        "results/benchmarks/evaluate/{dataset}.{model}.seed{seed}.step-{step}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=120,
    params:
        results=results,
        evaluation=cfg.evaluation.json(),
        reference=lambda w, input: Path(input.reference[0]).parent,
        other=lambda w: " --other-data" if cfg.reals(w.dataset) != w.dataset else "",
    shell:
        "exec ganformer --results {params.results:q} --log {log} step metrics --evaluation {params.evaluation:q} --run {input.run} --step {wildcards.step}"
        " --data {input.data}{params.other} --reference {params.reference} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


# Best snapshot of a run.
rule best:
    input:
        lambda w: [
            f"{run_folder(w.dataset, w.model, w.seed)}/metrics/step-{step}.json"
            for step in cfg.spec(w.dataset, w.model, int(w.seed)).snapshot_steps
        ],
    output:
        f"{RUN}/best.json",
    log:
        "results/logs/best/{dataset}.{model}.seed{seed}.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        by=cfg.best_by,
        run=lambda w, output: Path(output[0]).with_name("run.json"),
    shell:
        "exec ganformer --log {log} step best --by {params.by} --run {params.run} --out {output} {input}"


# Best snapshots of the runs that `all` makes.
rule best_checkpoint:
    input:
        [f"{run_folder(*run)}/best.json" for run in shown("report").runs()],
    localrule: True
