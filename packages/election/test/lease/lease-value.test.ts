import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeLease, EPOCH_MAX, encodeLease, epochOf, type LeaseValue } from '../../src/lease/lease-value.ts';
import { sightingOf } from '../../src/lease/sighting.ts';
import { tokenDigest } from '../../src/lease/token-digest.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

describe('the lease on the wire', () => {
  it('is the object that other implementations write', () => {
    const value: LeaseValue = { id: 'node-1', token: '0b0e', priority: 0 };
    expect(text(encodeLease(value))).toBe('{"id":"node-1","token":"0b0e"}');
    expect(text(encodeLease({ ...value, priority: 20, epoch: 7, ttlMs: 3000 }))).toBe(
      '{"id":"node-1","token":"0b0e","priority":20,"epoch":7,"ttl":3000}',
    );
    expect(text(encodeLease({ ...value, epoch: 7, released: true, next: 'node-2' }))).toBe(
      '{"id":"node-1","token":"0b0e","epoch":7,"released":true,"next":"node-2"}',
    );
    expect(text(encodeLease({ ...value, failsafe: { limitMs: 17_000, peers: ['p', 'q'] } }))).toBe(
      '{"id":"node-1","token":"0b0e","failsafe":{"limit":17000,"peers":["p","q"]}}',
    );
  });

  it('has nobody listed whose list can not be read, so that everybody waits', () => {
    const read = (failsafe: string) => decodeLease(bytes(`{"id":"a","token":"t","failsafe":${failsafe}}`))?.failsafe;
    expect(read('{"limit":5000,"peers":["p"]}')).toEqual({ limitMs: 5000, peers: ['p'] });
    for (const peers of ['7', '["p",1]', '{}', 'null'])
      expect(read(`{"limit":5000,"peers":${peers}}`)).toEqual({ limitMs: 5000, peers: [] });
    for (const clause of ['1', 'null', '{}', '{"limit":-1,"peers":["p"]}']) expect(read(clause)).toBeUndefined();
  });

  it('reads values of others, whatever the order and whatever else is in them', () => {
    expect(decodeLease(bytes('{"id":"a","token":"t"}'))).toEqual({ id: 'a', token: 't', priority: 0 });
    expect(decodeLease(bytes('{"v":2,"priority":10,"token":"t","hb":1,"id":"a"}'))).toEqual({
      id: 'a',
      token: 't',
      priority: 10,
    });
  });

  it.each([
    'not json',
    '',
    '[]',
    'null',
    '"a"',
    '1',
    '{}',
    '{"id":"a"}',
    '{"token":"t"}',
    '{"id":"","token":"t"}',
    '{"id":1,"token":"t"}',
    '{"id":"a","token":null}',
    '\xff\xfe',
  ])('does not take %j for a lease', (value) => {
    expect(decodeLease(bytes(value))).toBeUndefined();
  });

  it('drops optional fields that make no sense, and keeps the lease', () => {
    const odd = '{"id":"a","token":"t","priority":"high","epoch":-1,"floor":1.5,"ttl":1e12,"released":"yes","next":""}';
    expect(decodeLease(bytes(odd))).toEqual({ id: 'a', token: 't', priority: 0 });
  });

  it('does not parse what is far too large', () => {
    expect(decodeLease(bytes(`{"id":"a","token":"t","x":"${'x'.repeat(20_000)}"}`))).toBeUndefined();
  });

  it('survives the round trip', () => {
    const name = fc.string({ minLength: 1, maxLength: 40 });
    const lease = fc.record(
      {
        id: name,
        token: name,
        priority: fc.nat(),
        epoch: fc.nat(),
        floor: fc.nat(),
        ttlMs: fc.integer({ min: 1, max: 86_400_000 }),
        released: fc.constant(true),
        next: name,
      },
      { requiredKeys: ['id', 'token', 'priority'] },
    );
    fc.assert(fc.property(lease, (value) => void expect(decodeLease(encodeLease(value))).toEqual(value)));
  });

  it('is none with an epoch or a floor that no term could follow', () => {
    const value = (fields: object) => decodeLease(bytes(JSON.stringify({ id: 'a', token: 't', ...fields })));
    for (const field of ['epoch', 'floor']) {
      expect(value({ [field]: EPOCH_MAX })).toMatchObject({ [field]: EPOCH_MAX });
      for (const epoch of [EPOCH_MAX + 1, Number.MAX_SAFE_INTEGER, 1e300])
        expect(value({ [field]: epoch })).toBeUndefined();
    }
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (value) => void decodeLease(value)));
  });
});

describe('epochOf', () => {
  it('is the written epoch, else the revision, lifted above the floor', () => {
    const lease = { id: 'a', token: 't', priority: 0 };
    expect([
      epochOf(lease, 12),
      epochOf({ ...lease, epoch: 9 }, 12),
      epochOf({ ...lease, floor: 500 }, 12),
      epochOf({ ...lease, floor: 5 }, 12),
    ]).toEqual([12, 9, 501, 12]);
  });
});

describe('sightingOf', () => {
  it.each([
    ['put', '{"id":"a","token":"t"}', 'lease'],
    ['put', '{"id":"a","token":"t","released":true}', 'released'],
    ['put', '', 'empty'],
    ['put', '{"id":', 'malformed'],
    ['delete', '', 'deleted'],
  ] as const)('%s of %j is %s', (operation, value, content) => {
    expect(sightingOf({ revision: 3, operation, value: bytes(value), writtenAt: 0 })).toMatchObject({
      revision: 3,
      content,
    });
  });
});

describe('tokenDigest', () => {
  it('tells tokens apart without showing them', () => {
    expect(tokenDigest('a')).toMatch(/^[0-9a-f]{8}$/);
    expect(tokenDigest('a')).not.toBe(tokenDigest('b'));
  });
});
