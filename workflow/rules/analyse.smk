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
        "exec ganformer --log {log} step reals --data {input.data} --count {wildcards.number} --out {output}"


# Parser of objects in images; for the built-in scenes a small network is trained.
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
        "exec ganformer --results {params.results:q} --log {log} step parser --parsing {params.parsing:q} --dataset {params.dataset:q}"
        " --out $(dirname {output}) --threads {threads} --gpus {resources.gpu}"


PARSER = "results/parsers/{dataset}/parser.json"
# Analyses of images of a run: name of the rule, kind, file, weights of models that it can analyse, inputs beside the
# run, and minutes.
ANALYSES = [
    ("sample", "samples", "samples-{number}.npz", weights, {}, 30),
    ("attend", "attention", "attention-{number}.npz", with_attention, {}, 30),
    (
        "scene_statistics",
        "scene-statistics",
        "scene-statistics-{number}.json",
        weights,
        {"data": real_images, "parser": PARSER},
        60,
    ),
    (
        "disentanglement",
        "disentanglement",
        "disentanglement-{number}.json",
        with_latents,
        {"parser": PARSER},
        60,
    ),
    (
        "attention_segments",
        "attention-segmentation",
        "attention-segmentation-{number}.json",
        with_attention,
        {"parser": PARSER},
        30,
    ),
]

for analysis, kind, file, analysed, others, minutes in ANALYSES:

    rule:
        name:
            analysis
        input:
            **others,
            weights=analysed,
            run=f"{RUN}/run.json",
        output:
            update(f"{RUN}/{file}"),
        log:
            f"results/logs/{analysis}/{{dataset}}.{{model}}.seed{{seed}}-{{number}}.log",
        wildcard_constraints:
            number=r"\d+",
        conda:
            "../../envs/torch.yaml"
        threads: 1
        resources:
            gpu=gpu,
            mem_mb=4000,
            runtime=minutes,
        params:
            results=results,
            kind=kind,
            others=as_options(others),
        shell:
            "exec ganformer --results {params.results:q} --log {log} step analyse {params.kind} --images {wildcards.number} --run {input.run}"
            "{params.others} --out {output} --threads {threads} --gpus {resources.gpu}"


rule look:
    input:
        looked_with,
        weights=weights,
        run=f"{RUN}/run.json",
    output:
        update(f"{RUN}/looks/{{experiment}}.npz"),
    log:
        "results/logs/look/{dataset}.{model}.seed{seed}-{experiment}.log",
    wildcard_constraints:
        experiment=named("look"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=gpu,
        mem_mb=4000,
        runtime=30,
    params:
        results=results,
        look=lambda w: cfg.experiments[w.experiment].look.json(),
    shell:
        "exec ganformer --results {params.results:q} --log {log} step look --look {params.look:q} --run {input.run}"
        " --out {output} --threads {threads} --gpus {resources.gpu}"


rule find_copies:
    input:
        weights=weights,
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
        images=lambda w: cfg.experiments[w.experiment].images,
        pairs=lambda w: cfg.experiments[w.experiment].count,
        held_out=lambda w, input: (
            f" --held-out {input.held_out}" if input.held_out else ""
        ),
    shell:
        "exec ganformer --results {params.results:q} --log {log} step analyse copies --images {params.images} --run {input.run} --data {input.data}"
        "{params.held_out} --evaluation {params.evaluation:q} --pairs {params.pairs} --out {output} --threads {threads} --gpus {resources.gpu}"
