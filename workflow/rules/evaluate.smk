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
        # Nothing but the extractor, lest a change of something else fetches them again.
        evaluation=settings.Evaluation(
            extractor=cfg.evaluation.extractor.model_dump()
        ).json(),
    shell:
        "exec ganformer --log {log} weights --evaluation {params.evaluation:q}"


rule reference:
    input:
        data="results/data/{dataset}/manifest.json",
        weights=[str(path) for path in cfg.evaluation.extractor.inputs],
    output:
        "results/reference/{dataset}.npz",
    log:
        "results/logs/reference/{dataset}.log",
    benchmark:
        "results/benchmarks/reference/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus(),
        mem_mb=4000,
        runtime=120,
    params:
        evaluation=cfg.evaluation.json(),
    shell:
        "exec ganformer --log {log} reference --evaluation {params.evaluation:q} --data {input.data} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


rule evaluate:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
        data="results/data/{dataset}/manifest.json",
        reference="results/reference/{dataset}.npz",
        extractor=[str(path) for path in cfg.evaluation.extractor.inputs],
    output:
        f"{RUN}/metrics/step-{{step}}.json",
    log:
        "results/logs/evaluate/{dataset}.{model}.seed{seed}.step-{step}.log",
    benchmark:
        "results/benchmarks/evaluate/{dataset}.{model}.seed{seed}.step-{step}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus(),
        mem_mb=4000,
        runtime=120,
    params:
        evaluation=cfg.evaluation.json(),
    shell:
        "exec ganformer --log {log} evaluate --evaluation {params.evaluation:q} --run {input.run} --step {wildcards.step}"
        " --data {input.data} --reference {input.reference} --out {output} --threads {threads} --gpus {resources.gpu}"
