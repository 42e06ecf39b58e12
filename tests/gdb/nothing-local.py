#!/usr/bin/env python3
"""gdb with no file of its own, only "target remote": backtrace with names, libraries, mappings,
and a core written by gdb that gdb opens again."""
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import gocore

# cores/src/c/plugin.c and plugin_host.c
CHAIN = ['plugin_crash', 'plugin_step', 'plugin_entry', 'main']


def functions(backtrace):
    return re.findall(r'^#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(', backtrace or '', flags=re.M)


def mappings(answer):
    """Rows (start, end, offset, name) of "info proc mappings", whose columns vary with the version."""
    for line in (answer or '').splitlines():
        numbers = re.findall(r'0x[0-9a-f]+', line)
        if len(numbers) >= 4:
            name = re.sub(r'^.*0x[0-9a-f]+\s*([rwxps-]{4})?\s*', '', line).strip()
            yield int(numbers[0], 16), int(numbers[1], 16), int(numbers[3], 16), name


class NothingLocal(unittest.TestCase):
    def check(self, arch, gdb):
        case = gocore.Case(arch, 'plugin')
        with tempfile.TemporaryDirectory() as tmp, case.serve() as stub:
            core = os.path.join(tmp, 'new.core')
            _, answers = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address], [
                'backtrace', 'info sharedlibrary', 'info proc mappings', 'info threads',
                'output plugin_tls', 'frame function plugin_entry', 'info locals',
                'info proc exe', 'generate-core-file ' + core])
            (bt, libraries, maps, threads, tls, frame, local, exe, saved) = answers
            self.assertEqual(functions(bt)[:len(CHAIN)], CHAIN, bt)
            self.assertNotIn('??', bt)
            self.check_libraries(case, libraries)
            self.check_mappings(case, maps)
            self.assertIn(str(case.expect.tids[0]), threads)
            if 'has not yet allocated storage' not in tls:     # gdb 17 and later, see values.py
                self.assertEqual(tls, '103')
            self.assertIn('plugin_entry', frame)
            self.assertNotIn('No symbol table', local)
            self.assertIn(case.expect.head['program'], exe)
            self.assertIn('Saved corefile', saved)
            self.check_saved(gdb, case, core)

    def check_libraries(self, case, answer):
        mapped = {os.path.basename(name) for *_, name in case.expect.maps() if '.so' in name}
        shown = {os.path.basename(line.split()[-1]) for line in answer.splitlines() if '.so' in line}
        self.assertEqual(mapped - shown, set(), answer)
        self.assertNotIn('No  ', answer, 'symbols of a library were not read:\n' + answer)

    def check_mappings(self, case, answer):
        rows = list(mappings(answer))
        for start, end, _, offset, name in case.expect.maps():
            if name.startswith('/'):
                self.assertIn((start, end, offset, name), rows, answer)
            elif name not in ('[vsyscall]',):
                self.assertTrue(any(s <= start and end <= e for s, e, *_ in rows),
                                '%x-%x %s\n%s' % (start, end, name, answer))

    def check_saved(self, gdb, case, core):
        """The core that gdb wrote, opened by gdb itself and by the stub."""
        files = ['set sysroot ' + case.sysroot, 'set solib-search-path ' + case.libraries(),
                 'file ' + case.bin]
        _, (bt,) = gocore.ask_gdb(gdb, [*files, 'core-file ' + core], ['backtrace'])
        self.assertEqual(functions(bt)[:len(CHAIN)], CHAIN, bt)
        options = ['--sysroot=' + case.sysroot, '--bin-dir=' + case.libraries()]
        with gocore.Stub(core, case.bin, options) as stub:
            _, (bt,) = gocore.ask_gdb(gdb, ['target remote ' + stub.gdb_address], ['backtrace'])
            self.assertEqual(functions(bt)[:len(CHAIN)], CHAIN, bt)

    def test_plugin(self):
        for gdb in gocore.gdbs():
            for arch in gocore.ARCHES:
                if gocore.knows_arch(gdb, arch):
                    with self.subTest(gdb=gdb, arch=arch):
                        self.check(arch, gdb)
                        print('  %s, %s: right' % (gdb, arch))


if __name__ == '__main__':
    gocore.main()
