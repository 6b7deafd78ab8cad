"""What is wrong when something doesn't work: `aai-stream doctor`."""
