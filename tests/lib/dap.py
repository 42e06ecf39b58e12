"""A client of the Debug Adapter Protocol: Content-Length, JSON, requests with their responses."""
import json
import os
import socket
import subprocess
import tempfile
import threading
import time

import gocore


class Client:
    """At an adapter that listens."""

    def __init__(self, address):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), timeout=20 * gocore.SLOW)
        self.file = self.socket.makefile('rb')
        self.seq, self.events, self.responses = 0, [], {}

    def close(self):
        self.file.close()
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def receive(self):
        length = 0
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError('the adapter closed the connection')
            if line == b'\r\n':
                break
            name, _, value = line.partition(b':')
            if name.lower() == b'content-length':
                length = int(value)
        return json.loads(self.file.read(length))

    def send(self, command, **arguments):
        self.seq += 1
        body = json.dumps({'seq': self.seq, 'type': 'request', 'command': command, 'arguments': arguments}).encode()
        self.write(b'Content-Length: %d\r\n\r\n' % len(body) + body)
        return self.seq

    def response(self, seq):
        """To that request; events and responses to others that come before are kept."""
        while seq not in self.responses:
            self.keep(self.receive())
        return self.responses.pop(seq)

    def keep(self, message):
        if message['type'] == 'event':
            self.events.append(message)
        elif message['type'] == 'response':
            self.responses[message['request_seq']] = message

    def request(self, command, **arguments):
        """@return the response, whether success or not"""
        return self.response(self.send(command, **arguments))

    def ask(self, command, **arguments):
        """@return the body of a successful response"""
        response = self.request(command, **arguments)
        if not response['success']:
            raise AssertionError('%s: %s' % (command, response))
        return response.get('body') or {}

    def event(self, name, timeout=20):
        """The next event of this name."""
        end = time.monotonic() + timeout * gocore.SLOW
        while time.monotonic() < end:
            for event in self.events:
                if event['event'] == name:
                    self.events.remove(event)
                    return event.get('body') or {}
            self.keep(self.receive())
        raise AssertionError('no %s event' % name)

    def start(self, request, adapter='go', **arguments):
        """initialize, launch or attach, configurationDone; until it stops."""
        self.capabilities = self.ask('initialize', adapterID=adapter, pathFormat='path', linesStartAt1=True, columnsStartAt1=True)
        seq = self.send(request, **arguments)
        self.event('initialized')
        done = self.send('configurationDone')
        for waiting in (seq, done):
            response = self.response(waiting)
            if not response['success']:
                raise AssertionError('%s: %s' % (request, response))
        return self.event('stopped')


class Adapter(Client):
    """An adapter that is started, and speaks by its standard input and output."""

    def __init__(self, args):
        environ = dict(os.environ, LC_ALL='C.UTF-8')
        environ.pop('DEBUGINFOD_URLS', None)
        self.stderr = tempfile.TemporaryFile('w+')
        self.proc = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
                                     env=environ)
        # reads have no time limit of their own; what ends the adapter ends them
        self.limit = threading.Timer(180 * gocore.SLOW, self.proc.kill)
        self.limit.start()
        self.file = self.proc.stdout
        self.seq, self.events, self.responses = 0, [], {}

    def write(self, data):
        self.proc.stdin.write(data)
        self.proc.stdin.flush()

    def close(self):
        self.limit.cancel()
        self.proc.kill()
        self.proc.communicate()
        self.stderr.close()

    def ended(self):
        return gocore.eventually(lambda: self.proc.poll() is not None)
