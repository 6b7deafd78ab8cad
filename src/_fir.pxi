"""Part of _core.pyx: a polyphase filter in integers, for small ratios."""

cdef extern from "_filters.h":  # which the build makes of src/_filters.py
    enum:
        LARGEST  # of both numbers of a ratio that has a filter
        FILTERS  # how many there are
    ctypedef struct Filter:
        int up, down, taps, shift
        const int16_t* coefficients
    const Filter* filters

cdef enum:
    MOST_TAPS = 240  # a phase: 40 for each of the largest ratio that goes down


cdef const Filter* filter_between(int64_t rate, int64_t rate_out) noexcept:
    """The filter for two rates, NULL if their reduced ratio isn't small."""
    cdef Py_ssize_t i
    for i in range(FILTERS):
        if rate * filters[i].up == rate_out * filters[i].down:
            return &filters[i]
    return NULL


@cython.final
@cython.internal
cdef class Fir(Resampler):
    """A filter over the newest samples, run by every push.

    An output sample is due once half the filter's taps lie behind its place in the
    input: that is all that is held back. Before its first and behind its last sample
    the input counts as constant, so that a begin or end in the middle of speech is no
    edge that would ring.
    """

    cdef int64_t up
    cdef int64_t down
    cdef int64_t ahead  # input samples wanted behind the one that an output lies at
    cdef Py_ssize_t taps
    cdef int shift
    cdef int64_t block  # input samples that give no more than SCRATCH output samples
    cdef const int16_t* coefficients
    cdef int16_t past[MOST_TAPS]  # the newest `taps` - 1 input samples

    def __cinit__(self, int64_t rate, int64_t rate_out):
        cdef const Filter* form = filter_between(rate, rate_out)
        self.up, self.down = form.up, form.down
        self.taps, self.shift = form.taps, form.shift
        self.coefficients = form.coefficients
        self.ahead = self.taps // 2
        self.block = min(SCRATCH, SCRATCH * self.down // self.up)

    cdef int take(
        self, AudioRing ring, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) except -1:
        # Of outputs k = 0, 1, …, each at k·down/up of the input, so many are due now.
        cdef int64_t known = self.taken + frames - self.ahead
        cdef int64_t due = 0
        cdef Py_ssize_t i
        if known > 0:
            due = (known * self.up + self.down - 1) // self.down
        ring.reserve(due - self.given)
        if self.taken == 0:
            mix_to_pcm(source, channels, self.past, 1)
            for i in range(1, self.taps - 1):
                self.past[i] = self.past[0]
        self.run(ring, source, channels, frames, due)
        return 0

    cdef int drain(self, AudioRing ring) except -1:
        cdef int16_t last[MOST_TAPS]
        cdef Py_ssize_t i
        # n·up/down, a half rounded up
        cdef int64_t due = (2 * self.taken * self.up + self.down) // (2 * self.down)
        ring.reserve(due - self.given)
        for i in range(self.ahead):
            last[i] = self.past[self.taps - 2]
        self.run(ring, last, 1, self.ahead, due)
        return 0

    cdef void run(
        self, AudioRing ring, const int16_t* source, Py_ssize_t channels,
        int64_t frames, int64_t due,
    ) noexcept:
        """Filter `frames` more until `due` samples in all were given."""
        cdef int16_t window[MOST_TAPS + SCRATCH]
        cdef int16_t output[SCRATCH]
        cdef Py_ssize_t kept = self.taps - 1, part, count
        cdef int64_t place, at
        while frames > 0:
            part = <Py_ssize_t>min(frames, self.block)
            memcpy(window, self.past, <size_t>(2 * kept))
            mix_to_pcm(source, channels, window + kept, part)
            memcpy(self.past, window + part, <size_t>(2 * kept))
            place = self.given * self.down
            at = place // self.up + self.ahead - self.taken
            count = 0
            if at < part:
                # As many as have their newest sample in this part, but not over `due`.
                count = <Py_ssize_t>min(
                    due - self.given,
                    ((part - at) * self.up - place % self.up + self.down - 1)
                    // self.down)
            filter_pcm(
                window + at, self.coefficients, self.taps, self.shift,
                <Py_ssize_t>self.up, <Py_ssize_t>self.down,
                <Py_ssize_t>(place % self.up), output, count)
            ring.append(output, count)
            self.given += count
            self.taken += part
            source += part * channels
            frames -= part
