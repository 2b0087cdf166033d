/** better-sqlite3 as the writer of a replicated database. It is no dependency: it is put into the user's cache. */
import { beforeAll, test } from 'vitest';
import { betterSqlite3, INSTALL_TIMEOUT_MS } from './better-sqlite3.ts';
import { expectReplicated } from './written.ts';

let found: Awaited<ReturnType<typeof betterSqlite3>>;
beforeAll(async () => {
  found = await betterSqlite3();
}, INSTALL_TIMEOUT_MS + 10_000);

test('better-sqlite3 writes: all of it arrives, in order, and the WAL keeps its bound', async ({ skip }) => {
  if (found.missing !== undefined) skip(found.missing);
  await expectReplicated('better-sqlite3', found.directory);
});
