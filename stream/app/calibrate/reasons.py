"""Why a board was not found or not seen together, by what was seen of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from calibration.arrays import Array, Image
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.solving.board import Board
from calibration.solving.expected import board_in_world, expected_view
from calibration.solving.person_seen import person_seen
from calibration.solving.sighting import why_unseen
from stream.app.calibrate.capture import Together
from stream.app.calibrate.collect import LensCollector


def why(seen: Together, cameras: Sequence[Camera], board: Board) -> str:
    """In one line, why no frame set could be used.

    Args:
        seen: what was collected.
        cameras: in the order of the sources; whether they are placed is told by their places.
        board: the board that was looked for.
    """
    saw = [c for c in cameras if seen.seen.get(c.name)]
    blind = [c for c in cameras if not seen.seen.get(c.name)]
    if not blind:
        spans = ", ".join(f"{c.name} from {seen.when[c.name][0]:.1f} to {seen.when[c.name][1]:.1f} s" for c in saw)
        return (
            f"each saw it, but never at one moment ({spans}): do the recordings overlap in time (--sync-offset), and "
            "is there a place that two cameras see?"
        )
    reasons: dict[str, list[str]] = {}
    for camera in blind:
        told = expected(camera, saw, board, seen) or why_unseen(board, seen.missed[camera.name].images)
        reasons.setdefault(told, []).append(camera.name)
    return "; ".join(f"{', '.join(names)}: {told}" for told, names in reasons.items())


def expected(camera: Camera, saw: Sequence[Camera], board: Board, seen: Together) -> str | None:
    """How a camera should see the board that a placed one sees; None where that is not known."""
    centres = {tuple(c.centre) for c in (camera, *saw)}
    if not saw or len(centres) < 2:
        return None
    corners = board_in_world(saw, board, [{c.name: seen.alone[c.name]} for c in saw])
    return None if corners is None else expected_view(camera, board, corners)


def blind(seen: Together, cameras: Sequence[Camera], board: Board) -> list[str]:
    """A line for every camera that did not see the board in what is used, and why."""
    used = {name for frame in seen.frames for name in frame}
    saw = [c for c in cameras if c.name in used]
    rest = [c for c in cameras if c.name not in used]
    corners = board_in_world(saw, board, seen.frames) if rest else None
    lines = []
    for camera in rest:
        reason = None if corners is None else expected_view(camera, board, corners)
        lines.append(
            f"camera {camera.name} does not see the board: {reason or why_unseen(board, _images(seen, camera))}"
        )
    return lines


def _images(seen: Together, camera: Camera) -> list[Image]:
    return list(seen.missed[camera.name].images) if camera.name in seen.missed else []


@contextmanager
def told(cameras: Sequence[Camera], xy: Array, score: Array) -> Iterator[None]:
    """Every refusal of cameras that look at a person says what they saw."""
    try:
        yield
    except CalibrationError as error:
        raise CalibrationError(f"{error} (seen: {person_seen(cameras, xy, score)})") from error


def too_few(collector: LensCollector, name: str, board: Board, least: int) -> str | None:
    """Why a camera has fewer views of the board than its lens needs; None where it has enough."""
    if len(collector.views) >= least:
        return None
    head = f"camera {name}: the board was found in {collector.found} of {collector.looked} images"
    if collector.found >= least:
        return f"{head}, but only {len(collector.views)} of them are sharp and different: hold it still, in more light"
    told = why_unseen(board, collector.missed.images) if collector.missed.images else "more images are needed"
    return f"{head}, and {least}, better 20, are needed, at different distances and tilts; in the others: {told}"
