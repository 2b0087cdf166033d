import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, PROCESS_MARK, systemClock } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { CALM, freePort, pidFrom, rig, serve, until } from './rig.ts';

const fast = { interval: 50, timeout: 500 };

describe('start', () => {
  test('resolves when the endpoint answers; the process is registered, marked, and alone in its group', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'slow'), health: { port, ...fast } });
    await r.backend.start({ signal: CALM });
    const status = r.backend.status();
    expect(status).toMatchObject({ state: 'running', address: `http://127.0.0.1:${port}`, restarts: 0 });
    const answer = await fetch(`http://127.0.0.1:${port}/pid`);
    expect(Number(await answer.text())).toBe(status.pid);
    expect([...r.guard.present.keys()]).toEqual([status.pid]);
    const env = (await (await fetch(`http://127.0.0.1:${port}/env`)).json()) as Record<string, string>;
    expect(env).toMatchObject({ CANOPY_PLATFORM: 'test', CANOPY_APP: 'shop', CANOPY_NODE: 'n1' });
    expect(env[PROCESS_MARK]).toMatch(/^[0-9a-f-]{36}$/);
    expect(await r.backend.health()).toEqual({ healthy: true, detail: '200' });
    expect(r.metric('gc_backend_state', { app: 'shop', node: 'n1', state: 'running' })).toBe(1);
    expect(r.metric('gc_backend_start_duration_seconds', { app: 'shop', node: 'n1' })).toBe(1);
    await r.backend.stop();
    expect(r.backend.status()).toMatchObject({ state: 'stopped', pid: undefined, lastExit: { signal: 'SIGTERM' } });
    expect(r.guard.present.size).toBe(0);
    expect(existsSync(join(r.stateDir, 'backend.json'))).toBe(false);
    expect(await r.backend.health()).toEqual({ healthy: false, detail: 'not running' });
  });

  test('without an endpoint, staying up for a moment is enough', async () => {
    await using r = rig({ command: 'sleep 1000' });
    await r.backend.start({ signal: CALM });
    expect(r.backend.status().state).toBe('running');
  });

  test('a missing command, a file that is not executable, a missing directory', async () => {
    await using r = rig({ command: 'no-such-program --x' });
    await expect(r.backend.start({ signal: CALM })).rejects.toMatchObject({ code: 'BACKEND_COMMAND_MISSING' });
    await expect(r.again({ command: ['/etc/passwd'] }).start({ signal: CALM })).rejects.toThrow(/not executable/);
    await expect(r.again({ command: './nope' }).start({ signal: CALM })).rejects.toThrow(/does not exist/);
    await expect(r.again({ command: 'sleep 1', cwd: '/no/such' }).start({ signal: CALM })).rejects.toMatchObject({
      code: 'BACKEND_CWD_MISSING',
    });
    expect(r.guard.seen).toEqual([]);
  });

  test('exits at once: the error has the code and the last lines', async () => {
    await using r = rig({ command: ['sh', '-c', 'echo first; echo "no such table" >&2; exit 3'], settle: '5s' });
    const error = await r.backend.start({ signal: CALM }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'BACKEND_EXITED', fields: { code: 3 } });
    expect((error as Error).message).toContain('no such table');
    expect(r.backend.status()).toMatchObject({ state: 'failed', lastExit: { code: 3 } });
  });

  test('never healthy: the error has the last answer, and nothing is left', async () => {
    const port = await freePort();
    await using r = rig({
      command: serve(port, 'never-healthy'),
      health: { port, ...fast },
      startTimeout: '1500ms',
    });
    const error = await r.backend.start({ signal: CALM }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'BACKEND_NEVER_HEALTHY', fields: { answer: '503 still warming up' } });
    expect(identifyProcess(r.guard.seen[0]?.pid as number)).toBeUndefined();
  });

  test('aborted: rejects with the reason, nothing runs, and it can start again', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'never-healthy', 'ignore-term'), health: { port, ...fast } });
    const controller = new AbortController();
    const starting = r.backend.start({ signal: controller.signal });
    await until('launched', () => r.guard.present.size === 1);
    controller.abort(new Error('lease lost'));
    await expect(starting).rejects.toThrow('lease lost');
    expect(identifyProcess(r.guard.seen[0]?.pid as number)).toBeUndefined();
    expect(r.backend.status().state).toBe('stopped');
    const second = r.backend.start({ signal: CALM });
    await until('launched again', () => r.guard.present.size === 1);
    await r.backend.stop({ graceMs: 0 });
    await expect(second).rejects.toMatchObject({ code: 'BACKEND_STOPPED' });
    expect(r.guard.present.size).toBe(0);
  });

  test('a guard that refuses: the program never runs', async () => {
    await using r = rig({ command: ['sh', '-c', 'echo ran; sleep 1000'] });
    r.guard.refusal = new Error('lease fenced');
    await expect(r.backend.start({ signal: CALM })).rejects.toThrow('lease fenced');
    expect(r.backend.logs()).toEqual([]);
    expect(existsSync(join(r.stateDir, 'backend.json'))).toBe(false);
  });

  test('a state directory that is gone: the program never runs', async () => {
    await using r = rig({ command: ['sh', '-c', 'echo ran; sleep 1000'] });
    rmSync(r.stateDir, { recursive: true });
    await expect(r.backend.start({ signal: CALM })).rejects.toMatchObject({ code: 'BACKEND_RECORD_FAILED' });
    expect(r.backend.logs()).toEqual([]);
    expect(r.guard.seen).toEqual([]);
  });

  test('a second start while it runs is refused', async () => {
    await using r = rig({ command: 'sleep 1000' });
    await r.backend.start({ signal: CALM });
    await expect(r.backend.start({ signal: CALM })).rejects.toMatchObject({ code: 'STATE_INVALID' });
  });
});

