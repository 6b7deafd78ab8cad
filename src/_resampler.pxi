"""Part of _core.pyx: the seam between the ring and whatever resamples."""


@cython.final
@cython.internal
cdef class Resampler:
    """From one rate to another, mono: PCM goes in by `stage`, floats come by `run`.

    Staging is apart from running because a run costs much the same for 10 ms as for
    50: the ring stages what is pushed and runs once a chunk, when `outlook` is enough.
    This class is the seam: a kernel other than soxr offers the same methods.
    """

    cdef int64_t rate
    cdef int64_t rate_out
    cdef int64_t taken  # input samples, staged ones included
    cdef int64_t given  # output samples
    cdef int64_t staged  # input samples
    cdef int64_t block  # fewest output samples of a run that gave any
    cdef int64_t rest  # most that was `held` after a run
    cdef int64_t room  # input samples that `stage_memory` can hold
    cdef float* stage_memory
    cdef object stage_bytes  # bytearray: owns `stage_memory`
    cdef object stage_array  # numpy float32 over the same memory
    cdef object kernel

    def __cinit__(self, int64_t rate, int64_t rate_out, object quality):
        self.rate = rate
        self.rate_out = rate_out
        self.block = rate_out
        # float32, because soxr's int16 mode dithers: silence would not stay silence
        # and the output would depend on how the input was cut.
        self.kernel = soxr.ResampleStream(rate, rate_out, 1, "float32", quality)

    cdef int reserve(self, int64_t count) except -1:
        """Make room for `count` more staged samples."""
        cdef int64_t need = self.staged + count
        if need <= self.room:
            return 0
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

    cdef void stage(
        self, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) noexcept:
        """Take `frames` of PCM into the room made by `reserve`."""
        mix_to_float(source, channels, self.stage_memory + self.staged,
                     <Py_ssize_t>frames)
        self.staged += frames
        self.taken += frames

    cdef int64_t held(self) noexcept:
        """What was taken and not given yet, in units of 1 / (rate · rate_out) s."""
        return self.taken * self.rate_out - self.given * self.rate

    cdef int64_t outlook(self) noexcept:
        """How many samples a run would give now, judged by the runs before.

        soxr gives whole blocks, each as soon as it holds more than its `rest`.
        """
        cdef int64_t surplus = self.held() - self.rest
        if surplus <= 0:
            return 0
        return ((surplus - 1) // (self.block * self.rate) + 1) * self.block

    cdef object run(self, bint last):
        """Resample what is staged; with `last`, all that is still held back too.

        Returns an object that exports contiguous float32.
        """
        cdef int64_t count
        staged = self.stage_array
        if self.staged != self.room:
            staged = staged[:self.staged]
        output = self.kernel.resample_chunk(staged, last)
        self.staged = 0
        count = len(output)
        self.given += count
        self.rest = max(self.rest, self.held())
        if count > 0:
            self.block = min(self.block, count)
        return output

    cdef double pending_ms(self):
        # Not below 0, where the last sample given was rounded up.
        cdef double units_per_ms = <double>self.rate * <double>self.rate_out / 1000
        return max(<double>self.held() / units_per_ms, 0.0)
