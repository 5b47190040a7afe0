rule comparison_table:
    input:
        metrics=metrics(every_snapshot=False),
        published=PUBLISHED,
    output:
        report(
            multiext("results/tables/{experiment}", ".csv", ".md", ".tex"),
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "{experiment}"},
        ),
        json="results/tables/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("comparison"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} comparison --experiment {params.experiment:q} --published {input.published}"
        " --out {params.stem} {input.metrics}"


rule cost_table:
    input:
        runs=per_run("run.json"),
    output:
        report(
            multiext("results/tables/{experiment}", ".csv", ".md", ".tex"),
            caption="../report/cost.rst",
            category="Tables",
            labels={"table": "{experiment}"},
        ),
        json="results/tables/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("cost"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} cost --experiment {params.experiment:q}"
        " --out {params.stem} {input.runs}"


rule learning_curves_figure:
    input:
        metrics=metrics(every_snapshot=True),
    output:
        report(
            multiext("results/figures/{experiment}", ".csv", ".png", ".pdf"),
            caption="../report/learning-curves.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("learning-curves"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} learning-curves --experiment {params.experiment:q}"
        " --out {params.stem} {input.metrics}"


rule data_efficiency_figure:
    input:
        runs=per_run("run.json"),
        metrics=metrics(every_snapshot=False),
    output:
        report(
            multiext("results/figures/{experiment}", ".csv", ".png", ".pdf"),
            caption="../report/data-efficiency.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("data-efficiency"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} data-efficiency --experiment {params.experiment:q}"
        " --out {params.stem} {input.runs} {input.metrics}"


rule ablation_figure:
    input:
        metrics=metrics(every_snapshot=False),
    output:
        report(
            multiext("results/figures/{experiment}", ".csv", ".png", ".pdf"),
            caption="../report/ablation.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("ablation"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} ablation --experiment {params.experiment:q}"
        " --out {params.stem} {input.metrics}"


rule samples_figure:
    input:
        reals=lambda w: expand(
            "results/data/{dataset}/reals-{number}.npz",
            dataset=cfg.experiments[w.experiment].datasets,
            number=cfg.experiments[w.experiment].count,
        ),
        samples=per_run("samples-{e.count}.npz"),
    output:
        report(
            multiext("results/figures/{experiment}", ".png", ".pdf"),
            caption="../report/samples.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("samples"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} samples --experiment {params.experiment:q}"
        " --out {params.stem} {input.reals} {input.samples}"


rule attention_figure:
    input:
        maps=per_run("attention-{e.count}.npz"),
    output:
        report(
            multiext("results/figures/{experiment}", ".png", ".pdf"),
            caption="../report/attention.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("attention"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} attention --experiment {params.experiment:q}"
        " --out {params.stem} {input.maps}"


rule attention_segmentation_figure:
    input:
        files=per_run("attention-segmentation-{e.images}.json"),
    output:
        report(
            multiext("results/figures/{experiment}", ".csv", ".png", ".pdf"),
            caption="../report/attention-segmentation.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("attention-segmentation"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} attention-segmentation --experiment {params.experiment:q}"
        " --out {params.stem} {input.files}"


rule memorisation_figure:
    input:
        files=per_run("copies-{w.experiment}.npz"),
    output:
        report(
            multiext("results/figures/{experiment}", ".csv", ".png", ".pdf"),
            caption="../report/memorisation.rst",
            category="Figures",
            labels={"figure": "{experiment}"},
        ),
        json="results/figures/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("memorisation"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} memorisation --experiment {params.experiment:q}"
        " --out {params.stem} {input.files}"


rule parsed_table:
    input:
        files=per_run("{e.kind}-{e.images}.json"),
        published=PUBLISHED,
    output:
        report(
            multiext("results/tables/{experiment}", ".csv", ".md", ".tex"),
            caption="../report/parsed.rst",
            category="Tables",
            labels={"table": "{experiment}"},
        ),
        json="results/tables/{experiment}.json",
    log:
        "results/logs/report/{experiment}.log",
    wildcard_constraints:
        experiment=named("scene-statistics", "disentanglement"),
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        experiment=experiment_json,
        stem=lambda w, output: output.json.removesuffix(".json"),
    shell:
        "exec ganformer --log {log} parsed --experiment {params.experiment:q} --published {input.published}"
        " --out {params.stem} {input.files}"


# `report` is of what `all` makes, `extended` of everything.
rule page:
    input:
        lambda w: [file for name in exhibits(w.page) for file in target(name)],
        exhibits=lambda w: [exhibit(name) for name in exhibits(w.page)],
        runs=lambda w: [f"{run_folder(*run)}/run.json" for run in shown(w.page).runs()],
        packs=lambda w: expand(
            "results/data/{dataset}/manifest.json", dataset=used_datasets(w.page)
        ),
        reals=lambda w: expand(
            "results/data/{dataset}/reals-16.npz", dataset=used_datasets(w.page)
        ),
    output:
        report("results/{page}.html", caption="../report/page.rst", category="Report"),
    log:
        "results/logs/report/{page}.log",
    wildcard_constraints:
        page="report|extended",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        config=lambda w: shown(w.page).text(),
        command=config["command"],
    shell:
        "exec ganformer --log {log} page --config {params.config:q}"
        " --command {params.command:q} --out {output}"
        " {input.exhibits} {input.runs} {input.packs} {input.reals}"
