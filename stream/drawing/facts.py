"""The box of facts: how sure the poses are, the key to the colours and the state of the run. Drawn in place."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.arrays import Array, Image
from engines.skeleton import JOINTS
from stream.drawing import primitives as draw
from stream.drawing.figures import Figure, ghost_opacity, own_colour, selected
from stream.drawing.primitives import Rect
from stream.drawing.scene import ViewState
from stream.drawing.sheet import Sheet, text_scale
from stream.words import number_of


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How one camera is doing. Counts are since the run began."""

    name: str
    """Name of the camera."""
    fps: float | None = None
    """Frames a second, measured; None where it is not known."""
    dropped: int = 0
    """Frames that came too late to be used."""
    corrupt: int = 0
    """Frames that could not be decoded whole."""
    reconnects: int = 0
    """Times it was opened again."""
    stalled: bool = False
    """Whether a live camera has stopped sending."""
    note: str = ""
    """What is wrong, in one line; empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the run besides the estimate."""

    fps: float | None = None
    """Frame sets a second, measured."""
    latency_ms: float | None = None
    """From grab to estimate, milliseconds; None for files."""
    drops: int = 0
    """Frames and frame sets that were dropped so far."""
    detector: str = ""
    """Which detector answers."""
    runtime: str = ""
    """What the lifter runs on."""
    note: str = ""
    """One line to be told, such as that a sink stopped; empty = nothing."""
    recording: bool = False
    """Whether a recording is being written."""
    take: str = ""
    """The folder that it is written into; empty when nothing is."""
    skew_ms: tuple[float, float, float] | None = None
    """p50, p95 and maximum of the time between the frames of a frame set; None with one camera."""
    done: int = 0
    """Frame sets done so far."""
    total: int | None = None
    """Frame sets there will be, where a file tells."""
    cameras: tuple[CameraHealth, ...] = ()
    """How each camera is doing, in their order."""
    more: tuple[tuple[str, str], ...] = ()
    """Further facts, as (what, value)."""


