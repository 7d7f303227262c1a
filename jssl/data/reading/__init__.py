"""From a sample to a canvas, on the host: decoding, and what becomes of broken images."""
