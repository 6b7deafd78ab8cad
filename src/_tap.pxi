"""Part of _core.pyx: what goes into a ring and out of it, for those who keep that."""

cdef struct Store:
    uint8_t* memory
    size_t used  # bytes
    size_t size

cdef struct Push:
    int64_t sample  # of the stream, up to which there is audio
    double at

cdef struct Sent:
    int64_t session
    int64_t start
    int64_t samples
    int64_t padding
    double at

cdef struct Noted:
    double at
    int64_t samples  # written to the ring in all
    int64_t pushes  # since the last `take`, likewise chunks
    int64_t chunks

cdef size_t FIRST_BYTES = 4096  # of a store
cdef size_t KEPT_BYTES = 1 << 17  # no more stay with a store that is empty


@cython.final
cdef class Backlog:
    """What waits to be taken, of all taps that share this.

    Args:
        most: bytes. The tap that would bring more closes.

    Attributes:
        used: bytes.
    """

    cdef readonly size_t used
    cdef size_t most

    def __cinit__(self, size_t most):
        self.most = most


@cython.final
@cython.no_gc_clear  # `__dealloc__` needs the backlog
cdef class Tap:
    """Copies what is written to a ring and sent of it, until somebody takes that.

    It is put on a ring by `AudioRing.tap`, on a session's sending by `Timeline.tap`.
    What else happens is noted between the audio, so that the order isn't lost.

    One other thread than the ring's may `take`, and `close`, at any time. Each thing is
    kept, and all is taken, in plain C under the GIL: no Python code runs in between,
    and so no other thread. What could run some, a clock or a collection, comes before.
    So nothing is lost or taken twice, and what a note counts is taken with it.

    Args:
        clock: gives the seconds at which things happen.
        backlog: holds what waits here, too.

    Attributes:
        is_open: whether it copies. Closed, it keeps what it has.
        is_full: whether it closed because too much waits to be taken.
        samples: how many were written to the ring while it was open.
    """

    cdef readonly bint is_open
    cdef readonly bint is_full
    cdef readonly int64_t samples
    cdef object clock
    cdef Backlog backlog
    cdef Store audio
    cdef Store pushes
    cdef Store chunks
    cdef Store marks
    cdef list notes
    cdef size_t noted  # bytes that notes hold

    def __cinit__(self, clock, Backlog backlog not None):
        self.clock = clock
        self.backlog = backlog
        self.notes = []
        self.is_open = True

    def __dealloc__(self):
        if self.backlog is not None:  # else `__cinit__` raised
            self.backlog.used -= self.waiting()
        PyMem_Free(self.audio.memory)
        PyMem_Free(self.pushes.memory)
        PyMem_Free(self.chunks.memory)
        PyMem_Free(self.marks.memory)

    def close(self):
        """Copy nothing more."""
        self.is_open = False

    def note(self, what, size_t size=0):
        """Something happens now; `what` holds so many bytes."""
        cdef Noted mark
        if not self.is_open:
            return
        mark.at = self.clock()
        # From here on in plain C.
        mark.samples = self.samples
        mark.pushes = <int64_t>(self.pushes.used // sizeof(Push))
        mark.chunks = <int64_t>(self.chunks.used // sizeof(Sent))
        self.notes.append(what)
        if self.keep(&self.marks, &mark, sizeof(Noted)):
            self.noted += size
            self.backlog.used += size
        else:
            self.notes.pop()

    def take(self):
        """All that there is since the last time.

        Five things: audio as it lies in the ring. Of each push, as in C, a struct of
        int64 and double: the sample up to which there was audio, and when. Of each
        chunk four int64 and a double: session, start, samples, padding, and when. Of
        each note a double and three int64: when, how many samples there had been in
        all, and since the last time how many pushes and chunks. And the notes.
        """
        cdef list fresh = []
        # From here on in plain C: bytes are no garbage collector's.
        cdef bytes audio = bytes_for(&self.audio)
        cdef bytes pushes = bytes_for(&self.pushes)
        cdef bytes chunks = bytes_for(&self.chunks)
        cdef bytes marks = bytes_for(&self.marks)
        cdef list notes = self.notes
        self.notes = fresh
        self.backlog.used -= self.waiting()
        self.noted = 0
        move(&self.audio, audio)
        move(&self.pushes, pushes)
        move(&self.chunks, chunks)
        move(&self.marks, marks)
        return audio, pushes, chunks, marks, notes

    cdef size_t waiting(self) noexcept:
        """Bytes that this has in the backlog."""
        return (self.audio.used + self.pushes.used + self.chunks.used
                + self.marks.used + self.noted)

    cdef void wrote(
        self, const uint8_t* source, int64_t samples, int64_t item
    ) noexcept:
        if self.is_open:
            self.samples += samples
            self.keep(&self.audio, source, <size_t>(samples * item))

    cdef int pushed(self) except -1:
        cdef Push push
        if self.is_open:
            push = Push(self.samples, self.clock())
            self.keep(&self.pushes, &push, sizeof(Push))
        return 0

    cdef int sent(
        self, int64_t session, int64_t start, int64_t samples, int64_t padding
    ) except -1:
        cdef Sent sent
        if self.is_open:
            sent = Sent(session, start, samples, padding, self.clock())
            self.keep(&self.chunks, &sent, sizeof(Sent))
        return 0

    cdef bint keep(self, Store* store, const void* source, size_t size) noexcept:
        """Append to `store`, or close if there would be too much; whether it did."""
        if (self.backlog.used + size > self.backlog.most
                or not grown(store, size)):
            self.is_open = False
            self.is_full = True
            return False
        memcpy(store.memory + store.used, source, size)
        store.used += size
        self.backlog.used += size
        return True


cdef bint grown(Store* store, size_t size) noexcept:
    """For so many bytes more; whether there is."""
    cdef size_t room = max(store.size, FIRST_BYTES)
    cdef uint8_t* memory
    while room < store.used + size:
        room *= 2
    if room > store.size:
        memory = <uint8_t*>PyMem_Realloc(store.memory, room)
        if memory is NULL:
            return False
        store.memory = memory
        store.size = room
    return True


cdef bytes bytes_for(const Store* store):
    """Room for what is in `store`."""
    return PyBytes_FromStringAndSize(NULL, <Py_ssize_t>store.used)


cdef void move(Store* store, bytes target) noexcept:
    """All that is in `store`, to where there is room for it."""
    if store.used > 0:
        memcpy(PyBytes_AS_STRING(target), store.memory,
               <size_t>PyBytes_GET_SIZE(target))
    store.used = 0
    if store.size > KEPT_BYTES:
        PyMem_Free(store.memory)
        store.memory = NULL
        store.size = 0


def pcm_of_mulaw(bytes data not None):
    """G.711 µ-law as PCM16, two bytes for each one."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef bytes pcm = PyBytes_FromStringAndSize(NULL, 2 * size)
    decode_mulaw(<const uint8_t*>PyBytes_AS_STRING(data),
                 <int16_t*>PyBytes_AS_STRING(pcm), size)
    return pcm
