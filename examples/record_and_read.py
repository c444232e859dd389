"""Record a second, and read it back as a table of pandas: python record_and_read.py [SOURCE]"""

import sys
from pathlib import Path

import stream

sources = sys.argv[1:2]
with stream.open_stream(*sources, demo=not sources, record="takes", policy="every") as live:
    for estimate in live:
        if estimate.index == 30:
            break  # what was estimated until here is recorded

newest = max(Path("takes").iterdir())
recording = stream.open_recording(newest)
table = recording.to_pandas()
wrist = table[["time_s", "answer_left_wrist_x_mm", "answer_left_wrist_y_mm", "answer_left_wrist_z_mm"]]
print(wrist.describe().round(1).to_string())
print(f"{len(table)} rows of {table.shape[1]} numbers; {sum(len(e.people) for e in recording)} people in the estimates")
