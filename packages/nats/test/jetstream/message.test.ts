import { expect, test } from 'vitest';
import { decodeStored, parseDelivery } from '../../src/jetstream/message.ts';

test('a stored message is decoded with its headers, whatever their case', () => {
  const stored = decodeStored({
    subject: '$KV.b.k',
    seq: 7,
    hdrs: Buffer.from('NATS/1.0\r\nKV-Operation: DEL\r\nNats-Msg-Id: x:y\r\n\r\n').toString('base64'),
    data: Buffer.from('hi').toString('base64'),
    time: '2026-01-01T00:00:00.5Z',
  });
  expect(stored.header('kv-operation')).toBe('DEL');
  expect(stored.header('Nats-Msg-Id')).toBe('x:y');
  expect(stored.header('Other')).toBeUndefined();
  expect(Buffer.from(stored.data).toString()).toBe('hi');
  expect(stored.writtenAt).toBe(Date.UTC(2026, 0, 1) + 500);
});

test('a delivery is read from both forms of the reply subject', () => {
  const expected = { delivered: 1, streamSeq: 42, consumerSeq: 3, writtenAt: 1_700_000_000_000, pending: 5 };
  expect(parseDelivery('$JS.ACK.KV_b.c.1.42.3.1700000000000000000.5')).toEqual(expected);
  expect(parseDelivery('$JS.ACK.hub.ACCHASH.KV_b.c.1.42.3.1700000000000000000.5.rnd')).toEqual(expected);
  // Nanoseconds are more than a number holds exactly: the ms must not be rounded up.
  expect(parseDelivery('$JS.ACK.KV_b.c.1.42.3.1795236166571999999.5')?.writtenAt).toBe(1_795_236_166_571);
  expect(parseDelivery('_INBOX.abc')).toBeUndefined();
  expect(parseDelivery(undefined)).toBeUndefined();
});
