/** The verbs of one file without a platform, as somebody meets them who makes mistakes, is impatient, or asks from another terminal. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DatabaseStatus } from '@canopy/core';
import { eventually, type TemporaryDirectory, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { askControl } from '../../src/control/socket.ts';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';
import { smallDisk } from './small-disk.ts';

let root: TemporaryDirectory;
beforeEach(async () => {
  root = await temporaryDirectory('cli-standalone');
  onTestFinished(() => root.remove());
});

const file = (name: string): string => join(root.path, name);

function database(name: string, rows = 1): void {
  const connection = new DatabaseSync(file(name));
  connection.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  const insert = connection.prepare('INSERT INTO t(x) VALUES (randomblob(4000))');
  for (let i = 0; i < rows; i++) insert.run();
  connection.close();
}

async function running(...args: string[]) {
  const child = await startCanopy(args);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

const ask = (...args: string[]) => canopy(['-o', 'json', ...args]);

/** A server that takes connections and never says a word. */
async function silentServer(): Promise<{ readonly url: string; readonly called: Promise<void> }> {
  const called = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    called.resolve();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  return { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, called: called.promise };
}

describe('work that changes nothing until it is done', () => {
  const verbs = (url: string): string[][] => [
    ['db', 'restore', '--store', `${url}/b`, '--to', file('x.db')],
    ['db', 'ltx', '--store', `${url}/b`],
    ['db', 'status', '--store', `${url}/b`],
    ['db', 'snapshot', 'list', '--store', `${url}/b`],
    ['snapshot', 'restore', 'app', '--server', url, '--platform', 'p', '--to', file('x.db')],
  ];

  it.each([0, 1, 2, 3, 4])(
    'verb %i ends quietly at ctrl-C, and says that nothing is left',
    { timeout: 30_000 },
    async (which) => {
      const { url, called } = await silentServer();
      const child = await running(...(verbs(url)[which] as string[]));
      await called;
      child.signal('SIGINT');
      expect(await child.exited, child.output).toMatchObject({ code: EXIT.interrupted });
      expect(child.output).toContain('interrupted; nothing was changed (INTERRUPTED)');
      expect(child.output).not.toMatch(/AbortError|\n +at /);
      expect(readdirSync(root.path)).toEqual([]);
    },
  );

  it('--timeout ends it, with a code of its own', { timeout: 30_000 }, async () => {
    const { url } = await silentServer();
    const { code, output } = await canopy([...(verbs(url)[0] as string[]), '--timeout', '300ms']);
    expect(code, output).toBe(EXIT.timeout);
    expect(output).toContain('the restore was not finished within 300ms; nothing was changed (TIME_RAN_OUT)');
    expect(readdirSync(root.path)).toEqual([]);
  });
});

it('what is refused is told once, and leaves nothing beside the file', async () => {
  database('a.db');
  writeFileSync(file('text.db'), 'no database');
  const refused = [
    [['replicate', file('a.db'), '--store', 'nats://127.0.0.1:1/b'], EXIT.unreachable, 'NATS_UNREACHABLE'],
    [['replicate', file('text.db'), '--store', file('log')], EXIT.failed, 'SQLITE_NOT_A_DATABASE'],
    [['replicate', file('a.db'), '--store', file('text.db')], EXIT.usage, 'SQLITE_STORE_INVALID'],
    [['replicate', file('no/a.db'), '--create', '--store', file('log')], EXIT.usage, 'SQLITE_DESTINATION_INVALID'],
    [['follow', file('b.db'), '--store', file('none')], EXIT.unreachable, 'there is no log in the directory'],
    [['follow', file('no/b.db'), '--store', file('none')], EXIT.usage, 'SQLITE_DESTINATION_INVALID'],
  ] as const;
  for (const [args, code, says] of refused) {
    const told = await canopy(['db', ...args]);
    expect(told.code, told.output).toBe(code);
    expect(told.output).toContain(says);
    expect(told.output.trim().split('\n'), told.output).toHaveLength(2);
  }
  expect(readdirSync(root.path).sort()).toEqual(['a.db', 'text.db']);
});

