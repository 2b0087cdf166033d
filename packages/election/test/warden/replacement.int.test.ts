import { type ChildProcess, spawn } from 'node:child_process';
import { identifyProcess, isRunning, type ProcessId, systemClock, systemEnv } from '@canopy/core';
import { memoryMetrics } from '@canopy/core/testing';
import { eventually } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { Warden, type WardenEvent } from '../../src/warden/index.ts';

/** Nothing listens there: a warden does its work on processes without NATS. */
const NOWHERE = { servers: ['nats://127.0.0.1:1'] };

function makeWarden(): { warden: Warden; events: WardenEvent[]; restarts: () => number | undefined } {
  const { metrics, value } = memoryMetrics();
  const warden = new Warden({ connection: NOWHERE, node: 'n1' }, systemEnv({ metrics }));
  onTestFinished(() => warden.stop());
  const events: WardenEvent[] = [];
  void (async () => {
    for await (const event of warden.watch()) events.push(event);
  })();
  return { warden, events, restarts: () => value('election_warden_restarts_total') };
}

function sleeper(): { child: ChildProcess; id: ProcessId } {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, id: identifyProcess(child.pid as number) as ProcessId };
}

const held = (inMs: number) => ({ bucket: 'b', key: 'k', revision: 1, deadline: systemClock.monotonic() + inMs });

test('calls made while it is replaced resolve when the next one knows', async () => {
  const { warden, restarts } = makeWarden();
  await warden.start();
  const lease = warden.lease('shop');
  await lease.hold(held(20_000));
  const { id } = sleeper();
  const first = warden.pid as number;
  process.kill(first, 'SIGKILL');
  await Promise.all([lease.hold(held(1500)), lease.register({ ...id, kind: 'kill', label: 'sleep' })]);
  expect(warden.pid).not.toBe(first);
  expect(restarts()).toBe(1);
  expect(lease.lost.aborted).toBe(false);
  // It knows both: without a newer hold it ends the process at the deadline.
  await eventually(() => !isRunning(id), { what: 'the fence' });
  await expect(lease.register({ ...sleeper().id, kind: 'kill', label: 'sleep' })).rejects.toMatchObject({
    code: 'WARDEN_FENCED',
  });
});

test('one that is frozen is replaced', async () => {
  const { warden } = makeWarden();
  await warden.start();
  const first = identifyProcess(warden.pid as number) as ProcessId;
  process.kill(first.pid, 'SIGSTOP');
  await warden.lease('shop').hold(held(20_000));
  expect(isRunning(first)).toBe(false);
  expect(warden.pid).not.toBe(first.pid);
});

test('without another before the deadline the lease is lost, and can be taken anew after clear()', async () => {
  const { warden, events } = makeWarden();
  await warden.start();
  const lease = warden.lease('shop');
  const { lost } = lease;
  const begun = systemClock.monotonic();
  await lease.hold(held(700));
  const killing = setInterval(() => {
    if (warden.pid !== undefined) process.kill(warden.pid, 'SIGKILL');
  }, 1);
  try {
    await eventually(() => lost.aborted, { what: 'the loss' });
  } finally {
    clearInterval(killing);
  }
  expect(lost.reason).toMatchObject({ code: 'WARDEN_LOST' });
  expect(systemClock.monotonic() - begun).toBeGreaterThanOrEqual(690);
  expect(events.some((event) => event.type === 'exited')).toBe(true);
  await expect(lease.hold(held(5000))).rejects.toMatchObject({ code: 'WARDEN_LOST' });
  await lease.clear();
  await lease.hold(held(20_000));
  expect(lease.lost.aborted).toBe(false);
});

test('a hold that comes too late is refused; stop() ends what is still registered', async () => {
  const { warden } = makeWarden();
  await expect(warden.lease('shop').hold(held(1000))).rejects.toMatchObject({ code: 'WARDEN_STOPPED' });
  await warden.start();
  const lease = warden.lease('shop');
  await expect(lease.hold(held(-1))).rejects.toMatchObject({ code: 'WARDEN_FENCED' });
  await lease.hold(held(60_000));
  const { id } = sleeper();
  await lease.register({ ...id, kind: 'kill', label: 'sleep' });
  await expect(
    lease.register({ pid: id.pid, startTicks: id.startTicks - 1, kind: 'kill', label: 'stranger' }),
  ).rejects.toMatchObject({ code: 'WARDEN_PROCESS_GONE' });
  const child = identifyProcess(warden.pid as number) as ProcessId;
  await warden.stop();
  expect(isRunning(child)).toBe(false);
  await eventually(() => !isRunning(id), { what: 'the end of what was registered' });
  await lease.clear();
});
