"""Which runtime and precision a network gets, and that it is said: measured once, broken ones passed over."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from engines import cards, detectors, lifter, runtimes
from engines.detectors import DetectorOptions
from engines.runtimes import NetworkOptions, _choose, _gpu, _measure
from engines.runtimes._example import Spec
from engines.runtimes._measure import Candidate, Measured, cpu_name
from engines.types import EngineError
from tests.test_runtimes import write_card


class Network:
    """y = x, after some time."""

    def __init__(self, name: str, path: Path, sha256: str, precision: str, seconds: float) -> None:
        self.inputs = {"x": Spec(np.float32, (None, 2))}
        self._seconds, self.calls = seconds, 0
        self.said = {"runtime": name, "device": "cpu", "threads": "1", "precision": precision,
                      "model": path.name, "sha256": sha256}  # fmt: skip

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        self.calls += 1
        time.sleep(self._seconds)
        return {"y": arrays["x"]}

    def describe(self) -> Mapping[str, str]:
        return self.said


@dataclass
class Scripted:
    """A runtime whose speed and faults are known."""

    name: str
    seconds: float = 0.0
    fault: Exception | None = None
    here: bool = True
    hurdle: str | None = None
    release: str = "1.0"
    quantised: float | None = None
    """Seconds of an int8 call; None: it runs no int8."""
    note: str = ""
    """What its networks say of how they run."""
    ACCELERATOR: bool = False
    INSTALL: str = "pip install -r requirements-scripted.txt"
    loads: list[str] = field(default_factory=list)

    @property
    def PRECISIONS(self) -> tuple[str, ...]:
        return ("fp32", "fp16") if self.quantised is None else ("fp32", "fp16", "int8")

    def available(self) -> bool:
        return self.here

    def obstacle(self) -> str | None:
        return self.hurdle

    def version(self) -> str:
        return self.release

    def load(self, path: Path, sha256: str, threads: int, precision: str) -> Network:
        self.loads.append(precision)
        if self.fault:
            raise self.fault
        seconds = self.quantised if precision == "int8" and self.quantised is not None else self.seconds
        network = Network(self.name, path, sha256, precision, seconds)
        network.said |= {"note": self.note} if self.note else {}
        return network


SLOW = 0.004
"""Seconds. Against none: no load of the machine turns it round, as the least of several calls counts."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hypothesis-stream" / "runtimes"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"the weights")
    write_card(path)
    return path


def add_int8(weights: Path, extra: str | None = None) -> Path:
    path = weights.with_suffix(".int8.onnx")
    path.write_bytes(b"fewer bytes")
    own = f'of = "{cards.digest(weights)}"\naccepted = true\n'
    write_card(path, extra="[values]\n" + (own if extra is None else extra))
    return path


def choose(
    path: Path, *modules: Scripted, name: str = "auto", precision: str | None = "auto", threads: int = 1
) -> Mapping[str, str]:
    found = _choose.load({m.name: m for m in modules}, path, NetworkOptions(name, precision, threads)).describe()
    assert all("\n" not in value for value in found.values())
    return found


def test_the_faster_one_is_measured_once(weights: Path, folder: Path) -> None:
    slow, fast = Scripted("a", SLOW), Scripted("b")
    said = choose(weights, slow, fast)
    assert said["runtime"] == "b"
    assert said["choice"].startswith("measured: b fp32 0.0")
    assert float(said["choice"].split("a fp32 ")[1].split(" ms")[0]) >= SLOW * 1e3
    assert len(list(folder.iterdir())) == 1
    again = choose(weights, slow, fast)
    assert again == said, "the same numbers, from the cache"
    assert (slow.loads, fast.loads) == (["fp32"], ["fp32", "fp32"]), "the slow one is not even loaded again"


def test_what_is_measured_belongs_to_file_threads_and_versions(weights: Path, folder: Path) -> None:
    slow, fast = Scripted("a", SLOW), Scripted("b")
    choose(weights, slow, fast)
    choose(weights, slow, fast, threads=2)
    slow.release = "2.0"
    choose(weights, slow, fast)
    weights.write_bytes(b"other weights")
    write_card(weights)
    choose(weights, slow, fast)
    assert len(list(folder.iterdir())) == 4
    assert len(slow.loads) == 4
    assert cpu_name()


