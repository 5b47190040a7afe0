rule reals:
    input:
        data="results/data/{dataset}/manifest.json",
    output:
        "results/data/{dataset}/reals-{count}.npz",
    log:
        "results/logs/reals/{dataset}-{count}.log",
    wildcard_constraints:
        count=r"\d+",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    shell:
        "exec ganformer --log {log} reals --data {input.data} --count {wildcards.count} --out {output}"


rule sample:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
    output:
        f"{RUN}/samples-{{count}}.npz",
    log:
        "results/logs/sample/{dataset}.{model}.seed{seed}-{count}.log",
    wildcard_constraints:
        count=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus_here(),
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} sample --run {input.run} --count {wildcards.count} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


rule attend:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
    output:
        f"{RUN}/attention-{{count}}.npz",
    log:
        "results/logs/attend/{dataset}.{model}.seed{seed}-{count}.log",
    wildcard_constraints:
        count=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpus_here(),
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} attend --run {input.run} --count {wildcards.count} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"
