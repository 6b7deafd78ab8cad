"""What goes wrong on purpose.

A fault is data (`kinds`, `moments`). Faults of messages (`messages`) change values that
the conversation hands over; faults of sockets (`transport`) see bytes only. `running`
has the faults of a server, `connection` those of one connection.
"""

from .kinds import KINDS, Fault, fault

__all__ = ["KINDS", "Fault", "fault"]
