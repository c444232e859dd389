"""What every test gets: a cache folder of the checkout's own, so that nothing is written to the user's; data or a skip.

A test that uses ``data_folder`` is marked ``data`` by itself, so that ``-m data`` is these tests and no others.
"""

import gc
import os
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.training.data import where


@pytest.fixture(scope="session", autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kept in ``.pytest_cache`` from run to run: videos are fetched once. Timings on a busy machine stay out of use."""
    cache = getattr(request.config, "cache", None)  # absent with -p no:cacheprovider
    folder = cache.mkdir("user-cache") if cache else tmp_path_factory.mktemp("user-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """A test that holds by its seed shows with another: ``pytest --seed 7``."""
    parser.addoption("--seed", type=int, default=0, help="of the fixture rng (default: 0)")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same whatever ran before."""
    return np.random.default_rng(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of ``mocap/`` and ``lspet/``; where nobody says where it is, the test is skipped."""
    folder = where.default("")
    if folder is None:
        pytest.skip(f"needs recorded people: {where.VARIABLE} does not say where they lie (docs/results.md)")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before ``-m`` selects."""
    for item in items:
        if "data_folder" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Two threads of torch are ten times slower than one while another process is busy."""
    import torch  # heavy, and of no use to most tests

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_thread_stays() -> Iterator[None]:
    """Whatever thread a test starts has ended soon after it."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = [t for t in threading.enumerate() if t not in before]
    for thread in left:
        thread.join(5)
    assert not [t for t in left if t.is_alive()]


@pytest.fixture
def known_detector() -> Iterator[None]:
    """A detector "known" in the registry, which knows where the synthetic figure is."""
    import stream
    from engines.detectors import unregister
    from tests.api import Known

    stream.register_detector("known", lambda name, options: Known())
    yield
    for name in ("known", "faulty"):
        unregister(name)


@pytest.fixture(scope="session")
def rtsp_python() -> str:
    """The system's Python, which runs a real RTSP server; where it lacks GStreamer, the test is skipped."""
    from tests.servers import system_python_with_gstreamer

    python, why = system_python_with_gstreamer()
    if python is None:
        pytest.skip(why)
    return python


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    out, root = tmp_path_factory.mktemp("dist"), Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(root)], check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def programs(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of python and the commands of an environment in which nothing but the wheel was installed."""
    where = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(where, with_pip=True)
    folder = where / ("Scripts" if os.name == "nt" else "bin")
    wheel = str(next(built.glob("*.whl")))
    subprocess.run([folder / "python", "-m", "pip", "install", "--quiet", wheel], check=True, capture_output=True)
    return folder
