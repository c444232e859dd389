"""Further joints in a recording's tables: their number and names differ from row to row, so they are lists of structs.

Of a detection each is ``name``, ``xy``, ``score`` and ``cov``; of a fused pose ``name``, ``xyz`` and ``cov``.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calibration.arrays import Array
from engines.types import ExtraJoints, ExtraPoints

_F32 = pa.float32()
IMAGE_TYPE = pa.list_(
    pa.struct([("name", pa.string()), ("xy", pa.list_(_F32, 2)), ("score", _F32), ("cov", pa.list_(_F32, 4))])
)
WORLD_TYPE = pa.list_(pa.struct([("name", pa.string()), ("xyz", pa.list_(_F32, 3)), ("cov", pa.list_(_F32, 9))]))


def encode_extra(values: Sequence[ExtraJoints | ExtraPoints | None], kind: pa.DataType) -> pa.Array:
    """A column of ``IMAGE_TYPE`` or ``WORLD_TYPE``; an empty list for None.

    Raises:
        ValueError: if an array has not the size that the names ask for.
    """
    there = [value for value in values if value is not None]
    names = [name for value in there for name in value.names]
    arrays = []
    for field in kind.value_type:
        if field.name == "name":
            arrays.append(pa.array(names, field.type))
            continue
        parts = [np.ravel(_part(value, field.name)) for value in there]
        flat = pa.array(np.concatenate([np.empty(0, np.float32), *parts], dtype=np.float32))
        size = field.type.list_size if pa.types.is_fixed_size_list(field.type) else 1
        if len(flat) != size * len(names):
            raise ValueError(f"{len(names)} further joints have {len(flat)} values of {field.name}, not {size} each")
        arrays.append(flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, type=field.type))
    ends = np.cumsum([0, *(0 if value is None else len(value.names) for value in values)])
    joints = pa.StructArray.from_arrays(arrays, fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), joints)


def _part(value: ExtraJoints | ExtraPoints, name: str) -> Array:
    return value.joints if name == "xyz" and isinstance(value, ExtraPoints) else getattr(value, name)


def _rows(column: pa.Array) -> Iterator[tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]]:
    """The names of each row, and its numbers by field, (E,) or (E, size)."""
    kind, joints = column.type.value_type, column.flatten().flatten()
    names = joints[0].to_pylist()
    parts = {
        field.name: values.flatten().to_numpy(zero_copy_only=False).reshape(-1, field.type.list_size)
        if pa.types.is_fixed_size_list(field.type)
        else values.to_numpy(zero_copy_only=False)
        for field, values in zip(kind, joints, strict=True)
        if field.name != "name"
    }
    begin = 0
    for count in column.value_lengths().to_pylist():
        end = begin + (count or 0)
        yield tuple(names[begin:end]), {name: part[begin:end] for name, part in parts.items()}
        begin = end


def decode_image(column: pa.Array) -> list[ExtraJoints | None]:
    """A column of ``IMAGE_TYPE``, bit for bit as encoded; None for an empty list."""
    return [
        ExtraJoints(names, part["xy"], part["score"], part["cov"].reshape(-1, 2, 2)) if names else None
        for names, part in _rows(column)
    ]


def decode_world(column: pa.Array) -> list[ExtraPoints | None]:
    """A column of ``WORLD_TYPE``, bit for bit as encoded; None for an empty list."""
    return [
        ExtraPoints(names, part["xyz"], part["cov"].reshape(-1, 3, 3)) if names else None
        for names, part in _rows(column)
    ]


def extra_names(column: pa.Array) -> list[str]:
    """Every name in a column, in the order in which they first come."""
    return list(dict.fromkeys(column.flatten().flatten()[0].to_pylist()))


def extra_arrays(column: pa.Array, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """A column as arrays by field, (rows, E) or (rows, E, size), in the order of the names; NaN where there is none."""
    made = {}
    for field in column.type.value_type:
        if field.name != "name":
            size = [field.type.list_size] if pa.types.is_fixed_size_list(field.type) else []
            made[field.name] = np.full((len(column), len(names), *size), np.nan, np.float32)
    for row, (found, parts) in enumerate(_rows(column) if names else ()):
        for k, name in enumerate(found):
            if name in names:
                for field, part in parts.items():
                    made[field][row, names.index(name)] = part[k]
    return made
