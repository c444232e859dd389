"""From cameras to 3D hypotheses, live: flags -> Config -> run -> summary.

python run_stream.py --camera 0
python run_stream.py --camera walk.mp4 --record takes --video-out walk-3d.mp4
python run_stream.py --camera left=0 --camera right=1 --calibration lab.toml
"""

import gc
import sys

from stream.app.install_hint import hint, limited, shadowed

if too_little := limited():
    print(f"run_stream: {too_little}", file=sys.stderr)
    sys.exit(2)

try:
    from stream.app.command_line import main
except ImportError as error:
    # A missing system library (libGL.so.1 of OpenCV) or a package that is not installed: say what to do.
    print(f"run_stream: {shadowed() or hint(error)}", file=sys.stderr)
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    code = main()
    gc.freeze()  # as in stream/app/program.py
    sys.exit(code)
