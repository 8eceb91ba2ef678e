"""What hostile records are made of: texts, numbers and bytes that readers of JSON are known to disagree about.

Everything here is a piece of JSON as bytes, or what looks like one. Whether a record with it is good is not said here:
tests/hostile/oracle.py judges.
"""

# Numbers that JSON allows. As a field of an order each is fine, out of range or no integer.
INTEGERS = [
    *(b"%d" % number for number in (0, 1, 2, 3, -1, 199, 200, 10_000, 10_001, 65_535, 65_536, -65_536)),
    *(b"%d" % (10**12 + more) for more in (-1, 0, 1)),
    *(b"%d" % (253_402_300_799_999 + more) for more in (-1, 0, 1)),
    *(b"%d" % (2**bits + more) for bits in (31, 32, 53, 63, 64, 65, 128) for more in (-1, 0, 1)),
    *(b"-%d" % (2**bits + more) for bits in (31, 53, 63, 64) for more in (-1, 0, 1)),
    b"-0",
    b"1" + b"0" * 18,
    b"1" + b"0" * 19,
    b"1" + b"0" * 20,
    b"9" * 400,
    b"-" + b"9" * 400,
    b"9" * 5_000,  # more digits than Python's int() takes
    b"1605024000000",
]
FRACTIONS = [
    *(b"0.0", b"-0.0", b"0.5", b"1.0", b"2.0", b"4990.0", b"4990.5", b"1605024000000.0", b"1.9999999999999999999"),
    *(b"0e0", b"1e0", b"1E0", b"1e3", b"1E+3", b"1e-3", b"4.99e3", b"1605024e6", b"0.1e1", b"10e-1", b"1e12"),
    *(b"1e400", b"-1e400", b"1e-400", b"1e99999999999999999999", b"1e-99999999999999999999", b"0e99999999999"),
    *(b"9007199254740993.0", b"9223372036854775808.0", b"1." + b"0" * 500, b"0." + b"9" * 500, b"9" * 400 + b".0"),
]
NO_NUMBERS = [  # not JSON
    *(b"01", b"00", b"-01", b"-", b"+1", b"--1", b"- 1", b".5", b"-.5", b"1.", b"1.e3", b"1e", b"1e+", b"1e5.0"),
    *(b"0x10", b"0b1", b"1_000", b"1,000", b"1n", b"1L", b"1f", b"1 2", b"1;", b"\xd9\xa1", b"\xef\xbc\x91"),
    *(b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"-inf", b"1.0.0", b"0x1p3", b"1e1e1", b"0-1"),
]
LITERALS = [b"null", b"true", b"false", b"[]", b"{}", b'""', b'"x"', b"[1]", b'{"a":1}', b"[null]", b"[[]]", b'"1"']
NO_LITERALS = [
    *(b"nul", b"Null", b"NULL", b"nullnull", b"tru", b"True", b"TRUE", b"falsey", b"undefined", b"None", b"nil"),
    *(b"", b"'x'", b"`x`", b"x", b"[1,]", b"[,1]", b"[1 2]", b'{"a":1,}', b'{"a" 1}', b"{a:1}", b"{1:1}", b'{"a":}'),
    *(b'{"a"}', b"[", b"]", b"{", b"}", b"[}", b"{]", b"<x/>", b"(1)", b'{"a":1 "b":2}', b'{,"a":1}', b"{null:1}"),
]

