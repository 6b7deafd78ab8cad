"""What an operator sees of streams: logs, metrics, spans, `aai-stream top`."""
