import { describe, expect, it } from 'vitest';
import { nearest, resolveOptions } from '../../src/index.ts';

const resolve = (input: object) =>
  resolveOptions('Thing', input, (r) => ({
    group: r.string('group', { required: true, pattern: /^[a-z]+$/ }),
    ttlMs: r.durationMs('ttl', { default: 10_000, minMs: 300 }),
    beatMs: r.durationMs('heartbeatInterval', { default: 1000 }),
    count: r.integer('count', { default: 3, min: 1, max: 5 }),
    loud: r.boolean('loud'),
    mode: r.oneOf('mode', ['fast', 'safe'], { default: 'safe' }),
    note: r.optionalString('note'),
    hook: r.any<(() => void) | undefined>('hook'),
  }));

describe('resolveOptions', () => {
  it('fills in defaults and turns durations into milliseconds', () => {
    expect(resolve({ group: 'a', ttl: '2s' })).toEqual({
      group: 'a',
      ttlMs: 2000,
      beatMs: 1000,
      count: 3,
      loud: false,
      mode: 'safe',
      note: undefined,
      hook: undefined,
    });
  });
  it('reports every violation at once, by field, with what was found', () => {
    let error: unknown;
    try {
      resolve({ ttl: '10ms', count: 9, loud: 'yes', mode: 'slow', note: '', heartbeatIntervall: 4 });
    } catch (e) {
      error = e;
    }
    expect(error).toMatchObject({ code: 'OPTIONS_INVALID' });
    const { violations } = (error as { fields: { violations: { field: string; problem: string }[] } }).fields;
    expect(violations.map((v) => v.field)).toEqual([
      'group',
      'ttl',
      'count',
      'loud',
      'mode',
      'note',
      'heartbeatIntervall',
    ]);
    expect(violations.at(-1)?.problem).toContain('did you mean "heartbeatInterval"');
    expect((error as Error).message).toContain('Thing: group is required; ttl must be at least 300 ms, got "10ms"');
  });
  it('reads parts with fields of their own, and names what is wrong in them', () => {
    const parts = (input: unknown) =>
      resolveOptions('X', input as object, (r) => ({
        one: r.object('one', (inner) => inner.integer('a', { default: 1 })),
        many: r.objects('many', (inner) => inner.string('name', { required: true, lengthMax: 3 })),
      }));
    expect(parts({})).toEqual({ one: undefined, many: [] });
    expect(parts({ one: {}, many: [{ name: 'abc' }] })).toEqual({ one: 1, many: ['abc'] });
    expect(() => parts({ one: { a: 'x', b: 1 }, many: [{ name: 'abcd' }, null, {}] })).toThrow(
      /one\.a must.*one\.b is not an option.*many\[0\]\.name must be at most 3.*many\[1\] must be an object.*many\[2\]\.name is required/,
    );
    expect(() => parts({ one: null, many: 5 })).toThrow(/one must be an object, got null; many must be a list/);
    for (const none of [undefined, null, 'x', []]) expect(() => parts(none)).toThrow(/options must be an object/);
  });
  it('lets rules between fields speak', () => {
    expect(() => resolveOptions('X', { a: 1 }, (r) => r.check(r.integer('a') > 2, 'a', 'must be above 2'))).toThrow(
      /a must be above 2/,
    );
  });
});

it('nearest finds typing mistakes and nothing else', () => {
  expect(nearest('databse', ['database', 'backend'])).toBe('database');
  expect(nearest('xyz', ['database', 'backend'])).toBeUndefined();
});
