import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LocalNode } from '@canopy/cli';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { thrownAway } from '../../src/demo/kept-aside.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'canopy-kept-'));
  const aside = join(home, 'data', 'ledger.db.divergent-3-0000000000000007');
  mkdirSync(aside, { recursive: true });
  const database = new DatabaseSync(join(aside, 'database.sqlite'));
  database.exec("CREATE TABLE transfers (id TEXT); INSERT INTO transfers VALUES ('kept')");
  database.close();
});
afterEach(() => rmSync(home, { recursive: true }));

it('a commit of a woken process is in the log, kept by its own node, or thrown away', () => {
  const nodes = [{ name: 'n1', home }] as unknown as LocalNode[];
  const commit = (id: string, node = 'n1') => ({ id, node, pid: 1, at: 0 });
  const commits = [commit('kept'), commit('stored'), commit('gone'), commit('kept', 'n2')];
  expect(thrownAway(commits, new Set(['stored']), nodes)).toEqual([commit('gone'), commit('kept', 'n2')]);
});
