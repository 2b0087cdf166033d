import { describe, expect, it } from 'vitest';
import { parseListen, resolveProxyOptions } from '../../src/proxy/options.ts';

describe('proxy options', () => {
  it.each([
    [8080, { host: '127.0.0.1', port: 8080 }],
    ['8080', { host: '127.0.0.1', port: 8080 }],
    [':8080', { host: '127.0.0.1', port: 8080 }],
    ['0.0.0.0:80', { host: '0.0.0.0', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['example.org:0', { host: 'example.org', port: 0 }],
  ])('reads %j', (value, expected) => {
    expect(parseListen(value)).toEqual(expected);
  });

  it.each(['', 'host', 'host:', 'host:port', '70000', '-1', 'a b:80', '::1:80', undefined, {}, 1.5])(
    'refuses %j',
    (value) => {
      expect(parseListen(value)).toBeUndefined();
    },
  );

  it('have their defaults, and report every fault', () => {
    expect(resolveProxyOptions({ listen: 0, to: 'http://127.0.0.1:9/' })).toMatchObject({
      to: 'http://127.0.0.1:9',
      writes: 'replicated',
      queueTimeoutMs: 10_000,
      maxQueue: 1000,
    });
    const bad = { listen: 'x', to: 'https://h/path', writes: 'maybe', queueTimout: 1 } as never;
    expect(() => resolveProxyOptions(bad)).toThrow(
      /listen must.*to must.*writes must.*queueTimout is not an option; did you mean "queueTimeout"/,
    );
  });
});