def test_what_is_measured_belongs_to_the_graphics(
    weights: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU, its driver and /dev/dri come and go, as containers have them once and not the next time."""
    nodes = tmp_path / "dri"
    monkeypatch.setattr(_measure, "_GRAPHICS", nodes)
    monkeypatch.setattr(_gpu, "describe", lambda: "no NVIDIA GPU driver")
    slow, fast = Scripted("a", SLOW), Scripted("b")
    choose(weights, slow, fast)
    monkeypatch.setattr(_gpu, "describe", lambda: "GeForce 13000 580.1")
    choose(weights, slow, fast)
    (nodes / "by-path").mkdir(parents=True)
    choose(weights, slow, fast)
    assert len(slow.loads) == 2
    (nodes / "renderD128").touch()
    assert _measure.graphics() == ["renderD128"]
    for _ in range(2):
        choose(weights, slow, fast)
    assert len(slow.loads) == len(list(folder.iterdir())) == 3


def test_what_does_not_run_as_it_should_is_measured_again(weights: Path, folder: Path) -> None:
    hampered, other = Scripted("a", SLOW, note="CUDA passed over: its libraries are missing"), Scripted("b")
    for _ in range(2):
        assert choose(weights, hampered, other)["runtime"] == "b"
    assert len(hampered.loads) == 2
    assert not folder.exists()
    hampered.note, hampered.seconds, other.seconds = "", 0.0, SLOW
    assert choose(weights, hampered, other)["runtime"] == "a"


@pytest.mark.parametrize("damage", ["", "{", '{"ms": 3}', '{"ms": {}, "failed": {}}'])
def test_a_damaged_or_senseless_measurement_is_done_again(weights: Path, folder: Path, damage: str) -> None:
    slow, fast = Scripted("a", SLOW), Scripted("b")
    choose(weights, slow, fast)
    (file,) = folder.iterdir()
    # Once what is no cache file at all, once a whole one with nonsense inside.
    file.write_text(damage)
    assert choose(weights, slow, fast)["runtime"] == "b"
    from engines import user_cache
    from engines.runtimes import _measure

    (sha256,) = {cards.digest(weights)}
    candidates = [Candidate(m.name, "fp32", weights, sha256, m.release) for m in (slow, fast)]
    user_cache.write("runtimes", _measure.key(candidates, 1), damage.encode())
    assert choose(weights, slow, fast)["runtime"] == "b"
    assert len(slow.loads) == 3


def test_where_one_is_installed_nothing_is_measured(weights: Path, folder: Path) -> None:
    only = Scripted("a")
    found = _choose.load({"a": only, "b": Scripted("b", here=False)}, weights, NetworkOptions(precision="auto"))
    assert found.describe()["choice"] == "the only one that can run it here"
    assert isinstance(found._network, Network)
    assert found._network.calls == 0
    assert not folder.exists()


def test_a_result_does_not_hang_on_a_hair(weights: Path) -> None:
    a, b, c = (Candidate(n, "fp32", weights, "0", "1") for n in "abc")
    times = {"a fp32": 1.05, "b fp32": 1.0, "c fp32": 0.97}
    assert Measured(times, {}).order([a, b, c]) == [a, c, b], "within a tenth of the fastest, the order decides"
    assert Measured({**times, "c fp32": 0.9}, {}).order([a, b, c]) == [c, b, a]
    assert Measured({"b fp32": 1.0}, {"a fp32": "broken"}).order([a, b]) == [b]


@pytest.mark.parametrize("fault", [EngineError("no such thing"), RuntimeError("CUDA\nerror 999"), OSError("libnv.so")])
def test_auto_passes_over_an_accelerator_that_is_broken_and_says_why(weights: Path, fault: Exception) -> None:
    broken = Scripted("fast", fault=fault, ACCELERATOR=True)
    said = choose(weights, broken, Scripted("plain"))
    assert said["runtime"] == "plain"
    assert "fast passed over: " in said["choice"]
    assert str(fault).split()[0] in said["choice"]
    with pytest.raises(EngineError, match=str(fault).split()[0]) as caught:
        choose(weights, broken, Scripted("plain"), name="fast")
    assert "\n" not in str(caught.value)


def test_auto_takes_an_accelerator_that_works_without_measuring(weights: Path, folder: Path) -> None:
    plain = Scripted("plain")
    said = choose(weights, Scripted("fast", SLOW, ACCELERATOR=True), plain, Scripted("other"))
    assert (said["runtime"], said["choice"]) == ("fast", "there is a GPU for it")
    assert not plain.loads
    assert not folder.exists()


def test_auto_says_that_there_is_no_gpu_for_what_is_installed(weights: Path) -> None:
    idle = Scripted("fast", hurdle="no NVIDIA GPU driver", ACCELERATOR=True)
    said = choose(weights, idle, Scripted("plain"))
    assert said["choice"] == "the only one that can run it here; fast passed over: no NVIDIA GPU driver"
    assert not idle.loads


def test_auto_goes_on_without_one_that_does_not_load_or_run(weights: Path) -> None:
    broken, fine = Scripted("a", fault=RuntimeError("bad build")), Scripted("b")
    for _ in range(2):  # measured, then from the cache
        said = choose(weights, broken, fine)
        assert said["runtime"] == "b"
        assert "a fp32 passed over: a does not work (RuntimeError: bad build)" in said["choice"]
    assert len(broken.loads) == 1
    with pytest.raises(EngineError, match="a does not work .*bad build"):
        choose(weights, broken, Scripted("b", fault=EngineError("nor this"), release="2.0"))


def test_what_failed_is_tried_again_after_a_day(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mended, fine = Scripted("a", fault=RuntimeError("no permission")), Scripted("b", SLOW)
    assert choose(weights, mended, fine)["runtime"] == "b"
    mended.fault = None
    assert choose(weights, mended, fine)["runtime"] == "b"
    monkeypatch.setattr(_measure, "RETRY_S", 0)
    assert choose(weights, mended, fine)["runtime"] == "a"


def test_a_choice_that_no_longer_loads_is_followed_by_the_next(weights: Path) -> None:
    slow, fast = Scripted("a", SLOW), Scripted("b")
    choose(weights, slow, fast)
    fast.fault = EngineError("the device went away")
    said = choose(weights, slow, fast)
    assert said["runtime"] == "a"
    assert "b fp32 passed over: the device went away" in said["choice"]


def test_a_cache_that_cannot_be_used_is_said_and_nothing_else(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    said = choose(weights, Scripted("a", SLOW), Scripted("b"))
    assert said["runtime"] == "b"
    assert "measured at every start: cannot write to" in said["choice"]


def test_a_cache_that_others_can_write_is_not_believed(weights: Path, folder: Path) -> None:
    slow, fast = Scripted("a", SLOW), Scripted("b")
    choose(weights, slow, fast)
    folder.chmod(0o777)
    said = choose(weights, slow, fast)
    assert "can be written by others" in said["choice"]
    assert len(slow.loads) == 2


def test_by_name_is_by_name(weights: Path) -> None:
    modules = (Scripted("a"), Scripted("b", SLOW), Scripted("c", here=False))
    assert choose(weights, *modules, name="b")["choice"] == "asked for"
    missing = "runtime 'c' is not installed: pip install -r requirements-scripted.txt; here there are auto, a, b"
    with pytest.raises(EngineError, match=missing):
        choose(weights, *modules, name="c")
    with pytest.raises(EngineError, match="no runtime is installed of c: pip install -r requirements-scripted.txt"):
        choose(weights, modules[2])
    with pytest.raises(EngineError, match="unknown precision 'int4'; there are auto, fp32, int8"):
        choose(weights, *modules, precision="int4")


def test_int8_is_measured_too_where_it_belongs_to_the_file(weights: Path) -> None:
    quantised = add_int8(weights)
    said = choose(weights, Scripted("a", SLOW, quantised=0.0))
    assert (said["precision"], said["model"], said["sha256"]) == ("int8", "net.int8.onnx", cards.digest(quantised))
    assert said["choice"].startswith("measured: a int8 ")
    assert choose(weights, Scripted("a", 0.0, quantised=SLOW, release="2.0"))["precision"] == "fp32"
    assert choose(weights, Scripted("a", SLOW))["precision"] == "fp32", "it does not run int8"
    assert choose(weights, Scripted("a", SLOW, quantised=0.0), name="a")["precision"] == "int8"


def test_a_precision_that_is_asked_for_is_kept_to(weights: Path) -> None:
    add_int8(weights)
    runtime = Scripted("a", SLOW, quantised=SLOW)
    for precision in ("fp32", "int8"):
        said = choose(weights, runtime, precision=precision)
        assert (said["precision"], said["choice"]) == (precision, "the only one that can run it here")
    assert choose(weights, runtime, precision=None)["precision"] == "fp32", "the very file that is given"
    assert choose(weights.with_suffix(".int8.onnx"), runtime, precision=None)["precision"] == "int8"
    with pytest.raises(EngineError, match="net.onnx: a does not run int8 files; use --precision auto"):
        choose(weights, Scripted("a"), name="a", precision="int8")


def test_a_file_of_half_precision_is_called_so(weights: Path) -> None:
    write_card(weights, extra='[values]\nprecision = "fp16"\n')
    runtime = Scripted("a", quantised=0.0)
    for precision in ("auto", None):
        assert choose(weights, runtime, precision=precision)["precision"] == "fp16"
    assert "b fp16 0." in choose(weights, Scripted("a", SLOW), Scripted("b"))["choice"]
    for precision in ("fp32", "int8"):
        message = f"no {precision} file to run: net.onnx is there as fp16; use --precision auto"
        with pytest.raises(EngineError, match=message):
            choose(weights, runtime, precision=precision)


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ('of = "00"\naccepted = true\n', "net.int8.onnx was made of another net.onnx"),
        (None, "net.int8.onnx was not accepted by its build"),
        ("", "net.int8.onnx was made of another net.onnx"),
        ("damaged", "do not match their card"),
        ("no card", "net.int8.toml cannot be read"),
    ],
)
def test_an_int8_file_that_does_not_fit_is_passed_over_and_said(weights: Path, extra: str | None, why: str) -> None:
    if extra is None:
        extra = f'of = "{cards.digest(weights)}"\naccepted = false\n'
    quantised = add_int8(weights, None if extra in ("damaged", "no card") else extra)
    if extra == "damaged":
        quantised.write_bytes(b"other bytes")
    if extra == "no card":
        quantised.with_suffix(".toml").unlink()
    runtime = Scripted("a", SLOW, quantised=0.0)
    said = choose(weights, runtime)
    assert said["precision"] == "fp32"
    assert why in said["choice"]
    with pytest.raises(EngineError, match=f"no int8 file to run: .*{why}.*; use --precision fp32"):
        choose(weights, runtime, precision="int8")


def test_int8_without_a_file_is_one_line(weights: Path) -> None:
    with pytest.raises(EngineError, match="no int8 file to run: net.onnx is there as fp32; use --precision fp32"):
        choose(weights, Scripted("a", quantised=0.0), precision="int8")


def test_a_run_records_what_it_runs_on_and_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "stream")
    from contextlib import ExitStack

    from stream.app.build import prepare
    from stream.config import Config, DetectConfig, OutputConfig
    from stream.sources import parse_sources

    config = Config(
        parse_sources(["synthetic:frames=3"]),
        detect=DetectConfig(("movenet-lightning",)),
        network=NetworkOptions("onnx", "fp32"),
        output=OutputConfig(view="none"),
    )
    asked: list[tuple[str, str, str | None]] = []
    real = runtimes.load

    def load(path: Path, options: NetworkOptions) -> runtimes.Network:
        asked.append((path.stem, options.runtime, options.precision))
        return real(path, options)

    monkeypatch.setattr(runtimes, "load", load)
    with ExitStack() as stack:
        pipeline, _ = prepare(config, stack)
        run_info = pipeline.run_info
    networks = ("lifter", "movenet_lightning", "movenet_multipose")
    assert asked == [(network, "onnx", "fp32") for network in networks]
    assert run_info.settings["engine"] == {"runtime": "onnx", "precision": "fp32", "threads": 1}
    detector = run_info.detectors["movenet-lightning"]
    for network in (run_info.lifter, detector):
        assert network["runtime"].startswith("onnxruntime ")
        assert (network["precision"], network["choice"]) == ("fp32", "asked for")
    assert detector["finder"] == "movenet_multipose.onnx"
    assert detector["finder_runtime"] == f"{detector['runtime']} fp32"
    said = caplog.messages
    assert f"lifter lifter.onnx on {run_info.runtime} fp32 (cpu): asked for" in said
    assert any(line.startswith("detector movenet_lightning.onnx on onnxruntime") for line in said)


def test_int8_is_for_the_networks_that_have_it() -> None:
    """MultiPose, which finds the person, has no int8 file; that is no reason to refuse ``--precision int8``."""
    found = detectors.load("movenet-lightning", DetectorOptions(NetworkOptions("onnx", "int8"))).describe()
    assert (found["precision"], found["model"], found["choice"]) == ("int8", "movenet_lightning.int8.onnx", "asked for")
    assert found["finder_runtime"].endswith(" fp32")


@pytest.mark.parametrize("flags", [("--runtime", "abacus"), ("--precision", "int4")])
def test_a_mistaken_flag_is_one_line(flags: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    from stream.app.command_line import main

    assert main(["--camera", "synthetic:frames=3", "--view", "none", *flags]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert f"unknown {flags[0][2:]} '{flags[1]}'; there are auto, " in said[0]


def test_the_shipped_lifter_says_its_choice() -> None:
    said = lifter.MDNLifter().describe()
    assert said["choice"]
    assert said["precision"] in ("fp32", "int8")
    assert runtimes.load(lifter.SHIPPED, NetworkOptions(precision="fp32")).describe()["precision"] == "fp32"
