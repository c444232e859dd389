"""A real RTSP server for the tests, run by the system's Python because GStreamer's bindings live there."""

import argparse
import sys

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 threads=1 ! rtph264pay name=pay0 pt=96 )"
)
IMAGES = (
    "( multifilesrc location=%s loop=true caps=image/jpeg,framerate=15/1 ! jpegdec ! videoconvert ! "
    "video/x-raw,format=I420 ! identity sync=true ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 threads=1 ! rtph264pay name=pay0 pt=96 )"
)
"""The same of numbered JPEG files, 15 a second, over and over."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--login")
    parser.add_argument("--udp", action="store_true", help="refuse TCP with 461, as some cameras do")
    parser.add_argument("--images", help="show these instead, as in frame-%%03d.jpg")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    try:
        import gi  # pyright: ignore[reportMissingImports]

        gi.require_version("Gst", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstRtspServer  # pyright: ignore[reportMissingImports]
    except (ImportError, ValueError) as error:
        sys.exit(str(error))
    Gst.init(None)
    needed = ("videotestsrc", "multifilesrc", "jpegdec", "x264enc", "rtph264pay")
    missing = [name for name in needed if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer lacks {', '.join(missing)}")
    if arguments.check:
        return
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(IMAGES % arguments.images if arguments.images else PIPELINE)
    factory.set_shared(True)
    if arguments.udp:
        gi.require_version("GstRtsp", "1.0")
        from gi.repository import GstRtsp  # pyright: ignore[reportMissingImports]

        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
        factory.set_shared(False)  # GStreamer answers 503 for a while after a transport that it refused
    if arguments.login:
        user, password = arguments.login.split(":")
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        factory.add_role_from_structure(
            Gst.Structure.new_from_string("user,media.factory.access=true,media.factory.construct=true")
        )
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print(f"port {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