it('the one that replicates answers other commands; named snapshots come and go', async () => {
  database('a.db');
  const store = ['--store', file('log')];
  const primary = await running('db', 'replicate', file('a.db'), ...store, '--compaction-levels', '1s,5s');
  await primary.line(/^replicating/);
  const writer = new DatabaseSync(file('a.db'), { timeout: 5000 });
  onTestFinished(() => writer.close());
  writer.exec('INSERT INTO t(x) VALUES (1)');
  const synced = await ask('db', 'sync', '--file', file('a.db'));
  expect(synced.code, synced.output).toBe(EXIT.ok);
  const { position } = JSON.parse(synced.output);
  const status = await ask('db', 'status', '--file', file('a.db'));
  expect(JSON.parse(status.output)).toMatchObject({ role: 'primary', path: file('a.db') });

  const made = await ask('db', 'snapshot', 'create', 'before', ...store);
  expect(JSON.parse(made.output)).toMatchObject({ id: 'before', position });
  expect((await canopy(['db', 'snapshot', 'list', ...store])).output).toMatch(/\nbefore +2/);
  writer.exec('DELETE FROM t');
  const restored = await canopy(['db', 'snapshot', 'restore', 'before', ...store, '--to', file('r.db')]);
  expect(restored.code, restored.output).toBe(EXIT.ok);
  const back = new DatabaseSync(file('r.db'));
  expect(back.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: 2 });
  back.close();
  expect((await canopy(['db', 'snapshot', 'delete', 'before', ...store])).code).toBe(EXIT.ok);
  expect((await canopy(['db', 'snapshot', 'delete', 'before', ...store])).code).toBe(EXIT.notFound);

  const other = await canopy(['db', 'restore', ...store, '--to', file('x.db'), '--txid', `7${position.slice(1)}`]);
  expect(other.code, other.output).toBe(EXIT.notFound);
  expect(other.output).toContain('SQLITE_POSITION_UNKNOWN');
  primary.signal('SIGTERM');
  expect(await primary.exited, primary.output).toMatchObject({ code: EXIT.ok });
  expect(primary.output).not.toContain('LOG_NOT_REPLICATED');
  const alone = await canopy(['db', 'sync', '--file', file('a.db')]);
  expect(alone).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('REPLICATION_NOT_RUNNING') });
});

it('while NATS is away it says what waits, once; ctrl-C then is a failure', { timeout: 120_000 }, async () => {
  database('a.db');
  const nats = await testNatsServer();
  onTestFinished(() => nats[Symbol.asyncDispose]());
  const primary = await running('db', 'replicate', file('a.db'), '--store', `${nats.url}/log`);
  await primary.line(/^replicating/);
  const writer = new DatabaseSync(file('a.db'), { timeout: 5000 });
  onTestFinished(() => writer.close());
  await nats.server.kill();
  writer.exec('INSERT INTO t(x) VALUES (1)');
  const status = await eventually(
    async () => {
      const said = (await askControl(file('a.db'), { op: 'status', timeoutMs: 5000 })) as DatabaseStatus;
      return said.lag.tx !== 0 && said;
    },
    { what: 'a status that does not call it shipped', timeoutMs: 30_000 },
  );
  expect(status).toMatchObject({ role: 'primary', position: { txid: 1 }, lag: {} });
  await primary.line(/NATS is away: what was committed after 1\.0*1 waits/, { timeoutMs: 30_000 });
  const first = primary.lines.find((line) => /NATS is away|NATS_UNREACHABLE|SQLITE_APPEND_UNKNOWN/.test(line));
  expect(first, primary.output).toMatch(/^NATS is away/);
  const waiting = await canopy(['db', 'status', '--file', file('a.db')]);
  expect(waiting.output).toMatch(/not yet in the log: +unknown, commits may be waiting\n[\s\S]*! NATS is away/);
  const late = await canopy(['db', 'sync', '--file', file('a.db'), '--timeout', '300ms']);
  expect(late.code, late.output).toBe(EXIT.timeout);
  expect(late.output).toMatch(/the sync \(NATS is away.*\) did not finish within 300 ms \(DEADLINE_EXCEEDED\)/);

  await nats.server.restart();
  await primary.line(/NATS is back: 1\.0*2, which has waited for /, { timeoutMs: 60_000 });
  expect(primary.output.match(/NATS is (away|back)/g)).toEqual(['NATS is away', 'NATS is back']);
  await nats.server.kill();
  writer.exec('INSERT INTO t(x) VALUES (1)');
  primary.signal('SIGINT');
  expect(await primary.exited, primary.output).toMatchObject({ code: EXIT.failed });
  expect(primary.output).toMatch(/commits after 1\.0*2 (are not|may not be) in the log[\s\S]*REPLICATION_INCOMPLETE/);
});

