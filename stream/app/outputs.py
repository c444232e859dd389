"""The sinks of a run, put together as its Config says."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from stream.app.record_switch import RecordSwitch, TakeSinks
from stream.app.run_status import RunStatus
from stream.config import OutputConfig
from stream.live.metrics import Meter
from stream.live.pipeline import Pipeline
from stream.recordings.frames import FrameRecorder
from stream.recordings.writer import Recorder
from stream.sinks import MainSink
from stream.sinks.terminal import Terminal
from stream.sinks.video import VideoSink

RECORD_FOLDER: Final = Path("recordings")
"""Where a take goes that is begun by a key when no --record was given."""


class Outputs:
    """Makes the sinks of a run and adds them to its pipeline.

    Args:
        config: what the user wants.
        pipeline: the run, not started.
        meter: its counts.
        runtime: what the lifter runs on.
        total: frame sets there will be, where a file tells.
        say: told single lines for the user.

    Raises:
        UserError: for an output that cannot be made; nothing has been written then.
    """

    def __init__(
        self, config: OutputConfig, pipeline: Pipeline, meter: Meter, runtime: str, total: int | None,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._config, self._control, self._say = config, pipeline.control, say
        self.switch = RecordSwitch(pipeline, config.record or RECORD_FOLDER, self._take_sinks, say)
        self.status = RunStatus(pipeline, meter, runtime, total, lambda: self.switch.recording)
        self._control.connect(record=self.switch.switch)
        # Everything that can be refused is made first, a take last, so that no empty one is left.
        terminal = Terminal(self.status)
        wants_video = config.video_out or config.still_out
        video = VideoSink(config.video_out, config.still_out, self.status) if wants_video else None
        self.viewer: MainSink | None = self._viewer()
        """What wants the main thread, if there is one."""
        pipeline.add(terminal, "terminal")
        if video:
            pipeline.add(video, "video")
        if config.record:
            self.switch.begin()

    def _take_sinks(self, take: Path) -> TakeSinks:
        frames = [("frames", FrameRecorder(take))] if self._config.record_video else []
        return [("recorder", Recorder(take)), *frames]

    def _viewer(self) -> MainSink | None:
        view = self._config.view
        if view == "none":
            return None
        from stream.sinks import open3d, window

        if view == "open3d":
            return open3d.Open3D(self._control)
        reason = window.available() if view == "auto" else None
        if reason is not None:
            instead = "" if self._config.video_out else "; give --video-out FILE.mp4 to see the result"
            self._say(f"no window: {reason}; going on without one{instead}")
            return None
        return window.Window(self.status, self._control)
