"""Which runtime and precision a network gets: the rules of ``engines.runtimes.load``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from engines import cards
from engines.runtimes import _measure
from engines.runtimes._measure import Candidate, Measured
from engines.runtimes._module import Network, NetworkOptions, RuntimeModule, one_line
from engines.types import EngineError
from engines.user_cache import CacheError

PRECISIONS: Final = ("fp32", "int8")
"""Those that can be asked for. A file may also be of "fp16", as its card says: then it is all that there is."""
INT8: Final = ".int8.onnx"
"""``NAME.int8.onnx`` is the int8 file of ``NAME.onnx``."""

Modules = Mapping[str, RuntimeModule]


class Chosen:
    """A network, and why it runs where it does."""

    def __init__(self, network: Network, choice: str) -> None:
        self._network = network
        said = network.describe()
        parts = [choice, said["note"]] if said.get("note") else [choice]
        self._description = {k: v for k, v in said.items() if k != "note"} | {"choice": "; ".join(parts)}

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Name -> what it takes."""
        return self._network.inputs

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the network once: arrays by input name in, arrays by output name out."""
        return self._network(**arrays)

    def describe(self) -> Mapping[str, str]:
        """``runtime``, ``device``, ``threads``, ``precision``, ``model``, ``sha256`` and ``choice``."""
        return self._description


@dataclass(frozen=True, slots=True)
class Files:
    """The ONNX files of a network."""

    by_precision: Mapping[str, tuple[Path, str]]
    """"fp32", "fp16" or "int8" -> file and its sha256; the file that was given first."""
    passed_over: str = ""
    """Why there is an int8 file that is not used."""


def find_files(path: Path, *, look_for_int8: bool) -> Files:
    """A network's file, checked against its card where it has one, and its int8 file where that belongs to it.

    Raises:
        EngineError: if ``path`` is missing, damaged, or not what its card says.
    """
    card = cards.verify(path) if path.with_suffix(".toml").is_file() else None
    sha256 = card.sha256.lower() if card else cards.digest(path)
    if path.name.endswith(INT8):
        return Files({"int8": (path, sha256)})
    own = {str(card.values.get("precision", "fp32")) if card else "fp32": (path, sha256)}
    quantised = path.with_suffix(INT8)
    if not look_for_int8 or not quantised.exists():
        return Files(own)
    try:
        card = cards.load_card(quantised)
        if str(card.values.get("of", "")).lower() != sha256:
            return Files(own, f"{quantised.name} was made of another {path.name}")
        if card.values.get("accepted") is not True:
            return Files(own, f"{quantised.name} was not accepted by its build")
        return Files(own | {"int8": (quantised, cards.verify(quantised).sha256.lower())})
    except EngineError as error:
        return Files(own, str(error))


def load(modules: Modules, path: Path, options: NetworkOptions) -> Chosen:
    """See ``engines.runtimes.load``; ``modules`` are the runtimes by name, in the order that decides a tie."""
    name, threads, precision = options.runtime, options.threads, options.precision
    if precision not in (None, "auto", *PRECISIONS):
        raise EngineError(f"unknown precision {precision!r}; there are auto, {', '.join(PRECISIONS)}")
    wanted = None if name == "auto" else _by_name(modules, name)
    files = find_files(path, look_for_int8=precision in ("auto", "int8"))
    if precision in PRECISIONS and precision not in files.by_precision:
        has = ", ".join(files.by_precision)
        why = files.passed_over or f"{path.name} is there as {has}"
        use = has if has in PRECISIONS else "auto"
        raise EngineError(f"there is no {precision} file to run: {why}; use --precision {use}")
    kinds = [p for p in files.by_precision if precision in (None, "auto", p)]
    notes = [files.passed_over] if files.passed_over else []
    if wanted is None:
        able, accelerated = _able(modules, kinds, files, threads, notes)
        if accelerated:
            return accelerated
    else:
        able = {name: wanted}
    candidates = [
        Candidate(n, p, *files.by_precision[p], module.version())
        for p in kinds
        for n, module in able.items()
        if p in module.PRECISIONS
    ]
    if not candidates:
        what = f"{name if wanted else 'what is installed'} does not run {' or '.join(kinds)} files"
        raise EngineError("; ".join([f"{path.name}: {what}; use --precision auto or --runtime onnx", *notes]))
    return _best(candidates, able, threads, "asked for" if wanted else "the only one that can run it here", notes)


def _able(
    modules: Modules, kinds: Sequence[str], files: Files, threads: int, notes: list[str]
) -> tuple[dict[str, RuntimeModule], Chosen | None]:
    """What "auto" may measure; and the network of an accelerator where there is one that works, which it takes.

    Raises:
        EngineError: if nothing at all is installed.
    """
    present = {n: module for n, module in modules.items() if module.available()}
    if not present:
        first = next(iter(modules.values()))
        raise EngineError(f"no runtime is installed of {', '.join(modules)}: {first.INSTALL}")
    able: dict[str, RuntimeModule] = {}
    for n, module in present.items():
        fit = [p for p in kinds if p in module.PRECISIONS]
        if reason := module.obstacle():
            # Of an accelerator somebody may wonder; the others are not missed where they cannot be.
            notes += [f"{n} passed over: {reason}"] if module.ACCELERATOR else []
        elif fit and module.ACCELERATOR:
            try:
                candidate = Candidate(n, fit[0], *files.by_precision[fit[0]], module.version())
                return {}, Chosen(_open(candidate, module, threads), "; ".join(["there is a GPU for it", *notes]))
            except EngineError as error:
                notes.append(f"{n} passed over: {error}")
        elif fit:
            able[n] = module
    return able, None


def _by_name(modules: Modules, name: str) -> RuntimeModule:
    if name not in modules:
        raise EngineError(f"unknown runtime {name!r}; there are auto, {', '.join(modules)}")
    if not modules[name].available():
        others = ", ".join(n for n, module in modules.items() if module.available())
        raise EngineError(f"runtime {name!r} is not installed: {modules[name].INSTALL}; here there are auto, {others}")
    return modules[name]


def _open(candidate: Candidate, module: RuntimeModule, threads: int) -> Network:
    """Load a candidate.

    Raises:
        EngineError: whatever goes wrong.
    """
    try:
        return module.load(candidate.path, candidate.sha256, threads, candidate.precision)
    except EngineError:
        raise
    except Exception as error:  # a broken accelerator or installation raises anything
        raise EngineError(f"{candidate.runtime} does not work ({type(error).__name__}: {one_line(error)})") from error


def _best(candidates: Sequence[Candidate], modules: Modules, threads: int, alone: str, notes: list[str]) -> Chosen:
    """The fastest candidate, measured now or before; with one alone nothing is measured, and ``alone`` is why.

    Raises:
        EngineError: if none of them can be loaded: what the first says.
    """
    networks: dict[str, Network] = {}
    if len(candidates) == 1:
        report = Measured({}, {})
    else:
        report = _measured(candidates, modules, threads, notes=notes, networks=networks)
    errors: list[EngineError] = []
    for candidate in report.order(candidates):
        try:
            network = networks.get(candidate.label) or _open(candidate, modules[candidate.runtime], threads)
        except EngineError as error:
            errors.append(error)
            notes.append(f"{candidate.label} passed over: {error}")
            continue
        return Chosen(network, "; ".join([_reason(report) if report.ms else alone, *notes]))
    if errors:
        raise errors[0]
    raise EngineError(next(iter(report.failed.values())))


def _measured(
    candidates: Sequence[Candidate],
    modules: Modules,
    threads: int,
    *,
    notes: list[str],
    networks: dict[str, Network],
) -> Measured:
    """What was measured, and what of it is still loaded in ``networks``."""
    try:
        if known := _measure.read(candidates, threads):
            notes += [f"{label} passed over: {why}" for label, why in known.failed.items()]
            return known
    except CacheError as error:
        notes.append(str(error))
    failed: dict[str, str] = {}
    for candidate in candidates:
        try:
            networks[candidate.label] = _open(candidate, modules[candidate.runtime], threads)
        except EngineError as error:
            failed[candidate.label] = str(error)
    ms, stopped = _measure.race(networks)
    for label in stopped:
        del networks[label]
    report = Measured(ms, failed | stopped)
    # A network with a note runs otherwise than it should, such as without CUDA: tomorrow it may be mended.
    if ms and not any(network.describe().get("note") for network in networks.values()):
        try:
            _measure.write(candidates, threads, report)
        except CacheError as error:
            notes.append(f"measured at every start: {error}")
    notes += [f"{label} passed over: {why}" for label, why in report.failed.items()]
    return report


def _reason(report: Measured) -> str:
    """What was measured, the fastest first."""
    ms = ", ".join(f"{label} {value:.3g} ms" for label, value in sorted(report.ms.items(), key=lambda item: item[1]))
    return f"measured: {ms}"
