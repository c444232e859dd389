"""Who is who in several calibrated cameras.

First what is followed already: a sighting is that person's whose joints, carried on to this time, are where the camera
shows them; one assignment a camera. What is left over, and who is known to one camera only, is compared with each other
(``pairs``) and joined (``grouping``). A group is somebody who was lost near there, or somebody new.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array
from calibration.geometry.camera import Camera, camera_to_image, world_to_camera
from engines.identity.grouping import groups
from engines.identity.one_camera import away
from engines.identity.one_camera import spots as spots_of
from engines.identity.pairs import Node, compare, node
from engines.identity.types import IdentityOptions, Known, Placed, Spotted
from engines.skeleton import LIMBS
from engines.types import Mixture, Seen

_LIMBS: Final = np.array(LIMBS)
_MOTION_S: Final = 0.2
_FAR: Final = 1e3
_LATE_S: Final = 0.35
_APART_S: Final = 0.2
"""After so long nobody is where they were to be well enough for half of the cameras not to see somebody new."""


class Links(NamedTuple):
    """Who each sighting is."""

    people: list[Known]
    """Those of before, in their order, then new ones without an id (-1)."""
    members: list[list[int | None]]
    """Of each of them, one a camera: number of the sighting."""
    spots: Sequence[Sequence[Spotted]] = ()
    """Of each camera what is kept of its sightings; empty where nobody needed it."""


def carried(placed: Placed, t: float, options: IdentityOptions = IdentityOptions()) -> Array:
    """(12, 3) mm: where somebody's limb joints are to be at t seconds, as the body moves as a whole and slows down."""
    lasts = options.damping_s * (1 - np.exp(-max(t - placed.t, 0.0) / options.damping_s))
    return placed.joints + placed.velocity * lasts


def place(joints: Array, before: Placed | None, t: float, *, shared: bool) -> Placed:
    """What is kept of a fused pose (17, 3) mm at t seconds."""
    limbs, velocity = joints[_LIMBS], np.zeros(3)
    if before is not None:
        velocity = before.velocity
        dt = t - before.t
        if dt > 0 and shared and before.shared:
            speed = np.nan_to_num((limbs - before.joints).mean(0)) / dt
            velocity = velocity + (1 - np.exp(-dt / _MOTION_S)) * (speed - velocity)
    return Placed(limbs, t, velocity, shared)


def link(
    people: Sequence[Known],
    seen: Sequence[Seen | None],
    mixtures: Sequence[Sequence[Mixture | None]],
    cameras: Sequence[Camera],
    t: float,
    options: IdentityOptions,
    since: float = 0.0,
) -> Links:
    """Say who each sighting of one frame set is; the one before was ``since`` seconds ago."""
    kept = list(people)
    every = iter(spots_of([s for answer in seen if answer for s in answer.people], t))
    spots = [[next(every) for _ in answer.people] if answer else [] for answer in seen]
    members: list[list[int | None]] = [[None] * len(seen) for _ in kept]
    late = _LATE_S if since <= _APART_S else 0.0
    for camera_index, row, k in _followed(kept, cameras, spots, t, options, late):
        members[row][camera_index] = k
    kept, members = _without_taken(kept, members, spots)
    nodes, rows = _left_over(kept, members, seen, mixtures, cameras)
    if not nodes:
        return Links(kept, members, spots)
    found = _grouped(nodes, rows, options)
    gone: set[int] = set()
    new: list[list[int]] = []
    for group in found:
        known = sorted(
            {row for k in group if (row := rows[k]) is not None},
            key=lambda row: (kept[row].person_id < 0, kept[row].person_id),
        )
        if not known:
            new.append(group)
            continue
        first, *others = known
        for k in group:
            members[first][nodes[k].camera] = nodes[k].sighting
        gone |= set(others)
    for group, row in _found_again(new, nodes, kept, members, spots, t, options):
        if row is None:
            kept.append(Known(-1, (None,) * len(seen), t, shown=False))
            members.append([None] * len(seen))
            row = len(kept) - 1
        for k in group:
            members[row][nodes[k].camera] = nodes[k].sighting
    stay = [row for row in range(len(kept)) if row not in gone]
    return Links([kept[row] for row in stay], [members[row] for row in stay], spots)


