"""Page of the demo; `ganformer demo` lets Streamlit run it, with threads and the folders of runs as arguments."""

import base64
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import altair as alt
import streamlit as st
import torch

from ganformer import artifacts
from ganformer.analysis import explorer
from ganformer.analysis.explorer import Explorer
from ganformer.analysis.looking import write_latents
from ganformer.data.images import Pixels
from ganformer.demo.studio import Recipe, Source, Studio, as_npz, as_png, command, strongest
from ganformer.errors import UserError
from ganformer.records.run import RUN_FILE, STATE
from ganformer.records.training import is_unfinished
from ganformer.report import pretrained

SHOWN = 448  # pixels of the picture on the page, about
FIRST_DRAWN = 1_000_000  # seed before the first one that a component is drawn from anew
OFF = "none"


def weights() -> dict[str, Path]:
    """Return the runs to choose from, by their names: those given, then the pretrained ones."""
    found = {str(path): path for path in map(Path, sys.argv[2:])}
    for path in pretrained.find(pretrained.places()):
        found.setdefault(f"pretrained/{path.folder.name}", path.folder)
    return found


@st.cache_resource
def opened(path: str, version: str) -> Explorer:
    """Open a run once for all visits; with other weights at the same place it has another version."""
    return explorer.opened(Path(path))


def version(folder: Path) -> str:
    """Return the sha256 of a run's record, or the checkpoints of a training that has not ended."""
    if not is_unfinished(folder):
        return artifacts.file_digest(folder / RUN_FILE)
    return " ".join(sorted(path.name for path in (folder / STATE).glob("*/checkpoint-*.pt")))


@st.cache_resource
def alone() -> threading.RLock:
    """Return the lock of all visits: networks are changed while they are looked into."""
    return threading.RLock()


def number(sources: tuple[Source, ...]) -> str:
    """Return sources in words, e.g. `0, 0, 7`."""
    return ", ".join(map(str, sources))


def show(picture: Pixels, key: str) -> tuple[float, float, float, float] | None:
    """Show a picture and return the box that was drawn on it: left, top, right, bottom from 0 to 1; None: no box."""
    height, width = picture.shape[:2]
    factor = max(1, round(SHOWN / width))
    url = "data:image/png;base64," + base64.b64encode(as_png(picture.repeat(factor, 0).repeat(factor, 1))).decode()
    size = {"width": width * factor, "height": height * factor}
    unit = alt.Scale(domain=[0, 1])
    across, up = alt.X("x:Q", axis=None, scale=unit), alt.Y("y:Q", axis=None, scale=unit)
    middle = alt.InlineData(values=[{"x": 0.5, "y": 0.5, "url": url}])
    image = alt.Chart(middle).mark_image(**size).encode(across, up, url="url:N")
    corners = alt.Chart(alt.InlineData(values=[{"x": x, "y": y} for x in (0, 1) for y in (0, 1)]))
    brush = alt.selection_interval(name="box", encodings=["x", "y"])
    points = corners.mark_point(opacity=0).encode(across, up).add_params(brush)
    chart = alt.layer(image, points).properties(**size).configure_view(strokeWidth=0)
    event: Any = st.altair_chart(chart, on_select="rerun", selection_mode="box", key=key, width="content")
    return box_of(event.get("selection", {}).get("box", {}))


def box_of(selection: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return the box of a selection of vega, whose y axis goes up; None if it is empty."""
    if not {"x", "y"} <= set(selection):
        return None
    (left, right), (bottom, top) = sorted(selection["x"]), sorted(selection["y"])
    return left, 1 - top, right, 1 - bottom


def begin(name: str, run: Explorer) -> tuple[Any, Studio]:
    """Return the state of the page, begun anew where another run was chosen, and what makes its pictures."""
    state = st.session_state
    if state.get("run") != name:
        state.run, state.saved = name, {}
        state.absent, state.locked, state.drawn = set(), set(), FIRST_DRAWN
        state.sources = [int(state.get("seed", 0))] * Studio(run).slots
    return state, Studio(run, int(sys.argv[1]), state.saved)


def fill(state: Any, source: Source) -> None:
    """Let all latents that are not locked come from a source."""
    state.sources = [old if slot in state.locked else source for slot, old in enumerate(state.sources)]


def component_controls(state: Any, studio: Studio) -> list[int]:
    """Show what can be done with components, and return the chosen ones."""
    chosen: list[int] = st.multiselect(
        "Components",
        range(studio.slots),
        key="chosen",
        format_func=studio.title,
        placeholder="Choose some, or draw a box",
    )
    donor = st.number_input("Seed to swap from", 0, 2**32 - 1, 4, key="donor")
    left, middle, right = st.columns(3)
    if left.button("Resample", key="resample", disabled=not chosen, width="stretch"):
        for slot in chosen:
            state.drawn += 1
            state.sources[slot] = state.drawn
    if middle.button("Swap", key="swap", disabled=not chosen, width="stretch"):
        for slot in chosen:
            state.sources[slot] = int(donor)
    if right.button("Remove", key="remove", disabled=not chosen, width="stretch"):
        kept = set(range(studio.components)) - state.absent - set(chosen)
        if kept:
            state.absent |= {slot for slot in chosen if slot < studio.components}
        else:
            st.warning("One component has to stay.")
    if left.button("Lock", key="lock", disabled=not chosen, width="stretch"):
        state.locked |= set(chosen)
    if middle.button("Unlock", key="unlock", disabled=not chosen, width="stretch"):
        state.locked -= set(chosen)
    if right.button("Restore all", key="restore", width="stretch"):
        state.absent, state.locked = set(), set()
        state.sources = [int(state.seed)] * studio.slots
    said = [f"latents come from seeds {number(tuple(state.sources))}"]
    said += [f"removed: {', '.join(map(str, sorted(state.absent)))}"] if state.absent else []
    said += [f"locked: {', '.join(map(studio.title, sorted(state.locked)))}"] if state.locked else []
    st.caption("; ".join(said))
    return chosen


def project(studio: Studio, file: Any) -> None:
    """Find the latents of an uploaded picture and save them as `upload`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"upload{Path(file.name).suffix}")
        path.write_bytes(file.getvalue())
        with st.spinner("looking for its latents"):
            studio.bring_in(path)


