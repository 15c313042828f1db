"""Numbers that are functions of their place, so that fixtures need not store them."""
import numpy


def hashed(stream, count):
    """SplitMix64's finaliser of stream * 2^32 + position + the golden ratio."""
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(stream << 32) + numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))
