rule pack:
    input:
        lambda w: map(str, cfg.datasets[w.dataset].source.inputs),
    output:
        "results/data/{dataset}/manifest.json",
    log:
        "results/logs/pack/{dataset}.log",
    benchmark:
        "results/benchmarks/pack/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        dataset=lambda w: cfg.datasets[w.dataset].json(),
    shell:
        "exec ganformer --log {log} pack --dataset {params.dataset:q} --out $(dirname {output})"
