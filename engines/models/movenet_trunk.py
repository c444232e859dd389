"""MoveNet Thunder's feature extractor as a torch module that can be trained further.

MobileNetV2 (Sandler et al., CVPR 2018) of width 1.75, a feature pyramid (Lin et al., CVPR 2017) down to a quarter of
the input, and the head of the 17 heatmaps. Its heads for the person's centre and the offsets are left out. Batch norms
are folded into the convolutions, as in the file that the weights are read from.
"""

from pathlib import Path
from typing import Final, NamedTuple

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu6

SIDE: Final = 256
"""Pixels of the input's side that the weights were trained at."""
JOINTS: Final = 17
"""Its heatmaps, in COCO's order."""
_BLOCKS: Final = (
    (32, 192, 40, 2), (40, 240, 40, 1), (40, 240, 56, 2), (56, 336, 56, 1), (56, 336, 56, 1), (56, 336, 112, 2),
    (112, 672, 112, 1), (112, 672, 112, 1), (112, 672, 112, 1), (112, 672, 168, 1), (168, 1008, 168, 1),
    (168, 1008, 168, 1), (168, 1008, 280, 2), (280, 1680, 280, 1), (280, 1680, 280, 1), (280, 1680, 560, 1),
)  # fmt: skip
"""Channels in, of the depthwise convolution, and out; and stride: blocks 1 to 16 of MobileNetV2."""
EARLY: Final = 3
"""Blocks of the part that training leaves as it is."""
DEEP: Final = 12
"""Blocks before the deepest ones, which see the whole person at a 32nd of the input."""
_TAPPED: Final = (2, 5, 9, 12, 16)
"""Blocks whose outputs are used."""
_LATERAL: Final = (9, 5, 2)
"""Those that the pyramid takes in, from the coarsest."""
_HEATMAPS: Final = "kpt_heatmap_0/conv2d_5/BiasAdd"
"""The heatmaps' logits in Thunder's graph."""


class Features(NamedTuple):
    """What the trunk sees, at a quarter, an eighth, a sixteenth and a 32nd of the input."""

    quarter: Tensor
    """(B, 24, S / 4, S / 4), of the pyramid."""
    eighth: Tensor
    """(B, 80, S / 8, S / 8): of the pyramid, and of block 5."""
    sixteenth: Tensor
    """(B, 200, S / 16, S / 16): of the pyramid, and of block 12."""
    last: Tensor
    """(B, 560, S / 32, S / 32), of block 16."""
    heatmaps: Tensor
    """(B, 17, S / 4, S / 4), logits of the joints in COCO's order."""


CHANNELS: Final = (24, 80, 200, 560)
"""Of the first four."""


