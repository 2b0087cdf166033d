import { expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../src/members/record.ts';
import { recordOf } from './records.ts';

it('reads back what it writes', () => {
  const record = recordOf('a', { apps: { x: { role: 'active', epoch: 4, serving: true, proxyAddress: 'h:1' } } });
  expect(decodeRecord(encodeRecord(record))).toEqual(record);
});

it('reads records of other versions: unknown fields stay, missing ones get their empty value', () => {
  const bytes = new TextEncoder().encode('{"id":"a","incarnation":"i","future":1}');
  expect(decodeRecord(bytes)).toMatchObject({
    id: 'a',
    incarnation: 'i',
    labels: {},
    apps: {},
    cordoned: false,
    future: 1,
  });
});

it.each(['', 'x', '1', 'null', '[]', '{}', '{"id":"a"}', '{"id":1,"incarnation":"i"}'])('refuses %j', (text) => {
  expect(decodeRecord(new TextEncoder().encode(text))).toBeUndefined();
});
