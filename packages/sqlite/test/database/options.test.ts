import { epoch, hasCode, noGuard, systemEnv } from '@canopy/core';
import { expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { sqlite, sqliteErrors } from '../../src/index.ts';
import { requireVersion, switchToWal } from '../../src/process/file-mode.ts';
import { decodeError, decodeEvent, encodeError, encodeEvent } from '../../src/process/protocol.ts';

test('defaults are filled in, and every mistake is named at once', () => {
  expect(resolveSqliteOptions()).toMatchObject({
    snapshotIntervalMs: 3_600_000,
    retentionMs: 86_400_000,
    pollIntervalMs: 250,
    verify: 'quick',
    replicas: undefined,
  });
  const wrong = { snapshotInterval: 'soon', verifi: 'full', replicas: 9 } as never;
  expect(() => sqlite('x.db', wrong)).toThrow(/snapshotInterval .*replicas .*verifi .*did you mean "verify"/s);
});

test('levels grow by multiples; an empty list turns merging off', () => {
  const levels = (...compactionLevels: never[]): readonly number[] =>
    resolveSqliteOptions({ compactionLevels }).compactionLevelsMs;
  expect(resolveSqliteOptions().compactionLevelsMs).toEqual([30_000, 300_000, 3_600_000]);
  expect(levels()).toEqual([]);
  expect(levels(...(['10s', 60_000] as never[]))).toEqual([10_000, 60_000]);
  for (const [wrong, why] of [
    [['30s', '45s'], /multiples: "45s"/],
    [['5m', '30s'], /multiples/],
    [['30s', '30s'], /multiples/],
    [['10ms'], /at least 1s/],
    [['soon'], /at least 1s, got "soon"/],
    [Array.from({ length: 9 }, (_, i) => 1000 * 2 ** i), /at most 8/],
    ['30s', /must be a list/],
  ] as const)
    expect(() => resolveSqliteOptions({ compactionLevels: wrong as never })).toThrow(why);
});

test('opening is cheap and says where it would be', async () => {
  const context = { platform: 'p', app: 'a', node: 'n', connection: { servers: [] }, env: systemEnv(), guard: noGuard };
  const database = sqlite('relative.db').open(context);
  expect(database.status()).toMatchObject({ role: 'closed', lag: { tx: undefined }, divergences: [] });
  expect(database.status().path).toMatch(/^\/.*relative\.db$/);
  await expect(database.promote({ epoch: epoch(1), signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'SQLITE_PROCESS_DIED',
  });
  await database.stop();
  await expect(database.start()).rejects.toMatchObject({ code: 'SQLITE_STOPPED' });
});

test('a SQLite that loses pages at checkpoints is refused', () => {
  for (const version of ['3.51.2', '3.46.1', '2.99.99', '3.51'])
    expect(() => requireVersion(version), version).toThrow(expect.objectContaining({ code: 'SQLITE_TOO_OLD' }));
  for (const version of ['3.51.3', '3.52.0', '4.0', '3.53.4']) expect(() => requireVersion(version)).not.toThrow();
  expect(() => requireVersion()).not.toThrow();
});

test('a database that cannot have a WAL is refused', async () => {
  const options = { path: ':memory:', env: systemEnv(), busyTimeoutMs: 10, lockTimeoutMs: 10 };
  await expect(switchToWal(options)).rejects.toMatchObject({
    code: 'SQLITE_WAL_UNAVAILABLE',
    fields: { mode: 'memory' },
  });
});

test('errors and events cross the process border as what they are', () => {
  const error = sqliteErrors.create('SQLITE_FENCED', { bucket: 'b', txid: 4 });
  const copy = decodeError(structuredClone(encodeError(error)));
  expect(hasCode(copy, 'SQLITE_FENCED') && copy.fields.txid === 4 && copy.hint === error.hint).toBe(true);
  expect(decodeError(encodeError(new DOMException('stop', 'AbortError'))).name).toBe('AbortError');
  expect(decodeError(encodeError('text')).message).toBe('text');
  const event = decodeEvent(structuredClone(encodeEvent({ type: 'failed', error })));
  expect(event.type === 'failed' && hasCode(event.error, 'SQLITE_FENCED')).toBe(true);
});
