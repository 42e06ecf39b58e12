#!/usr/bin/env python3
"""Every register, vector pattern, thread-local, global and address that a program printed before
it died reads back through gdb and the stub; twice: gdb with the files at hand, and with none."""
import os
import re
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import facts
import gocore

PT_AARCH64_MEMTAG_MTE = 0x70000002
GRANULE = 16
SHT_SYMTAB, STT_TLS = 2, 6


def with_files(case, stub):
    """gdb has the program and libraries itself."""
    return ['set sysroot ' + case.sysroot, 'set solib-search-path ' + case.libraries(),
            'file ' + case.bin, 'target remote ' + stub.gdb_address]


def with_nothing(_case, stub):
    return ['target remote ' + stub.gdb_address]


def in_place(question, numbers):
    """The commands that bring gdb to the question's thread and frame, and then ask."""
    commands = []
    if question.tid is not None:
        commands.append('thread %d' % numbers.get(question.tid, 0))
    if question.function:
        commands.append('frame function ' + question.function)
    return [*commands, question.command]


class Values(unittest.TestCase):
    def compare(self, arch, name, start, minimum):
        case = gocore.Case(arch, name)
        questions = facts.questions(case.expect)
        self.assertGreaterEqual(len(questions), minimum, 'facts of expect.txt were not understood')
        self.ask_all(case, questions, start)

    def ask_all(self, case, questions, start):
        arch = case.arch
        for gdb in gocore.gdbs():
            if not gocore.knows_arch(gdb, arch):
                print('  %s does not know %s: left out' % (gdb, arch))
                continue
            with self.subTest(gdb=gdb), case.serve() as stub:
                begin = start(case, stub)
                numbers = gocore.thread_numbers(gdb, begin)
                self.assertEqual(sorted(numbers), sorted(case.expect.tids))
                # Facts without a thread hold in any; the crashed one is where a user begins.
                crashed = ['thread %d' % numbers[case.expect.tids[0]]]
                head, answers = gocore.ask_gdb(gdb, begin, [crashed + in_place(q, numbers) for q in questions])
                wrong = ['%r\n    got: %s' % (q, a) for q, a in zip(questions, answers)
                         if not q.right(a) and not own_tls_lookup(gdb, a)]
                self.assertFalse(wrong, '%d of %d wrong:\n%s\ngdb said first:\n%s'
                                 % (len(wrong), len(questions), '\n'.join(wrong), head))
                print('  %s: %d values right' % (gdb, len(questions)))


    def test_tls_by_packet(self):
        """Each thread-local variable of the facts by qGetTLSAddr."""
        for arch in gocore.ARCHES:
            for name, library in (('threads', None), ('plugin', 'libplugin.so')):
                case = gocore.Case(arch, name)
                offsets = tls_symbols(case.file(library) if library else case.bin)
                wanted = [q for q in facts.questions(case.expect) if q.name.lstrip('&') in offsets and q.name[0] == '&']
                self.assertTrue(wanted)
                with self.subTest(case=str(case)), case.serve() as stub, gocore.Rsp(stub) as client:
                    lm = link_map(client.transfer('libraries-svr4').decode(), library)
                    for q in wanted:
                        reply = client.ask('qGetTLSAddr:%x,%x,%x' % (q.tid or case.expect.tids[0],
                                                                    offsets[q.name[1:]], lm))
                        self.assertEqual(reply, b'%x' % q.want, q)

    def test_allocation_tags(self):
        """All tags are those of the core's own segment."""
        case = gocore.Case('aarch64', 'arm-mte')
        tags = list(dumped_tags(case.core))
        self.assertGreaterEqual(len(tags), 512)
        self.ask_all(case, list(facts.allocation_tags(tags[:40] + tags[-8:])), with_nothing)
        with case.serve() as stub, \
             gocore.Rsp(stub, features='vContSupported+;memory-tagging+') as client:
            self.assertIn(b'memory-tagging+', client.supported)
            first, last = tags[0][0], tags[-1][0] + GRANULE
            reply = client.ask('qMemTags:%x,%x:1' % (first, last - first))
            self.assertEqual(reply, b'm' + bytes(tag for _, tag in tags).hex().encode())
            self.assertEqual(client.ask('qIsAddressTagged:%x' % first), b'01')
            self.assertEqual(client.ask('qIsAddressTagged:%x' % (first - 1)), b'00')


def own_tls_lookup(gdb, answer):
    """
    gdb 17 and later do not ask the stub (qGetTLSAddr) but read the DTV themselves, on their core
    target too; they then miss a block that the linker has placed but no thread has entered in its
    DTV (TLS descriptors of aarch64). test_tls_by_packet sees that the stub knows it.
    """
    version = subprocess.run([gdb, '--version'], stdout=subprocess.PIPE, text=True, check=True).stdout
    number = re.search(r'(\d+)\.\d+', version)
    return int(number[1]) >= 17 and 'has not yet allocated storage for thread-local' in (answer or '')


def link_map(libraries, name):
    if not name:
        return int(re.search(r'main-lm="(0x[0-9a-f]+)"', libraries)[1], 16)
    row = next(r for r in re.findall(r'<library [^>]*>', libraries) if name in r)
    return int(re.search(r'\blm="(0x[0-9a-f]+)"', row)[1], 16)


def tls_symbols(path):
    """Offsets of the thread-local symbols of an ELF file."""
    with open(path, 'rb') as f:
        data = f.read()
    shoff, = struct.unpack_from('<Q', data, 40)
    shnum, = struct.unpack_from('<H', data, 60)
    sections = [struct.unpack_from('<IIQQQQIIQQ', data, shoff + 64 * i) for i in range(shnum)]
    out = {}
    for _, kind, _, _, offset, size, link, *_ in sections:
        if kind != SHT_SYMTAB:
            continue
        for at in range(offset, offset + size, 24):
            name, info, _, _, symbol = struct.unpack_from('<IBBHQ', data, at)
            if info & 15 == STT_TLS:
                start = sections[link][4] + name
                out[data[start:data.index(b'\0', start)].decode()] = symbol
    return out


def dumped_tags(core):
    """Rows (address, tag) of the PT_AARCH64_MEMTAG_MTE segments: two tags a byte, the lower first."""
    with open(core, 'rb') as f:
        data = f.read()
    phoff, = struct.unpack_from('<Q', data, 32)
    phnum, = struct.unpack_from('<H', data, 56)
    for i in range(phnum):
        kind, _, offset, addr, _, filesz, memsz, _ = struct.unpack_from('<IIQQQQQQ', data, phoff + 56 * i)
        if kind == PT_AARCH64_MEMTAG_MTE:
            for n in range(memsz // GRANULE):
                yield addr + n * GRANULE, data[offset + n // 2] >> 4 * (n % 2) & 15


for _arch, _name, _minimum in (('x86_64', 'threads', 130), ('aarch64', 'threads', 170),
                               ('x86_64', 'plugin', 14), ('aarch64', 'plugin', 45),
                               ('aarch64', 'arm-sve', 80), ('aarch64', 'arm-mte', 40)):
    for _start in (with_files, with_nothing):
        def test(self, arch=_arch, name=_name, start=_start, minimum=_minimum):
            self.compare(arch, name, start, minimum)
        setattr(Values, 'test_%s_%s_%s' % (_name.replace('-', '_'), _arch, _start.__name__), test)


if __name__ == '__main__':
    gocore.main()
