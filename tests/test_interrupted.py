"""The program interrupted by Ctrl-C, or by a disk that is full: what was done is kept, and said in one line."""

import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.recordings.takes import open_take
from tests.program import FAST, ROOT, Done, frames_of, run, table_of


class Running:
    """A run that goes on until it is interrupted; what it says is read while it runs."""

    def __init__(self, *flags: object, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_stream.py"), *map(str, flags)],
            cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.err: list[str] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()

    def _read(self, stderr: Iterator[str]) -> None:
        for line in stderr:
            with self._said:
                self.err.append(line)
                self._said.notify_all()

    def wait_for(self, words: str, seconds: float = 60) -> None:
        """Until it has said this."""
        with self._said:
            assert self._said.wait_for(lambda: words in "".join(self.err), seconds), self.err

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Done:
        try:
            out, _ = self.process.stdout.read(), self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join()
            self.process.stdout.close()
            self.process.stderr.close()
        err = "".join(self.err)
        assert "Traceback" not in err, err
        return Done(self.process.returncode, out, err)


def test_ctrl_c_once_finishes_and_loses_nothing(tmp_path: Path) -> None:
    running = Running("--camera", "synthetic:frames=100000", *FAST, "--record", "takes", "--video-out", "v.mp4",
                      "--still-out", "s.png", cwd=tmp_path)  # fmt: skip
    running.wait_for("/100000 frames")
    time.sleep(1.5)
    running.interrupt()
    done = running.end()
    assert done.code == 0, done.err
    assert "finishing; Ctrl-C again to leave at once" in done.err
    frame_sets = int(re.match(r"(\d+) moments in", done.out)[1])
    assert frame_sets > 3
    assert len(frames_of(tmp_path / "v.mp4")) == frame_sets
    take = open_take(tmp_path / "takes")
    rows = np.concatenate([batch.column("frame_index").to_numpy() for batch in take.batches("estimates")])
    np.testing.assert_array_equal(rows, np.arange(frame_sets))
    checked = run(tmp_path / "takes", cwd=tmp_path, program=("-m", "stream", "recover"))
    assert checked.code == 0, "closed well: every batch is whole"


def test_ctrl_c_twice_leaves_at_once_and_keeps_what_was_written(tmp_path: Path) -> None:
    # Sixteen views a moment, so that there is something to finish when the second one comes.
    cameras = [word for k in range(16) for word in ("--camera", f"synthetic:frames=100000,yaw={k}")]
    for attempt in range(3):
        running = Running(*cameras, *FAST, "--record", f"takes{attempt}", "--video-out", "v.mp4", cwd=tmp_path)
        running.wait_for("/100000 frames")
        time.sleep(2.0)
        running.interrupt()
        running.wait_for("finishing")
        running.interrupt()
        done = running.end()
        if done.code != 0:  # else it had finished before the second one came, on a very fast machine
            break
    assert done.code == 130
    assert "moments in" not in done.out
    rows = [batch.num_rows for batch in open_take(tmp_path / f"takes{attempt}").batches("estimates")]
    assert sum(rows) >= 16


def test_ctrl_c_while_loading_is_one_line(tmp_path: Path) -> None:
    # A camera that accepts and says nothing: opening waits for it.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        running = Running("--camera", f"http://127.0.0.1:{server.getsockname()[1]}/v", *FAST, cwd=tmp_path)
        connection, _ = server.accept()
        with connection:
            running.interrupt()
            done = running.end()
    assert done.code == 130
    assert done.err == "run_stream: stopped before it began\n"
    assert done.out == ""


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path: Path) -> None:
    # Bytes a file: about 240 of the 600 moments. A batch is what comes in 0.4 s, and one is to fit on any machine.
    limit = 600_000

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run("--camera", "synthetic:frames=600", *FAST, "--record", "takes", "--fps", "60", cwd=tmp_path,
               preexec_fn=full)  # fmt: skip
    assert done.code == 1
    assert "600 moments" in done.out, "the run goes on to its end"
    assert len(done.complaints) == 1 and "recording stopped" in done.complaints[0], done.err
    assert "free some space" in done.complaints[0]
    table = table_of(tmp_path / "takes", tmp_path / "table.npz")
    rows = len(table["time"])
    assert 0 < rows < 400
    np.testing.assert_array_equal(table["frame_index"], np.arange(rows))
    assert f"the {rows} moments" in done.complaints[0]


def test_the_first_ctrl_c_never_leaves_at_once_even_while_files_are_being_closed(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "from stream.app.signals import finish_on_interrupt\n"
        "from stream.control import Control\n"
        "ended = Control()\n"
        "ended.stop()\n"  # as a run does at its end, before its files are closed
        "with finish_on_interrupt(ended):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('closed', flush=True)\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    print('never')\n"
    )
    done = run(cwd=tmp_path, program=("-c", code))
    assert (done.code, done.out) == (130, "closed\n")
