import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epoch } from '@canopy/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { decodeState, encodeState, type FileState, readState, writeState } from '../../src/process/state-file.ts';
import { locateReplica } from '../../src/standby/replica-state.ts';

const directory = mkdtempSync(join(tmpdir(), 'canopy-state-'));
beforeEach(() => mkdirSync(directory, { recursive: true }));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (txid: number) => ({ epoch: epoch(3), txid });
const standby = {
  role: 'standby',
  from: at(7),
  to: at(9),
  counterBefore: 100,
  counterAfter: 101,
  durable: false,
  boot: 'this',
} as const satisfies FileState;
const primary = {
  role: 'primary',
  claimed: at(10),
  base: at(9),
  node: 'a',
  inode: 77,
  counter: 5,
} as const satisfies FileState;

const cursor = { offset: 32, salt1: 1, salt2: 2, checksum1: 3, checksum2: 4, pageSize: 4096, bigEndian: false };
const left = {
  ...primary,
  clean: { txid: 12, epoch: 3, size: 8192, mtimeNs: '1700000000000000001', cursor },
} satisfies FileState;

test('both roles survive being written', () => {
  for (const state of [standby, primary, left]) expect(decodeState(encodeState(state))).toEqual(state);
  const path = join(directory, 'state.json');
  expect(readState(join(directory, 'none'))).toBeUndefined();
  writeState(path, primary, { flush: true });
  writeState(path, standby);
  expect(readState(path)).toEqual(standby);
  expect(readdirSync(directory)).toEqual(['state.json']);
});

test('a state that is not flushed is written over the one on the disk, never renamed into its place', () => {
  const path = join(directory, 'state.json');
  writeState(path, standby, { flush: true });
  const { ino, size } = statSync(path);
  writeState(path, { ...standby, to: at(12), counterAfter: 102 });
  expect(statSync(path)).toMatchObject({ ino, size });
  expect(readState(path)).toMatchObject({ to: at(12), counterAfter: 102 });
});

test('the log that a file is of is noted with both roles, and never lets a standby outgrow its sector', () => {
  const id = '0123456789abcdef';
  for (const state of [standby, left]) {
    const noted = { ...state, log: { id, store: 'orders' } };
    expect(decodeState(encodeState(noted))).toEqual(noted);
    expect(decodeState(encodeState({ ...state, log: { id: 'none', store: 'orders' } }))).toEqual(state);
  }
  for (const store of ['x'.repeat(500), 'é'.repeat(120), '"'.repeat(200), 'ordnung-ü']) {
    const text = encodeState({ ...standby, log: { id, store } });
    expect(Buffer.byteLength(text)).toBe(512);
    expect(decodeState(text)?.log?.id).toBe(id);
  }
});

test('anything else than a complete record is not believed', () => {
  const whole = encodeState(standby);
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    whole.trimEnd().slice(0, -4),
    whole.replace('standby', 'other'),
    '{"role":"primary"}',
  ])
    expect(decodeState(text), text).toBeUndefined();
  expect(decodeState(whole.replace('3.0000000000000007', 'seven'))).toBeUndefined();
});

test('a replica is where its change counter says, and nowhere when that is unknown', () => {
  const header = (counter: number, mode: 'rollback' | 'wal' = 'rollback') => ({ pageSize: 4096, mode, counter });
  expect(locateReplica(standby, header(100), 'this')).toEqual(at(7));
  expect(locateReplica(standby, header(101), 'this')).toEqual(at(9));
  expect(locateReplica(standby, header(102), 'this')).toBeUndefined();
  expect(locateReplica(standby, header(101, 'wal'), 'this')).toBeUndefined();
});

test('after the machine went down only what was flushed is believed', () => {
  const header = { pageSize: 4096, mode: 'rollback', counter: 101 } as const;
  expect(locateReplica(standby, header, 'another boot')).toBeUndefined();
  expect(locateReplica({ ...standby, boot: '' }, header, '')).toBeUndefined();
  expect(locateReplica({ ...standby, durable: true }, header, 'another boot')).toEqual(at(9));
});

test('a record of how the file was left counts only when it is whole', () => {
  const text = encodeState(left);
  for (const field of ['txid', 'mtimeNs', 'offset', 'bigEndian'])
    expect(decodeState(text.replace(`"${field}":`, '"x":')), field).toEqual(primary);
});
