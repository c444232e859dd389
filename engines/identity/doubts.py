"""What one camera alone says against all others: a fault of its calibration, or somebody who is not there."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera, world_to_camera, world_to_image
from engines.identity.pairs import node
from engines.identity.types import IdentityOptions, Known
from engines.oks import seen_limbs
from engines.skeleton import LIMBS
from engines.types import Mixture, Seen

_MARGIN = 0.03
"""Of the image: at its edge nobody has to be found."""


def alone_since(
    since: Sequence[float | None],
    people: Sequence[Known],
    members: Sequence[Sequence[int | None]],
    seen: Sequence[Seen | None],
    cameras: Sequence[Camera],
    t: float,
) -> tuple[float | None, ...]:
    """Since when each camera sees people, and none of those whom others see where it should.

    A camera that shares somebody, or has nobody of others to share, is not alone; one without a frame stays as it was.
    """
    out = []
    for camera, answer in enumerate(seen):
        shares = should = False
        for person, mine in zip(people, members, strict=True):
            others = sum(k is not None for other, k in enumerate(mine) if other != camera)
            shares |= mine[camera] is not None and others > 0
            if mine[camera] is None and others > 1:
                # Somebody new has no place yet; in the next frame set they have.
                where = person.placed
                should |= where is None or bool(_inside(cameras[camera], np.nanmean(where.joints, 0)[None])[0])
        if answer is None:
            out.append(since[camera])
        elif shares or not should or not answer.people:
            out.append(None)
        else:
            out.append(t if since[camera] is None else since[camera])
    return tuple(out)


def doubtful(
    people: Sequence[Known],
    members: Sequence[Sequence[int | None]],
    seen: Sequence[Seen | None],
    mixtures: Sequence[Sequence[Mixture | None]],
    cameras: Sequence[Camera],
    alone: Sequence[float | None],
    t: float,
    options: IdentityOptions,
) -> list[bool]:
    """Who of the people does not count yet: seen by one camera only, and not by another that should see them."""
    out = []
    for person, mine in zip(people, members, strict=True):
        views = [(camera, k) for camera, k in enumerate(mine) if k is not None]
        counts = person.shown and person.person_id >= 0
        if len(views) != 1:
            out.append(not views and not counts)
            continue
        camera, k = views[0]
        answer, since = seen[camera], alone[camera]
        if answer is None or (counts and since is None):
            out.append(not counts)
        elif since is not None:
            # Its own people are nobody's whom the others see: nothing that it alone says is believed.
            out.append(not counts or t - since >= options.alone_s)
        else:
            one = node(camera, k, cameras[camera], answer.people[k].detection, mixtures[camera][k], 1)
            missing = np.isfinite(one.away) and _missing(one.centre, one.place, camera, seen, cameras)
            out.append(bool(missing) and t - person.born < options.doubt_s)
    return out


def _missing(centre: Array, place: Array, own: int, seen: Sequence[Seen | None], cameras: Sequence[Camera]) -> bool:
    """Whether another camera should see somebody between 0.8 and 1.25 times as far as lifted, and sees nobody there."""
    line = centre + np.array([0.8, 0.9, 1.0, 1.12, 1.25])[:, None] * (place - centre)
    for camera, answer in enumerate(seen):
        if camera == own or answer is None or not _inside(cameras[camera], line).all():
            continue
        xy = world_to_image(cameras[camera], line)
        boxes = [_box(sighting.detection.xy, sighting.detection.score) for sighting in answer.people]
        if not any(((xy >= low) & (xy <= high)).all(-1).any() for low, high in boxes):
            return True
    return False


def _box(xy: Array, score: Array) -> tuple[Array, Array]:
    limbs = xy[np.array(LIMBS)][seen_limbs(score)]
    if not len(limbs):
        return np.full(2, np.inf), np.full(2, -np.inf)
    low, high = limbs.min(0), limbs.max(0)
    room = 0.2 * (high - low).max()
    return low - room, high + room


def _inside(camera: Camera, points: Array) -> Bools:
    """(N,) whether points (N, 3) mm are well inside the image."""
    size = np.array(camera.size)
    xy = world_to_image(camera, points)
    ahead = world_to_camera(camera, points)[:, 2] > 100
    return ahead & (xy > _MARGIN * size).all(-1) & (xy < (1 - _MARGIN) * size).all(-1)
