# pyright: reportAssignmentType=false, reportInvalidTypeForm=false
# Cyclone DDS reads its types out of annotations, which for a checker are none.
"""Message types of ROS 2 (Humble and later) as DDS has them: ``geometry_msgs/PoseArray`` is ``...::dds_::PoseArray_``.

The fields are those of the .msg files, in their order; CDR knows no names.
"""

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace


@cache
def ros_types() -> SimpleNamespace:
    """The types, by their ROS names without the package.

    Raises:
        ImportError: if the package cyclonedds is not installed.
    """
    # They inherit from that package, so they can only be made where it is.
    from cyclonedds.idl import IdlStruct
    from cyclonedds.idl.types import array, float32, float64, int32, sequence, uint8, uint32

    def of(package: str, name: str) -> str:
        return f"{package}::msg::dds_::{name}_"

    @dataclass
    class Time(IdlStruct, typename=of("builtin_interfaces", "Time")):
        sec: int32 = 0
        nanosec: uint32 = 0

    @dataclass
    class Duration(IdlStruct, typename=of("builtin_interfaces", "Duration")):
        sec: int32 = 0
        nanosec: uint32 = 0

    @dataclass
    class Header(IdlStruct, typename=of("std_msgs", "Header")):
        stamp: Time = field(default_factory=Time)
        frame_id: str = ""

    @dataclass
    class String(IdlStruct, typename=of("std_msgs", "String")):
        data: str = ""

    @dataclass
    class ColorRGBA(IdlStruct, typename=of("std_msgs", "ColorRGBA")):
        r: float32 = 0.0
        g: float32 = 0.0
        b: float32 = 0.0
        a: float32 = 0.0

    @dataclass
    class Point(IdlStruct, typename=of("geometry_msgs", "Point")):
        x: float64 = 0.0
        y: float64 = 0.0
        z: float64 = 0.0

    @dataclass
    class Vector3(IdlStruct, typename=of("geometry_msgs", "Vector3")):
        x: float64 = 0.0
        y: float64 = 0.0
        z: float64 = 0.0

    @dataclass
    class Quaternion(IdlStruct, typename=of("geometry_msgs", "Quaternion")):
        x: float64 = 0.0
        y: float64 = 0.0
        z: float64 = 0.0
        w: float64 = 1.0

    @dataclass
    class Pose(IdlStruct, typename=of("geometry_msgs", "Pose")):
        position: Point = field(default_factory=Point)
        orientation: Quaternion = field(default_factory=Quaternion)

    @dataclass
    class PoseArray(IdlStruct, typename=of("geometry_msgs", "PoseArray")):
        header: Header = field(default_factory=Header)
        poses: sequence[Pose] = field(default_factory=list)

    @dataclass
    class PoseWithCovariance(IdlStruct, typename=of("geometry_msgs", "PoseWithCovariance")):
        pose: Pose = field(default_factory=Pose)
        covariance: array[float64, 36] = field(default_factory=lambda: [0.0] * 36)

    @dataclass
    class PoseWithCovarianceStamped(IdlStruct, typename=of("geometry_msgs", "PoseWithCovarianceStamped")):
        header: Header = field(default_factory=Header)
        pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)

    @dataclass
    class Transform(IdlStruct, typename=of("geometry_msgs", "Transform")):
        translation: Vector3 = field(default_factory=Vector3)
        rotation: Quaternion = field(default_factory=Quaternion)

    @dataclass
    class TransformStamped(IdlStruct, typename=of("geometry_msgs", "TransformStamped")):
        header: Header = field(default_factory=Header)
        child_frame_id: str = ""
        transform: Transform = field(default_factory=Transform)

    @dataclass
    class TFMessage(IdlStruct, typename=of("tf2_msgs", "TFMessage")):
        transforms: sequence[TransformStamped] = field(default_factory=list)

    @dataclass
    class CompressedImage(IdlStruct, typename=of("sensor_msgs", "CompressedImage")):
        header: Header = field(default_factory=Header)
        format: str = ""
        data: sequence[uint8] = field(default_factory=list)

    @dataclass
    class UVCoordinate(IdlStruct, typename=of("visualization_msgs", "UVCoordinate")):
        u: float32 = 0.0
        v: float32 = 0.0

    @dataclass
    class MeshFile(IdlStruct, typename=of("visualization_msgs", "MeshFile")):
        filename: str = ""
        data: sequence[uint8] = field(default_factory=list)

    @dataclass
    class Marker(IdlStruct, typename=of("visualization_msgs", "Marker")):
        header: Header = field(default_factory=Header)
        ns: str = ""
        id: int32 = 0
        type: int32 = 0
        action: int32 = 0
        pose: Pose = field(default_factory=Pose)
        scale: Vector3 = field(default_factory=Vector3)
        color: ColorRGBA = field(default_factory=ColorRGBA)
        lifetime: Duration = field(default_factory=Duration)
        frame_locked: bool = False
        points: sequence[Point] = field(default_factory=list)
        colors: sequence[ColorRGBA] = field(default_factory=list)
        texture_resource: str = ""
        texture: CompressedImage = field(default_factory=CompressedImage)
        uv_coordinates: sequence[UVCoordinate] = field(default_factory=list)
        text: str = ""
        mesh_resource: str = ""
        mesh_file: MeshFile = field(default_factory=MeshFile)
        mesh_use_embedded_materials: bool = False

    @dataclass
    class MarkerArray(IdlStruct, typename=of("visualization_msgs", "MarkerArray")):
        markers: sequence[Marker] = field(default_factory=list)

    return SimpleNamespace(**{name: kind for name, kind in locals().items() if isinstance(kind, type)})
