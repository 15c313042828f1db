"""The strings on which tokenizers are compared, and their hashes; tests/tokenizer/string_generator.hpp holds the same, character for character."""
import zlib

COUNT, GROUP = 50_000, 1_000
MASK = 2**64 - 1
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\v", "\f", "      ", " \t "]
WORDS = ["the", "Hello", "don't", "I've", "WE'LL", "they're", "it's", "I'D", "'S", "''ll", "'\u017f", "na\u00efve", "Stra\u00dfe", "\ufb01n", "e\u0301",
         "\u4e16\u754c", "\u4f60\u597d", "\uc548\ub155", "\u3053\u3093\u306b\u3061\u306f", "\u041f\u0440\u0438\u0432\u0435\u0442",
         "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e44\u0e17\u0e22",
         "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1", "camelCase", "HTTPServer", "snake_case", "x=y;", "for(i=0;i<10;++i)", "{\n\t", "://", "!!!", "...", "--",
         "\u2581", "##ing", "</w>", "<0x41>", "_x_", "\u01c5", "\u02b0a", "A\u0301\u0323", "\u1100\u1161\u11a8", "\u0130", "\u03a3", "\ufffd", "\u0000", "botchan"]
EMOJI = ["\U0001f642", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3"]
DIGITS = ["0", "7", "42", "123", "2024", "12345", "1234567890", "3.14", "1,000", "\u00bd", "\u2167", "\u00b2", "\u0663\u0664", "\U0001d7d8"]


class Random:
    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def strings(vocabulary, specials):
    """vocabulary: the entries as spelled, by id; specials: the spellings of added tokens."""
    random, next_point = Random(7), 0
    for _ in range(COUNT):
        parts = []
        for _ in range(4):  # every code point in turn
            while 0xD800 <= next_point < 0xE000:
                next_point += 1
            parts.append(chr(next_point))
            next_point = (next_point + 1) % 0x30000
            if random.below(3) == 0:
                parts.append(" a"[random.below(2)])
        for _ in range(random.below(8)):
            kind = random.below(9)
            if kind <= 1:
                parts.append(vocabulary[random.below(len(vocabulary))])
            elif kind <= 3:
                parts.append(WORDS[random.below(len(WORDS))])
                if random.below(2):
                    parts.append(" ")
            elif kind == 4:
                parts.append(SPACES[random.below(len(SPACES))])
            elif kind == 5:
                parts.append(specials[random.below(len(specials))] if specials else "")
            elif kind == 6:
                parts.append(EMOJI[random.below(len(EMOJI))])
            elif kind == 7:
                parts.append(DIGITS[random.below(len(DIGITS))])
            else:
                c = random.below(0x30000)
                parts.append(chr(c) if not 0xD800 <= c < 0xE000 else "x")
        yield "".join(parts)


def grouped(items):
    out, group = [], []
    for item in items:
        group.append(item)
        if len(group) == GROUP:
            out.append(f"{zlib.crc32(b''.join(group)):08x}")
            group = []
    return out


def id_bytes(ids):
    return b"".join(i.to_bytes(4, "little") for i in ids) + b"\xff\xff\xff\xff"
