"""How bytes travel: addresses, credentials, new sessions, websockets."""
