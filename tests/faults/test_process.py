"""A process that is given too little: outputs nobody reads, a terminal that closes, memory, threads. A row a fault."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.argument_types import FAILED, MISTAKE
from stream.app import console
from stream.recordings.takes import open_take
from tests.faults.fault import Fault, row

ROOT = Path(__file__).resolve().parents[2]
RUN = (
    "{python} {root}/run_stream.py --camera synthetic:frames=4 --view none --detector movenet-lightning --record takes"
)
GUARD = (
    "{python} -c 'import sys; from stream.app.console import guarded; sys.exit(guarded(\"program\", lambda: {work}))'"
)


def shell(command: str, folder: Path, work: str = "None") -> subprocess.CompletedProcess[str]:
    line = command.replace("{work}", work).replace("{python}", sys.executable).replace("{root}", str(ROOT))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=100)


def moments(folder: Path) -> int:
    return sum(batch.num_rows for batch in open_take(folder / "takes").batches("moments"))


RUNS = [
    Fault("a closed stderr", lambda d: shell(RUN + " 2>&-", d), 0, "4 moments in", "the take"),
    Fault("all standard streams closed", lambda d: shell(RUN + " <&- >&- 2>&-", d), 0, "", "the take"),
    Fault("a full disk behind both outputs", lambda d: shell(RUN + " >/dev/full 2>/dev/full", d), 0, "", "the take"),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("fault", RUNS, ids=str)
@row("a run with {fault}", process=True)
def test_a_run_that_nobody_hears_is_no_less_good(fault: Fault, tmp_path: Path) -> None:
    done = fault.inject(tmp_path)
    assert done.returncode == fault.code and fault.words in done.stdout, done
    assert "Traceback" not in done.stderr and moments(tmp_path) == 4


PRINTED = [
    Fault("a reader that has seen enough",
          lambda d: shell(GUARD + " | true; exit ${PIPESTATUS[0]}", d, "print(1) or 0"), 0, "", ""),
    Fault("a full disk behind stdout",
          lambda d: shell(GUARD + " >/dev/full", d, "print(1) or 0"), 1,
          "program: what is printed cannot be written: No space left on device", ""),
    Fault("a full disk while much is printed", lambda d: shell(GUARD + " >/dev/full", d, 'print("x" * 99999) or 0'), 1,
          "No space left on device", ""),
    Fault("a name that is no text", lambda d: shell(GUARD, d, 'print("\\udcff") or 0'), 0, "", ""),
    Fault("a full disk behind what was asked to be printed",
          lambda d: shell("{python} {root}/run_stream.py --print-config >/dev/full", d), 1,
          "what is printed cannot be written: No space left on device", ""),
    Fault("no memory", lambda d: shell("ulimit -v 400000; " + GUARD, d, "len(bytes(1 << 30))"), 2, "out of memory", ""),
    Fault("no file handles", lambda d: shell("ulimit -n 8; " + GUARD, d, '[open("/dev/null") for _ in range(9)]'), 2,
          "no more files can be opened", ""),
]  # fmt: skip


@pytest.mark.parametrize("fault", PRINTED, ids=str)
@row("a command with {fault}", process=True)
def test_a_command_that_lacks_something_says_what(fault: Fault, tmp_path: Path) -> None:
    done = fault.inject(tmp_path)
    assert done.returncode == fault.code, done
    assert fault.words in done.stderr and done.stderr.count("\n") == bool(fault.words), done.stderr


@row("memory too little to load anything", MISTAKE, "out of memory before it began", "nothing was begun", process=True)
def test_memory_too_little_to_load_anything_is_one_line(tmp_path: Path) -> None:
    done = shell("ulimit -v 600000; " + RUN, tmp_path)
    assert done.returncode == 2 and not done.stdout and not list(tmp_path.iterdir())
    assert done.stderr == (
        "run_stream: out of memory before it began: this shell allows 0.6 GB (ulimit -v), 1.5 GB is the least\n"
    )


def few_threads(command: str, folder: Path, count: int) -> subprocess.CompletedProcess[str]:
    """Run it as a user who may have so many threads more; root, who may have any number, becomes nobody."""
    line = command.replace("{python}", sys.executable).replace("{root}", str(ROOT)).split()
    if os.geteuid() == 0:
        line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_override",
                "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override", *line]  # fmt: skip
        folder.chmod(0o777)
        have = 0
    else:
        tasks = [entry for entry in Path("/proc").glob("[0-9]*/task/*") if entry.stat().st_uid == os.geteuid()]
        have = len(tasks)
    prepare = lambda: resource.setrlimit(resource.RLIMIT_NPROC, (have + count, have + count))  # noqa: E731
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=100, preexec_fn=prepare)


LINUX = pytest.mark.skipif(
    not Path("/proc/self/task").exists() or (os.geteuid() == 0 and shutil.which("setpriv") is None),
    reason="needs Linux, and setpriv of util-linux where it is root",
)


@LINUX
@pytest.mark.parametrize("count", [1, 8])
@row("{count} threads left", MISTAKE, "no threads are left before it began", "nothing was begun", process=True)
def test_too_few_threads_to_load_anything_are_one_line(count: int, tmp_path: Path) -> None:
    done = few_threads(RUN, tmp_path, count)
    assert done.returncode == 2 and not done.stdout and not list(tmp_path.iterdir()), done
    assert done.stderr.startswith("run_stream: no threads are left before it began: ")
    assert done.stderr.count("\n") == 1 and "ulimit -u" in done.stderr


SCARCE = """
import sys, threading
from stream.app.command_line import main
start, left = threading.Thread.start, [int(sys.argv.pop(1))]
def scarce(self):
    left[0] -= 1
    if left[0] < 0:
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = scarce
sys.exit(main())
"""


@pytest.mark.parametrize("count", [0, 3, 5])
@row("no thread left when {count} of a run have begun", MISTAKE, "no more threads can be started", "what was recorded",
     process=True)  # fmt: skip
def test_a_run_that_gets_no_more_threads_says_so_and_closes_its_take(count: int, tmp_path: Path) -> None:
    (tmp_path / "scarce.py").write_text(SCARCE)
    line = RUN.replace("{root}/run_stream.py", f"scarce.py {count}") + " --view none"
    done = shell(line, tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    assert "run_stream: no more threads can be started" in done.stderr.splitlines()[-1]
    for take in (tmp_path / "takes").iterdir():  # there is none where its recorder never came to work
        recorded = sum(batch.num_rows for batch in open_take(take).batches("moments"))
        assert not recorded or f"recording: takes/{take.name} ({recorded} moments" in done.stderr


@row("memory that is used up while a run goes on", MISTAKE, "out of memory", "the take, as long as it was recorded",
     process=True)  # fmt: skip
def test_a_run_that_gets_no_more_memory_says_so_and_closes_its_take(tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    done = shell(RUN.replace("{root}/run_stream.py", "hungry.py").replace("=4", "=100000"), tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    assert "run_stream: out of memory" in done.stderr.splitlines()[-1]
    (take,) = (tmp_path / "takes").iterdir()
    recorded = sum(batch.num_rows for batch in open_take(take).batches("moments"))
    assert recorded >= 5 and f"recording: takes/{take.name} ({recorded} moments" in done.stderr


HUNGRY = """
import resource, sys, time
from pathlib import Path
from stream.app.command_line import main
from stream.sources.synthetic import SyntheticSource
read = SyntheticSource.read
def hungry(self):
    frame = read(self)
    if frame.index == 10:
        # Not before something is recorded: on a busy machine the reader is far ahead of the recorder.
        while not any(path.read_text().count("\\n") > 1 for path in Path("takes").glob("*/moments-*.journal")):
            time.sleep(0.05)
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    if frame.index >= 10:
        hungry.kept.append(bytes(1 << 26))
    return frame
