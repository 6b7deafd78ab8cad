"""AssemblyAI's streaming speech-to-text for voice agents in numbers."""
