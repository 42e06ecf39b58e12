"""A client of the Debug Adapter Protocol: Content-Length, JSON, requests with their responses."""
import json
import socket
import time

import gocore


class Client:
    def __init__(self, address):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), timeout=20 * gocore.SLOW)
        self.file = self.socket.makefile('rb')
        self.seq, self.events = 0, []

    def close(self):
        self.file.close()
        self.socket.close()

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
        self.socket.sendall(b'Content-Length: %d\r\n\r\n' % len(body) + body)
        return self.seq

    def response(self, seq):
        """To that request; events that come before are kept."""
        while True:
            message = self.receive()
            if message['type'] == 'event':
                self.events.append(message)
            elif message['type'] == 'response' and message['request_seq'] == seq:
                return message

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
            message = self.receive()
            if message['type'] == 'event':
                self.events.append(message)
        raise AssertionError('no %s event' % name)

    def start(self, request, **arguments):
        """initialize, launch or attach, configurationDone; until it stops."""
        self.ask('initialize', adapterID='go', pathFormat='path', linesStartAt1=True, columnsStartAt1=True)
        seq = self.send(request, **arguments)
        self.event('initialized')
        done = self.send('configurationDone')
        for waiting in (seq, done):
            response = self.response(waiting)
            if not response['success']:
                raise AssertionError('%s: %s' % (request, response))
        return self.event('stopped')
