"""Part of _core.pyx: where audio stays as loud as it is, so that nobody can speak."""

cdef enum:
    WINDOWS_A_SECOND = 50
    SMOOTHED = 10  # windows; a syllable is about that long

# Below this variance there is nothing but rounding and dither.
cdef double FLOOR = 0.5
# How many times as loud as another a window may be, and `SMOOTHED` of them in a row.
cdef double WINDOW_RATIO = 4.0
cdef double SMOOTHED_RATIO = 1.5


@cython.final
cdef class Steadiness:
    """Follows a ring's audio from `start` on, and finds where it is steady.

    Speech changes: within a second some of its syllables and pauses are far louder
    than others, however softly it is spoken. Digital silence, comfort noise and the
    noise of a room don't. So a stretch is steady as long as no 20 ms of it are 6 dB
    louder than others, and no 200 ms are 1.8 dB louder; a constant offset is no sound.
    Where that is broken, the next stretch begins.

    Attributes:
        since: the first sample of the present stretch.
        seen: the sample up to which the audio was followed.

    Raises `AudioError` if the ring doesn't keep `start`.
    """

    cdef AudioRing ring
    cdef readonly int64_t since
    cdef readonly int64_t seen
    cdef int64_t window
    cdef int64_t count  # windows in the present stretch
    cdef double latest[SMOOTHED]
    cdef double smoothed  # sum of `latest`
    cdef double low, high  # of the variances
    cdef double least, most  # of their means over `SMOOTHED` windows
    cdef double bottom, top  # of the windows' means

    def __cinit__(self, AudioRing ring, start=0):
        self.since = self.seen = whole(start, "start", ring.acked, ring.written)
        self.ring = ring
        self.window = max(1, ring.sample_rate // WINDOWS_A_SECOND)

    def follow(self, shortest):
        """Follow the audio as far as there is any.

        Returns the stretches that came to their end, if they were `shortest` samples
        long, as a list of (start, end). Audio that the ring let go of before it was
        followed is no part of any.

        Raises `StateError` when called from another thread than the ring's.
        """
        cdef int64_t least = whole(shortest, "shortest", 1, 1 << 40)
        self.ring.check_thread()
        cdef int64_t kept = max(self.ring.acked, self.ring.kept_from)
        ended = []
        if self.seen < kept:
            self.end_stretch(ended, least)
            self.since = self.seen = kept
        while self.ring.written - self.seen >= self.window:
            if not self.take_window():
                self.end_stretch(ended, least)
                self.take_window()
            self.seen += self.window
        return ended

    cdef bint goes_on(self) noexcept:
        """Follow the audio as far as it is steady; returns whether all of it is."""
        if self.seen < max(self.ring.acked, self.ring.kept_from):
            return False
        while self.ring.written - self.seen >= self.window:
            if not self.take_window():
                return False
            self.seen += self.window
        return True

    cdef int end_stretch(self, list ended, int64_t least) except -1:
        if self.seen - self.since >= least:
            ended.append((self.since, self.seen))
        self.since = self.seen
        self.count = 0
        return 0

    cdef bint take_window(self) noexcept:
        """Whether the next window is as loud as the stretch; if so, it is in it."""
        cdef int64_t total = 0, squares = 0
        cdef double mean, variance, smoothed
        cdef double low, high, bottom, top
        self.ring.measure(self.seen, self.window, &total, &squares)
        mean = <double>total / <double>self.window
        variance = <double>squares / <double>self.window - mean * mean
        if self.count == 0:
            self.low = self.high = variance
            self.bottom = self.top = mean
            self.smoothed = 0
        low, high = min(self.low, variance), max(self.high, variance)
        bottom, top = min(self.bottom, mean), max(self.top, mean)
        if max(high, (top - bottom) * (top - bottom)) > WINDOW_RATIO * max(FLOOR, low):
            return False
        smoothed = self.smoothed + variance
        if self.count >= SMOOTHED:
            smoothed -= self.latest[self.count % SMOOTHED]
        if self.count >= SMOOTHED - 1 and not self.take_mean(smoothed / SMOOTHED):
            return False
        self.low, self.high, self.bottom, self.top = low, high, bottom, top
        self.smoothed = smoothed
        self.latest[self.count % SMOOTHED] = variance
        self.count += 1
        return True

    cdef bint take_mean(self, double mean) noexcept:
        """The same for the windows up to here, taken together."""
        if self.count == SMOOTHED - 1:
            self.least = self.most = mean
        cdef double least = min(self.least, mean), most = max(self.most, mean)
        if most > SMOOTHED_RATIO * max(FLOOR, least):
            return False
        self.least, self.most = least, most
        return True
