import { type ChildProcess, spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import {
  groupOf,
  identifyProcess,
  isGroupGone,
  markOf,
  PROCESS_MARK,
  type ProcessId,
  processesWithMark,
  signalGroup,
  signalProcess,
  systemClock,
  systemRandom,
} from '../../src/index.ts';

function start(script: string, mark?: string): { child: ChildProcess; id: ProcessId } {
  const env = { ...process.env, ...(mark === undefined ? {} : { [PROCESS_MARK]: mark }) };
  const child = spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore', env });
  onTestFinished(() => void signalGroup({ pid: child.pid as number, startTicks: 0 }, 'SIGKILL'));
  return { child, id: identifyProcess(child.pid as number) as ProcessId };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !holds(); i++) await systemClock.sleep(5);
  expect(holds()).toBe(true);
}

test('a group lives until its last member is gone, and zombies are no members', async () => {
  const mark = systemRandom.uuid();
  const { child, id } = start('sleep 1000 & exec sleep 1000', mark);
  await until(() => processesWithMark(mark).length === 2);
  expect(groupOf(id.pid)).toBe(id.pid);
  expect(isGroupGone(id)).toBe(false);
  child.kill('SIGKILL');
  await until(() => identifyProcess(id.pid) === undefined);
  expect(isGroupGone(id)).toBe(false);
  expect(signalGroup(id, 'SIGKILL')).toBe(true);
  await until(() => isGroupGone(id));
});

test('a number with another start time is somebody else: no signal, and the group counts as gone', () => {
  const { id } = start('exec sleep 1000');
  const earlier = { pid: id.pid, startTicks: id.startTicks - 1 };
  expect(isGroupGone(earlier)).toBe(true);
  expect(signalGroup(earlier, 'SIGKILL')).toBe(false);
  expect(signalProcess(earlier, 'SIGKILL')).toBe(false);
  expect(isGroupGone(id)).toBe(false);
});

test('a mark finds all descendants, those that left the group too, and nobody else', async () => {
  const mark = systemRandom.uuid();
  const { id } = start('setsid sleep 1000 & exec sleep 1000', mark);
  await until(() => processesWithMark(mark).length === 2);
  expect(markOf(id.pid)).toBe(mark);
  expect(processesWithMark(mark.slice(0, -1))).toEqual([]);
  signalGroup(id, 'SIGKILL');
  await until(() => isGroupGone(id));
  const strays = processesWithMark(mark);
  expect(strays).toHaveLength(1);
  for (const stray of strays) expect(signalProcess(stray, 'SIGKILL')).toBe(true);
  await until(() => processesWithMark(mark).length === 0);
});
