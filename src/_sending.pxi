"""Part of _core.pyx: the way from the ring to a connection, while all is as usual."""

cdef double ROUNDING = 1e-6  # seconds by which sums of chunks may be wrong


@cython.final
@cython.no_gc
cdef class Pacer:
    """Lets audio pass at `rate` times real time, after a burst; `inf` lets all pass.

    Audio that comes live is never held back, since it uses up less than is granted.

    Attributes:
        rate: times real time; may be set at any time.
        burst_seconds: this much may pass at once; likewise.
        opens_at: when more may pass, in seconds of the clock that `spend` is told.
    """

    cdef public double rate
    cdef public double burst_seconds
    cdef double sample_rate
    cdef double paid_at  # when all that has passed is paid for

    def __cinit__(self, double rate, double sample_rate, double burst_seconds):
        self.rate = rate
        self.sample_rate = sample_rate
        self.burst_seconds = burst_seconds
        self.paid_at = -INFINITY

    @property
    def opens_at(self):
        return self.next_at()

    cdef inline double next_at(self) noexcept:
        return self.paid_at - self.burst_seconds / self.rate

    cpdef bint is_open(self, double now) noexcept:
        """Whether more may pass now."""
        return self.next_at() <= now + ROUNDING

    cpdef void spend(self, int64_t samples, double now) noexcept:
        """So many samples pass."""
        self.paid_at = max(self.paid_at, now) + (
            <double>samples / (self.rate * self.sample_rate))


cdef struct Mark:
    int64_t start  # session ms
    int64_t offset  # ms from session to stream behind it


