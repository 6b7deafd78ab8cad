# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: auto_pickle=False, autotestdict=False
"""The audio core: one ring a stream, from any PCM16 to chunks ready for a socket.

Nothing here knows of asyncio, the network or logging. Positions and lengths are 64-bit
counts of samples at the ring's own rate ("samples" where nothing else is said);
floating point appears inside the resampler and in read-only properties only.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE,
    PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.number cimport PyNumber_Index
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, PyObject
from libc.math cimport INFINITY
from libc.stdint cimport int16_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset, strcmp

from _kernels cimport (
    add_moments, decode_mulaw, encode_mulaw, filter_pcm, mask, mix_to_float,
    mix_to_pcm, round_to_int16, scale_to_pcm,
)

import math
import os
import sys
from os import urandom

from aai_stream import containers
from aai_stream.errors import AudioError, StateError

if sys.byteorder != "little":
    raise ImportError("aai_stream sends PCM as it lies in memory: little-endian only")

# A ring begins with room for this long and grows by half from there, up to its limit.
cdef int64_t FIRST_MS = 250
# Conversions go through this many samples on the stack, which stays in the L1 cache.
cdef enum:
    SCRATCH = 512
    HEAD_BYTES = 8  # that tell a file from PCM

# How often this process has been forked off another one, since this was imported.
cdef uint64_t forks = 0


def _count_fork():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

cdef class AudioRing
cdef class Gate
cdef class Steadiness

include "_arguments.pxi"
include "_memory.pxi"
include "_budget.pxi"
include "_resampler.pxi"
include "_fir.pxi"
include "_soxr.pxi"
include "_frames.pxi"
include "_tap.pxi"
include "_sending.pxi"
include "_steady.pxi"


@cython.final
@cython.no_gc_clear  # no cycle leads through a ring, and others look at its block
cdef class AudioRing:
    """The audio of one stream, from its oldest unanswered sample to its newest.

    Three cursors run over it, `acked ≤ sent ≤ written`, all counted in samples since
    the stream began: `write` moves `written`, `next_chunk` moves `sent`, `ack` lets go
    of what lies before it, `rewind` moves `sent` back so that it is sent again.

    Memory starts small and grows up to `replay_seconds` of audio that isn't acked,
    then the oldest is let go: audio that was sent counts as forgotten, audio that
    never was as dropped. It shrinks again once acked, and an empty ring owns none.
    All rings of the process share one bound (`limit_memory`). What a ring has to let
    go of because another one needs memory counts from the next `write` or `flush` on,
    or from `settle`.

    A ring belongs to the thread that first writes to it or reads from it, in that
    process. A call from another thread raises `StateError`, because the cursors are not
    locked; so does one in a fork, where two would send the same stream.

    Args:
        sample_rate: rate of the ring and of its chunks, 1000 to 768000 Hz.
        encoding: `pcm_s16le`, or `pcm_mulaw` for G.711 µ-law, one byte a sample.
        chunk_ms: length of a chunk, 1 to 1000 ms; a fraction of a sample is rounded
            up.
        replay_seconds: how much audio is kept for a replay, 1 to 600 s.
        resampler: `fir` holds back 1 to 3 ms and is for rates in a small ratio, such
            as 8, 24, 32 or 48 to 16 kHz; `soxr` is for any and holds back 6 to 115;
            `auto` is `fir` where that can be had.

    Attributes:
        tap: gets a copy of what is written, if it isn't None.

    Raises:
        AudioError: an argument is none of these.
    """

    cdef readonly int64_t sample_rate
    cdef readonly object encoding
    cdef readonly int64_t acked
    cdef readonly int64_t sent
    cdef readonly int64_t written
    cdef readonly int64_t dropped_samples
    cdef readonly int64_t forgotten_samples
    cdef readonly int64_t padded_samples
    cdef readonly int64_t chunk_samples
    cdef readonly int64_t next_samples  # of the next chunk: `chunk_samples`, or more
    cdef int64_t limit  # most samples kept
    cdef int64_t item  # bytes per sample
    cdef Block block  # None while nothing is kept
    cdef Resampler resampler  # None while the input has the ring's rate
    cdef str kind  # of resamplers
    cdef bint adrift  # whether the next chunk is to be longer, see `anchor`
    cdef dict earlier_input  # frames per input rate, but for the present one
    cdef int64_t rate_in  # the present input rate, 0 before the first write
    cdef int64_t frames_in  # input frames since `rate_in` became the present one
    cdef double chunk_length_ms
    cdef unsigned long thread  # 0 until the first call
    cdef uint64_t process  # its `forks`, once there is a thread
    cdef int64_t kept_from  # no sample before this is in memory, whatever `acked` says
    cdef int64_t content_until  # with less written, it asks for no more memory
    cdef public Tap tap  # None unless somebody keeps what is written
    cdef PyObject* preceding  # ring of the process
    cdef PyObject* following

    def __cinit__(self, sample_rate=16000, *, encoding="pcm_s16le", chunk_ms=50,
                  replay_seconds=120, resampler="auto"):
        if encoding not in ("pcm_s16le", "pcm_mulaw"):
            raise AudioError(f"encoding must be pcm_s16le or pcm_mulaw, "
                             f"not {encoding!r}")
        if resampler not in ("auto", "soxr", "fir"):
            raise AudioError(f"resampler must be auto, soxr or fir, not {resampler!r}")
        if (isinstance(replay_seconds, bool)
                or not isinstance(replay_seconds, (int, float))
                or not 1 <= replay_seconds <= 600):
            raise AudioError(f"replay_seconds must be from 1 to 600, "
                             f"not {replay_seconds!r}")
        self.sample_rate = whole(sample_rate, "sample_rate", MIN_RATE, MAX_RATE)
        self.chunk_ms = chunk_ms
        self.encoding = encoding
        self.item = 1 if encoding == "pcm_mulaw" else 2
        self.limit = math.ceil(replay_seconds * self.sample_rate)
        self.kind = str(resampler)
        self.earlier_input = {}
        link(self)

    def __dealloc__(self):
        self.own(None)
        unlink(self)

    # -- in --

    def write(self, data, sample_rate, num_channels=1):
        """Append audio; returns how many samples reached the ring by this call.

        Channels are mixed down to their mean. Audio of another rate is resampled, by
        soxr once enough for a chunk has come; what is still held back (`pending_ms`)
        comes out with later writes or with `flush`. After the flush, n samples of one
        rate have become round(n·out/in), a half rounded up, however they were cut. The
        rate may change between writes: the old resampler is then drained first.

        Args:
            data: interleaved int16 in any contiguous buffer: bytes, bytearray, array,
                memoryview of format `h` or `B`, NumPy int16 of shape (frames,) or
                (frames, channels). Or float32 from -1 to 1 likewise, of format `f`: it
                is scaled and rounded to int16, and clipped if a little louder.
            sample_rate: of `data`, 1000 to 768000 Hz.
            num_channels: of `data`, 1 to 64.

        Raises:
            AudioError: `data` is none of these, or not whole frames, or the stream's
                first bytes are those of a file, or `fir` can't resample from
                `sample_rate`. The ring is as before.
            StateError: called from another thread than the first call.
        """
        cdef int64_t start = self.written
        put(data, sample_rate, num_channels, self, None)
        return self.written - start

    def pcm_of(self, data, sample_rate, num_channels=1):
        """A copy of `data` as bytes of PCM16, for a `write` with the other arguments.

        Nothing is changed, and any thread may call this.

        Raises `AudioError` as `write` would, `StateError` in a fork.
        """
        cdef int64_t rate = whole(sample_rate, "sample_rate", MIN_RATE, MAX_RATE)
        cdef int64_t channels = whole(num_channels, "num_channels", 1, MAX_CHANNELS)
        cdef int64_t frames = 0
        cdef Py_buffer view
        if self.thread != 0 and self.process != forks:
            self.check_thread()
        cdef int item = acquire(data, channels, &view, &frames)
        try:
            if frames > 0 and rate != self.rate_in:
                if item == 2:
                    self.check_head(&view)
                if rate != self.sample_rate:
                    check_resampler(self.kind, rate, self.sample_rate)
            if item == FLOAT_BYTES:
                return from_floats(&view)
            return PyBytes_FromStringAndSize(<const char*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int check_head(self, const Py_buffer* view) except -1:
        """See that the stream doesn't begin as a file does, if it begins here."""
        if self.rate_in == 0 and not self.earlier_input:
            containers.refuse(PyBytes_FromStringAndSize(
                <const char*>view.buf, min(view.len, HEAD_BYTES)))
        return 0

    cdef int change_rate(self, int64_t rate) except -1:
        """Finish what came at the old rate and get ready for `rate`."""
        cdef Resampler fresh = None
        if rate != self.sample_rate:
            fresh = make_resampler(self.kind, rate, self.sample_rate)
        self.drain()
        self.close_input()
        self.resampler = fresh
        self.rate_in = rate
        self.adrift = isinstance(fresh, Fir)
        return 0

    cdef int close_input(self) except -1:
        """Forget the present input rate; the next write begins anew."""
        self.earlier_input = self.samples_in
        self.resampler = None
        self.rate_in = 0
        self.frames_in = 0
        return 0

    cdef int take(
        self, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) except -1:
        self.frames_in += frames
        if self.resampler is not None:
            return self.resampler.take(self, source, channels, frames)
        self.reserve(frames)
        self.mix_in(source, channels, frames)
        return 0

    cdef void mix_in(
        self, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) noexcept:
        cdef int16_t scratch[SCRATCH]
        cdef int64_t done = 0, part
        while done < frames:
            part = min(frames - done, SCRATCH)
            if channels == 1:
                self.append(source + done, part)
            else:
                mix_to_pcm(source + done * channels, channels, scratch,
                           <Py_ssize_t>part)
                self.append(scratch, part)
            done += part

    def drain(self):
        """Let out all that the resampler holds; returns how many samples that were.

        Audio written after this starts a new resampling, so drain where speech rests
        or at the end.

        Raises `StateError` when called from another thread than the first call.
        """
        cdef int64_t start = self.written
        self.check_thread()
        if self.resampler is not None:
            self.resampler.drain(self)
            self.close_input()
            if self.tap is not None:
                self.tap.pushed()
        return self.written - start

    cdef int anchor(self) except -1:
        """Let the next chunk, once there is one, end at the last sample written.

        What a `Fir` holds back leaves the first push short of a chunk by that much.
        Chunks of one length would then, for good, each wait for the push after the
        one that brought nearly all of it. With one that is longer, by less than a
        chunk, all that follow are complete as soon as the input is.
        """
        cdef int64_t waiting = self.written - self.sent
        cdef int64_t samples = self.chunk_samples + waiting % self.chunk_samples
        if waiting >= self.chunk_samples:
            if samples <= self.sample_rate:  # the protocol takes no message over 1 s
                self.lengthen(samples)
            self.adrift = False
        return 0

    # -- out --

    def next_chunk(self):
        """The next full `Chunk` that was not sent yet, or None; moves `sent`.

        It is `chunk_samples` long. Only the first one after `fir` begins to resample,
        or after `rewind` while it does, also holds what there is beyond it, less than
        another chunk, if that makes no more than 1000 ms: from there on a push that
        ends where a chunk does isn't kept waiting. `next_samples` tells.

        None, too, after others took memory from what comes next, until `settle`.

        Raises `StateError` when called from another thread than the first call.
        """
        self.check_thread()
        if (self.written - self.sent < self.next_samples
                or self.sent < self.kept_from):
            return None
        return self.export(self.next_samples)

    def flush(self, min_ms=50):
        """Everything that was not sent yet, as a list of chunks; moves `sent`.

        Drains the resampler. The last chunk may be shorter than the others; below
        `min_ms` (0 to 1000) it is padded with silence up to that length, since the
        protocol takes no shorter message. The padding is not the caller's audio: no
        cursor counts it, only `padded_samples`.

        Raises `AudioError` for a bad `min_ms`, `StateError` when called from another
        thread than the first call.
        """
        cdef int64_t shortest = ms_to_samples(min_ms, "min_ms", self.sample_rate, 0)
        cdef int64_t rest
        chunks = []
        self.drain()
        self.settle()
        while self.written - self.sent >= self.next_samples:
            chunks.append(self.export(self.next_samples))
        rest = self.written - self.sent
        if rest >= shortest and rest > 0:
            chunks.append(self.export(rest))
        elif rest > 0:
            chunks.append(self.export_padded(rest, shortest - rest))
        return chunks

    cdef Chunk export(self, int64_t samples):
        cdef Chunk chunk = make_chunk(
            self.block, self.at(self.sent), self.item, self.sent, samples, 0)
        self.sent += samples
        self.next_samples = self.chunk_samples
        return chunk

    cdef Chunk export_padded(self, int64_t samples, int64_t padding):
        """A chunk with silence behind it, in memory of its own: the ring holds none."""
        cdef Block block = Block.__new__(Block, samples + padding, 0, self.item)
        memcpy(block.memory, self.at(self.sent), <size_t>(samples * self.item))
        memset(block.memory + samples * self.item,
               0xFF if self.item == 1 else 0, <size_t>(padding * self.item))
        cdef Chunk chunk = make_chunk(
            block, block.memory, self.item, self.sent, samples, padding)
        self.sent += samples
        self.padded_samples += padding
        return chunk

    def ack(self, sample):
        """Let go of everything before `sample`; before `acked` there is nothing to do.

        Raises `AudioError` if `sample` was not sent yet, `StateError` when called
        from another thread than the first call.
        """
        cdef int64_t position = whole(sample, "ack", 0, self.sent)
        self.check_thread()
        if position > self.acked:
            self.acked = position
            self.content_until = 0
            self.shrink()

    def rewind(self, sample):
        """Send again from `sample` on.

        Raises `AudioError` if `sample` is not between `acked` and `sent`,
        `StateError` when called from another thread than the first call.
        """
        cdef int64_t position = whole(sample, "rewind", self.acked, self.sent)
        self.check_thread()
        self.sent = position
        self.adrift = isinstance(self.resampler, Fir)

    # -- what is in it --

    def moments(self, start, stop, window):
        """How loud the audio is: for each `window` samples from `start` on, up to
        `stop`, the sum of the samples and the sum of their squares.

        A list of pairs of integers, without a last window that isn't whole. It may be
        asked of audio that is kept: from `acked` to `written`.

        Raises `AudioError` for audio that isn't, or a `window` that is not 1 to
        `sample_rate`; `StateError` when called from another thread than the first.
        """
        cdef int64_t first = whole(start, "start", self.acked, self.written)
        cdef int64_t last = whole(stop, "stop", first, self.written)
        cdef int64_t size = whole(window, "window", 1, self.sample_rate)
        cdef int64_t total, squares
        self.check_thread()
        found = []
        if first < self.kept_from:  # other rings have just needed its memory
            return found
        while last - first >= size:
            total = squares = 0
            self.measure(first, size, &total, &squares)
            found.append((total, squares))
            first += size
        return found

    cdef void measure(
        self, int64_t sample, int64_t count, int64_t* total, int64_t* squares
    ) noexcept:
        cdef int16_t scratch[SCRATCH]
        cdef int64_t part
        while count > 0:
            part = min(min(count, SCRATCH),
                       self.block.capacity - sample % self.block.capacity)
            if self.item == 2:
                add_moments(<const int16_t*>self.at(sample), <Py_ssize_t>part,
                            total, squares)
            else:
                decode_mulaw(self.at(sample), scratch, <Py_ssize_t>part)
                add_moments(scratch, <Py_ssize_t>part, total, squares)
            sample += part
            count -= part

    # -- memory --

    cdef inline uint8_t* at(self, int64_t sample) noexcept:
        return self.block.memory + sample % self.block.capacity * self.item

    cdef inline int64_t least(self) noexcept:
        """The smallest capacity that a block gets."""
        return max(self.sample_rate * FIRST_MS // 1000, 2 * self.chunk_samples)

    cdef inline int64_t granted(self) noexcept:
        """The capacity that a ring may have however much the others hold."""
        return max(self.sample_rate, 2 * self.chunk_samples)

    cdef inline int64_t kept(self) noexcept:
        """How many samples are in memory."""
        return self.written - max(self.acked, self.kept_from)

    cdef int64_t owned(self) noexcept:
        return 0 if self.block is None else self.block.size

    cdef int64_t spare(self) noexcept:
        """How many bytes it can do without for now, losing nothing."""
        cdef int64_t kept = self.kept()
        if self.block is None:
            return 0
        kept = max(kept + kept // PART, self.granted())
        return (self.block.capacity - kept) * self.item

    cdef int64_t excess(self, int64_t size) noexcept:
        """How many bytes it can give to a ring that has `size`, and still have no less
        than that one then."""
        if self.block is None:
            return 0
        return min((self.block.size - size) // 2,
                   (self.block.capacity - self.granted()) * self.item)

    cdef int give_up(self, int64_t size) except -1:
        """Let go of `size` bytes, and of the oldest audio that was there."""
        cdef int64_t capacity = self.block.capacity
        capacity -= (size + self.item - 1) // self.item
        self.kept_from = max(self.kept_from, self.written - capacity)
        self.move_to(capacity, self.next_samples)
        return 0

    cpdef settle(self):
        """Count as forgotten or dropped what this ring let go of for others.

        Raises `StateError` when called from another thread than the first call, if
        there is something.
        """
        if self.acked < self.kept_from:
            self.check_thread()
            self.let_go(self.kept_from - self.acked)

    cdef int reserve(self, int64_t count) except -1:
        """See that `append` can place `count` samples: the only step that may fail."""
        cdef int64_t need, most, capacity
        self.settle()
        need = min(self.written - self.acked + count, self.limit)
        most = max(self.limit, 2 * self.chunk_samples)
        if self.block is None:
            capacity = self.least()
        else:
            capacity = self.block.capacity
        if capacity < need and self.written >= self.content_until:
            capacity = self.grown(capacity, need, most)
        capacity = min(capacity, most)
        if (self.block is None
                or self.block.capacity != capacity
                or (self.block.pins > 0
                    and self.block.pinned_from < self.written + count - capacity)):
            self.move_to(capacity, self.next_samples)
        return 0

    cdef int64_t grown(self, int64_t capacity, int64_t need, int64_t most) except -1:
        """A capacity of `need` or, where that can't be had, for as much as may be."""
        cdef int64_t wanted = capacity
        while wanted < need:
            wanted += wanted // 2
        capacity = room_for(self, capacity, min(wanted, most))
        if capacity < need:  # not to ask with every write: all rings are looked at
            self.content_until = self.written + self.sample_rate
        return capacity

    cdef void append(self, const int16_t* source, int64_t count) noexcept:
        """Place `count` samples (≤ SCRATCH) behind the last; `reserve` made room."""
        cdef int64_t room = min(self.limit, self.block.capacity)
        cdef int64_t excess = self.written + count - self.acked - room
        cdef int64_t position, part
        if excess > 0:
            self.let_go(excess)
        while count > 0:
            position = self.written % self.block.capacity
            part = min(count, self.block.capacity - position)
            if self.item == 2:
                memcpy(self.at(self.written), source, <size_t>(part * 2))
            else:
                encode_mulaw(source, self.at(self.written), <Py_ssize_t>part)
            self.mirror(position, part)
            if self.tap is not None:
                self.tap.wrote(self.at(self.written), part, self.item)
            self.written += part
            source += part
            count -= part

    cdef void mirror(self, int64_t position, int64_t count) noexcept:
        """Repeat what was just placed at the front behind the end, so that every
        chunk lies in one piece."""
        cdef int64_t part = min(count, self.block.guard - position)
        if part > 0:
            memcpy(self.block.memory + (self.block.capacity + position) * self.item,
                   self.block.memory + position * self.item,
                   <size_t>(part * self.item))

    cdef void let_go(self, int64_t excess) noexcept:
        """Give up the oldest `excess` samples: first sent ones, then unsent ones."""
        self.acked += excess
        if self.acked <= self.sent:
            self.forgotten_samples += excess
        else:
            self.dropped_samples += self.acked - self.sent
            self.forgotten_samples += excess - (self.acked - self.sent)
            self.sent = self.acked

    cdef int shrink(self) except -1:
        """Give memory back once three quarters of it are empty."""
        cdef int64_t kept = self.kept()
        if kept == 0:
            self.own(None)
        elif self.block.capacity > self.least() and kept <= self.block.capacity // 4:
            self.move_to(max(self.least(), 2 * kept), self.next_samples)
        return 0

    cdef int lengthen(self, int64_t samples) except -1:
        """See that the next chunk can be `samples` long, and let it be."""
        if self.block is not None and self.block.guard < samples:
            self.move_to(max(self.block.capacity, 2 * samples), samples)
        self.next_samples = samples
        return 0

    cdef int move_to(self, int64_t capacity, int64_t guard) except -1:
        """Go on in a new block; chunks that are alive keep the old one."""
        cdef Block old = self.block
        cdef Block new = Block.__new__(Block, capacity, guard, self.item)
        cdef int64_t sample = self.written - self.kept()
        cdef int64_t source, target, part
        self.own(new)
        while sample < self.written:
            source = sample % old.capacity
            target = sample % capacity
            part = min(self.written - sample,
                       min(old.capacity - source, capacity - target))
            memcpy(new.memory + target * self.item, old.memory + source * self.item,
                   <size_t>(part * self.item))
            self.mirror(target, part)
            sample += part
        return 0

    def check_owner(self):
        """Raise `StateError` if another thread or process has used the ring first.

        Unlike the other calls, this doesn't make a ring that is unused the caller's.
        """
        if self.thread != 0:
            self.check_thread()
    cdef void own(self, Block block) noexcept:
        global held_bytes
        held_bytes -= self.owned()
        self.block = block
        held_bytes += self.owned()

    cdef int check_thread(self) except -1:
        cdef unsigned long here = <unsigned long>PyThread_get_thread_ident()
        if self.thread != here or self.process != forks:
            if self.thread != 0:
                raise StateError(
                    "an AudioRing belongs to the thread that used it first; "
                    "Stream.push_threadsafe is for others"
                    if self.process == forks else
                    "an AudioRing belongs to the process that used it first, "
                    "and this is a fork of it")
            self.thread = here
            self.process = forks
        return 0

    # -- accounts --

    @property
    def chunk_ms(self):
        """Length of a chunk in ms as it was set; may be set at any time."""
        return self.chunk_length_ms

    @chunk_ms.setter
    def chunk_ms(self, value):
        cdef int64_t samples = ms_to_samples(value, "chunk_ms", self.sample_rate, 1)
        self.check_owner()  # since building a ring doesn't bind it
        self.lengthen(samples)
        self.chunk_samples = samples
        self.chunk_length_ms = value
        self.adrift = isinstance(self.resampler, Fir)

    @property
    def samples_in(self):
        """Frames that were written, by their rate: `{rate: frames}`."""
        counts = dict(self.earlier_input)
        if self.rate_in:
            counts[self.rate_in] = counts.get(self.rate_in, 0) + self.frames_in
        return counts

    @property
    def pending_ms(self):
        """How much audio the resampler holds back, in ms."""
        return 0.0 if self.resampler is None else self.resampler.pending_ms()

    @property
    def written_seconds(self):
        """Seconds of audio that reached the ring."""
        return <double>self.written / <double>self.sample_rate

    @property
    def sent_seconds(self):
        """Seconds of audio from the stream's begin to the `sent` cursor."""
        return <double>self.sent / <double>self.sample_rate

    @property
    def memory_bytes(self):
        """Bytes of audio memory that the ring owns now."""
        return self.owned()
