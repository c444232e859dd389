"""The demo's recordings: real videos from wheels of the package index, fetched once with pip, checked, and kept.

Both are BSD-3: Sports2D and Pose2Sim by David Pagnon and contributors. Neither package is installed or run.
"""

import hashlib
import logging
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from calibration import writing
from engines import user_cache
from stream.app.download import download_wheel
from stream.config import Config, SourceConfig
from stream.sinks import recorder, video
from stream.types import StreamError

_log = logging.getLogger(__name__)

OUT: Final = Path("out")
"""Where the demo leaves its results."""
WALKER_FOV: Final = 38.7
"""Degrees along the long side: the focal length of the wheel's own Calib_demo.toml (2520 px at 1768 px)."""
LETTERBOX: Final = "0.99265,0,7.05"
"""cam01 and cam02 were scaled by this and moved down by a strip of black rows after they were calibrated."""


@dataclass(frozen=True, slots=True)
class DemoSet:
    """Files inside one wheel."""

    requirement: str
    """What pip is asked for, pinned."""
    sha256: str
    """Of the wheel."""
    size: int
    """Of the wheel, bytes."""
    prefix: str
    """Files of the wheel below this path are kept."""
    part: str = ""
    """Where another demo keeps other files of the same wheel: what is added to the folder's name."""
    what: str = "the demo video"
    """What is fetched, in words."""


SINGLE: Final = DemoSet(
    "sports2d==0.8.34",
    "733b6db70742636ae9c35d870c22bd416582f579abd5881bee93a14bb0e2655d",
    9_050_415,
    "Sports2D/Demo/",
)
"""One camera, one walker: ``demo.mp4``."""
MULTI: Final = DemoSet(
    "pose2sim==0.10.49",
    "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1",
    51_189_031,
    "Pose2Sim/Demo_SinglePerson/",
)
"""Four calibrated, synchronised cameras: ``videos/cam0N.mp4``, ``calibration/Calib.qca.txt``."""
OPENSIM: Final = replace(
    MULTI, prefix="Pose2Sim/OpenSim_Setup/", part="-opensim", what="the OpenSim model of Pose2Sim (BSD-3)"
)
"""Pose2Sim's model for OpenSim, after Rajagopal et al. 2016: ``Model_Pose2Sim_simple.osim``."""
PEOPLE: Final = replace(MULTI, prefix="Pose2Sim/Demo_MultiPerson/", part="-people")
"""The same room with two people, and their videos as large as the calibration says."""
CALIBRATED: Final = {"multi": MULTI, "people": PEOPLE, "cluster": MULTI}
"""Those with four calibrated cameras; "cluster" is "multi" in three processes."""


def configure(config: Config, which: str, *, files: bool = True) -> Config:
    """The configuration of a demo: its videos and calibration, and results in ``out/`` where nothing else is said.

    Args:
        config: what the user's flags say; its sources are replaced.
        which: "single", "multi", "people" or "cluster".
        files: whether there are results where none were asked for.

    Raises:
        StreamError: if the videos cannot be fetched, for flags of a calibration where the demo has its own, or for a
            file that is there already.
    """
    own = {"--calibration": config.setup.calibration, "--up": config.setup.up, "--letterbox": config.setup.letterbox}
    given = [flag for flag, value in own.items() if value]
    if which in CALIBRATED and given:
        raise StreamError(f"--demo {which} brings its own calibration; leave out {', '.join(given)}")
    if files:
        config = replace(config, output=replace(config.output, sinks=tuple(map(_with_files, config.output.sinks))))
    if which == "single":
        return replace(config, sources=(SourceConfig(str(fetch(SINGLE) / "demo.mp4"), "walker"),))
    if which == "cluster" and not files:
        raise StreamError('demo="cluster" is of the program, which starts its processes; demo="multi" is in one')
    folder = fetch(CALIBRATED[which])
    names = [f"cam0{k}" for k in range(1, 5)]
    setup = replace(
        config.setup,
        calibration=folder / "calibration" / "Calib.qca.txt",
        up=(0.0, 0.0, 1.0),
        letterbox=(f"cam01={LETTERBOX}", f"cam02={LETTERBOX}") if which != "people" else (),
    )
    sources = tuple(SourceConfig(str(folder / "videos" / f"{name}.mp4"), name) for name in names)
    return replace(config, sources=sources, setup=setup)


def _with_files(options: object) -> object:
    """The options of a sink, with files of the demo's own where none is named."""
    if isinstance(options, video.Options):
        options.refuse_existing()  # what the user names; the demo's own may be replaced, run after run
        return video.Options(options.video_out or OUT / "demo.mp4", options.still_out or OUT / "demo.png", True)
    if isinstance(options, recorder.Options):
        return recorder.Options(options.record or OUT / "recordings")
    return options


def cache_folder() -> Path:
    """Where fetched files are kept: the user's cache folder.

    Raises:
        CacheError: where the user has no home.
    """
    return user_cache.folder()


def fetch(demo: DemoSet, cache: Path | None = None) -> Path:
    """The folder with the demo's files, fetched on the first call.

    Raises:
        StreamError: offline with nothing cached, for a wheel that is not the one that was checked, or a full disk.
    """
    folder = (cache or cache_folder()) / (demo.requirement.replace("==", "-") + demo.part)
    if folder.is_dir():
        return folder
    try:
        with writing.scratch(folder.parent) as scratch:
            wheel = _download(demo, scratch, folder.parent)
            kept = scratch / "kept"
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.startswith(demo.prefix) and not name.endswith("/"):
                        target = kept / name.removeprefix(demo.prefix)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(archive.read(name))
            # In place in one step: an interrupted fetch leaves nothing that looks complete.
            kept.rename(folder)
    except OSError as error:
        raise StreamError(f"cannot keep {demo.what} in {folder}: {error.strerror or error}") from error
    return folder


def _download(demo: DemoSet, scratch: Path, cache: Path) -> Path:
    megabytes = demo.size / 1e6
    _log.info(f"fetching {demo.what} ({demo.requirement}, {megabytes:.0f} MB, once, into {cache}) ...")
    wheel = download_wheel(demo.requirement, demo.size, scratch, demo.what)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != demo.sha256:
        raise StreamError(f"the file fetched for {demo.requirement} is not the one that was checked; it was not used")
    return wheel