def offer(studio: Studio, path: Path, recipe: Recipe, picture: Pixels, w: Any, masks: Mapping[str, Any]) -> None:
    """Show what can be downloaded, and the command that makes the same picture."""
    st.download_button("Download the picture", as_png(picture), "picture.png", key="png", width="stretch")
    if w is not None:
        with tempfile.TemporaryDirectory() as folder:
            write_latents(Path(folder, "latents.npz"), w.cpu().numpy(), ["demo"], studio.run.record)
            content = Path(folder, "latents.npz").read_bytes()
        st.download_button("Download its latents", content, "latents.npz", key="npz", width="stretch")
    if masks:
        arrays = {f"layer_{number}": mask for number, mask in enumerate(masks.values())}
        st.download_button("Download its masks", as_npz(arrays), "masks.npz", key="masks", width="stretch")
    st.code(command(path, recipe), language="sh", wrap_lines=True)


def main() -> None:
    """Show the page."""
    st.set_page_config("GANformer", layout="wide")
    st.markdown("#### GANformer: look inside and edit")
    choices = weights()
    if not choices:
        st.error("There is no run to show; give one with `ganformer demo --weights RUN`.")
        return
    name = st.sidebar.selectbox("Weights", list(choices), key="weights")
    state, studio = begin(name, opened(str(choices[name]), version(choices[name])))
    st.sidebar.number_input("Seed", 0, 2**32 - 1, key="seed", on_change=lambda: fill(state, int(st.session_state.seed)))
    truncation = st.sidebar.slider("Truncation ψ", 0.0, 1.5, 0.7, 0.05, key="truncation")
    wanted = st.sidebar.selectbox("Class", [OFF, *studio.classes], key="label") if studio.classes else OFF
    label = None if wanted == OFF else wanted
    shown, controls = st.columns([3, 2])
    if not studio.has_latents:
        recipe = Recipe((int(state.seed),), truncation=truncation, label=label)
        picture = studio.sample(int(state.seed), truncation, label)
        with shown:
            show(picture, "picture")
            offer(studio, choices[name], recipe, picture, None, {})
        return
    with controls:
        if studio.components:
            component_controls(state, studio)
    recipe = Recipe(tuple(state.sources), frozenset(state.absent), truncation, label)
    w = studio.latents(recipe)
    with controls:
        between = way(studio, w)
        uploads(state, studio)
    if between is not None:
        w, recipe = between, replace(recipe, sources=("between A and B",))
    picture, regions = studio.seen(w, sorted(recipe.absent))
    masks = studio.masks(regions)
    with shown:
        layer = head = alpha = None
        if masks:
            first, second, third = st.columns(3)
            layer = first.selectbox("Attention of", [OFF, *masks], key="layer")
            heads = len(next(iter(masks.values())))
            head = second.selectbox("Head", range(heads), key="head") if heads > 1 else 0
            alpha = third.slider("Weight of the colours", 0.0, 1.0, 0.6, 0.1, key="alpha")
        covered = picture
        if masks and layer != OFF:
            covered = studio.overlay(picture, masks[cast(str, layer)][cast(int, head)], cast(float, alpha))
        box = show(covered, f"picture-{name}")
        if box is not None and regions:
            shares = regions[cast(str, layer)] if layer != OFF else list(regions.values())[-1]
            found = strongest(shares, box)
            st.info(f"In the box component {found} is the strongest.")
            st.button("Choose it", key="choose", on_click=lambda: st.session_state.update(chosen=[found]))
        offer(studio, choices[name], recipe, picture, w, masks)


def way(studio: Studio, w: Any) -> Any:
    """Show how pictures are saved and interpolated; return latents between two saved ones, None: they are not shown."""
    left, right = st.columns(2)
    for column, name in ((left, "A"), (right, "B")):
        if column.button(f"Save as {name}", key=f"save-{name}", width="stretch"):
            studio.saved[name] = w.clone()
    if not {"A", "B"} <= set(studio.saved):
        st.caption("Save two pictures to interpolate between them.")
        return None
    part = st.slider("From A to B", 0.0, 1.0, 0.0, 0.05, key="part")
    if not st.toggle("Show the picture between A and B", key="between"):
        return None
    return torch.lerp(studio.saved["A"], studio.saved["B"], part)


def uploads(state: Any, studio: Studio) -> None:
    """Show how a picture is brought in."""
    file = st.file_uploader("Your picture", type=["png", "jpg", "jpeg", "webp"], key="file")
    if st.button("Find its latents", key="project", disabled=file is None, width="stretch"):
        try:
            project(studio, file)
        except UserError as error:
            st.error(str(error))
            return
        fill(state, "upload")
        st.rerun()


if __name__ == "__main__":
    with alone():
        main()
