/** What `canopy up` and the looking verbs do when nodes fall silent, die, or `up` itself is killed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ChildNode, eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

let directory: TemporaryDirectory;
let dir: string;
let up: ChildNode;
beforeAll(async () => {
  directory = await temporaryDirectory('supervision');
  dir = join(directory.path, 'up');
  up = await startCanopy(['up', '--example', 'ledger', '--nodes', '2', '--dir', dir, '--nats-port', '0']);
  await up.line(/ctrl-C stops everything/, { timeoutMs: 80_000 });
  await eventually(async () => (await canopy(['app', 'list', '--dir', dir])).code === EXIT.ok, {
    what: 'the ledger is served and everybody answers',
    timeoutMs: 60_000,
    everyMs: 200,
  });
});
afterAll(async () => {
  await up?.[Symbol.asyncDispose]();
  await directory?.remove();
});

/** By the `up`'s own words. */
function pidOf(node: string): number {
  const restarted = up.lines.findLast((line) => line.startsWith(`node ${node} is started again`));
  const line = restarted ?? up.lines.find((each) => new RegExp(`^${node} +\\d+ `).test(each));
  return Number(/(?:process |^n\d +)(\d+)/.exec(line ?? '')?.[1]);
}

describe('canopy up', () => {
  it('a node that does not answer is shown by app list, app status and db status, which then exit with 1', async () => {
    process.kill(pidOf('n2'), 'SIGSTOP');
    try {
      const [list, status, db] = await Promise.all([
        canopy(['app', 'list', '--dir', dir]),
        canopy(['app', 'status', 'ledger', '--dir', dir]),
        canopy(['db', 'status', '--dir', dir]),
      ]);
      expect([list.code, status.code, db.code]).toEqual([EXIT.failed, EXIT.failed, EXIT.failed]);
      expect(list.output).toContain('node "n2" does not answer');
      expect(status.output).toMatch(/n2 +no answer/);
      expect(db.output).toMatch(/n2 +no answer/);
    } finally {
      process.kill(pidOf('n2'), 'SIGCONT');
    }
  });

  it('tells that a node died, with how, and starts it again', async () => {
    const killed = pidOf('n1');
    process.kill(killed, 'SIGKILL');
    await up.line(new RegExp(`node n1 \\(process ${killed}\\) ended: by SIGKILL`));
    await up.line(/node n1 is started again/);
    await eventually(async () => (await canopy(['app', 'list', '--dir', dir])).code === EXIT.ok, {
      what: 'n1 answers again',
      timeoutMs: 30_000,
      everyMs: 200,
    });
    expect(pidOf('n1')).not.toBe(killed);
  });

  it('a second one in the directory is refused and does not talk about stopping', async () => {
    const second = await canopy(['up', '--dir', dir]);
    expect(second).toMatchObject({ code: EXIT.busy, output: expect.stringContaining('DIRECTORY_IN_USE') });
    expect(second.output).not.toContain('the data stays');
  });

  it('killed, it leaves nothing running soon, and its directory is not taken for a cluster', async () => {
    const nodes = [pidOf('n1'), pidOf('n2')];
    await up.kill();
    await eventually(() => nodes.every((pid) => !existsSync(`/proc/${pid}/cmdline`)), {
      what: 'both nodes have ended',
      timeoutMs: 8_000,
    });
    const status = await canopy(['status', '--dir', dir]);
    expect(status).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('CLUSTER_UNKNOWN') });
    expect(status.output).toContain(`no canopy up runs in ${dir}`);
  });
});
