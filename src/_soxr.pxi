"""Part of _core.pyx: soxr, for any pair of rates."""


@cython.final
@cython.internal
cdef class Soxr(Resampler):
    """soxr's HQ, run once a chunk.

    Staging is apart from running because a run costs much the same for 10 ms as for 50.
    """

    cdef int64_t staged  # input samples
    cdef int64_t block  # fewest output samples of a run that gave any
    cdef int64_t rest  # most that was `held` after a run
    cdef int64_t room  # input samples that `stage_memory` can hold
    cdef float* stage_memory
    cdef object stage_bytes  # bytearray: owns `stage_memory`
    cdef object stage_array  # numpy float32 over the same memory
    cdef object kernel

    def __cinit__(self, int64_t rate, int64_t rate_out):
        import soxr  # here, because few streams need it

        self.block = rate_out
        # float32, because soxr's int16 mode dithers: silence would not stay silence
        # and the output would depend on how the input was cut.
        self.kernel = soxr.ResampleStream(rate, rate_out, 1, "float32", "HQ")

    cdef int take(
        self, AudioRing ring, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) except -1:
        cdef int64_t begun, part
        while frames > 0:
            part = min(frames, self.rate)  # one second, so that staging stays small
            self.stage(source, channels, part)
            # Run only when that would fill the chunk that is being made.
            begun = (ring.written - ring.sent) % ring.chunk_samples
            if begun + self.outlook() >= ring.chunk_samples:
                self.run(ring, False)
            source += part * channels
            frames -= part
        return 0

    cdef int drain(self, AudioRing ring) except -1:
        return self.run(ring, True)

    cdef int stage(
        self, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) except -1:
        self.reserve(frames)
        mix_to_float(source, channels, self.stage_memory + self.staged,
                     <Py_ssize_t>frames)
        self.staged += frames
        self.taken += frames
        return 0

    cdef int reserve(self, int64_t count) except -1:
        """Make room for `count` more staged samples."""
        cdef int64_t need = self.staged + count
        if need <= self.room:
            return 0
        import numpy  # here, as soxr itself

        memory = bytearray(need * 4)
        # One column: of a plain row soxr makes a column first, at a cost.
        array = numpy.frombuffer(memory, dtype=numpy.float32).reshape(-1, 1)
        if self.staged:
            memcpy(PyByteArray_AS_STRING(memory), self.stage_memory,
                   <size_t>(self.staged * 4))
        self.stage_bytes = memory
        self.stage_array = array
        self.stage_memory = <float*>PyByteArray_AS_STRING(memory)
        self.room = need
        return 0

    cdef int64_t outlook(self) noexcept:
        """How many samples a run would give now, judged by the runs before.

        soxr gives whole blocks, each as soon as it holds more than its `rest`.
        """
        cdef int64_t surplus = self.held() - self.rest
        if surplus <= 0:
            return 0
        return ((surplus - 1) // (self.block * self.rate) + 1) * self.block

    cdef int run(self, AudioRing ring, bint last) except -1:
        """Resample what is staged; with `last`, all that is still held back too."""
        cdef Py_buffer view
        staged = self.stage_array
        if self.staged != self.room:
            staged = staged[:self.staged]
        output = self.kernel.resample_chunk(staged, last)
        self.staged = 0
        PyObject_GetBuffer(output, &view, PyBUF_SIMPLE)
        try:
            self.give(ring, <const float*>view.buf, view.len // 4)
        finally:
            PyBuffer_Release(&view)
        return 0

    cdef int give(self, AudioRing ring, const float* source, int64_t count) except -1:
        cdef int16_t scratch[SCRATCH]
        cdef int64_t done = 0, part
        self.given += count
        self.rest = max(self.rest, self.held())
        if count > 0:
            self.block = min(self.block, count)
        ring.reserve(count)
        while done < count:
            part = min(count - done, SCRATCH)
            round_to_int16(source + done, scratch, <Py_ssize_t>part)
            ring.append(scratch, part)
            done += part
        return 0
