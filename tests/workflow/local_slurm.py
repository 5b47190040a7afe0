"""A Slurm of one node on this machine, with pretended GPUs: started without systemd, ended whole.

All of it is in one folder, but for links in /etc/slurm: Snakemake's plug-in drops SLURM_CONF from the environment, so
Slurm finds its configuration in the default place only.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = Path("/etc/slurm/slurm.conf")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
PORT = 16817

SLURM_CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={port}
SlurmdPort={next_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
MpiDefault=none
# There may be no cgroups here. Process groups find the children of a Snakemake that was killed, linuxproc does not.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
# Without cgroups this enforces --mem.
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,bf_interval=1
ReturnToService=2
# More CPUs than the machine has: small jobs run side by side.
SlurmdParameters=config_overrides
KillWait=5
MinJobAge=600
JobRequeue=1
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=3-00:00:00 DefMemPerCPU=500 State=UP
PartitionName=cpu Nodes=ALL Default=NO MaxTime=1-00:00:00 DefMemPerCPU=500 State=UP
"""


@contextlib.contextmanager
def running(folder: Path, *, gpus: int, cpus: int) -> Iterator[None]:
    """Start a cluster in a folder; end it and delete the folder afterwards. Needs root and the `PROGRAMS`."""
    try:
        _configure(folder, gpus, cpus)
        munge = folder / "munge"
        options = {"key-file": munge / "key", "socket": munge / "socket", "seed-file": munge / "seed"}
        options |= {"pid-file": folder / "run/munged.pid", "log-file": folder / "log/munged.log"}
        _call("munged", "--force", "--num-threads=2", *(f"--{name}={path}" for name, path in options.items()))
        _wait(10, "munged", folder, (munge / "socket").is_socket)
        _call("slurmctld")
        _wait(20, "slurmctld", folder, lambda: _call("scontrol", "ping", check=False).returncode == 0)
        _call("slurmd")
        _wait(30, "slurmd", folder, lambda: set(_call("sinfo", "-h", "-o", "%T").stdout.split()) == {"idle"})
        yield
    finally:
        wipe(folder)


def wipe(folder: Path) -> None:
    """End the cluster of a folder with all its jobs, remove its links and delete the folder."""
    if _is_running(folder, "slurmctld"):
        for partition in ("gpu", "cpu"):  # no job may start between the end of the jobs and that of slurmd
            _call("scontrol", "update", f"partitionname={partition}", "state=down", check=False)
        _call("scancel", "-u", "root", check=False)
        with contextlib.suppress(TimeoutError):
            _wait(10, "end of jobs", folder, lambda: not _call("squeue", "-h", check=False).stdout.strip())
    _end(folder, "slurmd")
    _end_steps(folder)
    _end(folder, "slurmctld")
    _end(folder, "munged")
    for name in FILES:
        link = CONFIGURATION.with_name(name)
        if link.is_symlink() and link.readlink() == folder / name:
            link.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path, gpus: int, cpus: int) -> None:
    for name in ("munge", "state", "spool", "run", "log", "dev"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "state").chmod(0o700)
    (folder / "munge").chmod(0o711)
    (folder / "munge/key").touch(mode=0o600)
    (folder / "munge/key").write_bytes(secrets.token_bytes(1024))
    host = socket.gethostname().partition(".")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 9 // 10 // 2**20
    facts = {"folder": folder, "host": host, "port": PORT, "next_port": PORT + 1, "memory": memory}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**facts, gpus=gpus, cpus=cpus))
    for gpu in range(gpus):  # Slurm only counts them, but sets CUDA_VISIBLE_DEVICES for character devices alone
        (folder / f"dev/gpu{gpu}").symlink_to("/dev/null")
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/dev/gpu[0-{gpus - 1}]\n")
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    CONFIGURATION.parent.mkdir(exist_ok=True)
    for name in FILES:
        CONFIGURATION.with_name(name).symlink_to(folder / name)  # raises an error if another Slurm's is there


def _call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "SLURM_CONF"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{words[0]}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done


def _wait(seconds: float, name: str, folder: Path, is_done: Callable[[], bool]) -> None:
    patience = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > patience:
            logs = "".join(f"\n{path}:\n{path.read_text()}" for path in sorted((folder / "log").glob("*.log")))
            raise TimeoutError(f"{name}: not within {seconds} s{logs}")
        time.sleep(0.2)


def _process(folder: Path, name: str) -> int | None:
    """Return the id of a daemon of this folder, or None. A stale file may hold that of another program."""
    try:
        process = int((folder / "run" / f"{name}.pid").read_text())
        return process if Path(f"/proc/{process}/comm").read_text().startswith(name) else None
    except (OSError, ValueError):
        return None


def _is_running(folder: Path, name: str) -> bool:
    return _process(folder, name) is not None


def _end(folder: Path, name: str) -> None:
    process = _process(folder, name)
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        try:
            _wait(15, f"end of {name}", folder, lambda: not _is_running(folder, name))
        except TimeoutError:
            os.kill(process, signal.SIGKILL)


def _end_steps(folder: Path) -> None:
    """End what runs jobs, with the jobs: it outlives slurmd by design, and its working folder is in ours."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = (process / "comm").read_text().strip() == "slurmstepd" and folder in (
                process / "cwd"
            ).readlink().parents
            children = (process / "task" / process.name / "children").read_text().split() if is_ours else []
        except OSError:  # it has ended
            continue
        with contextlib.suppress(ProcessLookupError):
            for child in children:
                os.killpg(int(child), signal.SIGKILL)
            if is_ours:
                os.kill(int(process.name), signal.SIGKILL)
