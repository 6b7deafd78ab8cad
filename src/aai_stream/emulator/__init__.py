"""The embedded v3 server: AssemblyAI's streaming protocol on loopback, offline.

`server` holds sessions, `engines` hear, and `faults` go wrong on purpose. The server
uses the other two, which don't know each other.
"""
