"""What hears: recognisers for the server, one real and some for tests."""
