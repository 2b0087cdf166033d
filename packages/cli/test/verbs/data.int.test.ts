/** Snapshots, confirmation, and what a node kept aside, on a real cluster of two nodes, as an operator would do it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type ChildNode, eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

let directory: TemporaryDirectory;
let up: ChildNode;
let dir: string;
const say = (...args: string[]) => canopy([...args, '--dir', dir]);
const json = async (...args: string[]) => JSON.parse((await say('-o', 'json', ...args)).output);
const file = (name: string): string => join(directory.path, name);

interface Row {
  node: string;
  database: { role: string; path: string };
  kept?: { id: string; rows: number; sizeBytes: number; directory: string }[];
  problems: { problem: string; action: string }[];
}

async function startUp(): Promise<void> {
  up = await startCanopy(['up', '--example', 'ledger', '--nodes', '2', '--dir', dir, '--nats-port', '0']);
  await up.line(/platform play is up/, { timeoutMs: 80_000 });
  await eventually(
    async () => {
      const roles = ((await json('db', 'status', 'ledger')) as Row[]).map(({ database }) => database?.role);
      return roles.includes('primary') && roles.includes('standby');
    },
    { what: 'a primary and a standby', timeoutMs: 60_000 },
  );
}

beforeAll(async () => {
  directory = await temporaryDirectory('data-verbs');
  dir = file('up');
  await startUp();
});
afterAll(async () => {
  await up?.[Symbol.asyncDispose]();
  await directory?.remove();
});

const accounts = (path: string): number => {
  const connection = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    return Number(connection.prepare('SELECT count(*) AS n FROM accounts').get()?.n);
  } finally {
    connection.close();
  }
};

describe('a database that is well', () => {
  it('status answers who is primary, how far everyone is, and what is not known', async () => {
    const told = await say('db', 'status');
    expect(told, told.output).toMatchObject({ code: EXIT.ok });
    expect(told.output).toMatch(/^ledger: n[12] is primary under epoch \d+, /);
    expect(told.output).toMatch(/n[12] +standby +nothing /);
    expect(told.output).toMatch(/last snapshot: +(none yet; the log begins with a full copy, stored |)\d+/);
    expect(told.output).toMatch(/restore last proven: +(never, as far as is known|\d+)/);
    expect(told.output).toMatch(/kept aside: +nothing/);
  });

  it('sync says where everything is; with more standbys than there are it ends with the time, exit code 5', async () => {
    expect(await json('db', 'sync', 'ledger', '--applied', '1')).toMatchObject({
      app: 'ledger',
      node: expect.stringMatching(/^n[12]$/),
      position: expect.stringMatching(/^\d+\.[0-9a-f]{16}$/),
      applied: 1,
    });
    const late = await say('db', 'sync', 'ledger', '--applied', '2', '--timeout', '1s');
    expect(late, late.output).toMatchObject({ code: EXIT.timeout });
    expect(late.output).toContain('1 of 2 standbys');
    expect(await say('db', 'sync', 'ledger', '--applied', '0')).toMatchObject({ code: EXIT.usage });
    expect(await say('db', 'sync', 'ledgr')).toMatchObject({ code: EXIT.notFound });
  });

  it('snapshots are made, listed, restored to a new file, and deleted', async () => {
    expect((await say('snapshot', 'list', 'ledger')).output).toContain('ledger has no named snapshots');
    const missing = await say('snapshot', 'restore', 'ledger', 'before', '--to', file('none.db'));
    expect(missing, missing.output).toMatchObject({ code: EXIT.notFound });
    expect(await json('snapshot', 'create', 'ledger', '--name', 'before')).toMatchObject({ id: 'before' });
    expect(await say('snapshot', 'create', 'ledger', '--name', 'before')).toMatchObject({ code: EXIT.failed });
    expect(await say('snapshot', 'create', 'ledger', '--name', 'a b')).toMatchObject({ code: EXIT.usage });
    const list = await json('snapshot', 'list', 'ledger');
    expect(list).toMatchObject({ snapshots: [{ id: 'before' }], log: { position: expect.any(String) } });

    const restored = await say('snapshot', 'restore', 'ledger', 'before', '--to', file('r.db'));
    expect(restored, restored.output).toMatchObject({ code: EXIT.ok });
    expect(restored.output).toContain('check: full, ok');
    expect(accounts(file('r.db'))).toBe(100);
    const again = await say('snapshot', 'restore', 'ledger', '--to', file('r.db'));
    expect(again).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('SQLITE_DESTINATION_EXISTS') });
    const position = list.log.position as string;
    const replaced = await json(
      'snapshot',
      'restore',
      'ledger',
      '--txid',
      position,
      '--to',
      file('r.db'),
      '--overwrite',
    );
    expect(replaced).toMatchObject({ position, id: null });

    expect((await say('db', 'status', 'ledger')).output).toContain('the last named one: before');
    expect(await say('snapshot', 'delete', 'ledger', 'before')).toMatchObject({ code: EXIT.ok });
    expect(await say('snapshot', 'delete', 'ledger', 'before')).toMatchObject({ code: EXIT.notFound });
    const both = await say('snapshot', 'restore', 'ledger', 'x', '--time', '2026-01-01', '--to', file('x.db'));
    expect(both).toMatchObject({ code: EXIT.usage });
    expect(await say('snapshot', 'list', 'ledgr')).toMatchObject({ code: EXIT.notFound });
    expect(existsSync(file('x.db')) || existsSync(file('none.db'))).toBe(false);
  });
});

describe('a node that has commits of its own', () => {
  it('keeps them aside: listed, shown, exported, and deleted only with --yes', async () => {
    const rows = (await json('db', 'status', 'ledger')) as Row[];
    const standby = rows.find(({ database }) => database.role === 'standby') as Row;
    up.signal('SIGINT');
    expect((await up.exited).code).toBe(EXIT.ok);
    const connection = new DatabaseSync(standby.database.path);
    connection.exec(`INSERT INTO accounts VALUES ('mine', 5, 5);
      UPDATE accounts SET balance = balance + 11 WHERE id = 'acct-3'; DELETE FROM accounts WHERE id = 'acct-4'`);
    connection.close();
    await startUp();
    const [row] = await eventually(
      async () => {
        const found = ((await json('db', 'status', 'ledger')) as Row[]).filter(({ kept }) => (kept?.length ?? 0) > 0);
        return found.length > 0 ? found : undefined;
      },
      { what: 'a divergence', timeoutMs: 30_000 },
    );
    expect(row).toMatchObject({ node: standby.node, kept: [{ rows: 3, sizeBytes: expect.any(Number) }] });
    expect(row?.problems[0]?.action).toContain('canopy db divergence list ledger');
    expect(await say('db', 'status', 'ledger')).toMatchObject({ code: EXIT.failed });
    const [first] = row?.kept ?? [];
    const { id, directory: kept } = first as NonNullable<typeof first>;

    const shown = await say('db', 'divergence', 'show', 'ledger', id);
    expect(shown, shown.output).toMatchObject({ code: EXIT.ok });
    expect(shown.output).toContain('added    id="mine", opening=5, balance=5');
    expect(shown.output).toContain('changed  id="acct-3"  balance: 1000 → 1011');
    expect(shown.output).toContain('removed  id="acct-4"');
    expect((await say('db', 'divergence', 'show', 'ledger', id, '--limit', '1')).output).toContain('and more');

    const sql = file('lost.sql');
    expect(await say('db', 'divergence', 'export', 'ledger', id, '--to', sql)).toMatchObject({ code: EXIT.ok });
    expect(await say('db', 'divergence', 'export', 'ledger', id, '--to', sql)).toMatchObject({ code: EXIT.failed });
    const live = new DatabaseSync(':memory:');
    live.exec('CREATE TABLE accounts(id TEXT PRIMARY KEY, opening, balance)');
    live.exec("INSERT INTO accounts VALUES ('acct-3', 1000, 1000), ('acct-4', 1000, 1000)");
    live.exec(readFileSync(sql, 'utf8'));
    expect(live.prepare('SELECT id, balance FROM accounts ORDER BY id').all()).toEqual([
      { id: 'acct-3', balance: 1011 },
      { id: 'mine', balance: 5 },
    ]);
    live.close();
    const lines = (await say('db', 'divergence', 'export', 'ledger', id)).output.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).change).sort()).toEqual(['delete', 'insert', 'update']);

    const careful = await say('db', 'divergence', 'delete', 'ledger', id);
    expect(careful).toMatchObject({ code: EXIT.usage, output: expect.stringContaining('--yes') });
    expect(existsSync(kept)).toBe(true);
    expect(await say('db', 'divergence', 'delete', 'ledger', id, '--yes')).toMatchObject({ code: EXIT.ok });
    expect(existsSync(kept)).toBe(false);
    expect(await say('db', 'divergence', 'show', 'ledger', id)).toMatchObject({ code: EXIT.notFound });
    await eventually(async () => (await say('db', 'status', 'ledger')).code === EXIT.ok, { what: 'all is well' });
  });
});