def draw_facts_box(canvas: Image, box: Rect, people: Sequence[Figure], view: ViewState, status: Status) -> None:
    """The box of facts: probabilities of a person's hypotheses or everybody's sigma, and the state of the run."""
    part = np.empty((box[3], box[2], 3), np.uint8)
    draw.fill(part, draw.PANEL)
    sheet = Sheet(part, text_scale(view.size))
    w, h = sheet.size
    if status.note:
        sheet.text(sheet.fit_text(status.note, w - 32, 13), (16, h - 14), draw.SIDE_RIGHT, 13, 600)
        h -= 22
    split = round(w * 0.52)
    _draw_key(sheet, (16, 14, split - 32, h - 28), view)
    _draw_facts(sheet, (16, 14, split - 32, h - 28 - 26), people, view)
    _draw_status(sheet, (split + 8, 14, w - split - 24, h - 28), status)
    canvas[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = part


def _draw_key(sheet: Sheet, box: Rect, view: ViewState) -> None:
    """The key to the colours, at the foot of a box."""
    x, y, w, h = box
    key = y + h - 4
    at = x
    several = view.stage is not None and view.stage.several
    left, right = ((255, 255, 255), draw.BACK) if several else (draw.SIDE_LEFT, draw.SIDE_RIGHT)
    for words, colour in (("left", left), ("right", right)):
        middle = np.array([at + 5.0, key - 4.5])
        sheet.disc(middle, 5, draw.DIM if several else colour)
        sheet.disc(middle, 3.5 if several else 5, colour)
        at += 15 + sheet.text(words, (at + 15, key), draw.DIM, 12) + 14
    if several:
        words = "2D dim: unsure"
        if at + sheet.text_size(words, 12) <= x + w:
            sheet.text(words, (at, key), draw.DIM, 12)
        return
    at += sheet.text("2D score 0", (at, key), draw.DIM, 12) + 6
    ramp = min(90, x + w - at - 14)
    if ramp > 20:
        x0, y0, x1, y1 = (sheet.px(v) for v in (at, key - 9, at + ramp, key - 1))
        strip = cv2.resize(draw.score_colours()[None], (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        sheet.image[y0:y1, x0:x1] = strip
        sheet.text("1", (at + ramp + 6, key), draw.DIM, 12)


def _draw_facts(sheet: Sheet, box: Rect, people: Sequence[Figure], view: ViewState) -> None:
    """How sure the poses are: everybody's sigma, or the hypotheses of one person."""
    x, y, w, h = box
    if len(people) > 1 and any(p.cov is not None for p in people):
        _draw_sigmas(sheet, box, people, view)
        return
    person = selected(people, view)
    own = own_colour(view, person.person_id) if person else None
    if person and own:
        width, height = sheet.badge(str(person.person_id), (x, y - 4), own, 12, person.person_id == view.selected)
        more = f"of {len(people)} people" if len(people) > 1 else "person"
        sheet.text(sheet.fit_text(more, w - width - 8, 12), (x + width + 8, y + 9), draw.DIM, 12)
        y, h = y + height + 2, h - height - 2
    if person is None or not person.ghosts:
        for k, words in enumerate(_sigma_words(person)):
            sheet.text(sheet.fit_text(words, w, 13), (x, y + 14 + 20 * k), draw.DIM, 13)
        return
    _draw_bars(sheet, (x, y, w, h), person)


def _draw_sigmas(sheet: Sheet, box: Rect, people: Sequence[Figure], view: ViewState) -> None:
    """A line a person: the id, one standard deviation (median of the joints), and how many cameras it is fused of."""
    x, y, w, h = box
    rows = min(len(people), max(h // 15, 1))
    pitch = min(h / rows, 22.0)
    for k, person in enumerate(people[:rows]):
        base = round(y + pitch * (k + 0.5)) + 5
        if k == rows - 1 and len(people) > rows:
            sheet.text(f"and {len(people) - k} more", (x, base), draw.DIM, 12)
            return
        own = own_colour(view, person.person_id) or draw.TEXT
        width, _ = sheet.badge(str(person.person_id), (x, base - 12), own, 11, person.person_id == view.selected)
        sigma = _sigma(person)
        sure = "σ unknown" if sigma is None else f"σ {np.nanmedian(sigma):.0f} mm"
        of = "single view" if person.method in ("single", "") else number_of(len(person.used), "camera")
        of = "disputed" if person.method == "disputed" else of
        full, room = f"{sure} · {of}", w - width - 8
        words = full if sheet.text_size(full, 12) <= room else sheet.fit_text(sure, room, 12)
        sheet.text(words, (x + width + 8, base), draw.TEXT, 12)


def _draw_bars(sheet: Sheet, box: Rect, person: Figure) -> None:
    """The probability of each hypothesis, the answer first; the others as faint as their limbs, with their numbers."""
    x, y, w, room = box
    shown = [person.probability, *(p for _, p in reversed(person.ghosts))]
    rows = min(len(shown), max(room // 15, 1))
    pitch = min(room / rows, 32.0)
    size = 12 if pitch < 24 else 14
    names = max(sheet.text_size(word, size) for word in ("answer", "faint 2")) + 14.0
    thick = 6 if pitch < 24 else 10
    for k, probability in enumerate(shown[:rows]):
        middle = y + pitch * (k + 0.5)
        left, right = np.array([x + names, middle]), x + w - 44.0
        name = "answer" if k == 0 else f"faint {k + 1}"
        sheet.text(name, (x, round(middle) + 5), draw.DIM, size)
        sheet.line(left, np.array([right, middle]), draw.FLOOR, thick)
        end = left + [(right - left[0]) * min(max(probability, 0.0), 1.0), 0]
        if end[0] - left[0] > 1:
            colour = draw.TEXT if k == 0 else draw.mix(draw.PANEL, draw.MIDDLE, ghost_opacity(probability))
            sheet.line(left, end, colour, thick)
        sheet.text(f"{probability:.2f}", (x + w, round(middle) + 5), draw.TEXT, size, align="right")


def _sigma(person: Figure) -> Array | None:
    """(17,) mm: one standard deviation an axis of each joint; None where it is not known."""
    if person.cov is None:
        return None
    sigma = np.sqrt(np.trace(person.cov, axis1=1, axis2=2) / 3)
    return sigma if np.isfinite(sigma).any() else None


def _sigma_words(person: Figure | None) -> list[str]:
    """How sure a fused pose is, in words."""
    if person is None or person.cov is None:
        return ["no hypotheses"]
    sigma = _sigma(person)
    if sigma is None:
        return ["no standard deviation known"]
    worst = int(np.nanargmax(sigma))
    return [
        f"discs: 1 σ, median {np.nanmedian(sigma):.0f} mm",
        f"largest {sigma[worst]:.0f} mm: {JOINTS[worst].replace('_', ' ')}",
    ]


def status_facts(status: Status) -> list[tuple[str, str]]:
    """The facts of a status as (what, value), those that are known."""
    facts = [("fps", "–" if status.fps is None else f"{status.fps:.1f}")]
    if status.latency_ms is not None:
        facts.append(("latency", f"{status.latency_ms:.0f} ms"))
    facts.append(("drops", str(status.drops)))
    if status.skew_ms is not None:
        facts.append(("skew", "/".join(f"{ms:.1f}" for ms in status.skew_ms) + " ms"))
    facts += [("detector", status.detector or "–"), ("runtime", status.runtime or "–")]
    return [*facts, *status.more]


def _draw_status(sheet: Sheet, box: Rect, status: Status) -> None:
    x, y, w, h = box
    facts = status_facts(status)
    pitch = min(h / len(facts), 32)
    size = 13 if pitch < 24 else 15
    if w < 180:
        size = 11
    room = min(6 * size, max(sheet.text_size(what, size) for what, _ in facts) + 8)
    for k, (what, value) in enumerate(facts):
        base = round(y + pitch * (k + 0.5)) + 5
        sheet.text(what, (x, base), draw.DIM, size)
        sheet.text(sheet.fit_text(value, w - room, size), (x + room, base), draw.TEXT, size)