def _followed(
    people: Sequence[Known], cameras: Sequence[Camera], spots: Sequence[Sequence[Spotted]], t: float,
    options: IdentityOptions, late: float,
) -> Iterator[tuple[int, int, int]]:  # fmt: skip
    """Camera, row of the person and number of the sighting; one assignment a camera, of costs made together.

    Who was fused longer than ``late`` seconds ago may have gone anywhere: they are looked for in the world, not here.
    """
    flat = [s for theirs in spots for s in theirs]
    if not people or not flat:
        return
    first = np.cumsum([0, *map(len, spots)])
    own = np.repeat(np.arange(len(spots)), np.diff(first))
    cost = np.full((len(people), len(flat)), _FAR)
    shared = {
        row: placed for row, person in enumerate(people) if (placed := person.placed) is not None and placed.shared
    }
    fresh = np.array([t - placed.t <= late for placed in shared.values()], bool)
    if fresh.any():
        joints = np.stack([carried(placed, t, options) for placed in shared.values()])
        local = [world_to_camera(camera, joints) for camera in cameras]
        ahead = np.stack([(one[..., 2] > 100).all(-1) for one in local])[own].T
        shows = np.stack([camera_to_image(camera, one) for camera, one in zip(cameras, local, strict=True)])
        xy, shown = np.stack([s.joints for s in flat]), np.stack([s.seen for s in flat])
        off = np.linalg.norm(shows[own].swapaxes(0, 1) - xy, axis=-1)
        compared = shown & np.isfinite(off)
        count = compared.sum(-1)
        # The median of those that are shown: the rest are sorted behind them.
        ordered = np.sort(np.where(compared, off, np.inf), -1)
        median = np.take_along_axis(ordered, np.maximum(count - 1, 0)[..., None] // 2, -1)[..., 0]
        share = median / [max(s.height, 1.0) for s in flat]
        fits = (count >= 3) & ahead & fresh[:, None] & (share <= options.reprojection)
        cost[list(shared)] = np.where(fits, share, _FAR)
    for row, person in enumerate(people):
        # A little less for a track that goes on: of two who stand in one line each keeps theirs.
        told = person.placed is not None and person.placed.shared and t - person.placed.t <= late
        for k, (camera_index, s) in enumerate(zip(own.tolist(), flat, strict=True)):
            before = person.views[camera_index]
            if before is not None and s.track == before.track:
                cost[row, k] = cost[row, k] - 0.03 if told else options.held
    for camera_index in range(len(spots)):
        mine = cost[:, first[camera_index] : first[camera_index + 1]]
        for row, k in zip(*linear_sum_assignment(mine), strict=True):
            if mine[row, k] < _FAR / 2:
                yield camera_index, int(row), int(k)


def _without_taken(
    people: Sequence[Known], members: Sequence[list[int | None]], spots: Sequence[Sequence[Spotted]]
) -> tuple[list[Known], list[list[int | None]]]:
    """Without people whom one camera knew, and whose track has turned out to be somebody's whom others see too."""
    taken = {
        (camera, spots[camera][k].track): row
        for row, mine in enumerate(members)
        for camera, k in enumerate(mine)
        if k is not None
    }
    stay = []
    for row, person in enumerate(people):
        alone = person.placed is None or not person.placed.shared
        lost = not any(k is not None for k in members[row])
        tracks = [(camera, view.track) for camera, view in enumerate(person.views) if view is not None]
        if not (alone and lost and any(taken.get(track, row) != row for track in tracks)):
            stay.append(row)
    return [people[row] for row in stay], [members[row] for row in stay]


def _left_over(
    people: Sequence[Known],
    members: Sequence[Sequence[int | None]],
    seen: Sequence[Seen | None],
    mixtures: Sequence[Sequence[Mixture | None]],
    cameras: Sequence[Camera],
) -> tuple[list[Node], list[int | None]]:
    """Sightings that are nobody's, and those of people whom one camera knows; and the row of who they are."""
    chosen: list[tuple[int, int, int | None]] = []
    linked = {(camera, k) for mine in members for camera, k in enumerate(mine) if k is not None}
    for camera, answer in enumerate(seen):
        chosen += [(camera, k, None) for k in range(len(answer.people) if answer else 0) if (camera, k) not in linked]
    if len(cameras) > 1:
        for row, mine in enumerate(members):
            views = [(camera, k) for camera, k in enumerate(mine) if k is not None]
            if len(views) == 1:
                chosen.append((*views[0], row))
    kernels = max((len(m.weight) for theirs in mixtures for m in theirs if m is not None), default=1)
    nodes = [
        node(camera, k, cameras[camera], answer.people[k].detection, mixtures[camera][k], kernels)
        for camera, k, _ in chosen
        if (answer := seen[camera]) is not None
    ]
    return nodes, [row for _, _, row in chosen]


def _grouped(nodes: Sequence[Node], rows: Sequence[int | None], options: IdentityOptions) -> list[list[int]]:
    if len({one.camera for one in nodes}) < 2:
        return [[k] for k in range(len(nodes))]
    known = np.array([row is not None for row in rows])
    most = np.where(known[:, None] & known[None], options.same_known, options.same)
    return groups(compare(nodes, options).cost, [one.camera for one in nodes], most)


def _found_again(
    new: Sequence[list[int]],
    nodes: Sequence[Node],
    people: Sequence[Known],
    members: Sequence[Sequence[int | None]],
    spots: Sequence[Sequence[Spotted]],
    t: float,
    options: IdentityOptions,
) -> list[tuple[list[int], int | None]]:
    """Each new group with the row of the person who was lost near there, or None."""
    lost = [row for row, mine in enumerate(members) if not any(k is not None for k in mine)]
    if not lost or not new:
        return [(group, None) for group in new]
    cost = np.full((len(new), len(lost)), _FAR)
    for g, group in enumerate(new):
        where = [nodes[k] for k in group]
        for column, row in enumerate(lost):
            cost[g, column] = _apart(where, spots, people[row], t, options)
    out: list[tuple[list[int], int | None]] = [(group, None) for group in new]
    for g, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[g, column] <= 1:
            out[g] = (new[g], lost[column])
    return out


def _apart(
    where: Sequence[Node], spots: Sequence[Sequence[Spotted]], person: Known, t: float, options: IdentityOptions
) -> float:
    """How far a group is from where somebody was to be; 1 is as far as they may be."""
    seen_there = [
        away(before, spots[one.camera][one.sighting], t, options)
        for one in where
        if (before := person.views[one.camera]) is not None
    ]
    in_image = min(seen_there, default=_FAR)
    if person.placed is None:
        return min(in_image, _FAR)
    middle, unsure = middle_of(where, options)
    if not np.isfinite(middle).all():
        return min(in_image, _FAR)
    reach = options.reach_mm + options.reach_mm_a_second * (t - person.placed.t) + unsure
    if not person.placed.shared:
        reach += unsure
    in_world = float(np.linalg.norm(middle - np.nanmean(carried(person.placed, t, options), 0))) / reach
    # What several cameras say of the place counts; of one camera's word its image is the surer half.
    return in_world if len(where) > 1 and person.placed.shared else min(in_world, in_image)


def middle_of(where: Sequence[Node], options: IdentityOptions = IdentityOptions()) -> tuple[Array, float]:
    """(3,) mm: the mean joint of a group, and how unsure it is, mm. NaN where nothing tells."""
    if len(where) == 1:
        return where[0].place, options.depth * where[0].away
    # The point nearest to all rays of a joint; its mean over the joints that two of them see.
    shown = np.stack([one.seen for one in where])
    rays, centre = np.stack([one.rays for one in where]), np.stack([one.centre for one in where])
    across = (np.eye(3) - rays[..., :, None] * rays[..., None, :]) * shown[..., None, None]
    A, b = across.sum(0), (across @ centre[:, None, :, None]).sum(0)
    enough = shown.sum(0) >= 2
    if not enough.any():
        return np.full(3, np.nan), 0.0
    points = np.linalg.solve(A[enough] + 1e-9 * np.eye(3), b[enough])[..., 0]
    return np.median(points, axis=0), options.gap_mm
