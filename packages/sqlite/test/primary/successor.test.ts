import { epoch, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { sqliteErrors } from '../../src/errors.ts';
import type { LogEntry } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { hearOfSuccessor } from '../../src/primary/successor.ts';

const entryOf = (maxTxid: number, at: number): LogEntry => ({ maxTxid, epoch: epoch(at) }) as LogEntry;
const gap = (): Error => sqliteErrors.create('SQLITE_LOG_GAP', { bucket: 'b', from: 3, to: 60, problem: 'trimmed' });

/** Follows give what `rounds` say, one after the other. */
function logOf(rounds: readonly (LogEntry[] | Error)[], end?: LogEntry): SegmentLog {
  const left = [...rounds];
  return {
    async *follow(_after: number, { signal }: { signal: AbortSignal }) {
      const next = left.shift();
      if (next instanceof Error) throw next;
      yield* next ?? [];
      if (next === undefined) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
    listEnd: async () => end,
  } as unknown as SegmentLog;
}

function rig(log: SegmentLog) {
  const clock = new VirtualClock();
  const heard: LogEntry[] = [];
  const stop = new AbortController();
  const deps = { log, epoch: epoch(3), env: { ...systemEnv(), clock }, after: () => 2 };
  const ended = hearOfSuccessor({ ...deps, onSuccessor: (entry) => heard.push(entry) }, stop.signal);
  return { clock, heard, stop, ended };
}

test('an entry of a higher epoch is a successor, our own are not', async () => {
  const { heard, ended } = rig(logOf([[entryOf(3, 3), entryOf(4, 4)]]));
  await ended;
  expect(heard.map(({ maxTxid }) => maxTxid)).toEqual([4]);
});

test('one whose entries were trimmed already is found at the end of the log', async () => {
  const { heard, ended } = rig(logOf([gap()], entryOf(63, 4)));
  await ended;
  expect(heard.map(({ maxTxid }) => maxTxid)).toEqual([63]);
});

test('failures are tried again; an abort ends it without one', async () => {
  const { clock, heard, stop, ended } = rig(logOf([new Error('no way'), gap(), [entryOf(3, 3)]], entryOf(3, 3)));
  await clock.advance(10_000);
  stop.abort();
  await clock.advance(10_000);
  await ended;
  expect(heard).toEqual([]);
});

test('a log that lost its past is told', async () => {
  const lost = sqliteErrors.create('SQLITE_LOG_LOST', { bucket: 'b', node: 'a', problem: 'it ends before' });
  await expect(rig(logOf([lost])).ended).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
});