class _Depthwise(nn.Conv2d):
    """3x3, a channel at a time; a stride of 2 pads below and to the right, as TensorFlow does."""

    def __init__(self, channels: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(channels, channels, 3, stride, 1 if stride == 1 else 0, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if self.stride == (1, 1) else pad(input, (0, 1, 0, 1)))


class _Block(nn.Module):
    """An inverted residual: 1x1, depthwise 3x3, 1x1."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inputs, inner, 1)
        self.depthwise = _Depthwise(inner, stride)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = relu6(self.expand(x))
        y = self.project(relu6(self.depthwise(y)))
        return x + y if self.adds else y


class _Separable(nn.Sequential):
    """Depthwise 3x3, 1x1, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(_Depthwise(inputs, bias=False), nn.Conv2d(inputs, outputs, 1), nn.ReLU())


class Trunk(nn.Module):
    """An image (B, 3, S, S), RGB 0..1, in; ``Features`` out. Weights are random until ``load_thunder``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 56, 3, 2)
        self.first_depthwise = _Depthwise(56)
        self.first_project = nn.Conv2d(56, 32, 1)
        self.blocks = nn.ModuleList(_Block(*shape) for shape in _BLOCKS)
        self.last = nn.Conv2d(560, 1280, 1)
        self.across = nn.ModuleList(nn.Conv2d(c, f, 1) for c, f in ((1280, 64), (112, 64), (56, 32), (40, 24)))
        self.pyramid = nn.ModuleList(_Separable(c, f) for c, f in ((64, 32), (32, 24), (24, 24)))
        self.head = nn.Sequential(_Separable(24, 96), nn.Conv2d(96, JOINTS, 1))

    def forward(self, image: Tensor) -> Features:
        """Run it; S is a multiple of 32."""
        return self.late(*self.early(image))

    def early(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Its first third, where tensors are large and weights few: the outputs of blocks 2 and 3."""
        x = relu6(self.first(pad(image * 2 - 1, (0, 1, 0, 1))))
        x = self.first_project(relu6(self.first_depthwise(x)))
        second = self.blocks[1](self.blocks[0](x))
        return second, self.blocks[2](second)

    def late(self, second: Tensor, third: Tensor) -> Features:
        """The rest."""
        return self.deep(*self.middle(second, third))

    def middle(self, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """On to the deepest blocks: the outputs of blocks 2, 5, 9 and 12."""
        x, taps = third, {2: second}
        for number, block in enumerate(self.blocks[EARLY:DEEP], EARLY + 1):
            x = block(x)
            if number in _TAPPED:
                taps[number] = x
        return taps[2], taps[5], taps[9], taps[12]

    def deep(self, second: Tensor, fifth: Tensor, ninth: Tensor, twelfth: Tensor) -> Features:
        """The deepest blocks, the pyramid and the heatmaps, of what ``middle`` gives."""
        x, taps = twelfth, {2: second, 5: fifth, 9: ninth, 12: twelfth}
        for block in self.blocks[DEEP:]:
            x = block(x)
        taps[16] = x
        y = self.across[0](relu6(self.last(x)))
        levels = []
        for block, across, merge in zip(_LATERAL, self.across[1:], self.pyramid, strict=True):
            larger = interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = merge(larger + across(taps[block]))
            levels.append(y)
        sixteenth, eighth, quarter = levels
        eighth, sixteenth = torch.cat([eighth, taps[5]], 1), torch.cat([sixteenth, taps[12]], 1)
        return Features(quarter, eighth, sixteenth, taps[16], self.head(quarter))

    def load_thunder(self, path: Path) -> None:
        """Take the weights of ``movenet_thunder.onnx``.

        Raises:
            ValueError: if the file is of another network.
        """
        graph = onnx.load(path).graph
        stored = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
        cast = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        before = {name: node for node in graph.node for name in node.output}
        wanted, open_ends = set[str](), [node.output[0] for node in graph.node if _HEATMAPS in node.output[0]]
        while open_ends:
            if (name := open_ends.pop()) in before and name not in wanted:
                wanted.add(name)
                open_ends += before[name].input
        nodes = [node for node in graph.node if node.op_type == "Conv" and node.output[0] in wanted]
        layers = self._in_order()
        if len(nodes) != len(layers):
            raise ValueError(f"{path.name} has {len(nodes)} convolutions before its heatmaps, not {len(layers)}")
        for node, layer in zip(nodes, layers, strict=True):
            for name, parameter in zip(node.input[1:], (layer.weight, layer.bias), strict=False):
                value = torch.tensor(stored[cast.get(name, name)], dtype=torch.float32)
                if parameter is None or value.shape != parameter.shape:
                    raise ValueError(f"{path.name}: {name} is {tuple(value.shape)}, which does not fit")
                parameter.data.copy_(value)

    def late_parameters(self) -> list[nn.Parameter]:
        """Those of ``late``."""
        early = {id(p) for part in (self.first, self.first_depthwise, self.first_project, *self.blocks[:EARLY])
                 for p in part.parameters()}  # fmt: skip
        return [p for p in self.parameters() if id(p) not in early]

    def deep_parameters(self) -> list[nn.Parameter]:
        """Those of the deepest blocks and of what follows them at the same resolution; not the pyramid's."""
        return [p for part in (*self.blocks[DEEP:], self.last, self.across[0]) for p in part.parameters()]

    def _in_order(self) -> list[nn.Conv2d]:
        """The convolutions in the order of the file."""
        across, pyramid = list(self.across), list(self.pyramid)
        parts = [self.first, self.first_depthwise, self.first_project, self.blocks, self.last, across[0]]
        parts += [part for pair in zip(across[1:], pyramid, strict=True) for part in pair] + [self.head]
        return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d)]
