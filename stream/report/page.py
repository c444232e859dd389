"""The report as one page of HTML, which needs nothing beside it and fetches nothing."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

from calibration.arrays import Image
from engines.articulation import BONES
from engines.skeleton import JOINTS
from stream.recordings.run_info import RunInfo
from stream.report.charts import cells, lines
from stream.report.numbers import Numbers

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6b7c;--line:#d8dee6;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa8b8;--line:#36404d;--back:#161b22}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:980px;margin:2em auto;
padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;font-size:14px;display:block;overflow-x:auto}
td,th{padding:.25em .7em;border-bottom:1px solid var(--line);text-align:right;font-variant-numeric:tabular-nums}
td:first-child,th:first-child{text-align:left}th{color:var(--soft);font-weight:600}
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .name{fill:var(--ink)}
svg .grid{stroke:var(--line);stroke-width:.6}img{max-width:100%;border-radius:4px;margin:.4em 0}
p,li{max-width:75ch}.soft{color:var(--soft)}.key{margin-right:1.2em}.key i{display:inline-block;width:.8em;height:.8em;
margin-right:.4em;border-radius:2px}.bad{color:#c0392b;font-weight:600}
"""
_LOOSE = 0.15
"""Spread of a bone's length beyond which it is marked: a limb is wrong in more than a twentieth of the frames."""
_BIASED = 5.0
"""Pixels that the fused joints lie aside in one camera beyond which its calibration is to be looked at."""


def page(title: str, said: Sequence[str], info: RunInfo, n: Numbers, pictures: Sequence[tuple[float, Image]]) -> str:
    """The page.

    Args:
        title: name of the take.
        said: lines about it, as ``inspect`` has them.
        info: of the take.
        n: its numbers.
        pictures: seconds after the first moment, and (H, W, 3) BGR.
    """
    body = [f"<h1>{escape(title)}</h1>", *_summary(info, n), *_cameras(n), *_people(n), *_pictures(pictures)]
    body += [
        "<h2>Joints over time</h2>",
        "<p>Share of the views of people in which a joint is seen; those that no detector has are inferred.</p>",
        cells(n.coverage, JOINTS, n.seconds, 1.0, "share of views in which a joint is seen"),
        "<h2>How sure the answer is</h2>",
        "<p>Probability of the most probable hypothesis, the median of each camera's views.</p>",
        lines([c.probability for c in n.cameras], [c.name for c in n.cameras], n.seconds, "probability of the answer"),
    ]
    if n.events:
        rows = ([f"{event.t - n.start:.3f} s", event.source, event.text] for event in n.events)
        body += ["<h2>Events</h2>", _table(["time", "source", "event"], rows)]
    listed = "".join(f"<li>{escape(line.strip())}</li>" for line in said)
    body += ["<h2>All that the take says of itself</h2>", f'<ul class="soft">{listed}</ul>']
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table; texts that begin with "!" are marked."""

    def cell(value: object) -> str:
        text = str(value)
        return f'<td class="bad">{escape(text[1:])}</td>' if text.startswith("!") else f"<td>{escape(text)}</td>"

    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _number(value: float, form: str = ".0f") -> str:
    return format(value, form) if np.isfinite(value) else "-"


def _summary(info: RunInfo, n: Numbers) -> list[str]:
    methods = ", ".join(f"{name} {count}" for name, count in sorted(n.methods.items())) or "nothing is fused"
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in n.stages.items()) or "not recorded"
    rows = [
        ("begun", f"{info.start_utc:%Y-%m-%d %H:%M:%S} UTC"),
        ("length", f"{n.seconds:.3f} s, {n.moments} moments"),
        ("lost by the recorder", f"!{n.missed} moments" if n.missed else "none"),
        ("people", str(len(n.people) + n.others)),
        ("fused poses", methods),
        ("skew between cameras, ms", " / ".join(_number(x, ".1f") for x in n.skew) + " (median / 95 % / 99 % / most)"),
        ("stages, median ms", stages),
        ("program", f"{info.software}, {info.runtime}"),
    ]  # fmt: skip
    return [_table(["", ""], rows)]


def _pictures(pictures: Sequence[tuple[float, Image]]) -> list[str]:
    parts = ["<h2>Pictures</h2>"] if pictures else []
    for seconds, image in pictures:
        data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()).decode()
        parts.append(f'<p class="soft">at {seconds:.3f} s</p><img alt="the take at {seconds:.3f} s" '
                     f'src="data:image/jpeg;base64,{data}">')  # fmt: skip
    return parts


def _cameras(n: Numbers) -> list[str]:
    rows = []
    for c in n.cameras:
        lost = f"!{c.lost}" if c.lost else "0"
        away = ["-"] * 3
        if c.reprojection is not None:
            median, most, x, y = c.reprojection
            mark = "!" if np.hypot(x, y) > _BIASED else ""
            away = [f"{median:.1f}", f"{most:.1f}", f"{mark}{x:+.1f}, {y:+.1f}"]
        by = ", ".join(f"{name or '-'} {count}" for name, count in sorted(c.detectors.items(), key=lambda kv: -kv[1]))
        rows.append([
            c.name, c.frames, f"{c.moments:.1%}", _number(c.fps, ".2f"), lost, _number(1000 * c.longest_s),
            f"{c.people:.1%}", *away, by,
        ])  # fmt: skip
    head = ["camera", "frames", "of moments", "fps", "numbers lost", "longest gap, ms", "somebody in",
            "reprojection, px", "95 %", "aside (x, y)", "detector"]  # fmt: skip
    return [
        "<h2>Cameras</h2>", _table(head, rows),
        '<p class="soft">Reprojection: from joints on which several cameras agree to the 2D joints of this one. Aside: '
        "the median of that, which is near 0 where calibration and synchronisation are right; beyond 5 px it is "
        "marked.</p>",
    ]  # fmt: skip


def _people(n: Numbers) -> list[str]:
    if not n.people:
        return ["<h2>People</h2><p>Nobody is in this take.</p>"]
    names = [f"person {p.person_id}" if p.person_id >= 0 else "people" for p in n.people]
    most = max(1.0, float(max(p.cameras.max() for p in n.people)))
    cameras = np.stack([np.where(p.cameras > 0, p.cameras, np.nan) for p in n.people])
    bones = []
    for bone in range(1, len(BONES)):
        row = [BONES[bone].replace("_", " ")]
        for p in n.people:
            mark = "!" if p.spread[bone] > _LOOSE else ""
            row.append(f"{mark}{_number(p.lengths[bone])} ({_number(p.spread[bone], '.0%')})")
        bones.append(row)
    sigma = ["one sigma of a joint, mm", *(_number(p.sigma) for p in n.people)]
    fused = ["fused moments", *(p.fused for p in n.people)]
    more = f"<p>{n.others} more are there for a shorter time.</p>" if n.others else ""
    return [
        "<h2>People</h2>", "<p>How many cameras see them.</p>",
        cells(cameras, names, n.seconds, most, "how many cameras see each person"), more,
        "<h2>Bones</h2>",
        "<p>Median length in mm, and the spread from the 5th to the 95th percentile. A body does not change: beyond "
        "15 % it is marked.</p>",
        _table(["", *names], [fused, sigma, *bones]),
    ]  # fmt: skip