# Texts, quoted. As an id each is fine, too long or forbidden.
TEXTS = [
    f'"{text}"'.encode()
    for text in (
        *(" ", "  ", "-", "a b", "x" * 63, "x" * 64, "x" * 65, "x" * 1_000, "|", "a|b", "\x7f", "\x80", "\x85", "\x9f"),
        *(
            "\xa0",
            "\xad",
            "\xe9",
            "e\u0301",
            "\xf1" * 64,
            "\xf1" * 65,
            "订单",
            "订" * 64,
            "订" * 65,
            "😀" * 64,
            "😀" * 65,
        ),
        *("\u200b", "\u200e", "\u202e", "\u2028", "\u2029", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U0010ffff"),
        *(
            "/",
            "<script>",
            "${x}",
            "%s%n",
            "'; DROP TABLE orders; --",
            "../..",
            "null",
            "0",
            "NaN",
            "true",
            "{}",
            "[1]",
        ),
        *("\u0131", "\u0130", "\xdf", "\ufb01", "\u212b", "\xc5", "1400000000000000001", "1e5", "P0001-day-0"),
    )
]
ESCAPES = [
    *(
        rb'"\u0061"',
        rb'"\u0041\u00e9"',
        rb'"\/"',
        rb'"a\"b"',
        rb'"\\"',
        rb'"\\u0041"',
        rb'"\ud83d\ude00"',
        rb'"\u8ba2"',
    ),
    *(rb'"\u0000"', rb'"\u001f"', rb'"\b"', rb'"\f"', rb'"\n"', rb'"\r"', rb'"\t"', rb'"\u007c"', rb'"\u007f"'),
    *(rb'"\u0080"', rb'"\u009F"', rb'"\u00a0"', rb'"\u2028"', rb'"\uFEFF"', rb'"\uffff"', rb'"\udbff\udfff"'),
    *(b'"' + rb"\ud83d\ude00" * 64 + b'"', b'"' + rb"\ud83d\ude00" * 65 + b'"', b'"' + rb"\u0061" * 65 + b'"'),
]
NO_TEXTS = [  # not JSON
    *(rb'"\x41"', rb'"\u12"', rb'"\u12g4"', rb'"\u"', rb'"\U0001F600"', rb'"\a"', rb'"\0"', rb'"\'"', rb'"\u+041"'),
    *(rb'"\ud800"', rb'"\udc00"', rb'"\udfff\ud800"', rb'"\ud83d\u0041"', rb'"\ud83d\ud83d"', rb'"\ud83d\n"'),
    *(rb'"\ud83dx"', rb'"\ud83d\\ude00"', rb'"a\"', b'"a\\\n"', b'"a', b'a"', b'"a"b"', b'"a" "b"', b'"a\\'),
    *(b'"a\x00b"', b'"a\nb"', b'"a\tb"', b'"a\x1fb"', b'"\r"', b'"\x1b[31m"', rb'"\u 041"', rb'"\u-041"', rb'"\u0x41"'),
]
NO_UTF8 = [
    *(b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc3\x28", b"\xc3", b"\xe4\xb9", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xc1\xbf"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"),
    *(b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xc0\x80", b"\xe4\xb9\x22"),
]

# Before or after an order.
AROUND = [
    *(b" ", b"\n", b"\r\n", b"\t", b" \t\r\n" * 20),  # JSON's own white space: harmless
    *(b"\x00", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xe3\x80\x80", b"\xef\xbb\xbf", b"\x1e", b"\x85"),
    *(
        b"}",
        b"]",
        b"{",
        b"[",
        b",",
        b":",
        b"x",
        b"0",
        b"null",
        b"{}",
        b'""',
        b"\n{}",
        b";",
        b"//c\n",
        b"/*c*/",
        b"#c\n",
    ),
    *(b")]}',\n", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\x00\x00\x05", b"\x1f\x8b", b"\x80\x04", b"data: ", b"--x\r\n"),
]
ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7", "utf-8-sig", "cp037", "gb18030"]
SCRAPS = [
    *(b"", b" ", b"\n", b"\x00", b"\xef\xbb\xbf", b"null", b"true", b"1", b"-0", b'""', b'"order"', b"[]", b"{}"),
    *(b"[[]]", b"[{}]", b'{"":0}', b"{", b"[", b'"', b"'{}'", b"order", b"<order/>", b"\x1f\x8b\x08\x00", b"\xff" * 9),
    *(b"{}{}", b"[1e400]", b"[-]", b"[1,]", b"NaN", b"-Infinity", b"\xde\xad\xbe\xef", b"\x00" * 100, b"--- a: 1\n"),
    *(b"order_id=1&buyer_id=b1", b"order_id,buyer_id\n1,b1\n", b"\x93NUMPY", b"PK\x03\x04", b"%PDF-1.4", b"\\", b"\\u"),
]
