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
        gpu=gpu,
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} sample --run {input.run} --count {wildcards.number} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


rule attend:
    input:
        weights=with_attention,
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
        gpu=gpu,
        mem_mb=4000,
        runtime=30,
    shell:
        "exec ganformer --log {log} attend --run {input.run} --count {wildcards.number} --out {output}"
        " --threads {threads} --gpus {resources.gpu}"


# What reads objects in images; for the built-in scenes a small network is trained.
rule parser:
    input:
        parser_inputs,
    output:
        update("results/parsers/{dataset}/parser.json"),
    log:
        "results/logs/parser/{dataset}.log",
    benchmark:
        "results/benchmarks/parser/{dataset}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=60,
    params:
        results=results,
        parsing=lambda w: cfg.parser(w.dataset).json(),
        dataset=lambda w: cfg.datasets[w.dataset].json(),
    shell:
        "exec ganformer --results {params.results:q} --log {log} parser --parsing {params.parsing:q} --dataset {params.dataset:q}"
        " --out $(dirname {output}) --threads {threads} --gpus {resources.gpu}"


rule scene_statistics:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
        data=lambda w: f"results/data/{cfg.reals(w.dataset)}/manifest.json",
        parser="results/parsers/{dataset}/parser.json",
    output:
        update(f"{RUN}/scene-statistics-{{number}}.json"),
    log:
        "results/logs/scene_statistics/{dataset}.{model}.seed{seed}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=60,
    params:
        results=results,
    shell:
        "exec ganformer --results {params.results:q} --log {log} scene-statistics --images {wildcards.number} --run {input.run} --data {input.data}"
        " --parser {input.parser} --out {output} --threads {threads} --gpus {resources.gpu}"


rule disentanglement:
    input:
        weights=with_latents,
        run=f"{RUN}/run.json",
        parser="results/parsers/{dataset}/parser.json",
    output:
        update(f"{RUN}/disentanglement-{{number}}.json"),
    log:
        "results/logs/disentanglement/{dataset}.{model}.seed{seed}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=60,
    params:
        results=results,
    shell:
        "exec ganformer --results {params.results:q} --log {log} disentanglement --images {wildcards.number} --run {input.run}"
        " --parser {input.parser} --out {output} --threads {threads} --gpus {resources.gpu}"


rule attention_segments:
    input:
        weights=with_attention,
        run=f"{RUN}/run.json",
        parser="results/parsers/{dataset}/parser.json",
    output:
        update(f"{RUN}/attention-segmentation-{{number}}.json"),
    log:
        "results/logs/attention_segments/{dataset}.{model}.seed{seed}-{number}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=30,
    params:
        results=results,
    shell:
        "exec ganformer --results {params.results:q} --log {log} attention-segments --images {wildcards.number} --run {input.run}"
        " --parser {input.parser} --out {output} --threads {threads} --gpus {resources.gpu}"


rule find_copies:
    input:
        weights=f"{RUN}/weights.safetensors",
        run=f"{RUN}/run.json",
        data="results/data/{dataset}/manifest.json",
        held_out=held_out,
        extractor=paths(cfg.evaluation.extractor.inputs),
    output:
        update(f"{RUN}/copies-{{experiment}}.npz"),
    log:
        "results/logs/find_copies/{dataset}.{model}.seed{seed}-{experiment}.log",
    benchmark:
        "results/benchmarks/find_copies/{dataset}.{model}.seed{seed}-{experiment}.tsv"
    wildcard_constraints:
        experiment=named("memorisation"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=120,
    params:
        results=results,
        evaluation=copies_evaluation,
        pairs=lambda w: cfg.experiments[w.experiment].count,
        held_out=lambda w, input: (
            f" --held-out {input.held_out}" if input.held_out else ""
        ),
    shell:
        "exec ganformer --results {params.results:q} --log {log} find-copies --evaluation {params.evaluation:q} --run {input.run} --data {input.data}"
        "{params.held_out} --count {params.pairs} --out {output} --threads {threads} --gpus {resources.gpu}"
