"""Installed packages with plug-ins, as pip leaves them in a folder: their modules beside their `dist-info`."""

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

TINY = Path(__file__).parent / "plug_in"


def install(package: Path, site: Path) -> Path:
    """Put the modules of a package into the folder `site`, and what its pyproject.toml says of it; return `site`."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
    for module in project["tool"]["setuptools"]["py-modules"]:
        shutil.copy(package / f"{module}.py", site)
    return describe(site, project["project"]["name"], project["project"]["entry-points"])


def describe(site: Path, name: str, groups: Mapping[str, Mapping[str, str]]) -> Path:
    """Write the `dist-info` of a package with these entry points into the folder `site`, and return `site`."""
    folder = site / f"{name.replace('-', '_')}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site