describe('stop', () => {
  test('SIGKILL after the grace for one that ignores SIGTERM, with its children', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'ignore-term', 'child'), health: { port, ...fast }, grace: 300 });
    await r.backend.start({ signal: CALM });
    await until('child known', () => r.backend.logs().some((line) => line.text.startsWith('child')));
    const child = pidFrom(r.backend, 'child');
    const { pid } = r.backend.status();
    const begun = systemClock.monotonic();
    await Promise.all([r.backend.stop(), r.backend.stop()]);
    expect(systemClock.monotonic() - begun).toBeGreaterThanOrEqual(290);
    expect(identifyProcess(pid as number)).toBeUndefined();
    expect(identifyProcess(child)).toBeUndefined();
    expect(r.backend.status().lastExit).toEqual({ code: undefined, signal: 'SIGKILL' });
  });

  test('a later call may shorten the grace', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'ignore-term'), health: { port, ...fast }, grace: '1h' });
    await r.backend.start({ signal: CALM });
    const first = r.backend.stop();
    await until('asked', () => r.backend.logs().some((line) => line.text === 'ignored SIGTERM'));
    await r.backend.stop({ graceMs: 0 });
    await first;
    expect(r.guard.present.size).toBe(0);
  });

  test('finds a child that left the group', async () => {
    const port = await freePort();
    await using r = rig({ command: serve(port, 'stray'), health: { port, ...fast } });
    await r.backend.start({ signal: CALM });
    const stray = pidFrom(r.backend, 'stray');
    expect(identifyProcess(stray)).toBeDefined();
    await r.backend.stop();
    expect(identifyProcess(stray)).toBeUndefined();
    expect(r.lines.some((line) => line.event === 'backend_left_its_group')).toBe(true);
  });

  test('a frozen process is ended too', async () => {
    await using r = rig({ command: 'sleep 1000', grace: 200 });
    await r.backend.start({ signal: CALM });
    const pid = r.backend.status().pid as number;
    process.kill(-pid, 'SIGSTOP');
    await r.backend.stop();
    expect(identifyProcess(pid)).toBeUndefined();
  });
});
