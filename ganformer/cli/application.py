"""The application: groups of commands, options of all of them, and exit statuses."""

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ganformer import artifacts
from ganformer.cli import data, look, step, use
from ganformer.cli.common import group
from ganformer.cli.log import Log, Tee
from ganformer.errors import StoppedError, UserError

AGAIN = 75
"""Exit status of work that was stopped and saved: EX_TEMPFAIL of sysexits.h."""

app = group("Generative Adversarial Transformers: data, training, evaluation, tables and figures.")
app.add_typer(data.app, name="data")
app.command()(use.train)
app.command()(use.status)
app.command()(use.evaluate)
app.command()(use.generate)
app.command()(use.timelapse)
app.add_typer(look.app, name="look")
app.command("project")(use.project)
app.command()(use.demo)
app.command("import")(use.import_)
app.command()(use.export)
app.command()(use.draw)
app.command()(use.check)
app.add_typer(step.app, name="step")


def main() -> NoReturn:
    """Run the command line.

    Exit status: 0 done, 1 an error that the message explains, 2 a wrong call, 3 a bug, 75 stopped and saved, to be run
    again.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # done work must not fail for want of a letter
    try:
        app(standalone_mode=True)
    except UserError as error:
        _say(f"ganformer: {type(error).__name__}: {error}\n")
        sys.exit(AGAIN if isinstance(error, StoppedError) else 1)
    except Exception as error:
        if isinstance(error, OSError) and (reason := artifacts.refusal(error)):
            file = f"{error.filename}: " if error.filename else ""
            _say(f"ganformer: {file}cannot be written ({reason}); make room there and run again\n")
            sys.exit(1)
        _say(traceback.format_exc())
        sys.exit(3)
    sys.exit(0)


def _say(text: str) -> None:
    """Print on standard error, even if the log cannot be written."""
    try:
        sys.stderr.write(text)
    except OSError:
        sys.stderr.write(text)
    sys.stderr.flush()


@app.callback()
def options(
    log: Annotated[Path | None, typer.Option(help="File for a copy of all messages.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder that `results` in settings stands for.")] = None,
) -> None:
    """Generative Adversarial Transformers: data, training, evaluation, tables and figures."""  # noqa: D401 - the help text
    if results is not None:
        os.environ[artifacts.RESULTS] = str(results)
    if log is not None:
        with artifacts.may_write(log):
            file = Log(log)
        sys.stdout, sys.stderr = Tee(sys.stdout, file), Tee(sys.stderr, file)
