"""What goes wrong on purpose: faults as data, and how they happen."""

from .kinds import KINDS, Fault, fault

__all__ = ["KINDS", "Fault", "fault"]
