"""Part of _core.pyx: what callers hand over, checked before anything is changed."""

cdef int64_t MIN_RATE = 1_000
cdef int64_t MAX_RATE = 768_000
cdef int64_t MAX_CHANNELS = 64

cdef enum:
    FLOAT_BYTES = 4  # of a float32


cdef int64_t whole(object value, str name, int64_t low, int64_t high) except -1:
    """`value` as an integer between `low` and `high` (≥ 0), or AudioError."""
    cdef int64_t number = -1
    try:
        number = PyNumber_Index(value)  # a plain conversion would truncate a float
    except (TypeError, OverflowError):
        pass
    if number < low or number > high or isinstance(value, bool):
        raise AudioError(f"{name} must be an integer from {low} to {high}, "
                         f"not {value!r}")
    return number


cdef int64_t ms_to_samples(object ms, str name, int64_t rate, double low) except -1:
    """The fewest samples that last `ms`: a chunk must never be too short."""
    if (isinstance(ms, bool) or not isinstance(ms, (int, float))
            or not low <= ms <= 1000):
        raise AudioError(f"{name} must be from {low:g} to 1000, not {ms!r}")
    # Rounded first, so that 0.03 s given as 30.000000000000004 ms is 480 samples.
    return math.ceil(round(rate * ms / 1000, 6))


def as_bytes(data, sample_rate, num_channels=1):
    """`data` as the bytes of PCM16, if all three are what `AudioRing.write` takes.

    Raises `AudioError` as that does.
    """
    whole(sample_rate, "sample_rate", MIN_RATE, MAX_RATE)
    cdef int64_t channels = whole(num_channels, "num_channels", 1, MAX_CHANNELS)
    cdef int64_t frames = 0
    cdef Py_buffer view
    cdef int item = acquire(data, channels, &view, &frames)
    try:
        if item == FLOAT_BYTES:
            return memoryview(from_floats(&view))
    finally:
        PyBuffer_Release(&view)
    return memoryview(data).cast("B") if frames else memoryview(b"")


cdef bytes from_floats(const Py_buffer* view):
    """float32 from -1 to 1 as PCM16: to the nearest, saturated; or AudioError."""
    cdef int64_t count = view.len // FLOAT_BYTES, done = 0, part
    cdef bytes pcm = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(2 * count))
    cdef int16_t* target = <int16_t*>PyBytes_AS_STRING(pcm)
    cdef float scratch[SCRATCH]
    while done < count:
        part = min(count - done, SCRATCH)
        # They need not lie where floats must.
        memcpy(scratch, <const char*>view.buf + FLOAT_BYTES * done,
               <size_t>(FLOAT_BYTES * part))
        if not scale_to_pcm(scratch, <Py_ssize_t>part):
            raise AudioError(
                "float32 samples must be numbers from -1 to 1; what is a little louder "
                "is clipped, but these are not even within 8: divide by 32768 what is "
                "scaled like int16, and replace NaN")
        round_to_int16(scratch, target + done, <Py_ssize_t>part)
        done += part
    return pcm


cdef int acquire(
    object data, int64_t channels, Py_buffer* view, int64_t* frames
) except -1:
    """Acquire `data` and count its frames; gives the bytes of a sample, 2 for PCM16
    and `FLOAT_BYTES` for float32. On error nothing stays acquired."""
    cdef str trouble = None
    cdef int item = 2
    cdef const char* form
    try:
        PyObject_GetBuffer(data, view, PyBUF_ND | PyBUF_FORMAT)
    except (TypeError, BufferError, ValueError) as error:
        raise AudioError(
            "audio must be int16 or float32 samples in one contiguous buffer: "
            f"{error}") from None
    form = view.format
    if form is NULL:
        form = b"B"
    if view.itemsize != 1 and form[0] in (c"<", c"=", c"@"):
        form += 1
    if strcmp(form, b"h") != 0 and strcmp(form, b"B") != 0:
        if strcmp(form, b"f") == 0:
            item = FLOAT_BYTES
        else:
            trouble = (f"audio must be int16, float32 or raw bytes of int16, not items "
                       f"of format {form.decode('ascii', 'replace')!r}")
    if trouble is not None:
        pass
    elif view.ndim > 2 or (
            view.ndim == 2 and view.shape[1] * view.itemsize != item * channels):
        trouble = (f"audio of {view.ndim} dimensions must have the shape "
                   f"(frames, {channels})")
    elif view.len % (item * channels) != 0:
        kind = "int16" if item == 2 else "float32"
        trouble = (f"{view.len} bytes are no whole number of {channels}-channel "
                   f"{kind} frames ({item * channels} bytes each)")
    if trouble is not None:
        PyBuffer_Release(view)
        raise AudioError(trouble)
    frames[0] = view.len // (item * channels)
    return item
