"""What an editor asks for, checked before it is sent, and its way onto the wire."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, List, Tuple, Union

from bridge_server.client.codec import Buffer, encode, pieces
from bridge_server.client.errors import BridgeError, WireError
from bridge_server.client.geometry import Box
from bridge_server.client.messages import CHUNK, Blob, Branch, Submit
from bridge_server.client.records import (
    LONGEST_MAP_NAME,
    MAX_MAPS,
    MAX_SEED,
    MAX_VARIANTS,
    OUT_OF_RANGE,
    PIXEL_BYTES,
    BranchRequest,
    Map,
    Order,
)

EMPTY_SELECTION = "Nothing is selected: select the region to repaint, then click RePaint."
OTHER_SIZE = "The picture or its selection has the wrong size: click RePaint again."


TOO_MANY_MAPS = f"More than {MAX_MAPS} maps are too many for one run: choose fewer."
NO_NAME = "A map has no name, or a very long one: rename its layer."
OTHER_MAP_SIZE = "The map {name} has another size than the picture: make both the same size."


@dataclass(frozen=True)
class MapRequest:
    """One more layer that is filled from the same places.

    name        of its own, text ≤ 200; sentences and results name it
    pixels      as many samples of ``depth`` as the request's, of the same box or pieces; where it is transparent it
                is unknown
    kind        colour: encoded as the request's pixels are; normal: components −1 … 1 stored as 0 … 1; values: height,
                roughness, …
    weight      0.01 … 100, how much it counts where the request's own pixels have 1
    depth       as of a JobRequest
    """

    name: str
    pixels: bytes
    kind: str = "values"
    weight: float = 1.0
    depth: str = "u8"

    def record(self) -> Map:
        """It without its pixels."""
        return Map(self.name, self.kind, self.weight, self.depth)


@dataclass(frozen=True)
class JobRequest:
    """Everything that defines the result, apart from the engine's version and device.

    width, height   pixels, 1 … 16384 each and at most 8192² together (the grown box, not the document)
    pixels          width*height*4 samples of ``depth``: straight R, G, B, A, rows from the top, little-endian
    selection       width*height bytes: 255 = repaint, 0 = keep, between = soft edge
    model, preset   ids of the catalogue
    seed            0 … 2^53-1; None: drawn by the session, and reported in every Result
    variants        1 … 16; variant k is the run with seed + k
    options         steps, jump_length, schedule, hard, learn, wrap, …: plain values by name, decided by the engine
    tag             free text ≤ 1000, handed back in Recovered
    painted         the part whose pixels come back, as of width x height; None: all of it
    depth           u8, u16: 0 … largest; f16, f32: 0 … 1, colours also beyond; results come back in the same depth
    linear          the values are proportional to light
    pieces          of width x height, whose pixels, one after the other, are ``pixels`` and ``selection``; nothing is
                    known or selected elsewhere; empty: all of it
    parts           of ``painted``, whose pixels come back, one after the other; empty: all of it
    source          source_width*source_height*4 samples of ``depth``, in the same colours: only its opaque pixels make
                    up the fill; empty: what surrounds the selection does
    share_mask      width*height bytes beside a source: how much of its share holds at each pixel, 255 all of it;
                    empty: all of it everywhere
    maps            further layers of the same box that are filled with it, at most 7
    """

    width: int
    height: int
    pixels: bytes
    selection: bytes
    model: str = "exemplar"
    preset: str = "fast"
    seed: int | None = None
    variants: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""
    painted: Box | None = None
    depth: str = "u8"
    linear: bool = False
    source: bytes = b""
    source_width: int = 0
    source_height: int = 0
    share_mask: bytes = b""
    maps: Tuple[MapRequest, ...] = ()
    pieces: Tuple[Box, ...] = ()
    parts: Tuple[Box, ...] = ()

    def order(self) -> Order:
        """The request without its pixels; a seed is drawn if there is none."""
        return Order(
            width=self.width,
            height=self.height,
            painted=Box(0, 0, self.width, self.height) if self.painted is None else self.painted,
            model=self.model,
            preset=self.preset,
            seed=secrets.randbelow(MAX_SEED - MAX_VARIANTS) if self.seed is None else self.seed,
            variants=self.variants,
            options=dict(self.options),
            tag=self.tag,
            depth=self.depth,
            linear=self.linear,
            source_width=self.source_width,
            source_height=self.source_height,
            share_mask=bool(self.share_mask),
            maps=tuple(each.record() for each in self.maps),
            pieces=self.pieces,
            parts=self.parts,
            selected=len(self.selection) - self.selection.count(0),
        )


AnyRequest = Union[JobRequest, BranchRequest]


class Outgoing:
    """A request as the bridge gets it.  Raises BridgeError, with code and sentence, if it cannot even be sent."""

    def __init__(self, job: str, request: AnyRequest, history: bool) -> None:
        self.message: Submit | Branch
        self._blobs: List[Tuple[str, Buffer]] = []
        try:
            if isinstance(request, BranchRequest):
                self.message = Branch(job, request, history)
            else:
                _check_maps(request)
                source = "m" + job if request.source else None
                shares = "w" + job if request.share_mask else None
                maps = tuple(f"{number}{job}" for number in range(len(request.maps)))
                self.message = Submit(job, request.order(), "p" + job, "s" + job, history, source, maps, shares)
                self._blobs = [("p" + job, request.pixels), ("s" + job, request.selection)]
                self._blobs += [(source, request.source)] if source else []
                self._blobs += [(shares, request.share_mask)] if shares else []
                self._blobs += [(blob, each.pixels) for blob, each in zip(maps, request.maps)]
            encode(self.message)
            sizes = [memoryview(data).nbytes for _, data in self._blobs]
        except WireError as error:
            raise BridgeError(OUT_OF_RANGE, error.details, "bad_request") from None
        except BridgeError:
            raise
        except Exception as error:  # fields of quite another kind
            raise BridgeError(OUT_OF_RANGE, repr(error), "bad_request") from None
        if isinstance(self.message, Submit) and isinstance(request, JobRequest):
            order = self.message.order
            fault = order.fault()
            if fault is not None:
                raise BridgeError(fault[1], "", fault[0])
            if sizes != list(order.inputs.values()):
                raise BridgeError(OTHER_SIZE, "", "bad_request")
            if not bytes(request.selection).strip(b"\0"):
                raise BridgeError(EMPTY_SELECTION, "", "empty_selection")

    def pieces(self) -> Iterator[Tuple[Any, Buffer | None]]:
        """The messages of it with their payloads, made one at a time; the request itself comes last."""
        for blob, data in self._blobs:
            size = memoryview(data).nbytes
            for offset, piece in pieces(data, CHUNK):
                yield Blob(blob, size, offset), piece
        yield self.message, None


def _check_maps(request: JobRequest) -> None:
    """Raise BridgeError where a map cannot belong to the request."""
    if len(request.maps) > MAX_MAPS:
        raise BridgeError(TOO_MANY_MAPS, "", "bad_request")
    pixels = sum(piece.area for piece in request.pieces) or request.width * request.height
    for each in request.maps:
        if not 0 < len(each.name) <= LONGEST_MAP_NAME:
            raise BridgeError(NO_NAME, repr(each.name), "bad_request")
        size = PIXEL_BYTES.get(each.depth)  # of none it is out of range
        if size and memoryview(each.pixels).nbytes != pixels * size:
            raise BridgeError(OTHER_MAP_SIZE.format(name=each.name), "", "bad_request")
