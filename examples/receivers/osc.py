"""Prints bones and wrists that `run_stream.py --osc` sends; needs `pip install python-osc`.

python examples/receivers/osc.py [PORT]
"""

import sys

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer


def bone(_, name, x, y, z, *rotation):
    if name in ("Hips", "LeftLowerArm"):
        print(f"{name} {x:+.2f} {y:+.2f} {z:+.2f} m, quaternion {' '.join(f'{q:+.2f}' for q in rotation)}", flush=True)


def joint(address, x, y, z, sigma):
    person = address.split("/")[2]
    print(f"person {person}: left wrist {x:+.2f} {y:+.2f} {z:+.2f} m, 1 sigma {sigma:.2f} m", flush=True)


dispatcher = Dispatcher()
dispatcher.map("/VMC/Ext/Bone/Pos", bone)
dispatcher.map("/pose/*/left_wrist", joint)
dispatcher.map("/event", lambda _, s, us, source, text: print(f"{s + us / 1e6:.3f} s {source}: {text}", flush=True))
port = int(sys.argv[1]) if len(sys.argv) > 1 else 39539
with BlockingOSCUDPServer(("127.0.0.1", port), dispatcher) as server:
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.serve_forever()
