# cython: cdivision=True
"""The loops over samples and bytes: no Python in them, and written so that a compiler
can turn them into SIMD."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy


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
        if total >= 0:
            mean = total // count
        else:
            mean = -((count - 1 - total) // count)
        rest = total - mean * count
        rest += rest
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


cdef inline void mix_to_pcm(
    const int16_t* source, Py_ssize_t channels, int16_t* target, Py_ssize_t frames
) noexcept nogil:
    """The same for any number, one included, each in the fastest way."""
    if channels == 1:
        memcpy(target, source, <size_t>(2 * frames))
    elif channels == 2:
        mix_stereo(source, target, frames)
    else:
        mix_to_int16(source, channels, target, frames)


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


cdef inline bint scale_to_pcm(float* samples, Py_ssize_t count) noexcept nogil:
    """Scale from -1 to 1 to units of one PCM16 step; whether all are within 8."""
    cdef Py_ssize_t i
    cdef int32_t outside = 0
    cdef float most = 8.0, step = 32768.0
    for i in range(count):
        # Written so that NaN is outside.
        outside |= not (-most <= samples[i] <= most)
        samples[i] *= step
    return outside == 0


cdef inline void round_to_int16(
    const float* source, int16_t* target, Py_ssize_t count
) noexcept nogil:
    """Nearest integer, ties to even, saturated; for any |value| below 2^22."""
    # Adding 1.5·2^23 leaves a float no bits for a fraction, so the addition itself
    # rounds; unlike lrintf this vectorises.
    cdef float shift = 12582912.0
    cdef int32_t value
    cdef Py_ssize_t i
    for i in range(count):
        value = <int32_t>((source[i] + shift) - shift)
        if value < -32768:
            value = -32768
        if value > 32767:
            value = 32767
        target[i] = <int16_t>value


cdef inline int32_t dot(
    const int16_t* samples, const int16_t* coefficients, Py_ssize_t taps
) noexcept nogil:
    """Sum of the products; SSE2's pmaddwd does four additions in one."""
    cdef int32_t total = 0
    cdef Py_ssize_t i
    for i in range(taps // 8 * 8):  # said so, or it would be compiled for any number
        total += <int32_t>samples[i] * <int32_t>coefficients[i]
    return total


cdef inline void filter_pcm(
    const int16_t* source, const int16_t* coefficients, Py_ssize_t taps, int shift,
    Py_ssize_t up, Py_ssize_t down, Py_ssize_t phase,
    int16_t* target, Py_ssize_t count,
) noexcept nogil:
    """Polyphase: `count` samples, `down` / `up` input samples apart.

    To the nearest in units of 2 ** `shift`, a half rounded up, saturated.
    """
    cdef int32_t value, half = 1 << (shift - 1)
    cdef Py_ssize_t i
    for i in range(count):
        value = (dot(source, coefficients + phase * taps, taps) + half) >> shift
        if value < -32768:
            value = -32768
        if value > 32767:
            value = 32767
        target[i] = <int16_t>value
        phase += down
        source += phase // up
        phase %= up


cdef union Float:
    float value
    int32_t bits


cdef inline void encode_mulaw(
    const int16_t* source, uint8_t* target, Py_ssize_t count
) noexcept nogil:
    """G.711 µ-law: sign, three bits of segment, four of mantissa, all inverted."""
    # Segment and mantissa are those of a floating-point number: the place of the
    # highest bit, here 7 to 14, and the four bits below it.
    cdef Py_ssize_t i
    cdef int32_t value, sign
    cdef Float magnitude
    for i in range(count):
        value = source[i]
        sign = (value >> 31) & 0x80
        if value < 0:
            value = -value
        if value > 32635:
            value = 32635
        magnitude.value = <float>(value + 132)
        target[i] = <uint8_t>(~(sign | ((magnitude.bits >> 19) - ((127 + 7) << 4))))


cdef inline void add_moments(
    const int16_t* source, Py_ssize_t count, int64_t* total, int64_t* squares
) noexcept nogil:
    """Add the samples to `total`, and their squares to `squares`."""
    cdef Py_ssize_t i
    cdef int64_t sum = 0, sum_of_squares = 0
    for i in range(count):
        sum += source[i]
        sum_of_squares += <int32_t>source[i] * <int32_t>source[i]
    total[0] += sum
    squares[0] += sum_of_squares


cdef inline void decode_mulaw(
    const uint8_t* source, int16_t* target, Py_ssize_t count
) noexcept nogil:
    """G.711 µ-law: the middle of each code's interval."""
    cdef Py_ssize_t i
    cdef int32_t code, value
    for i in range(count):
        code = ~source[i]
        value = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132
        target[i] = <int16_t>(-value if code & 0x80 else value)


cdef inline void mask(
    const uint8_t* source, uint8_t* target, Py_ssize_t count, const uint8_t* key
) noexcept nogil:
    """Each byte xor one of the key's four, in turns (RFC 6455, 5.3)."""
    cdef Py_ssize_t i
    cdef uint64_t keys, word
    memcpy(&keys, key, 4)
    memcpy(<uint8_t*>&keys + 4, key, 4)
    for i in range(0, count - 7, 8):
        memcpy(&word, source + i, 8)
        word ^= keys
        memcpy(target + i, &word, 8)
    for i in range(count & ~<Py_ssize_t>7, count):
        target[i] = source[i] ^ key[i & 3]
