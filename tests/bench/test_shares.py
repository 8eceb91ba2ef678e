"""What `perf script` prints, told apart by stage."""

import pytest

from tests.bench.shares import shares

PRINTED = """\
python 10/10
\t    16dab6 __memmove (/usr/lib/libc.so.6)

python 10/12
\tffffffff81 clear_page_erms ([kernel.kallsyms])
\tffffffff82 asm_exc_page_fault ([kernel.kallsyms])
\t    16dab6 __memmove (/usr/lib/libc.so.6)

python 10/12
\tffffffff81 tcp_sendmsg ([kernel.kallsyms])
\tffffffff82 __x64_sys_sendto ([kernel.kallsyms])
\t    16dab6 __send (/usr/lib/libc.so.6)

python 10/12
\tffffffff81 clear_page_erms+0x7 ([kernel.kallsyms])
\tffffffff82 __do_sys_mremap ([kernel.kallsyms])

python 10/12
\tffffffff81 irqentry_exit_to_user_mode ([kernel.kallsyms])

python 10/10
\t    16dab6 fold (/x/_everycent.cpython-311.so)
\t    16dab6 call (/x/libpython3.11.so.1.0)

python 10/10
\t    16dab6 _PyEval_EvalFrameDefault (/x/libpython3.11.so.1.0)

python 10/10
\t    16dab6 [unknown] (/x/_asyncio.cpython-311.so)
"""


def test_each_sample_counts_for_the_stage_that_it_was_taken_in() -> None:
    found = shares(PRINTED.splitlines(keepends=True))
    assert found == dict.fromkeys(
        (
            "the C library: copies, comparisons, blocks",
            "kernel: page faults",
            "kernel: send",
            "kernel: map and unmap memory",
            "kernel: all else",
            "the extension",
            "Python",
            "other libraries",
        ),
        pytest.approx(1 / 8),
    )
