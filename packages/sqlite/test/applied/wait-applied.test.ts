import { epoch, type Position } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { waitApplied } from '../../src/applied/wait-applied.ts';
import type { Mode } from '../../src/process/mode.ts';
import { fill, memoryLog } from '../log/logs.ts';

const at = (txid: number, of = 1): Position => ({ epoch: epoch(of), txid });
const mode: Mode = { kind: 'none' };

async function rig(position: Position) {
  const { log } = await memoryLog();
  await fill(log, 1, 5);
  await fill(log, 6, 9, { epoch: epoch(2), node: 'b' });
  const clock = new VirtualClock();
  const file = { position };
  const wait = (wanted: Position, signal?: AbortSignal): Promise<void> =>
    waitApplied({ now: () => ({ mode, position: file.position }), log, clock }, wanted, [signal]);
  return { clock, file, wait };
}

test('a position of an epoch that has passed is included in what came after it', async () => {
  const { wait } = await rig(at(8, 2));
  await wait(at(5));
  await wait(at(7, 2));
  await wait(at(0, 0));
});

test('waits, also across a file that is made anew', async () => {
  const { wait, file, clock } = await rig(at(3));
  const waiting = wait(at(7, 2));
  file.position = at(0, 0);
  await clock.advance(100);
  file.position = at(9, 2);
  await clock.advance(100);
  await waiting;
});

test('a transaction of that number under another epoch is not what was written', async () => {
  const { wait } = await rig(at(8, 2));
  await expect(wait(at(6, 1))).rejects.toMatchObject({ code: 'SQLITE_POSITION_UNKNOWN', fields: { epoch: 2 } });
});

test('a file that is further, but of an older epoch, is of another history', async () => {
  const { wait, clock } = await rig(at(9, 1));
  const patience = new AbortController();
  const failure = expect(wait(at(7, 2), patience.signal)).rejects.toThrow('enough');
  await clock.advance(500);
  patience.abort(new Error('enough'));
  await clock.advance(100);
  await failure;
});
