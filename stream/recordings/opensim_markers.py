"""Where the 17 joints are on the bodies of Rajagopal's model and its descendants, and how heavily each counts."""

from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np

from calibration.arrays import Array, Bools
from engines import skeleton as sk
from engines.skeleton import JOINTS

PLACES: Final[dict[int, tuple[str, tuple[float, float, float]]]] = {
    sk.PELVIS: ("pelvis", (-0.0707, -0.0661, 0.0)),
    sk.R_HIP: ("pelvis", (-0.0707, -0.0661, 0.0835)),
    sk.R_KNEE: ("femur_r", (-0.0045, -0.4080, 0.0)),
    sk.R_ANKLE: ("tibia_r", (0.0, -0.4300, 0.0)),
    sk.L_HIP: ("pelvis", (-0.0707, -0.0661, -0.0835)),
    sk.L_KNEE: ("femur_l", (-0.0045, -0.4080, 0.0)),
    sk.L_ANKLE: ("tibia_l", (0.0, -0.4300, 0.0)),
    sk.SPINE: ("torso", (0.0, 0.08, 0.0)),
    sk.THORAX: ("torso", (0.0032, 0.3715, 0.0)),
    sk.NECK: ("torso", (0.01, 0.50, 0.0)),
    sk.HEAD: ("head", (0.02, 0.12, 0.0)),
    sk.L_SHOULDER: ("torso", (0.0032, 0.3715, -0.17)),
    sk.L_ELBOW: ("humerus_l", (0.0131, -0.2863, 0.0096)),
    sk.L_WRIST: ("radius_l", (-0.0088, -0.2358, -0.0136)),
    sk.R_SHOULDER: ("torso", (0.0032, 0.3715, 0.17)),
    sk.R_ELBOW: ("humerus_r", (0.0131, -0.2863, -0.0096)),
    sk.R_WRIST: ("radius_r", (-0.0088, -0.2358, 0.0136)),
}
"""By joint: the body, and the place in its frame, metres, of the model that is not scaled: the centres of its joints,
and for spine, neck and head where the lifter's training data have them."""
_INFERRED = 0.1
_LEAST = 0.05


def weights(sigma: Array, inferred: Bools) -> Array:
    """(17,) what each marker counts in inverse kinematics, 1 at most: as the joints' own variance has it.

    Args:
        sigma: (17,) mm, one standard deviation an axis of each; NaN where it is not known.
        inferred: (17,) which of them no camera sees.
    """
    limbs = list(sk.LIMBS)
    usual = np.nanmedian(sigma[limbs]) if np.isfinite(sigma[limbs]).any() else 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(np.isfinite(sigma) & (sigma > 0), (usual / sigma) ** 2, 1.0)
    own = np.clip(own, _LEAST, 1.0)
    return np.where(inferred, np.minimum(own, _INFERRED), own)


def marker_set(bodies: set[str]) -> bytes:
    """OpenSim's XML of the markers, of those bodies that a model has."""
    document = ElementTree.Element("OpenSimDocument", Version="40000")
    objects = ElementTree.SubElement(ElementTree.SubElement(document, "MarkerSet", name="hypothesis-stream"), "objects")
    for joint, (body, place) in sorted(PLACES.items()):
        if body in bodies:
            marker = ElementTree.SubElement(objects, "Marker", name=JOINTS[joint])
            ElementTree.SubElement(marker, "socket_parent_frame").text = f"/bodyset/{body}"
            ElementTree.SubElement(marker, "location").text = " ".join(f"{x:g}" for x in place)
            ElementTree.SubElement(marker, "fixed").text = "true"
    ElementTree.indent(document)
    return ElementTree.tostring(document, "utf-8", xml_declaration=True)


def add_markers(osim: Any, model: Any) -> list[str]:
    """Put the markers on a model that does not have them; names of those whose body it lacks."""
    bodies = model.getBodySet()
    known = {bodies.get(k).getName() for k in range(bodies.getSize())}
    there = model.getMarkerSet()
    own = {there.get(k).getName() for k in range(there.getSize())}
    lacking = []
    for joint, (body, place) in sorted(PLACES.items()):
        name = JOINTS[joint]
        if name in own:
            continue
        if body not in known:
            lacking.append(name)
            continue
        marker = osim.simulation.Marker(name, bodies.get(body), osim.simbody.Vec3(*place))
        model.addMarker(marker)
        marker.thisown = False  # the model owns it
    return lacking


def write_marker_set(path: Path) -> None:
    """The marker set for whoever uses OpenSim by themselves."""
    path.write_bytes(marker_set({body for body, _ in PLACES.values()}))
