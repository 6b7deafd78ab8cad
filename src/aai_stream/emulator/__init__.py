"""The embedded v3 server: AssemblyAI's streaming protocol on loopback, offline."""