it.each(['replicate', 'follow'])(
  'db %s ends with the error once its database process was killed four times',
  { timeout: 60_000 },
  async (verb) => {
    database('a.db');
    const source = await running('db', 'replicate', file('a.db'), '--store', file('log'));
    await source.line(/^replicating/);
    const target = verb === 'follow' ? 'b.db' : 'a.db';
    const child = verb === 'follow' ? await running('db', 'follow', file('b.db'), '--store', file('log')) : source;
    await child.line(/^(replicating|following)/);
    const holder = (): number => JSON.parse(readFileSync(join(file(`${target}-canopy`), 'holder.json'), 'utf8')).pid;
    const killed = new Set<number>();
    while (killed.size < 4) {
      const pid = await eventually(() => (child.exit === undefined && killed.has(holder()) ? undefined : holder()), {
        what: `a process after the death of ${[...killed]}`,
        timeoutMs: 30_000,
      });
      expect(child.exit, child.output).toBeUndefined();
      // One is killed while it runs, the other mostly while it starts.
      const role = async (): Promise<unknown> =>
        ((await askControl(file(target), { op: 'status', timeoutMs: 5000 })) as DatabaseStatus).role;
      if (verb === 'replicate')
        await eventually(async () => (await role()) === 'primary', { what: 'a primary again', timeoutMs: 30_000 });
      killed.add(pid);
      process.kill(pid, 'SIGKILL');
    }
    expect(await child.exited, child.output).toMatchObject({ code: EXIT.failed });
    expect(child.output).toContain('(SQLITE_PROCESS_DIED)');
  },
);

it('what is kept beside a file is listed, shown, exported and deleted without a platform', async () => {
  database('a.db');
  const kept = file('a.db.divergent-1-0000000000000002');
  mkdirSync(kept);
  writeFileSync(join(kept, 'changes.jsonl'), '{"table":"t","change":"insert","row":{"id":9,"x":"lost"}}\n');
  const say = (...args: string[]) => canopy(['db', 'divergence', ...args, '--file', file('a.db')]);
  const id = '1-0000000000000002';
  expect((await say('list')).output).toContain(id);
  expect((await say('show', id)).output).toContain('lost');
  for (const to of [file('no/out.sql'), root.path]) {
    const wrong = await say('export', id, '--to', to);
    expect(wrong.code, wrong.output).toBe(EXIT.storage);
    expect(wrong.output).toContain('FILE_UNWRITABLE');
  }
  expect((await say('export', id, '--to', file('out.sql'))).code).toBe(EXIT.ok);
  expect(readFileSync(file('out.sql'), 'utf8')).toMatch(/INSERT[\s\S]*COMMIT;\n$/);
  expect((await say('delete', id)).code).toBe(EXIT.usage);
  expect((await say('delete', id, '--yes')).code).toBe(EXIT.ok);
  expect(existsSync(kept)).toBe(false);
  expect(await say('show', id)).toMatchObject({ code: EXIT.notFound });
});

it('a file that had a log begins no other one, and is told what makes it do so', { timeout: 60_000 }, async () => {
  database('a.db');
  const replicate = async (log: string): Promise<void> => {
    const primary = await running('db', 'replicate', file('a.db'), '--store', file(log));
    await primary.line(/^replicating/);
    primary.signal('SIGTERM');
    expect(await primary.exited, primary.output).toMatchObject({ code: EXIT.ok });
  };
  await replicate('one');
  const refused = await canopy(['db', 'replicate', file('a.db'), '--store', file('other')]);
  expect(refused.code, refused.output).toBe(EXIT.unreachable);
  expect(refused.output).toContain('goes without its -canopy directory');
  expect(existsSync(file('other'))).toBe(false);
  renameSync(file('a.db-canopy'), file('away'));
  await replicate('other');
});

it('a full disk is told, and nothing half-done stays on it', async ({ skip }) => {
  const disk = await smallDisk(4 * 1024 * 1024, skip);
  onTestFinished(() => disk[Symbol.asyncDispose]());
  database('a.db', 2000);
  const primary = await running('db', 'replicate', file('a.db'), '--store', file('log'));
  await primary.line(/^replicating/);
  primary.signal('SIGTERM');
  await primary.exited;
  const { code, output } = await canopy(['db', 'restore', '--store', file('log'), '--to', join(disk.path, 'x.db')]);
  expect(code, output).toBe(EXIT.storage);
  expect(output).toContain('SQLITE_DISK_FULL');
  expect(readdirSync(disk.path)).toEqual([]);
});
