"""Two processes on the CPU, as two GPUs would have them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist

from ganformer import artifacts
from ganformer.data.dataset import Images
from ganformer.errors import DataError, TrainingError
from ganformer.models.stylegan2 import model as stylegan2
from ganformer.training import distribution, loop
from ganformer.training.checkpoint import Checkpoints, Identity
from ganformer.training.learner import Reals
from ganformer.training.stop import Stop
from ganformer.training.update import Update
from tests.training.tiny_runs import IMAGE, tiny_spec

pytestmark = pytest.mark.slow

TWO = [torch.device("cpu")] * 2


def slope_of(share: float) -> float:
    """Return mean gradient of two ranks, the second of which has twice the share."""
    parameter = nn.Parameter(torch.zeros(2))
    update = Update("line", [parameter], torch.optim.SGD([parameter], lr=1.0))
    slope = torch.tensor(share * (1 + distribution.rank()))
    loss, _ = update.minimise(lambda slope: (slope * parameter.sum() + slope, {}), [(slope,)])
    torch.testing.assert_close(loss, torch.tensor(share * 1.5))
    return -parameter[0].item()


def write_all(pack: Path, folder: Path, device: torch.device) -> None:
    """Write below folders of their own what the tests of values read; starting two processes takes longest."""
    for name in ("known", "means", "buffers"):
        (folder / name).mkdir(exist_ok=True)
    write_what_ranks_know(folder / "known", device)
    write_means_of_w(folder / "means", device)
    write_buffers(pack, folder / "buffers", device)


def write_what_ranks_know(folder: Path, device: torch.device) -> None:
    rank = distribution.rank()
    shared = [torch.full((2, 2), float(rank)), torch.tensor(rank + 5.0)]
    distribution.share(shared)
    mean_of_all = [torch.full((5,), float(rank)), torch.tensor(10.0 * rank), torch.full((2, 3), 4.0 - rank)]
    shared_of_all = [tensor.clone() for tensor in mean_of_all]
    sizes = [buckets_of(distribution.average, mean_of_all), buckets_of(distribution.share, shared_of_all)]
    known = {
        "ranks": distribution.ranks(),
        "mean of all": [tensor.tolist() for tensor in mean_of_all],
        "shared of all": [tensor.tolist() for tensor in shared_of_all],
        "buckets": sizes,
        "slope": slope_of(1.0),
        "shared": [tensor.tolist() for tensor in shared],
        "any": [distribution.any_rank(rank == 1, device), distribution.any_rank(False, device)],
        "gathered": distribution.gather(rank + 10),
        "patience": dist.group.WORLD._get_backend(device).options._timeout.total_seconds(),
    }
    artifacts.write_json(folder / f"{rank}.json", known)


def buckets_of(exchange: Callable[[list[Tensor]], None], tensors: list[Tensor]) -> list[int]:
    """Return the sizes of the buckets in which `exchange` sends tensors when one holds six float32 numbers."""
    sizes: list[int] = []

    def spied(send: Callable[..., Any]) -> Callable[..., Any]:
        return lambda flat, **options: (sizes.append(flat.numel()), send(flat, **options))[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "BUCKET", 24)
        for name in ("all_reduce", "broadcast"):
            patch.setattr(dist, name, spied(getattr(dist, name)))
        exchange(tensors)
    return sizes


def write_means_of_w(folder: Path, device: torch.device) -> None:
    torch.manual_seed(0)
    learner = stylegan2.build(stylegan2.Config(kind="stylegan2", channel_base=64, channel_max=8, latent_size=4), IMAGE)
    torch.manual_seed(distribution.rank())
    generator, means = learner.network.generator, []
    track = generator.track
    generator.track = lambda w, step: (means.append(w.detach().flatten(end_dim=-2).mean(dim=0)), track(w, step))
    learner.step([Reals(torch.zeros(4, 3, 8, 8), torch.zeros(4, 0))], 0)
    known = {"own": means[0].tolist(), "average": generator.w_average.tolist()}
    artifacts.write_json(folder / f"{distribution.rank()}.json", known)


def write_buffers(pack: Path, folder: Path, device: torch.device) -> None:
    """Train one step, and write the buffers before they are made alike and after."""
    spec = tiny_spec(2, adversarial={"path_length_weight": 2.0, "path_length_interval": 1})
    steps = loop.Steps(spec, Images(pack), Checkpoints(folder, Identity("", "")), 2, device)
    network, share, own = steps.learner.network, distribution.share, []

    def remembered(tensors: Iterable[Tensor]) -> None:
        own.append({name: buffer.tolist() for name, buffer in network.named_buffers()})
        share(tensors)

    distribution.share = remembered
    next(iter(steps))
    kept = {name: buffer.tolist() for name, buffer in network.named_buffers()}
    artifacts.write_json(folder / f"{distribution.rank()}.json", {"own": own[-1], "kept": kept})


def fail_on_rank_one(device: torch.device) -> None:
    if distribution.rank() == 1:
        raise DataError("a shard is gone")
    distribution.meet()


def die_on_rank_one(device: torch.device) -> None:
    if distribution.rank() == 1:
        os._exit(7)
    distribution.meet()


def note_and_sleep(folder: Path, device: torch.device) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def note_and_wait(folder: Path, device: torch.device) -> None:
    with Stop() as stop:
        (folder / str(distribution.rank())).touch()
        while stop.name is None:
            time.sleep(0.01)
    raise TrainingError(f"stopped by {stop.name}")


@pytest.fixture(scope="module")
def written(pack: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the folder in which two ranks wrote everything."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        distribution.launch(write_all, (pack, folder), TWO)
    return folder


def test_ranks_agree(written: Path) -> None:
    for rank in range(2):
        assert artifacts.read_json(written / f"known/{rank}.json") == {
            "ranks": 2,
            "mean of all": [[0.5] * 5, 5.0, [[3.5] * 3] * 2],
            "shared of all": [[0.0] * 5, 0.0, [[4.0] * 3] * 2],
            "buckets": [[6, 6], [6, 6]],
            "slope": 1.5,
            "shared": [[[0.0, 0.0], [0.0, 0.0]], 5.0],
            "any": [True, False],
            "gathered": [] if rank else [10, 11],
            "patience": 6 * 60 * 60,  # as long as one rank may compute alone
        }


def test_the_mean_of_w_is_that_of_all_ranks(written: Path) -> None:
    one, other = (artifacts.read_json(written / f"means/{rank}.json") for rank in range(2))
    assert one["own"] != other["own"]
    assert one["average"] == other["average"]
    expected = (torch.tensor(one["own"]) + torch.tensor(other["own"])) / 2
    torch.testing.assert_close(torch.tensor(one["average"]), expected)


def test_buffers_of_all_ranks_are_those_of_the_first(written: Path) -> None:
    one, other = (artifacts.read_json(written / f"buffers/{rank}.json") for rank in range(2))
    assert one["own"]["path_length_mean"] != other["own"]["path_length_mean"]
    assert one["kept"] == other["kept"] == one["own"]


def test_alone_there_is_one_rank_and_nothing_is_exchanged(tmp_path: Path) -> None:
    assert (distribution.rank(), distribution.ranks()) == (0, 1)
    tensor = torch.ones(2, dtype=torch.int32)
    distribution.average([tensor])
    distribution.share([tensor])
    distribution.meet()
    assert tensor.tolist() == [1, 1]
    assert distribution.any_rank(True, tensor.device)


def test_an_error_of_one_rank_ends_all() -> None:
    with pytest.raises(DataError, match="a shard is gone"):
        distribution.launch(fail_on_rank_one, (), TWO)


def test_the_death_of_one_rank_ends_all() -> None:
    with pytest.raises(TrainingError, match=r"the processes of ranks \[.*1\] failed \(exit status \[.*7\]\)"):
        distribution.launch(die_on_rank_one, (), TWO)


def test_when_the_first_process_is_killed_all_end(tmp_path: Path) -> None:
    program = "from pathlib import Path; import sys; from tests.training import test_distribution as t; "
    program += "t.distribution.launch(t.note_and_sleep, (Path(sys.argv[1]),), t.TWO)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=environment) as parent:
        try:
            wait_until(lambda: len(list(tmp_path.iterdir())) == 2 or parent.poll() is not None)
        finally:
            parent.kill()
    numbers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(numbers) == 2
    try:
        wait_until(lambda: not any(map(is_running, numbers)))
    finally:
        for number in filter(is_running, numbers):
            os.kill(number, signal.SIGKILL)


def wait_until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait, and fail if it takes longer; the processes sleep for longer than that, and busy cores start them slowly."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"it took more than {seconds} s"
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Return whether such a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_signal_reaches_every_rank(tmp_path: Path) -> None:
    def send() -> None:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(TrainingError, match="stopped by SIGTERM"):
        distribution.launch(note_and_wait, (tmp_path,), TWO)
    sender.join()
