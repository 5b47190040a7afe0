rule reference:
    input:
        data="results/data/{dataset}/manifest.json",
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
        reference="results/reference/{dataset}.npz",
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
        " --reference {input.reference} --out {output} --threads {threads} --gpus {resources.gpu}"
