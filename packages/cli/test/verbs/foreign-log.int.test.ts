/** Two databases, two logs at the very same position, and the store of one named for the other. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

it('a store that is named by mistake is refused, for a primary and a copy, and whoever writes there goes on', async () => {
  const root = await temporaryDirectory('cli-foreign-log');
  onTestFinished(() => root.remove());
  const file = (name: string): string => join(root.path, name);
  const running = async (verb: string, name: string, log: string) => {
    const child = await startCanopy(['db', verb, file(name), '--store', file(log)]);
    onTestFinished(() => child[Symbol.asyncDispose]());
    await child.line(verb === 'follow' ? /^following/ : /^replicating/);
    return child;
  };
  for (const name of ['a.db', 'b.db']) {
    using connection = new DatabaseSync(file(name));
    connection.exec(`PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES ('${name}')`);
  }
  const [a, b] = await Promise.all([running('replicate', 'a.db', 'log-a'), running('replicate', 'b.db', 'log-b')]);
  const copy = await running('follow', 'copy.db', 'log-b');
  for (const child of [copy, b]) {
    child.signal('SIGTERM');
    await child.exited;
  }

  for (const [verb, name] of [
    ['replicate', 'b.db'],
    ['follow', 'copy.db'],
  ] as const) {
    const told = await canopy(['db', verb, file(name), '--store', file('log-a')]);
    expect(told.code, told.output).toBe(EXIT.failed);
    expect(told.output).toMatch(/error: .* belongs to log \w{16}, last seen as log-b, but log-a holds log \w{16}/);
    expect(told.output).toContain('name the one of this file: log-b');
    expect(told.output).not.toContain('fenced');
  }

  using connection = new DatabaseSync(file('a.db'), { timeout: 5000 });
  connection.exec(`INSERT INTO t VALUES ('more')`);
  const synced = await canopy(['db', 'sync', '--file', file('a.db')]);
  expect(synced.code, synced.output).toBe(EXIT.ok);
  a.signal('SIGTERM');
  expect(await a.exited, a.output).toMatchObject({ code: 0 });
  const restored = await canopy(['db', 'restore', '--store', file('log-a'), '--to', file('r.db')]);
  expect(restored.code, restored.output).toBe(EXIT.ok);
  using result = new DatabaseSync(file('r.db'));
  expect(result.prepare('SELECT x FROM t').all()).toEqual([{ x: 'a.db' }, { x: 'more' }]);
});
