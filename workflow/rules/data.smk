# On the machine that runs Snakemake, as weights are. An interrupted transfer resumes.
rule download:
    output:
        "results/downloads/{name}/download.json",
    log:
        "results/logs/download/{name}.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    params:
        downloads=lambda w, output: Path(output[0]).parents[1],
    shell:
        "exec ganformer --log {log} data download {wildcards.name} --out {params.downloads}"


rule pack:
    input:
        lambda w: paths(outermost(cfg.datasets[w.dataset].source.inputs)),
    output:
        "results/data/{dataset}/manifest.json",
    log:
        "results/logs/pack/{dataset}.log",
    benchmark:
        "results/benchmarks/pack/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        results=results,
        dataset=lambda w: cfg.datasets[w.dataset].packing.json(),
        # Digest of all files in the folders among the inputs, which may be thousands.
        inside=lambda w: newest(cfg.datasets[w.dataset].source.inputs),
    shell:
        "exec ganformer --results {params.results:q} --log {log} data pack --dataset {params.dataset:q} --out $(dirname {output}) --workers {threads}"


# Every data set of the configuration, whether an experiment needs it or not.
rule packs:
    input:
        expand("results/data/{dataset}/manifest.json", dataset=cfg.datasets),
    localrule: True
