# One rule for each kind of table and figure that the configuration has; a kind names its inputs and forms.
for kind, exhibit_type in kinds().items():

    rule:
        name:
            f"{kind.replace('-', '_')}_{exhibit_type.shape}"
        input:
            drawn_from,
        output:
            report(
                multiext(
                    f"results/{exhibit_type.shape}s/{{experiment}}",
                    *[f".{form}" for form in exhibit_type.forms],
                ),
                caption=caption(kind),
                category=f"{exhibit_type.shape.title()}s",
                labels={exhibit_type.shape: "{experiment}"},
            ),
            json=f"results/{exhibit_type.shape}s/{{experiment}}.json",
        log:
            "results/logs/report/{experiment}.log",
        wildcard_constraints:
            experiment=named(kind),
        localrule: True
        conda:
            "../../envs/report.yaml"
        params:
            experiment=experiment_json,
            stem=lambda w, output: output.json.removesuffix(".json"),
        shell:
            "exec ganformer --log {log} draw --experiment {params.experiment:q} --out {params.stem} {input}"


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
        "exec ganformer --log {log} step page --config {params.config:q}"
        " --command {params.command:q} --out {output}"
        " {input.exhibits} {input.runs} {input.packs} {input.reals}"


# Page of the documentation about what `all` makes; only on demand, since it is part of the repository.
if cfg.publication:

    rule publish:
        input:
            template=local(str(cfg.publication.template)),
            exhibits=[exhibit(name) for name in exhibits("report")],
            files=[file for name in exhibits("report") for file in target(name)],
            runs=[f"{run_folder(*run)}/run.json" for run in shown("report").runs()],
        output:
            local(f"{cfg.publication.out}/index.md"),
        log:
            "results/logs/report/publish.log",
        localrule: True
        conda:
            "../../envs/report.yaml"
        params:
            config=shown("report").text(),
            command=config["command"],
            out=str(cfg.publication.out),
        shell:
            "exec ganformer --log {log} step publish --config {params.config:q} --command {params.command:q}"
            " --template {input.template} --out {params.out} {input.exhibits} {input.runs}"


# Best seeds of the models of one experiment, with their records and model cards; part of the repository, too.
if cfg.publication and cfg.publication.weights_of:
    exported = cfg.experiments[cfg.publication.weights_of]

    rule pretrained:
        input:
            local(
                expand(
                    "pretrained/{dataset}-{model}/run.json",
                    dataset=exported.datasets,
                    model=exported.models,
                )
            ),
        localrule: True

    rule export:
        input:
            weights=lambda w: [
                f"{run_folder(w.dataset, w.model, seed)}/weights.safetensors"
                for seed in exported.seeds
            ],
            runs=lambda w: [
                f"{run_folder(w.dataset, w.model, seed)}/run.json"
                for seed in exported.seeds
            ],
            metrics=lambda w: [
                f"{run_folder(w.dataset, w.model, seed)}/metrics/step-{cfg.spec(w.dataset, w.model, seed).snapshot_steps[-1]}.json"
                for seed in exported.seeds
            ],
        output:
            local("pretrained/{dataset}-{model}/run.json"),
        log:
            "results/logs/report/export-{dataset}.{model}.log",
        localrule: True
        conda:
            "../../envs/report.yaml"
        params:
            by=cfg.best_by,
            out=lambda w: f"pretrained/{w.dataset}-{w.model}",
        shell:
            "exec ganformer --log {log} step export --by {params.by} --out {params.out} {input.runs} {input.metrics}"
