import { hasCode } from '@canopy/core';
import { expect, test } from 'vitest';
import { isSupported } from '../../src/session/connect.ts';
import { connectOptions, parseServers } from '../../src/session/connect-options.ts';

test('servers are host and port, and what is in front of them is taken out', () => {
  expect(parseServers(['nats://a', 'b:5222', 'tls://c:80'])).toEqual({
    servers: ['a:4222', 'b:5222', 'c:80'],
    tls: true,
  });
  expect(parseServers(['nats://me:p%40ss@a:1'])).toEqual({
    servers: ['a:1'],
    tls: false,
    user: 'me',
    password: 'p@ss',
  });
  expect(parseServers(['nats://token@[::1]:1'])).toEqual({ servers: ['[::1]:1'], tls: false, token: 'token' });
});

test('what is no URL is refused without its password', () => {
  for (const url of ['http://a', 'nats://a/path', 'nats://me:secret@', 'a b', 'nats://a:port'])
    expect(() => parseServers([url]), url).toThrow(
      expect.toSatisfy((error) => hasCode(error, 'NATS_URL_INVALID') && !error.message.includes('secret')),
    );
});

test('a session never gives up, and notices a frozen server within seconds', async () => {
  const options = await connectOptions({ servers: ['nats://a'], user: 'spec', password: 'p' }, 'node-1');
  expect(options).toMatchObject({
    name: 'node-1',
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 50,
    timeout: 1000,
    pingInterval: 1000,
    maxPingOut: 2,
    user: 'spec',
    pass: 'p',
  });
  expect(options.tls).toBeUndefined();
  const tls = await connectOptions({ servers: ['nats://a'], tls: { ca: '/ca', cert: '/c', key: '/k' } }, 'n');
  expect(tls.tls).toEqual({ caFile: '/ca', certFile: '/c', keyFile: '/k' });
});

test('servers before 2.10 are too old', () => {
  expect(['2.9.25', '1.4.0', '2.10.0', '2.15.1-preview.1', '3.0.0'].map(isSupported)).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
});
