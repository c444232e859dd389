"""Estimate one image, and keep a picture: python one_image.py [IMAGE], a frame of the demo's video without one."""

import sys

import cv2

import stream

if sys.argv[1:]:
    image = cv2.imread(sys.argv[1])
else:
    with stream.open_stream(demo=True, images=True) as live:
        next(live)
        image = live.images["walker"]

estimate = stream.Estimator()(image)
picture = stream.draw(estimate, image)  # the last line of a notebook's cell shows it
cv2.imwrite("one_image.jpg", picture)
print(f"{len(estimate.people)} seen; wrote one_image.jpg")
