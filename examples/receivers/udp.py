"""Prints every person that `run_stream.py --udp 9000` sends; needs nothing but Python.

python examples/receivers/udp.py [PORT]
"""

import json
import socket
import sys

port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("127.0.0.1", port))
    print(f"listening on 127.0.0.1:{port}", flush=True)
    while True:
        message = json.loads(receiver.recv(65536))
        if message["type"] == "event":
            print(f"{message['time']:.3f} s {message['source']}: {message['text']}", flush=True)
        for person in message.get("people", []):
            x, y, z, sigma = person["joints"]["left_wrist"]
            print(
                f"{message['time']:.3f} s person {person['id']}, p = {person['probability']}:"
                f" left wrist {x:+.2f} {y:+.2f} {z:+.2f} m, 1 sigma {sigma:.2f} m",
                flush=True,
            )
