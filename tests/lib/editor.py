"""What an editor asks a debug adapter on the core of threads.c, with the answers that the program printed."""
import base64
import re

import gocore


class Session:
    """Mixed into a TestCase: the questions, the same for each adapter."""

    def facts(self, case):
        printed = '\n'.join(case.expect.stdout)
        crash = re.search(r'^crash = .* in (\w+)\(\), called by (.*)', printed, flags=re.M)
        self.functions = [crash[1], *re.findall(r'\w+', crash[2])]
        self.g_int = re.search(r'^g_int@\w+ = (\S+)', printed, flags=re.M)[1]
        self.g_array, self.text = re.search(r'^g_array@(\w+) = "(.*)"', printed, flags=re.M).groups()
        self.a_local = re.search(r'^a\.a_local@\w+ = (\S+)', printed, flags=re.M)[1]

    def frames(self, client, thread):
        return client.ask('stackTrace', threadId=thread, startFrame=0, levels=20)['stackFrames']

    @staticmethod
    def places(frames):
        return [(f['name'], f['line']) for f in frames]

    def read(self, client, address, count):
        answer = client.ask('readMemory', memoryReference=address, count=count)
        return base64.b64decode(answer['data'])

    def everything(self, case, client, stopped):
        """As an editor does when a session begins: threads, stack, variables; memory and code."""
        self.facts(case)
        thread = stopped['threadId']
        threads = client.ask('threads')['threads']
        self.assertEqual(len({t['id'] for t in threads}), len(case.expect.tids), threads)
        frames = self.frames(client, thread)
        self.assertEqual([f['name'] for f in frames[:len(self.functions)]], self.functions)
        self.assertEqual(frames[0]['source']['name'], 'threads.c')
        crashed = frames[0]
        registers = case.expect.dmesg_registers()
        if registers and 'instructionPointerReference' in crashed:
            self.assertEqual(int(crashed['instructionPointerReference'], 16), registers['pc'])
        variables = {}
        for scope in client.ask('scopes', frameId=frames[self.functions.index('a')]['id'])['scopes']:
            for v in client.ask('variables', variablesReference=scope['variablesReference'])['variables']:
                variables[v['name']] = v['value']
        self.assertEqual(variables['a_local'], self.a_local)
        self.assertEqual(self.value(client, crashed), self.g_int)
        if client.capabilities.get('supportsReadMemoryRequest'):
            self.assertEqual(self.read(client, self.g_array, len(self.text)).decode(), self.text)
        if client.capabilities.get('supportsDisassembleRequest'):
            where = crashed['instructionPointerReference']
            code = client.ask('disassemble', memoryReference=where, instructionCount=3)['instructions']
            self.assertEqual(len(code), 3)
            self.assertEqual(int(code[0]['address'], 16), int(where, 16))
            first = bytes.fromhex(code[0]['instructionBytes'])
            self.assertEqual(first, self.read(client, where, len(first)))

    def value(self, client, frame):
        return client.ask('evaluate', expression='g_int', frameId=frame['id'], context='watch')['result']

    def refused(self, client, thread):
        """Each way to run it: it stops at once, where it was. @return what was said of them"""
        before = self.frames(client, thread)
        said = []
        for command in ('continue', 'next', 'stepIn', 'stepOut'):
            client.events.clear()
            self.assertTrue(client.request(command, threadId=thread)['success'], command)
            self.assertEqual(client.event('stopped')['threadId'], thread, command)
            # lldb-vscode 14 says so of stops that are over, too
            after = []
            gocore.eventually(lambda: after.append(self.frames(client, thread)) or after[-1])
            self.assertEqual(self.places(after[-1]), self.places(before), command)
            self.assertEqual(self.value(client, after[-1][0]), self.g_int, command)
            said.append(''.join(e['body'].get('output', '') for e in client.events if e['event'] == 'output'))
        return said

    def unwritable(self, client):
        if client.capabilities.get('supportsWriteMemoryRequest'):
            answer = client.request('writeMemory', memoryReference=self.g_array, data='AAAA')
            self.assertFalse(answer['success'])
            self.assertEqual(self.read(client, self.g_array, len(self.text)).decode(), self.text)
