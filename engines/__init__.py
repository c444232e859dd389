"""Arrays in, arrays out: networks, their runtimes, their training, and the fusion of mixtures."""

import logging

# A host program that wants to hear nothing hears nothing; one that wants to installs handlers of its own.
logging.getLogger(__name__).addHandler(logging.NullHandler())
