"""The loops over samples: no Python in them, and written so that a compiler can turn
them into SIMD."""

from libc.stdint cimport int16_t, int32_t, uint8_t


cdef inline void mix_to_int16(
    const int16_t* source, Py_ssize_t channels, int16_t* target, Py_ssize_t frames
) noexcept nogil:
    """Mean of the channels, rounded to the nearest, ties to even."""
    cdef Py_ssize_t i, c
    cdef int32_t total, mean, rest
    cdef int32_t count = <int32_t>channels
    for i in range(frames):
        total = 0
        for c in range(channels):
            total += source[i * channels + c]
        mean = total // count if total >= 0 else -((-total + count - 1) // count)
        rest = 2 * (total - mean * count)
        if rest > count or (rest == count and mean & 1):
            mean += 1
        target[i] = <int16_t>mean


cdef inline void mix_stereo(
    const int16_t* source, int16_t* target, Py_ssize_t frames
) noexcept nogil:
    """The same for two channels, without a branch."""
    cdef Py_ssize_t i
    cdef int32_t total, mean
    for i in range(frames):
        total = <int32_t>source[2 * i] + <int32_t>source[2 * i + 1]
        mean = total >> 1
        target[i] = <int16_t>(mean + (total & mean & 1))


cdef inline void mix_to_float(
    const int16_t* source, Py_ssize_t channels, float* target, Py_ssize_t frames
) noexcept nogil:
    """Mean of the channels in units of one PCM16 step, not rounded to whole steps."""
    cdef Py_ssize_t i, c
    cdef int32_t total
    if channels == 1:
        for i in range(frames):
            target[i] = <float>source[i]
        return
    for i in range(frames):
        total = 0
        for c in range(channels):
            total += source[i * channels + c]
        target[i] = <float>total / <float>channels


cdef inline void round_to_int16(
    const float* source, int16_t* target, Py_ssize_t count
) noexcept nogil:
    """Nearest integer, ties to even, saturated."""
    # Adding 1.5·2^23 leaves a float no bits for a fraction, so the addition itself
    # rounds; unlike lrintf this vectorises.
    cdef float shift = 12582912.0
    cdef float value
    cdef Py_ssize_t i
    for i in range(count):
        value = source[i]
        value = value if value > -32768.0 else -32768.0
        value = value if value < 32767.0 else 32767.0
        target[i] = <int16_t><int32_t>((value + shift) - shift)


cdef inline void encode_mulaw(
    const int16_t* source, uint8_t* target, Py_ssize_t count
) noexcept nogil:
    """G.711 µ-law: sign, three bits of segment, four of mantissa, all inverted."""
    cdef Py_ssize_t i
    cdef int32_t value, magnitude, segment, sign
    for i in range(count):
        value = source[i]
        sign = 0x80 if value < 0 else 0
        magnitude = -value if value < 0 else value
        magnitude = (magnitude if magnitude < 32635 else 32635) + 132
        # The segment is the place of the highest bit, 7 to 14, counted from 0.
        segment = ((magnitude >= 256) + (magnitude >= 512) + (magnitude >= 1024)
                   + (magnitude >= 2048) + (magnitude >= 4096)
                   + (magnitude >= 8192) + (magnitude >= 16384))
        target[i] = <uint8_t>(
            ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)) & 0xFF)
