"""What is installed is what is imported: the pins, a run without the packages of training, a missing library."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from stream.app.install_hint import APT

ROOT = Path(__file__).resolve().parents[1]
OWN = {"calibration", "engines", "stream"}
NOT_RUNTIME = ("engines/build/", "engines/models/", "engines/training/")
OPTIONAL = {
    "open3d": "requirements-open3d.txt", "ezc3d": "requirements-export.txt", "pybvh": "requirements-export.txt",
    "pygltflib": "requirements-export.txt", "pyopensim": "requirements-opensim.txt",
    "h5py": "requirements-export.txt", "torch": "requirements-dev.txt",
    "openvino": "requirements-openvino.txt", "cuda": "requirements-gpu.txt",
    **dict.fromkeys(("zenoh", "cryptography"), "requirements-cluster.txt"),
    **dict.fromkeys(("websockets", "msgpack", "pythonosc", "pylsl", "cyclonedds"), "requirements-live.txt"),
}  # fmt: skip
"""Imported only where it is used, with an install line in the error; and the file that pins it."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(file: str) -> dict[str, tuple[str, str]]:
    """Package -> (version, reason) of a file's own lines."""
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9_.-]*)\s*([^#]*?)\s*(?:#\s*(.*))?$", line):
            found[normal(match[1])] = (match[2], match[3] or "")
    return found


def imports(path: Path) -> dict[str, bool]:
    """Third-party packages of a file -> whether importing the file imports them."""
    found: dict[str, bool] = {}

    def walk(node: ast.AST, always: bool) -> None:
        for child in ast.iter_child_nodes(node):
            names = [a.name for a in child.names] if isinstance(child, ast.Import) else []
            if isinstance(child, ast.ImportFrom) and not child.level:
                names = [child.module or ""]
            for name in names:
                package = name.partition(".")[0]
                if package not in OWN and package not in sys.stdlib_module_names:
                    found[package] = found.get(package, False) or always
            for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            walk(child, always and not for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    walk(ast.parse(path.read_text()), True)
    return found


def runtime_imports() -> dict[str, dict[str, bool]]:
    """Package -> file -> whether at import."""
    files = [ROOT / "run_stream.py", *(p for own in sorted(OWN) for p in sorted((ROOT / own).rglob("*.py")))]
    found: dict[str, dict[str, bool]] = {}
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(NOT_RUNTIME):
            for package, always in imports(path).items():
                found.setdefault(package, {})[name] = always
    return found


def test_the_walk_finds_imports_wherever_they_are(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import os, av.video\nfrom stream import x\ndef f():\n    import torch\n    from cv2.a import b\n")
    assert imports(file) == {"av": True, "torch": False, "cv2": False}
    assert {"numpy", "cv2", "av", "onnxruntime", "pyarrow", "mediapipe", "tqdm"} <= set(runtime_imports())


def test_every_runtime_import_is_pinned_and_every_pin_is_imported() -> None:
    pinned, distributions, used = requirements("requirements.txt"), packages_distributions(), set()
    for package, files in runtime_imports().items():
        if package in OPTIONAL:
            assert not any(files.values()), f"{package} is optional, but {files} import it at once"
            names = set(requirements(OPTIONAL[package]))
            names |= {n.removesuffix("-cpu").removesuffix("-bindings") for n in names}
            called = {package, *map(normal, distributions.get(package, []))}
            assert called & names, f"{OPTIONAL[package]} does not pin {package}"
            continue
        mine = {normal(name) for name in distributions.get(package, [])} & set(pinned)
        assert mine, f"{', '.join(files)}: {package} is not in requirements.txt"
        used |= mine
    assert set(pinned) == used, "in requirements.txt and imported nowhere"


def test_every_pin_says_its_version_and_its_reason() -> None:
    for name, (version, reason) in requirements("requirements.txt").items():
        assert version.startswith("==") or ("<" in version and ">" in version), f"{name} is not pinned"
        assert len(reason) > 5, f"{name} has no reason"
    both = set(requirements("requirements.txt")) & set(requirements("requirements-dev.txt"))
    assert not both, f"pinned twice: {both}"


def locked() -> dict[str, list[tuple[str, str, list[str]]]]:
    """Package -> its versions in the lock: (version, for which platforms, hashes)."""
    found: dict[str, list[tuple[str, str, list[str]]]] = {}
    for entry in (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines():
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9_.-]*)==(\S+)(?:\s*;\s*(.*?))?\s+(?=--hash)", entry):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
            found.setdefault(normal(match[1]), []).append((match[2], match[3] or "", hashes))
        else:
            assert not entry.strip() or entry.lstrip().startswith("#"), f"not understood: {entry}"
    return found


def test_the_lock_pins_everything_that_is_needed_for_every_platform_and_names_no_index() -> None:
    lock, wanted = locked(), requirements("requirements.txt")
    assert set(wanted) < set(lock)
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    needs = [Requirement(line) for line in lines if line]
    assert {normal(need.name) for need in needs} == set(wanted)
    for name in wanted:
        # Several where a platform has an older one.
        allowed = [need.specifier for need in needs if normal(need.name) == name]
        for pinned, _, _ in lock[name]:
            assert any(one.contains(pinned) for one in allowed), f"{name} {pinned} is not {allowed}: make lock"
        assert len(lock[name]) == len(allowed), f"{name}: make lock"
    assert all(hashes for entries in lock.values() for _, _, hashes in entries)
    assert "win32" in " ".join(markers for entries in lock.values() for _, markers, _ in entries)
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text and "--index" not in text and "--find" not in text and " @ " not in text


def test_what_the_lock_pins_needs_nothing_else_here() -> None:
    """Every requirement of what is pinned, for this machine, is pinned and satisfied."""
    lock = locked()
    for name, entries in lock.items():
        if not any(Marker(markers).evaluate() if markers else True for _, markers, _ in entries):
            continue
        for text in distribution(name).requires or []:
            need = Requirement(text)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            versions = [
                v for v, markers, _ in lock.get(normal(need.name), []) if not markers or Marker(markers).evaluate()
            ]
            assert versions and need.specifier.contains(versions[0]), f"{name} needs {text}; the lock has {versions}"


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


def blocked() -> set[str]:
    """Packages that only training, tests, benchmarks and options need."""
    wanted = set(requirements("requirements-dev.txt")) - {"pytest", "pytest-timeout", "ruff", "pyright"}
    return (wanted & set(map(normal, packages_distributions()))) | {"torch", *OPTIONAL}


def test_a_run_imports_nothing_of_training_and_no_option() -> None:
    assert {"torch", "matplotlib", "onnx", "psutil", "open3d"} <= blocked()
    assert "scipy" in requirements("requirements.txt"), "tracks and calibration solve with it"
    code = BLOCK.format(blocked=blocked()) + (
        "import pkgutil, importlib, calibration, stream\n"
        "from engines import detectors, runtimes\n"
        "for package in (calibration, stream):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "assert len(detectors.names()) >= 4\n"
        "from run_stream import main\n"
        "code = main(['--camera', 'synthetic:frames=3', '--view', 'none', '--detector', 'movenet-lightning'])\n"
        "assert not {'torch', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "3 moments" in done.stdout
    # The block holds: the training does not start behind it.
    code = BLOCK.format(blocked=blocked()) + "import engines.training.lifter.train"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "ModuleNotFoundError: No module named 'torch'" in done.stderr


@pytest.mark.parametrize(
    ("package", "raised", "said"),
    [
        ("cv2", "ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
         ("libGL.so.1", "apt install libgl1")),
        ("cv2", "ImportError('libgthread-2.0.so.0: cannot open shared object file')", ("apt install libglib2.0-0",)),
        ("tqdm", "ModuleNotFoundError(\"No module named 'tqdm'\", name='tqdm')", ("'tqdm'", "make run")),
        ("av", "ImportError('bad build')", ("bad build", "pip install -r requirements.lock")),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line_with_its_cure(
    tmp_path: Path, package: str, raised: str, said: tuple[str, ...]
) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise {raised}\n")
    done = subprocess.run(
        [sys.executable, ROOT / "run_stream.py", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for words in said:
        assert words in done.stderr


def test_the_apt_packages_are_those_that_the_bare_machine_gets() -> None:
    listed = re.search(r"^packages=\($(.*?)^\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE | re.DOTALL)
    named = re.search(r"`apt install ([^`]+)`", (ROOT / "README.md").read_text())
    assert listed
    assert named
    installed = set(re.sub("#.*", "", listed[1]).split())
    public = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    there = re.search(r"PACKAGES: >-\n(.*?)\njobs:", public, re.DOTALL)
    assert installed - {"git", "make", "python3-venv"} == set(there[1].split()), "which its machines have"
    assert all(f"run: make {target}\n" in public for target in ("check", "test", "test-slow", "docs"))
    readme = set(named[1].split())
    assert {"make", "python3-venv"} <= readme
    assert readme <= installed, "the README names what the bare machine does not get"
    for library in ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libglib-2.0.so.0"):
        assert APT[library] in readme
