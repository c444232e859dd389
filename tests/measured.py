"""Results of benchmarks as they might be measured, for the tests of what is made of them."""

from benchmarks import timing
from benchmarks.processor import Usage


def usage(wall=10.0, cpu=10.0, peak=500.0, cores=2):
    return Usage(wall, cpu, 0.0, cores, {}, peak, 0.0)


def flat(ms, calls=4):
    return timing.Times(ms, ms, ms, calls)
