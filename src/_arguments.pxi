"""Part of _core.pyx: what callers hand over, checked before anything is changed."""

cdef int64_t MIN_RATE = 1_000
cdef int64_t MAX_RATE = 768_000
cdef int64_t MAX_CHANNELS = 64


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
    """`data` as raw bytes, if all three are what `AudioRing.write` takes.

    Raises `AudioError` as that does.
    """
    whole(sample_rate, "sample_rate", MIN_RATE, MAX_RATE)
    cdef int64_t channels = whole(num_channels, "num_channels", 1, MAX_CHANNELS)
    cdef int64_t frames = 0
    cdef Py_buffer view
    acquire(data, channels, &view, &frames)
    PyBuffer_Release(&view)
    return memoryview(data).cast("B") if frames else memoryview(b"")


cdef int acquire(
    object data, int64_t channels, Py_buffer* view, int64_t* frames
) except -1:
    """Acquire `data` as PCM16 and count its frames; on error nothing stays acquired."""
    cdef str trouble = None
    cdef const char* form
    try:
        PyObject_GetBuffer(data, view, PyBUF_ND | PyBUF_FORMAT)
    except (TypeError, BufferError, ValueError) as error:
        raise AudioError(
            f"audio must be int16 samples in one contiguous buffer: {error}") from None
    form = view.format
    if form is NULL:
        form = b"B"
    if view.itemsize == 2 and form[0] in (c"<", c"=", c"@"):
        form += 1
    if strcmp(form, b"h") != 0 and strcmp(form, b"B") != 0:
        trouble = (f"audio must be int16 or raw bytes, not items of format "
                   f"{form.decode('ascii', 'replace')!r}")
    elif view.ndim > 2 or (
            view.ndim == 2 and view.shape[1] * view.itemsize != 2 * channels):
        trouble = (f"audio of {view.ndim} dimensions must have the shape "
                   f"(frames, {channels})")
    elif view.len % (2 * channels) != 0:
        trouble = (f"{view.len} bytes are no whole number of {channels}-channel "
                   f"int16 frames ({2 * channels} bytes each)")
    if trouble is not None:
        PyBuffer_Release(view)
        raise AudioError(trouble)
    frames[0] = view.len // (2 * channels)
    return 0
