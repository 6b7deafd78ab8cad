"""Part of _core.pyx: the websocket frames that a client sends."""

cdef enum:
    KEYS_BYTES = 256  # mask keys fetched at a time
    # RFC 6455, 5.2
    FINAL = 0x80  # a frame that is a whole message, or its last
    TEXT = 1
    BINARY = 2


@cython.final
cdef class FrameWriter:
    """Makes the frames of one connection, each masked with a new random key, and writes
    them to its transport.

    The safety of what lies between client and server rests on keys that nobody can
    foresee (RFC 6455, 10.3), so they are the operating system's. They are kept here,
    not in the process, so that no two forks of it share one.

    Attributes:
        is_open: whether frames are written; otherwise they are dropped. Its owner sets
            it to False when the connection is over.
        has_room: whether the transport has room for audio; see `pause`, `resume`.
    """

    cdef public bint is_open
    cdef readonly bint has_room
    cdef object write
    cdef Gate gate  # that sends audio by it
    cdef bytes keys
    cdef Py_ssize_t used

    def __cinit__(self):
        self.keys = b""
        self.has_room = True

    def open(self, write):
        """From here on call `write` with each frame, as bytes."""
        self.write = write
        self.is_open = True

    def pause(self):
        """The transport's buffer has no room for more audio."""
        self.has_room = False

    def resume(self):
        """It has room again."""
        self.has_room = True
        if self.gate is not None:
            self.gate.resumed()

    def send_audio(self, chunk):
        """Write a binary message: any contiguous buffer, which is left as it is."""
        self.send(BINARY, chunk)

    def send_text(self, text):
        """Write a text message: UTF-8, likewise."""
        self.send(TEXT, text)

    cpdef send(self, opcode, payload):
        """Write a whole message, or a control frame: header, key and masked payload.

        Raises `AudioError` unless `opcode` is an integer from 0 to 15.
        """
        cdef uint8_t first = FINAL | <uint8_t>whole(opcode, "opcode", 0, 15)
        cdef Py_buffer view
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            self.write_frame(first, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int write_frame(
        self, uint8_t first, const uint8_t* payload, Py_ssize_t size
    ) except -1:
        if self.is_open:
            self.write(self.make(first, payload, size))
        return 0

    cdef bytes make(self, uint8_t first, const uint8_t* payload, Py_ssize_t size):
        cdef Py_ssize_t length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
        cdef bytes frame = PyBytes_FromStringAndSize(NULL, 6 + length_bytes + size)
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(frame)
        cdef uint8_t key[4]
        cdef Py_ssize_t i
        self.next_key(key)
        out[0] = first
        out[1] = 0x80 | <uint8_t>(
            size if length_bytes == 0 else 126 if length_bytes == 2 else 127)
        for i in range(length_bytes):
            out[2 + i] = <uint8_t>(<uint64_t>size >> 8 * (length_bytes - 1 - i))
        out += 2 + length_bytes
        memcpy(out, key, 4)
        mask(payload, out + 4, size, key)
        return frame

    cdef int next_key(self, uint8_t* key) except -1:
        if self.used == PyBytes_GET_SIZE(self.keys):
            self.keys = urandom(KEYS_BYTES)
            self.used = 0
        memcpy(key, PyBytes_AS_STRING(self.keys) + self.used, 4)
        self.used += 4
        return 0
