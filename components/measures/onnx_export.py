"""Small networks that are trained here, as ONNX files."""

import torch
from torch import nn

from ..failure import Fatal


def onnx_bytes(network: nn.Module, shape: tuple[int, int, int], output: str, command: str) -> bytes:
    """The map in ONNX form: float32 [N, C, H, W] in [0, 1], N free and the rest fixed, to what `network` gives.

    Args:
        shape: C, H and W.
        output: its name in the file.
        command: that asks for it, for the error.

    Raises:
        Fatal: a package of the extra `classifier` is not installed.
    """
    try:
        program = torch.onnx.export(
            network,
            (torch.zeros(2, *shape),),
            input_names=["images"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    except ImportError as error:
        raise Fatal(f"{command}: ONNX cannot be written: {error.name} is missing: install unecho[classifier]") from None
    assert program is not None  # only the exporter that is not dynamo's returns nothing
    data: bytes = program.model_proto.SerializeToString()
    return data
