"""Everybody in a camera, whatever detector looks; one that can only follow one person gives that one."""

from collections.abc import Iterator

from calibration.arrays import Image
from engines.types import CrowdDetector, CrowdSession, Detector, DetectorSession, Seen, Sighting, TimedSession


def crowd(detector: Detector, most: int, tracks: Iterator[int]) -> CrowdSession:
    """A session of a detector that follows up to ``most`` people, or one where it cannot follow several."""
    if isinstance(detector, CrowdDetector):
        return detector.crowd(most, tracks)
    return OnePersonSession(detector.session(), tracks)


class OnePersonSession:
    """A session of one person, as one of everybody.

    Args:
        session: follows the one person.
        tracks: numbers of its tracks: a new one whenever the person was not there; None: always 0.
    """

    def __init__(self, session: DetectorSession, tracks: Iterator[int] | None = None) -> None:
        self._session, self._tracks = session, tracks
        self._track: int | None = None

    def __call__(self, image: Image, t: float) -> Seen:
        """The one person, if there is one."""
        detection = self._session(image, t)
        if not detection.person:
            self._track = None
            return Seen(detection.origin, ())
        if self._track is None:
            self._track = 0 if self._tracks is None else next(self._tracks)
        return Seen(detection.origin, (Sighting(self._track, detection),))

    def reset(self) -> None:
        """Forget the person."""
        self._track = None
        self._session.reset()

    def report(self, seconds: float) -> None:
        """Say how long the last call took."""
        if isinstance(self._session, TimedSession):
            self._session.report(seconds)
