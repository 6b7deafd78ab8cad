"""Part of _core.pyx: the seam between the ring and whatever resamples."""


@cython.internal
cdef class Resampler:
    """From one rate to another: PCM goes in, samples go behind the ring's last."""

    cdef int64_t rate
    cdef int64_t rate_out
    cdef int64_t taken  # input samples
    cdef int64_t given  # output samples

    def __cinit__(self, int64_t rate, int64_t rate_out, *args):
        self.rate = rate
        self.rate_out = rate_out

    cdef int take(
        self, AudioRing ring, const int16_t* source, Py_ssize_t channels, int64_t frames
    ) except -1:
        """Take `frames` of PCM; append to `ring` what that makes."""
        raise NotImplementedError

    cdef int drain(self, AudioRing ring) except -1:
        """Append all that is still held back; the last call."""
        raise NotImplementedError

    cdef int64_t held(self) noexcept:
        """What was taken and not given yet, in units of 1 / (rate · rate_out) s."""
        return self.taken * self.rate_out - self.given * self.rate

    cdef double pending_ms(self):
        # Not below 0, where the last sample given was rounded up.
        cdef double units_per_ms = <double>self.rate * <double>self.rate_out / 1000
        return max(<double>self.held() / units_per_ms, 0.0)


cdef Resampler make_resampler(str kind, int64_t rate, int64_t rate_out):
    """The one of `kind` for these rates, or AudioError."""
    check_resampler(kind, rate, rate_out)
    if kind != "soxr" and filter_between(rate, rate_out) is not NULL:
        return Fir.__new__(Fir, rate, rate_out)
    return Soxr.__new__(Soxr, rate, rate_out)


cdef int check_resampler(str kind, int64_t rate, int64_t rate_out) except -1:
    """Raise `AudioError` if there is none of `kind` for these rates."""
    if kind == "fir" and filter_between(rate, rate_out) is NULL:
        raise AudioError(
            f"resampler='fir' can't make {rate_out} Hz of {rate} Hz: no number of "
            f"their reduced ratio may be above {LARGEST}")
    return 0
