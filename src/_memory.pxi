"""Part of _core.pyx: the ring's memory and the views of it that go to a socket."""


@cython.final
@cython.internal
@cython.no_gc
cdef class Block:
    """The memory of a ring, and which of it is held by chunks that are still alive."""

    cdef uint8_t* memory
    cdef int64_t size  # bytes
    cdef int64_t capacity  # samples
    cdef int64_t guard  # samples behind `capacity` that mirror the first ones
    cdef int64_t pins  # chunks alive
    cdef int64_t pinned_from  # no living chunk begins before this sample

    def __cinit__(self, int64_t capacity, int64_t guard, int64_t item):
        self.size = (capacity + guard) * item
        self.memory = <uint8_t*>PyMem_Malloc(<size_t>self.size)
        if self.memory is NULL:
            raise MemoryError
        self.capacity = capacity
        self.guard = guard

    def __dealloc__(self):
        PyMem_Free(self.memory)


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Chunk:
    """Audio for one binary message: a read-only buffer of bytes, nothing copied.

    It shows the ring's own memory, and the ring will not write there while the chunk
    or any memoryview of it is alive. `len()` is in bytes.

    Attributes:
        start: stream position of its first sample.
        samples: how many samples of the caller's audio it holds.
        padding: how many samples of silence follow them.
    """

    cdef Block block
    cdef uint8_t* memory
    cdef Py_ssize_t size
    cdef readonly int64_t start
    cdef readonly int64_t samples
    cdef readonly int64_t padding

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.size, 1, flags)
        # Cython lets `view` own a reference to None, which FillInfo has overwritten.
        Py_DECREF(None)

    def __dealloc__(self):
        if self.block is not None:
            self.block.pins -= 1


cdef Chunk make_chunk(
    Block block, uint8_t* memory, int64_t item,
    int64_t start, int64_t samples, int64_t padding,
):
    cdef Chunk chunk = Chunk.__new__(Chunk)
    chunk.block = block
    chunk.memory = memory
    chunk.size = <Py_ssize_t>((samples + padding) * item)
    chunk.start = start
    chunk.samples = samples
    chunk.padding = padding
    if block.pins == 0 or start < block.pinned_from:
        block.pinned_from = start
    block.pins += 1
    return chunk
