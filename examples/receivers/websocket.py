"""Prints every person that `run_stream.py --websocket 8765` serves, or asks it for something; `pip install websockets`.

    python examples/receivers/websocket.py [ws://127.0.0.1:8765/] [COMMAND [TEXT]]

COMMAND is start, stop, status, event or end; the token is taken from the variable HYPOTHESIS_STREAM_TOKEN.
"""

import json
import os
import sys

from websockets.sync.client import connect

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"
command = {"command": sys.argv[2], "text": " ".join(sys.argv[3:])} if len(sys.argv) > 2 else None
with connect(url) as connection:
    if command:
        connection.send(json.dumps(command | {"token": os.environ.get("HYPOTHESIS_STREAM_TOKEN", "")}))
    for said in connection:
        message = json.loads(said)
        if command:
            if message["type"] == "reply":
                print(said)
                sys.exit(not message["ok"])
            continue
        if message["type"] == "event":
            print(said, flush=True)
        for person in message.get("people", []):
            x, y, z, sigma = person["joints"]["left_wrist"]
            print(
                f"{message['time']:.3f} s person {person['id']}, p = {person['probability']}:"
                f" left wrist {x:+.2f} {y:+.2f} {z:+.2f} m, 1 sigma {sigma:.2f} m",
                flush=True,
            )
