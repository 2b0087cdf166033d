import { expect, test } from 'vitest';
import { parseStore } from '../../src/standalone/store-option.ts';

test('addresses in one line', () => {
  expect(parseStore('nats://127.0.0.1:4222/orders')).toMatchObject({
    store: { kind: 'nats', bucket: 'orders' },
    connection: { servers: ['nats://127.0.0.1:4222'] },
  });
  expect(parseStore('nats://a:4222,b:4223/shop_orders-wal').connection.servers).toEqual([
    'nats://a:4222',
    'nats://b:4223',
  ]);
  expect(parseStore('file:///var/backups/orders').store).toEqual({ kind: 'directory', path: '/var/backups/orders' });
  expect(parseStore('/var/backups/orders').store).toEqual({ kind: 'directory', path: '/var/backups/orders' });
});

test('their parts', () => {
  expect(parseStore({ servers: ['nats://a:4222'], user: 'u', bucket: 'b' })).toMatchObject({
    store: { kind: 'nats', bucket: 'b' },
    connection: { servers: ['nats://a:4222'], user: 'u' },
  });
  expect(parseStore({ directory: '/x' }).store).toEqual({ kind: 'directory', path: '/x' });
});

test('what is none is refused, and no password is repeated', () => {
  const bad = [
    '',
    'nats://a:4222',
    'nats://a:4222/',
    'nats://a:4222/b/c',
    'nats://a/b c',
    's3://bucket',
    null,
    7,
    {},
    { servers: [], bucket: 'b' },
  ];
  for (const option of bad)
    expect(() => parseStore(option as never), String(option)).toThrow(
      expect.objectContaining({ code: 'SQLITE_STORE_INVALID' }),
    );
  expect(() => parseStore('nats://user:secret@a:4222')).toThrow(expect.not.stringContaining('secret'));
});
