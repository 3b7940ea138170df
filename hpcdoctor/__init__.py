"""hpcdoctor: the doctor of an HPC or AI compute node."""

__version__ = "0.1.0"