@cython.final
@cython.no_gc
cdef class Timeline:
    """Where in the stream each ms of a session's audio lies.

    The server counts every sample it is sent; the stream counts the caller's. They
    differ where a session begins late in the stream, where padding was sent, and where
    audio was left out. Each such place is a mark.

    Attributes:
        samples: how many the server was sent, padding included.
        sent_at: when it was sent some last; -inf before.
        session: its number, for the tap.
        tap: is told of each chunk that is sent, if it isn't None.
    """

    cdef readonly int64_t samples
    cdef readonly double sent_at
    cdef public int64_t session
    cdef public Tap tap
    cdef int64_t rate
    cdef int64_t expected  # the stream's sample that follows the last one sent
    cdef Mark* marks
    cdef Py_ssize_t count

    def __cinit__(self, int64_t sample_rate):
        self.rate = sample_rate
        self.sent_at = -INFINITY
        self.marks = <Mark*>PyMem_Malloc(sizeof(Mark))
        if self.marks is NULL:
            raise MemoryError
        self.marks[0] = Mark(0, 0)
        self.count = 1

    def __dealloc__(self):
        PyMem_Free(self.marks)

    @property
    def is_stream_time(self):
        """Whether session time and stream time have been the same so far."""
        return self.count == 1 and self.marks[0].offset == 0

    @property
    def sent_ms(self):
        """How much audio the server was sent."""
        return self.samples * 1000 // self.rate

    def sent(self, Chunk chunk not None, double now):
        """Account for a chunk that is about to be sent."""
        self.account(chunk.start, chunk.samples, chunk.padding, now)

    cdef int account(
        self, int64_t start, int64_t samples, int64_t padding, double now
    ) except -1:
        if start != self.expected:
            self.mark(start)
        self.samples += samples + padding
        self.expected = start + samples
        self.sent_at = now
        if padding > 0:
            self.mark(self.expected)
        if self.tap is not None:
            self.tap.sent(self.session, start, samples, padding)
        return 0

    cdef int mark(self, int64_t sample) except -1:
        cdef int64_t start = self.samples * 1000 // self.rate
        cdef int64_t ahead = (sample - self.samples) * 1000
        # Rounded down, also below 0.
        cdef int64_t offset = (
            ahead // self.rate if ahead >= 0
            else -((self.rate - 1 - ahead) // self.rate))
        if self.marks[self.count - 1].start != start:
            marks = <Mark*>PyMem_Realloc(
                self.marks, <size_t>(self.count + 1) * sizeof(Mark))
            if marks is NULL:
                raise MemoryError
            self.marks = marks
            self.count += 1
        self.marks[self.count - 1] = Mark(start, offset)
        return 0

    cpdef int64_t to_stream_ms(self, int64_t ms) noexcept:
        """Stream time of the session's `ms`. Padding has the time of its start."""
        cdef Py_ssize_t i = self.count - 1
        while i > 0 and self.marks[i].start > ms:
            i -= 1
        return self.moved(ms, i)

    cpdef int64_t end_to_stream_ms(self, int64_t ms) noexcept:
        """Likewise for where something ends: at a mark that is before it."""
        cdef Py_ssize_t i = self.count - 1
        while i > 0 and self.marks[i].start >= ms:
            i -= 1
        return self.moved(ms, i)

    cdef int64_t moved(self, int64_t ms, Py_ssize_t i) noexcept:
        cdef int64_t moved = ms + self.marks[i].offset
        if ms >= self.marks[i].start and i < self.count - 1:
            return min(moved, self.marks[i + 1].start + self.marks[i + 1].offset)
        return moved


@cython.final
cdef class Gate:
    """Sends a ring's audio to a session, until something is to be decided.

    While it is open, `push` writes to the ring, frames each chunk that is full, and
    hands it to the transport, in one call. It shuts itself, and asks, at a sample that
    was named when it was opened, when the pace is exceeded, when audio was dropped or
    skipped, and when a full connection has room again. While it waits for a sound it
    sends nothing.

    Args:
        ring: whose chunks are sent.
        pacer: how fast they may go.

    Attributes:
        is_open: whether it sends on its own.
        ask: called, if it isn't None, when the gate has shut itself, for what it waits,
            and while it is shut when audio is dropped or the connection has room again.
    """

    cdef public object ask
    cdef readonly bint is_open
    cdef AudioRing ring
    cdef Pacer pacer
    cdef Timeline timeline
    cdef FrameWriter frames  # None while there is no connection
    cdef object clock
    cdef int64_t until
    cdef int64_t dropped  # of the ring's, so many are known of
    cdef Steadiness steady  # None unless it waits for a sound
    cdef int64_t steady_since

    def __cinit__(self, AudioRing ring not None, Pacer pacer not None):
        self.ring = ring
        self.pacer = pacer

    def connect(self, FrameWriter frames, clock):
        """Send by `frames` from now on, None for nowhere. `clock` gives the seconds
        that the pacer counts in."""
        if self.frames is not None:
            self.frames.gate = None
        self.frames = frames
        self.clock = clock
        if frames is not None:
            frames.gate = self

    def open(self, Timeline timeline not None, int64_t until):
        """Send up to `until`, or the chunk that holds it; account to `timeline`."""
        self.timeline = timeline
        self.until = until
        self.dropped = self.ring.dropped_samples
        self.steady = None
        self.is_open = True

    def shut(self):
        """Send nothing."""
        self.timeline = None
        self.dropped = self.ring.dropped_samples
        self.is_open = False

    def wait(self, Steadiness steady, int64_t until):
        """Ask when the ring's audio is not as loud any more as `steady` has found it,
        or reaches `until`: by each push from there on, until `open`, or `wait` for
        something else; None for nothing."""
        self.steady = steady
        self.until = until
        if steady is not None:
            self.steady_since = steady.since

    def push(self, data, sample_rate, num_channels=1):
        """Write to the ring, and send what may go.

        Raises as `AudioRing.write` does.
        """
        put(data, sample_rate, num_channels, self.ring, self)

    cdef int written(self) except -1:
        """The ring has more audio."""
        if self.is_open and self.frames is not None:
            if self.flow():
                return 0
            self.is_open = False
        elif self.ring.dropped_samples == self.dropped and not self.is_waited_for():
            return 0
        return self.ask_now()

    cdef int resumed(self) except -1:
        """The connection has room again, and audio may wait."""
        self.is_open = False
        return self.ask_now()

    cdef int ask_now(self) except -1:
        self.dropped = self.ring.dropped_samples
        if self.ask is not None:
            self.ask()
        return 0

    cdef bint is_waited_for(self) noexcept:
        """Whether there is what it waits for."""
        if self.steady is None:
            return False
        return (self.ring.written >= self.until
                or self.steady.since != self.steady_since  # others have followed it
                or not self.steady.goes_on())

    cdef bint flow(self) except -1:
        """Send what may go; returns whether the gate may stay open."""
        cdef AudioRing ring = self.ring
        cdef double now
        while (ring.sent < self.until
               and ring.sent == self.timeline.expected  # nothing dropped or left out
               and ring.sent >= ring.kept_from):
            if (ring.written - ring.sent < ring.next_samples
                    or not self.frames.has_room):
                return True
            now = self.clock()
            if not self.pacer.is_open(now):
                return False
            self.send(now)
        return False

    cdef int send(self, double now) except -1:
        cdef AudioRing ring = self.ring
        cdef int64_t start = ring.sent, samples = ring.next_samples
        self.timeline.account(start, samples, 0, now)
        self.pacer.spend(samples, now)
        ring.sent += samples
        ring.next_samples = ring.chunk_samples
        self.frames.write_frame(
            FINAL | BINARY, ring.at(start), <Py_ssize_t>(samples * ring.item))
        return 0


cdef int put(
    object data, object sample_rate, object num_channels, AudioRing ring, Gate gate
) except -1:
    """Write `data` to the ring, and let `gate` send what there is of it, if it isn't
    None; see `AudioRing.write`."""
    cdef int64_t rate = whole(sample_rate, "sample_rate", MIN_RATE, MAX_RATE)
    cdef int64_t channels = whole(num_channels, "num_channels", 1, MAX_CHANNELS)
    cdef int64_t frames = 0, part
    cdef const int16_t* source
    cdef Py_buffer view
    ring.check_thread()
    cdef int item = acquire(data, channels, &view, &frames)
    try:
        if item == FLOAT_BYTES:
            return put(from_floats(&view), rate, channels, ring, gate)
        if <size_t>view.buf & 1:  # int16 must lie on even addresses
            return put(bytes(data), rate, channels, ring, gate)
        source = <const int16_t*>view.buf
        if frames > 0 and rate != ring.rate_in:
            ring.check_head(&view)
        while frames > 0:
            part = frames
            if gate is not None:  # the ring need not hold all of a long push at once
                part = min(frames, (rate + 1) // 2)
            if rate != ring.rate_in:
                ring.change_rate(rate)
            ring.take(source, <Py_ssize_t>channels, part)
            if ring.adrift:
                ring.anchor()
            if ring.tap is not None:
                ring.tap.pushed()
            if gate is not None:
                gate.written()
            source += part * channels
            frames -= part
        return 0
    finally:
        PyBuffer_Release(&view)