hungry.kept = []
SyntheticSource.read = hungry
sys.exit(main())
"""


@row("a closed stderr, and a file that is opened next", 0, "", "the file: no message is written into it", process=True)
def test_what_is_opened_next_never_takes_the_place_of_an_output(tmp_path: Path) -> None:
    work = '[open("file", "w").fileno(), __import__("os").write(2, b"for the terminal")][0]'
    assert shell(GUARD + " 2>&-", tmp_path, work).returncode > 2
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("often", [1, 2])
@row("a closed terminal, SIGHUP {often}x", 0, "", "the take, as long as the summary says", process=True)
def test_a_terminal_that_is_closed_ends_the_run_well(often: int, tmp_path: Path) -> None:
    command = RUN.replace("=4", "=100000").replace("{python}", sys.executable).replace("{root}", str(ROOT))
    running = subprocess.Popen(
        command.split(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # The tests themselves may run under nohup, which a run respects.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    assert running.stdout is not None and running.stderr is not None
    while b"frames" not in running.stderr.readline():
        assert running.poll() is None
    running.stderr.close()  # as the terminal is
    for _ in range(often):
        running.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    out = running.stdout.read()
    running.stdout.close()
    assert running.wait(60) == 0
    assert int(out.split()[0]) == moments(tmp_path) > 0


@row("a closed terminal under nohup", 0, "", "the run goes on", process=True)
def test_a_run_under_nohup_goes_on_without_its_terminal() -> None:
    code = (
        "import signal\n"
        "from stream.app.signals import finish_on_interrupt\n"
        "from stream.control import Control\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with finish_on_interrupt(Control()):\n"
        "    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("left\nright\r\t\x00", "left\\nright\\r\\t\\x00"),
        ("\x1b[2J\x9b31m\x07", "\\x1b[2J\\x9b31m\\x07"),
        ("a\u202eb\u2028c\u200f", "a\\u202eb\\u2028c\\u200f"),
        ("\udc80.mp4", "\\udc80.mp4"),
        ("Größe 日本 é 👩‍💻", "Größe 日本 é 👩‍💻"),
    ],
)
@row("a name that would command the terminal: {text!a}", 0, lambda values: values["line"], "one line")
def test_a_name_is_shown_as_one_line_that_commands_nothing(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.shown(text) == line
    console.say(f"run_stream: {text}: no such file")
    console.tell([text, "2"])
    assert capsys.readouterr() == (f"{line}\n2\n", f"run_stream: {line}: no such file\n")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("[ONNXRuntimeError] : 6 : std::bad_alloc"), "out of memory"),
        (OSError(12, "Cannot allocate memory"), "out of memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (OSError(24, "Too many open files"), "files"),
        (ValueError("a fault of ours"), None),
    ],
)
@row("{error!r} deep in a library", lambda v: MISTAKE if v["says"] else FAILED, lambda v: v["says"] or "")
def test_the_limit_that_an_error_means(error: Exception, says: str | None) -> None:
    found = console.shortage(error)
    assert found is None if says is None else says in (found or "")
