"""Part of _core.pyx: one bound on the memory of all rings of this process.

Rings may be in several threads; all of this runs under the GIL, which a ring lets go of
only inside soxr, where it relies on none of its cursors. What a ring has to give up for
others is its memory, at once; its cursors follow when its own thread asks (`settle`),
so that they never move between two steps of their owner.
"""

cdef enum:
    PART = 8  # a ring that others make room for grows by such a part of itself

cdef int64_t most_bytes = 512_000_000
cdef int64_t held_bytes = 0  # by the blocks of all rings
cdef PyObject* first_ring = NULL  # of all there are; each knows its neighbours


def limit_memory(most):
    """Bound the audio memory of all rings of this process to `most` bytes, at once.

    Where they need more, those that hold most let go of their oldest audio. Each keeps
    its latest second, or two chunks if that is more, whatever the bound. Until this is
    called it is 512,000,000.

    Raises `AudioError` if `most` is no integer from 0 to 2**62.
    """
    global most_bytes
    cdef AudioRing ring
    most_bytes = whole(most, "most", 0, 1 << 62)
    while held_bytes > most_bytes:
        if (ring := roomiest(None)) is not None:
            ring.give_up(ring.spare())
        elif (ring := largest(None, 0)) is not None:
            ring.give_up(min(ring.excess(0), max(ring.owned() // PART, ring.item)))
        else:
            break


def held_memory():
    """Bytes of audio memory that all rings of this process own now."""
    return held_bytes


cdef int64_t room_for(AudioRing ring, int64_t capacity, int64_t wanted) except -1:
    """How many samples `ring` may have memory for: from `capacity` to `wanted`."""
    cdef int64_t missing, free, step
    capacity = max(capacity, min(wanted, ring.granted()))
    while capacity < wanted:
        missing = wanted - capacity
        free = ((most_bytes - held_bytes + ring.owned()) // ring.item
                - capacity - ring.next_samples)
        step = min(missing, max(capacity // PART, ring.granted()))
        if free >= min(missing, ring.granted()):
            capacity += min(missing, free)
        elif not make_room(ring, capacity * ring.item, step * ring.item):
            break
    return capacity


cdef bint make_room(AudioRing but, int64_t size, int64_t amount) except -1:
    """Let another ring give up `amount` bytes for `but`, which has `size`; False if
    none has to.

    That is one which has so much unused, or else the one that has most, if it is left
    with no less than `but` gets: otherwise the two would take it from each other again
    and again.
    """
    cdef AudioRing ring = roomiest(but)
    if ring is not None and ring.spare() >= amount:
        ring.give_up(ring.spare())
        return True
    ring = largest(but, size)
    if ring is not None and ring.excess(size) >= amount:
        ring.give_up(amount)
        return True
    return False


cdef AudioRing roomiest(AudioRing but):
    """The ring with most memory to spare, if any has some."""
    cdef AudioRing ring, found = None
    cdef int64_t spare, most = 0
    cdef PyObject* place = first_ring
    while place is not NULL:
        ring = <AudioRing>place
        spare = ring.spare()
        if spare > most and ring is not but:
            found, most = ring, spare
        place = ring.following
    return found


cdef AudioRing largest(AudioRing but, int64_t size):
    """The ring with most in excess of `size` bytes, if any has more."""
    cdef AudioRing ring, found = None
    cdef int64_t excess, most = 0
    cdef PyObject* place = first_ring
    while place is not NULL:
        ring = <AudioRing>place
        excess = ring.excess(size)
        if excess > most and ring is not but:
            found, most = ring, excess
        place = ring.following
    return found


cdef void link(AudioRing ring) noexcept:
    global first_ring
    ring.following = first_ring
    if first_ring is not NULL:
        (<AudioRing>first_ring).preceding = <PyObject*>ring
    first_ring = <PyObject*>ring


cdef void unlink(AudioRing ring) noexcept:
    """Harmless for a ring that isn't linked, because its making failed."""
    global first_ring
    if ring.preceding is not NULL:
        (<AudioRing>ring.preceding).following = ring.following
    elif first_ring is <PyObject*>ring:
        first_ring = ring.following
    if ring.following is not NULL:
        (<AudioRing>ring.following).preceding = ring.preceding
