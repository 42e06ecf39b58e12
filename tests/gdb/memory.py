#!/usr/bin/env python3
"""Every byte that is served is the right one, and no other is served: memory compared with a
reading of the core and the mapped files that shares no code with the stub."""
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

PT_LOAD, PT_NOTE, NT_FILE = 1, 4, 0x46494c45
PAGE = 4096


class Image:
    """What should be at each address: ranges (start, end, bytes or None), by ELF(5) and core(5)."""

    def __init__(self, case):
        self.case = case
        with open(case.core, 'rb') as f:
            self.core = f.read()
        self.ranges, files = [], []
        loads = []
        phoff, = struct.unpack_from('<Q', self.core, 32)
        phnum, = struct.unpack_from('<H', self.core, 56)
        for i in range(phnum):
            kind, _, offset, addr, _, filesz, memsz, _ = struct.unpack_from('<IIQQQQQQ', self.core, phoff + 56 * i)
            if kind == PT_LOAD:
                loads.append((addr, memsz, offset, filesz))
            elif kind == PT_NOTE:
                files += self.mapped_files(self.core[offset:offset + filesz])
        # qemu-user and Delve write no NT_FILE; the program printed its own maps. What fills the gap
        # between two segments of a library ("---p") cannot be known from such a core.
        files = files or [(start, end, offset, name) for start, end, perms, offset, name in case.expect.maps()
                          if name.startswith('/') and perms != '---p']
        at = 0
        for addr, memsz, offset, filesz in sorted(loads):
            self.unlisted(at, addr, files)
            have = max(0, min(filesz, len(self.core) - offset))
            if have:
                self.ranges.append((addr, addr + have, self.core[offset:offset + have]))
            if have < filesz:
                self.ranges.append((addr + have, addr + filesz, None))
            self.from_files(addr + filesz, addr + memsz, files)
            at = addr + memsz
        self.unlisted(at, 1 << 64, files)

    def unlisted(self, start, end, files):
        """gdb's gcore leaves pages of files that did not change out of the program headers altogether."""
        for low, high, *_ in sorted(files):
            first, last = max(start, low), min(end, high)
            if first < last:
                self.from_files(first, last, files)

    @staticmethod
    def mapped_files(notes):
        pos = 0
        while pos + 12 <= len(notes):
            namesz, descsz, kind = struct.unpack_from('<III', notes, pos)
            desc = pos + 12 + (namesz + 3 & ~3)
            pos = desc + (descsz + 3 & ~3)
            if kind != NT_FILE:
                continue
            count, page = struct.unpack_from('<QQ', notes, desc)
            names = notes[desc + 16 + 24 * count:desc + descsz].split(b'\0')
            for i in range(count):
                start, end, offset = struct.unpack_from('<QQQ', notes, desc + 16 + 24 * i)
                yield start, end, offset * page, names[i].decode()

    def host_file(self, name):
        if name == self.case.expect.head['program']:
            return self.case.bin
        for folder in (self.case.libraries(), *(os.path.join(self.case.sysroot, d) for d in
                       ('lib/aarch64-linux-gnu', 'lib/x86_64-linux-gnu', 'lib64'))):
            path = os.path.join(folder, os.path.basename(name))
            if os.path.exists(path):
                return path
        return None

    def from_files(self, start, end, files):
        """Undumped memory: the file's bytes, zeros up to the end of its last page, or nothing."""
        for low, high, offset, name in sorted(files):
            first, last = max(start, low), min(end, high)
            path = self.host_file(name)
            if first >= last or not path:
                continue
            with open(path, 'rb') as f:
                f.seek(offset + first - low)
                content = f.read(last - first)
            content += bytes(min(-len(content) % PAGE, last - first - len(content)))
            if start < first:
                self.ranges.append((start, first, None))
            if content:
                self.ranges.append((first, first + len(content), content))
            start = first + len(content)
        if start < end:
            self.ranges.append((start, end, None))


class Memory(unittest.TestCase):
    def compare(self, arch, name, chunk, read):
        case = gocore.Case(arch, name)
        image, served = Image(case), 0
        with case.serve() as stub, \
             gocore.Rsp(stub, features='vContSupported+;binary-upload+') as client:
            for start, end, content in image.ranges:
                where = '%s: %x-%x' % (case, start, end)
                if content is None:
                    for addr in (start, (start + end) // 2, end - 1):
                        self.assertIsNone(read(client, addr, 1), where)
                    continue
                got = b''
                while len(got) < len(content):
                    part = read(client, start + len(got), min(chunk, len(content) - len(got)))
                    self.assertTrue(part, '%s: nothing served at %x' % (where, start + len(got)))
                    got += part
                if got != content:
                    bad = next(i for i, (a, b) in enumerate(zip(got, content)) if a != b)
                    self.fail('%s: at %x is %x, must be %x' % (where, start + bad, got[bad], content[bad]))
                served += len(got)
            self.edges(client, image, read)
        print('  %s: %d ranges, %.1f MB equal' % (case, len(image.ranges), served / 1e6))

    def edges(self, client, image, read):
        """A read that runs into a hole gives what is before it; addresses nobody mapped give nothing."""
        for (start, end, content), (after, _, then) in zip(image.ranges, [*image.ranges[1:], (None, None, None)]):
            if content is not None and (after != end or then is None):
                self.assertEqual(read(client, end - 5, 64), content[-5:], hex(end))
        for addr in (0, 0x1000, 0xffffffffffffffff, 0x8000000000000000, image.ranges[0][0] - 1):
            if not any(s <= addr < e for s, e, _ in image.ranges):
                self.assertIsNone(read(client, addr, 1), hex(addr))


def by_m(client, addr, length):
    return client.read_memory(addr, length)


def by_x(client, addr, length):
    return client.read_binary(addr, length)


for _arch, _names in (('x86_64', 'threads threads-O2-stripped threads-filter21 threads-filter3f threads-gcore '
                                 'plugin abort segv-go1.26'),
                      ('aarch64', 'threads threads-pac threads-filter21 threads-filter3f plugin abort '
                                  'threads-qemu-user abort-qemu-user arm-sve arm-mte segv-go1.22-filter21')):
    for _name in _names.split():
        def test(self, arch=_arch, name=_name):
            self.compare(arch, name, 0xfff0, by_x)
        setattr(Memory, 'test_%s_%s' % (_name, _arch), test)
    for _name in ('threads', 'plugin'):
        def test_m(self, arch=_arch, name=_name):
            self.compare(arch, name, 0x7ff1, by_m)
        setattr(Memory, 'test_%s_%s_by_m' % (_name, _arch), test_m)


if __name__ == '__main__':
    gocore.main()
