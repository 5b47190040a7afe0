"""A run at Weights & Biases, which gets what TensorBoard gets. Whatever fails there ends only that, with one line."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganformer.config import Logging, Wandb
from ganformer.errors import ConfigError

PACKAGE = "wandb"
PATIENCE = 60.0  # seconds to wait for the server when a run begins, and for the last uploads when it ends


def check(logging: Logging | None) -> None:
    """Raise ConfigError if the package of Weights & Biases is wanted but not installed, or nobody is logged in."""
    settings = wanted(logging)
    if settings is None:
        return
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(
            "logging.wandb: needs the package wandb, which is not installed; in the clone: pip install -e '.[wandb]'"
        )
    if settings.mode == "online" and not _is_logged_in():
        raise ConfigError(
            "logging.wandb: nobody is logged in at Weights & Biases; call `wandb login`, or set its mode to offline"
        )


def wanted(logging: Logging | None) -> Wandb | None:
    """Return the settings of Weights & Biases; None if nothing goes there."""
    found = None if logging is None else logging.wandb
    return None if found is None or found.mode == "disabled" else found


def _is_logged_in() -> bool:
    """Return whether there is a key; of a broken installation True, since it fails later, with a line."""
    try:
        return bool(_package().login(prompt=False))
    except Exception:
        return True


def _package() -> Any:
    return importlib.import_module(PACKAGE)  # here, as it takes half a second


class WandbRun:
    """A run at Weights & Biases, written by one process; `log`, `show` and `close` never raise.

    `run`: its id there, the same whenever this training is resumed, so that it goes on; `label`: of the training in
    printed lines; `facts`: its settings; `out`: folder of the training, in which `wandb/` is made.
    """

    def __init__(self, settings: Wandb, out: Path, run: str, label: str, facts: Mapping[str, Any]) -> None:
        self._label = label
        self._open: Any = None
        self._attempt(lambda: self._begin(settings, out, run, facts))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of a step. Those of a step before the last one are dropped there."""
        self._with(lambda run: run.log(dict(values), step=step))

    def show(self, tag: str, step: int, picture: Path) -> None:
        """Log a file of a picture under `tag`."""
        self._with(lambda run: run.log({tag: _package().Image(str(picture))}, step=step))

    def close(self, *, failed: bool) -> None:
        """End this part of the run; `failed`: the training was stopped by an error or a signal."""
        self._with(lambda run: run.finish(exit_code=int(failed)))
        self._open = None

    def _begin(self, settings: Wandb, out: Path, run: str, facts: Mapping[str, Any]) -> None:
        wandb = _package()
        self._open = wandb.init(
            project=settings.project,
            entity=settings.entity,
            mode=settings.mode,
            id=run,
            resume="allow",
            name=self._label.removeprefix("train "),
            config=dict(facts),
            allow_val_change=True,  # a longer training of the same trajectory goes on
            dir=str(out),
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, init_timeout=PATIENCE, finish_timeout=PATIENCE
            ),
        )
        is_online = settings.mode == "online"
        place = f"to {self._open.url}" if is_online else f"into {out / 'wandb'}, which `wandb sync` uploads"
        print(f"{self._label}: logs {place}", flush=True)

    def _with(self, act: Callable[[Any], object]) -> None:
        """Do something with the run, if it is open."""
        run = self._open
        if run is not None:
            self._attempt(lambda: act(run))

    def _attempt(self, act: Callable[[], object]) -> None:
        """Do something; if it fails, say so and do nothing more."""
        try:
            act()
        except Exception as error:  # whatever it is, the training matters more
            self._open = None
            reason = str(error).partition("\n")[0] or type(error).__name__
            print(f"{self._label}: Weights & Biases fails, and the training goes on without it: {reason}", flush=True)
