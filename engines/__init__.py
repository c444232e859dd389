"""Arrays in, arrays out: networks, their runtimes, their training, and the fusion of mixtures."""
