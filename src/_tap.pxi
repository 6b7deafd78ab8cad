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

cdef size_t FIRST_BYTES = 4096  # of a store
cdef size_t KEPT_BYTES = 1 << 17  # no more stay with a store that is empty


@cython.final
cdef class Tap:
    """Copies what is written to a ring and sent of it, until somebody takes that.

    It is put on a ring by `AudioRing.tap`, on a session's sending by `Timeline.tap`.
    What else happens is noted between the audio, so that the order isn't lost.

    Args:
        clock: gives the seconds at which things happen.
        most: so many bytes wait to be taken; when there would be more, it closes.

    Attributes:
        is_open: whether it copies. Closed, it keeps what it has.
        samples: how many were written to the ring while it was open.
    """

    cdef readonly bint is_open
    cdef readonly int64_t samples
    cdef object clock
    cdef size_t most
    cdef Store audio
    cdef Store pushes
    cdef Store chunks
    cdef list notes

    def __cinit__(self, clock, size_t most):
        self.clock = clock
        self.most = most
        self.notes = []
        self.is_open = True

    def __dealloc__(self):
        PyMem_Free(self.audio.memory)
        PyMem_Free(self.pushes.memory)
        PyMem_Free(self.chunks.memory)

    def close(self):
        """Copy nothing more."""
        self.is_open = False

    def note(self, what):
        """Something happens now."""
        if self.is_open:
            self.notes.append((
                what, self.clock(), self.samples,
                self.pushes.used // sizeof(Push), self.chunks.used // sizeof(Sent)))

    def take(self):
        """All that there is since the last time.

        Four things: audio as it lies in the ring. Of each push, as in C, a struct of
        int64 and double: the sample up to which there was audio, and when. Of each
        chunk four int64 and a double: session, start, samples, padding, and when. And
        of each note a tuple: itself, when, and how many samples there had been in all,
        and since the last time how many pushes and chunks.
        """
        taken = (taken_from(&self.audio), taken_from(&self.pushes),
                 taken_from(&self.chunks), self.notes)
        self.notes = []
        return taken

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

    cdef void keep(self, Store* store, const void* source, size_t size) noexcept:
        """Append to `store`, or close if there would be too much."""
        cdef size_t room = max(store.size, FIRST_BYTES)
        if self.audio.used + self.pushes.used + self.chunks.used + size > self.most:
            self.is_open = False
            return
        while room < store.used + size:
            room *= 2
        if room > store.size:
            memory = <uint8_t*>PyMem_Realloc(store.memory, room)
            if memory is NULL:
                self.is_open = False
                return
            store.memory = memory
            store.size = room
        memcpy(store.memory + store.used, source, size)
        store.used += size


cdef bytes taken_from(Store* store):
    """What is in `store`, which is empty then."""
    taken = PyBytes_FromStringAndSize(
        <const char*>store.memory, <Py_ssize_t>store.used)
    store.used = 0
    if store.size > KEPT_BYTES:
        PyMem_Free(store.memory)
        store.memory = NULL
        store.size = 0
    return taken


def pcm_of_mulaw(bytes data not None):
    """G.711 µ-law as PCM16, two bytes for each one."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef bytes pcm = PyBytes_FromStringAndSize(NULL, 2 * size)
    decode_mulaw(<const uint8_t*>PyBytes_AS_STRING(data),
                 <int16_t*>PyBytes_AS_STRING(pcm), size)
    return pcm
