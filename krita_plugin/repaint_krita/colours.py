"""The colour spaces of Krita's documents and layers, and how their pixels become the wire's and come back.

RGB and gray pixels travel as they are, in the depth and the profile that they have; those of any other model, such as
CMYK or L*a*b*, are converted by Krita to floats that hold every colour.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from krita import Document, Krita, ManagedColor, Node

from bridge_server.client.editor.samples import GRAY_OF_RGBA, RGBA_OF_GRAY, arranged

from . import pixels

DEPTHS = {"U8": "u8", "U16": "u16", "F16": "f16", "F32": "f32"}  # Krita's names, the wire's
CHANNELS = {"RGBA": 4, "GRAYA": 2}  # models whose pixels travel as they are


class Space(NamedTuple):
    model: str
    depth: str
    profile: str

    @classmethod
    def of(cls, thing: Union[Document, Node]) -> Space:
        return cls(thing.colorModel(), thing.colorDepth(), thing.colorProfile())

    @classmethod
    def named(cls, name: str) -> Space:
        """The one that ``name`` gives."""
        return cls(*name.split(" ", 2)) if name else SRGB

    @property
    def name(self) -> str:
        return " ".join(self)

    @property
    def travelling(self) -> Space:
        """In which its pixels are sent."""
        return self if self.model in CHANNELS and self.depth in DEPTHS else LIGHT

    @property
    def sent_depth(self) -> str:
        return DEPTHS[self.travelling.depth]


SRGB = Space("RGBA", "U8", "sRGB-elle-V2-srgbtrc.icc")
# It holds every colour, below 0 and above 1, too, and has no curve, of which Krita's arithmetic knows but a table.
LIGHT = Space("RGBA", "F32", "sRGB-elle-V2-g10.icc")


def is_linear(space: Space) -> bool:
    """Whether the values that are sent of it are proportional to light: Krita says how much light a half is."""
    gray = ManagedColor(*space.travelling)
    gray.setComponents([0.5] * (CHANNELS[space.travelling.model] - 1) + [1.0])
    gray.setColorSpace(*LIGHT)
    return abs(gray.components()[1] - 0.5) < 0.02


class Reader:
    """Makes Krita's pixels of a space the wire's, in the space ``into`` if that is given. To be closed in the end.

    Krita converts by a node of a document that no one sees: in the artist's own each conversion would be an undo step,
    and wait until Krita has drawn the picture anew.
    """

    def __init__(self, space: Space, into: Optional[Space] = None) -> None:
        self.space, self._sent = space, into or space.travelling
        self._workshop: Optional[Document] = None

    def outgoing(self, data: Any, width: int, height: int) -> bytes:
        sent = self._sent
        if sent != self.space:
            if self._workshop is None:
                self._workshop = Krita.instance().createDocument(1, 1, "", *self.space, 72.0)
            node = self._workshop.createNode("", "paintlayer")
            node.setPixelData(data, 0, 0, width, height)
            node.setColorSpace(*sent)
            data = node.pixelData(0, 0, width, height)
        if sent.model == "GRAYA":
            return arranged(bytes(data), sent.sent_depth, 2, RGBA_OF_GRAY)
        return pixels.swapped(bytes(data), width, height, sent.sent_depth)

    def close(self) -> None:
        if self._workshop is not None:
            self._workshop.setModified(False)
            self._workshop.close()
            self._workshop = None


def incoming(rgba: bytes, width: int, height: int, space: Space) -> bytes:
    """The wire's pixels as Krita's of a space in which they travel."""
    if space.model == "GRAYA":
        return arranged(rgba, space.sent_depth, 4, GRAY_OF_RGBA)
    return pixels.swapped(rgba, width, height, space.sent_depth)
