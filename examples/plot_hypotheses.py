"""Plot the hypotheses of one moment, from the front and from the side: python plot_hypotheses.py [SOURCE]"""

import sys
from itertools import islice

import cv2
import numpy as np

import stream

FONT = cv2.FONT_HERSHEY_SIMPLEX
SIZE, MM = 480, 0.24  # pixels a panel, pixels a millimetre
FRONT, SIDE = [0, 1], [2, 1]  # x right or z away from the camera, and y down
COLOURS = [(60, 60, 60), (200, 120, 30), (40, 140, 230), (60, 170, 60), (170, 60, 170)]

sources = sys.argv[1:2]
with stream.open_stream(*sources, demo=not sources) as live:
    seen = [view for estimate in islice(live, 30) for view in estimate.views_of(0) if view.tracks]
if not seen:
    sys.exit("nobody in the first 30 frames")

picture = np.full((SIZE, 2 * SIZE, 3), 255, np.uint8)
best_last = sorted(enumerate(seen[-1].tracks), key=lambda one: one[1].probability)
for number, track in best_last:
    thick = 1 + round(6 * track.probability)
    for panel, axes in enumerate((FRONT, SIDE)):
        points = (track.pose[:, axes] * MM + [SIZE * (panel + 0.5), SIZE * 0.52]).round().astype(int)
        for a, b in stream.EDGES:
            cv2.line(picture, points[a].tolist(), points[b].tolist(), COLOURS[number % 5], thick, cv2.LINE_AA)
for line, (number, track) in enumerate(reversed(best_last)):
    text = f"hypothesis {number}: p = {track.probability:.2f}"
    cv2.putText(picture, text, (10, 200 + 18 * line), FONT, 0.45, COLOURS[number % 5], 1, cv2.LINE_AA)
for panel, text in enumerate(("from the front", "from the side, the camera on the left")):
    cv2.putText(picture, text, (SIZE * panel + 10, SIZE - 12), FONT, 0.45, 0, 1, cv2.LINE_AA)
cv2.imwrite("hypotheses.png", picture)
print("wrote hypotheses.png")
