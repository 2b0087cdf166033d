/** What is told of an entry that the log does not take: NATS away, silent, or storing nothing, as after a full disk. */
import { type DatabaseEvent, epoch, silentLogger, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { natsErrors } from '@canopy/nats';
import { beforeEach, expect, test } from 'vitest';
import { sqliteErrors } from '../../src/errors.ts';
import type { LogEntry } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { Sender } from '../../src/primary/sender.ts';

const ENTRY = { txid: 8, kind: 'commit', bytes: new Uint8Array(1), commit: 1, more: false, end: undefined } as const;

let clock: VirtualClock;
let events: DatabaseEvent[];
let sender: Sender;
let lastRevision: number;
let isConnected: boolean;
let isAnswered: boolean;
let answer: PromiseWithResolvers<LogEntry>;

beforeEach(() => {
  clock = new VirtualClock();
  events = [];
  lastRevision = 7;
  isConnected = true;
  isAnswered = true;
  answer = Promise.withResolvers();
  const bucketInfo = async (): Promise<object> => {
    if (isAnswered) return { lastRevision };
    throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: 'look' });
  };
  const log = { bucket: 'orders', append: () => answer.promise, store: { bucketInfo } } as unknown as SegmentLog;
  sender = new Sender({
    env: { ...systemEnv(), clock, log: silentLogger },
    log,
    epoch: epoch(1),
    node: 'a',
    pressure: { press: () => {}, problem: undefined },
    isConnected: () => isConnected,
    position: () => ({ epoch: epoch(1), txid: 7 }),
    onEvent: (event) => void events.push(event),
    onChange: () => {},
    onMoved: () => {},
    onRefused: () => {},
  });
});

const send = (): Promise<LogEntry> => sender.send(ENTRY, new AbortController().signal);

test('a log that answers and stores nothing is told within seconds, with what to do, and that it is over', async () => {
  const sent = send();
  await clock.advance(6000);
  expect(sender.problem).toMatch(/stores nothing.*disk.*restart nats-server/);
  await clock.advance(60_000);
  expect(events).toMatchObject([{ type: 'warning', code: 'SQLITE_LOG_STUCK' }]);
  answer.resolve({} as LogEntry);
  await sent;
  expect(sender.problem).toBeUndefined();
  expect(events.at(-1)).toMatchObject({ type: 'shipping_resumed', position: { txid: 8 } });
});

test('an upload of which pieces arrive is no problem, however long it takes', async () => {
  const sent = send();
  for (let i = 0; i < 100; i++) {
    lastRevision++;
    await clock.advance(3000);
    expect(sender.problem).toBeUndefined();
  }
  answer.resolve({} as LogEntry);
  await sent;
  expect(events).toEqual([]);
});

test('JetStream that does not answer is told as such', async () => {
  isAnswered = false;
  void send();
  await clock.advance(4000);
  expect(sender.problem).toContain('JetStream does not answer');
  isAnswered = true;
  await clock.advance(2000);
  expect(sender.problem).toBeUndefined();
  answer.resolve({} as LogEntry);
});

test('a lost connection is told after 2 s', async () => {
  isConnected = false;
  const sent = send();
  await clock.advance(2000);
  expect(sender.problem).toContain('NATS is away');
  expect(events).toMatchObject([{ type: 'shipping_interrupted', sinceMs: 2000 }]);
  isConnected = true;
  answer.resolve({} as LogEntry);
  await sent;
  expect(events.at(-1)).toMatchObject({ type: 'shipping_resumed' });
});

test('a directory whose disk is full is named', async () => {
  const cause = sqliteErrors.create('SQLITE_DISK_FULL', { path: '/backup/log' });
  answer.reject(sqliteErrors.create('SQLITE_APPEND_UNKNOWN', { bucket: 'orders', txid: 8 }, cause));
  const controller = new AbortController();
  const sent = sender.send(ENTRY, controller.signal);
  await clock.advance(1000);
  expect(sender.problem).toContain('/backup/log');
  expect(events).toMatchObject([{ type: 'warning', code: 'SQLITE_DISK_FULL' }]);
  controller.abort(new Error('enough'));
  await expect(sent).rejects.toThrow('enough');
});
