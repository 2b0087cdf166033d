import { describe, expect, test } from 'vitest';
import { processBackend } from '../../src/index.ts';
import { type ProcessBackendOptions, resolveProcessOptions } from '../../src/process/options.ts';

describe('options', () => {
  test('defaults', () => {
    const options = resolveProcessOptions({ command: 'node server.js', health: { port: 8080 } });
    expect(options).toMatchObject({
      command: ['node', 'server.js'],
      graceMs: 10_000,
      startTimeoutMs: 30_000,
      address: 'http://127.0.0.1:8080',
      restart: { mode: 'on-failure', maxRestarts: 5, withinMs: 60_000 },
      log: { kind: 'env' },
    });
    expect(options.health?.url.href).toBe('http://127.0.0.1:8080/health');
  });

  test('every fault is named at once, nested ones by their path', () => {
    const faulty = {
      command: 'a | b',
      grace: 'soon',
      adress: 'http://x',
      health: { port: 99_999, path: 'up', intervall: 5 },
      restart: { policy: 'sometimes' },
      log: { maxBytes: 10 },
    } as unknown as ProcessBackendOptions;
    let fields: string[] = [];
    try {
      processBackend(faulty);
    } catch (error) {
      fields = (error as { fields: { violations: { field: string }[] } }).fields.violations.map(({ field }) => field);
    }
    expect(new Set(fields)).toEqual(
      new Set([
        'command',
        'grace',
        'adress',
        'health.port',
        'health.url',
        'health.path',
        'health.intervall',
        'restart.policy',
        'log.file',
        'log.maxBytes',
      ]),
    );
  });

  test('a command is required and names a program; one of url, port and address says where health is', () => {
    expect(() => processBackend({} as ProcessBackendOptions)).toThrow(/command is required/);
    expect(() => processBackend({ command: [] })).toThrow(/names no program/);
    expect(() => processBackend({ command: 'a', health: {} })).toThrow(/is needed/);
    expect(() => processBackend({ command: 'a', health: { port: 1, url: 'http://x/' } })).toThrow(/exclude each other/);
    const served = resolveProcessOptions({ command: 'a', address: 'http://127.0.0.1:81', health: { path: '/up' } });
    expect(served.health?.url.href).toBe('http://127.0.0.1:81/up');
    expect(() => processBackend({ command: 'a', health: { url: 'ftp://x/' } })).toThrow(/http/);
  });
});
