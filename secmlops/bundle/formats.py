"""What the bytes of a bundle's files are: told from the bytes, never from the name.

Two questions are asked. Before the signature is looked at: is this a format that can run code when it is opened
(`forbidden_format`)? After it: is this really what its name says (`check_content`)? Nothing here decodes a pickle;
its opcodes are only counted (MITRE ATLAS AML.M0011, AML.M0016).
"""

import json
import pickletools
from typing import Any

HEAD_BYTES = 4096
"""How much of a file's beginning `forbidden_format` needs."""

MAX_SAFETENSORS_HEADER_BYTES = 100_000_000

FORBIDDEN_SUFFIXES = frozenset(
    {".pkl", ".pickle", ".pck", ".pcl", ".dill", ".joblib", ".cloudpickle", ".pt", ".pth", ".ckpt", ".bin"}
    | {".npy", ".npz", ".h5", ".hdf5", ".keras", ".pb", ".tflite", ".mar", ".jar", ".whl", ".egg"}
    | {".zip", ".gz", ".bz2", ".xz", ".7z", ".tar", ".tgz"}
    | {".so", ".dylib", ".dll", ".exe", ".py", ".pyc", ".pyd", ".sh", ".bat", ".cmd", ".ps1", ".js", ".lua", ".ipynb"}
)

_MAGIC = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes it"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x93NUMPY", "a NumPy file, which can carry pickles"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which can carry code"),
    (b"\x7fELF", "an executable"),
    (b"MZ\x90", "an executable"),
    (b"#!", "a script"),
)
_TAR_MAGIC = slice(257, 262)
_ENOUGH_OPCODES = 16

# Top-level fields of ModelProto: onnx/onnx.proto, Apache-2.0. Field 7 is the graph.
_ONNX_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_ONNX_GRAPH = 7


def forbidden_format(name: str, head: bytes, size: int) -> str | None:
    """Say which dangerous format a file is; None when it is none, or looks like what its name promises.

    Args:
        name: the file's name.
        head: its first `HEAD_BYTES` bytes (all of them where it is shorter).
        size: its length in bytes.
    """
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    if suffix in FORBIDDEN_SUFFIXES:
        return f"{suffix} files can carry code"
    if _begins_as_named(name, head, size):
        return None
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return f"it is {kind}"
    if head[_TAR_MAGIC] == b"ustar":
        return "it is a tar archive"
    if _is_pickle(head):
        return "it is a Python pickle, which runs code when it is opened"
    return None


def check_content(name: str, data: bytes) -> None:
    """Check that a file is, from its first byte to its last, what its name says.

    Raises:
        ValueError: it is not; the message says why.
    """
    if name.endswith(".json"):
        parse_json_object(data)
    elif name.endswith(".safetensors"):
        _check_safetensors(data)
    elif name.endswith(".onnx"):
        _check_onnx(data)
    else:
        raise ValueError("files of this kind are not known")


def parse_json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, each key once, no NaN or infinity.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a JSON key is given twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _begins_as_named(name: str, head: bytes, size: int) -> bool:
    if name.endswith(".json"):
        return head.lstrip(b" \t\r\n").startswith(b"{")
    if name.endswith(".safetensors"):
        return head[8:9] == b"{" and 8 + int.from_bytes(head[:8], "little") <= size
    if name.endswith(".onnx"):
        return head.startswith(b"\x08")
    return False


def _is_pickle(head: bytes) -> bool:
    opcodes = 0
    declared = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    try:
        for _opcode, _argument, _position in pickletools.genops(head):
            opcodes += 1
            if opcodes >= _ENOUGH_OPCODES:
                return True
    except Exception:  # genops raises whatever its argument decoders meet
        return declared and opcodes >= 2
    return opcodes > 0


def _check_safetensors(data: bytes) -> None:
    """Check the layout of safetensors: header length, JSON header, and tensors that fill the rest without gaps."""
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header_bytes > min(len(data) - 8, MAX_SAFETENSORS_HEADER_BYTES):
        raise ValueError("not safetensors: the header is longer than the file")
    header = parse_json_object(data[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    try:
        spans = sorted(tuple(tensor["data_offsets"]) for tensor in header.values())
    except (TypeError, KeyError):
        raise ValueError("not safetensors: a tensor has no data_offsets") from None
    position = 0
    for span in spans:
        if len(span) != 2 or span[0] != position or not isinstance(span[1], int) or span[1] < position:
            raise ValueError("not safetensors: tensors overlap or leave gaps")
        position = span[1]
    if position != len(data) - 8 - header_bytes:
        raise ValueError("not safetensors: bytes follow the last tensor")


def _check_onnx(data: bytes) -> None:
    """Walk the top-level fields of a ModelProto without decoding them."""
    position, found = 0, set()
    while position < len(data):
        tag, position = _varint(data, position)
        field, wire_type = tag >> 3, tag & 7
        if field not in _ONNX_FIELDS or wire_type not in (0, 2):
            raise ValueError("not ONNX: an unknown field")
        length, position = _varint(data, position)
        if wire_type == 2:
            position += length
        found.add(field)
    if position != len(data) or _ONNX_GRAPH not in found:
        raise ValueError("not ONNX: no graph, or cut short")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("not ONNX: a number is cut short")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
