"""The one version number: of the package, of what recordings say of the software."""

__version__ = "0.1.0"
