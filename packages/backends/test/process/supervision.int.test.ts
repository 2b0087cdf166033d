import type { BackendEvent } from '@canopy/core';
import { identifyProcess } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import type { ProcessBackend } from '../../src/index.ts';
import { CALM, freePort, rig, serve, until } from './rig.ts';

const fast = { interval: 30, timeout: 500 };
const quick = { backoff: 10, maxBackoff: 50 };

function collect(backend: ProcessBackend): { events: BackendEvent[]; stop: AbortController } {
  const events: BackendEvent[] = [];
  const stop = new AbortController();
  void (async () => {
    for await (const event of backend.watch({ signal: stop.signal })) events.push(event);
  })();
  return { events, stop };
}

const states = (events: readonly BackendEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'state_changed' ? [event.state] : []));

describe('restart', () => {
  test('after a crash: a new process, never two, and the restart is counted', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port), health: { port, ...fast }, restart: quick });
    const { events, stop } = collect(r.backend);
    await r.backend.start({ signal: CALM });
    const first = r.backend.status().pid;
    await fetch(`http://127.0.0.1:${port}/crash`).catch(() => {});
    await until('restarted', () => r.backend.status().restarts === 1 && r.backend.status().state === 'running');
    expect(r.backend.status().pid).not.toBe(first);
    expect(r.backend.status().lastExit).toEqual({ code: 7, signal: undefined });
    expect([...r.guard.present.keys()]).toEqual([r.backend.status().pid]);
    expect(r.metric('gc_backend_restarts_total', { app: 'shop', node: 'n1' })).toBe(1);
    expect(states(events)).toEqual(['stopped', 'starting', 'running', 'restarting', 'running']);
    stop.abort();
  });

  test('after death by a signal, with what it left in its group', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'child'), health: { port, ...fast }, restart: quick });
    await r.backend.start({ signal: CALM });
    await until('child known', () => r.backend.logs().some((line) => line.text.startsWith('child')));
    const child = Number(
      r.backend
        .logs()
        .find((line) => line.text.startsWith('child'))
        ?.text.split(' ')[1],
    );
    process.kill(r.backend.status().pid as number, 'SIGSEGV');
    await until('restarted', () => r.backend.status().restarts === 1 && r.backend.status().state === 'running');
    expect(r.backend.status().lastExit).toEqual({ code: undefined, signal: 'SIGSEGV' });
    expect(identifyProcess(child)).toBeUndefined();
  });

  test('an exit with code 0 is final unless the policy is "always"', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port), health: { port, ...fast }, restart: quick });
    const { events, stop } = collect(r.backend);
    await r.backend.start({ signal: CALM });
    await fetch(`http://127.0.0.1:${port}/exit`).catch(() => {});
    await until('failed', () => r.backend.status().state === 'failed');
    expect(events.at(-1)).toMatchObject({ type: 'failed', error: { code: 'BACKEND_EXITED' } });
    stop.abort();
    const other = r.again({ command: serve(port), health: { port, ...fast }, restart: { ...quick, policy: 'always' } });
    await other.start({ signal: CALM });
    await fetch(`http://127.0.0.1:${port}/exit`).catch(() => {});
    await until('restarted', () => other.status().restarts === 1 && other.status().state === 'running');
  });

  test('past the bound it has failed, with the last reason, and nothing runs', async () => {
    await using r = rig({
      command: ['sh', '-c', 'sleep 0.15; echo broken; exit 9'],
      settle: 50,
      restart: { ...quick, maxRestarts: 2 },
    });
    const { events, stop } = collect(r.backend);
    await r.backend.start({ signal: CALM });
    await until('failed', () => r.backend.status().state === 'failed');
    const failed = events.at(-1);
    expect(failed).toMatchObject({ type: 'failed', error: { code: 'BACKEND_GAVE_UP' } });
    expect(r.backend.status().problem).toContain('broken');
    expect(r.guard.seen).toHaveLength(3);
    expect(r.guard.present.size).toBe(0);
    stop.abort();
  });

  test('one that stops answering is unhealthy, ended and replaced', async () => {
    const port = await freePort();
    await using r = rig({
      command: serve(port),
      health: { port, ...fast, unhealthyAfter: 2 },
      restart: quick,
      grace: 500,
    });
    const { events, stop } = collect(r.backend);
    await r.backend.start({ signal: CALM });
    await fetch(`http://127.0.0.1:${port}/sick`);
    await until('replaced', () => r.backend.status().restarts === 1 && r.backend.status().state === 'running');
    expect(states(events)).toEqual(['stopped', 'starting', 'running', 'unhealthy', 'restarting', 'running']);
    stop.abort();
  });

  test('stop() in the pause before a restart leaves nothing', async () => {
    await using r = rig({
      command: ['sh', '-c', 'sleep 0.1; exit 9'],
      settle: 20,
      restart: { backoff: '1h', maxBackoff: '1h' },
    });
    await r.backend.start({ signal: CALM });
    await until('waiting', () => r.backend.status().state === 'restarting');
    await r.backend.stop();
    expect(r.backend.status().state).toBe('stopped');
    expect(r.guard.seen).toHaveLength(1);
  });
});
