/** The verbs against a real cluster of two nodes with the ledger, as a person or a script would use them. */
import { join } from 'node:path';
import { type ChildNode, eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

let directory: TemporaryDirectory;
let up: ChildNode;
let dir: string;
const json = async (...args: string[]) => JSON.parse((await canopy(['-o', 'json', ...args, '--dir', dir])).output);

interface Overview {
  active: string | null;
  epoch: number | null;
  instances: { node: string; status?: { role: string; proxy?: { address: string } } }[];
}

async function served(): Promise<Overview> {
  let overview: Overview | undefined;
  await eventually(
    async () => {
      overview = (await json('app', 'status', 'ledger')) as Overview;
      const standbys = overview.instances.filter(({ status }) => status?.role === 'standby').length;
      return overview.active !== null && standbys === 1;
    },
    { what: 'one active node and one standby', timeoutMs: 60_000 },
  );
  return overview as Overview;
}

beforeAll(async () => {
  directory = await temporaryDirectory('verbs');
  dir = join(directory.path, 'up');
  up = await startCanopy(['up', '--example', 'ledger', '--nodes', '2', '--dir', dir]);
  await up.line(/platform play is up/, { timeoutMs: 80_000 });
  await served();
});
afterAll(async () => {
  await up?.[Symbol.asyncDispose]();
  await directory?.remove();
});

describe('a running cluster', () => {
  it('is introduced with addresses and things to try', () => {
    expect(up.output).toMatch(/NODE +PID +HEALTH +LEDGER THROUGH/);
    expect(up.output).toContain('npx canopy status');
  });

  it('status shows both nodes alive and the app served, and is silent about nothing', async () => {
    const table = await canopy(['status', '--dir', dir]);
    expect(table).toMatchObject({ code: EXIT.ok });
    expect(table.output).toMatch(/n1 +alive/);
    expect(table.output).toMatch(/n2 +alive/);
    expect(table.output).toMatch(/ledger +n[12] +\d+ +1 /);
    expect(await json('status')).toMatchObject({ platform: 'play', problems: [], apps: [{ app: 'ledger' }] });
  });

  it('app list, app status and db status agree on who is active', async () => {
    const { active } = await served();
    expect(await json('app', 'list')).toMatchObject([{ app: 'ledger', active }]);
    const rows = (await json('db', 'status', 'ledger')) as { node: string; database: { role: string } }[];
    expect(rows.find((row) => row.node === active)?.database.role).toBe('primary');
    expect(rows.filter((row) => row.database.role === 'standby')).toHaveLength(1);
    const table = await canopy(['app', 'status', 'ledger', '--dir', dir]);
    expect(table.output).toMatch(/last transitions as n[12] saw them/);
    expect(table.output).toContain('serving');
  });

  it('an app or node that does not exist is told, with the exit code for it', async () => {
    expect(await canopy(['app', 'status', 'ledgr', '--dir', dir])).toMatchObject({
      code: EXIT.notFound,
      output: expect.stringContaining('APP_UNKNOWN'),
    });
    expect(await canopy(['stepdown', 'ledger', '--to', 'n9', '--dir', dir])).toMatchObject({
      code: EXIT.notFound,
      output: expect.stringContaining('n1, n2'),
    });
  });

  it('stepdown moves the app to the other node, and a transfer made before is there afterwards', async () => {
    const before = await served();
    const through = `http://${before.instances[0]?.status?.proxy?.address}`;
    const body = JSON.stringify({ from: 'acct-1', to: 'acct-2', amount: 5 });
    const made = await fetch(`${through}/transfers/verbs-1`, { method: 'PUT', body });
    expect([200, 201]).toContain(made.status);
    const other = before.active === 'n1' ? 'n2' : 'n1';
    const moved = (await json('stepdown', 'ledger', '--to', other)) as { from: string; to: string; ms: number };
    expect(moved).toMatchObject({ from: before.active, to: other });
    const after = await served();
    expect(after.active).toBe(other);
    expect(after.epoch as number).toBeGreaterThan(before.epoch as number);
    expect(await (await fetch(`${through}/transfers/verbs-1`)).json()).toMatchObject({ id: 'verbs-1', amount: 5 });
  });

  it('ctrl-C stops everything in order and says that the data stays', async () => {
    up.signal('SIGINT');
    expect((await up.exited).code).toBe(EXIT.ok);
    expect(up.output).toContain('the data stays in');
  });
});
