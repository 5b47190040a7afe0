rule reals:
    input:
        data="results/data/{dataset}/manifest.json",
    output:
        "results/data/{dataset}/reals-{number}.npz",
    log:
        "results/logs/reals/{dataset}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    shell:
        "exec ganformer --log {log} reals --data {input.data} --count {wildcards.number} --out {output}"


rule sample:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
    output:
        f"{RUN}/samples-{{number}}.npz",
    log:
        "results/logs/sample/{dataset}.{model}.seed{seed}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus(),
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} sample --run {input.run} --count {wildcards.number} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


rule attend:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
    output:
        f"{RUN}/attention-{{number}}.npz",
    log:
        "results/logs/attend/{dataset}.{model}.seed{seed}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus(),
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} attend --run {input.run} --count {wildcards.number} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"
