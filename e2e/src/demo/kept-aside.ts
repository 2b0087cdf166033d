/** What nodes kept of commits that the log refused, looked up in the databases that they put aside. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LocalNode } from '@canopy/cli';
import type { Commit } from '../check/index.ts';

/** Of these commits, those that are neither in the ledger nor in anything that their node kept: they are gone. */
export function thrownAway(
  commits: readonly Commit[],
  stored: ReadonlySet<string>,
  nodes: readonly LocalNode[],
): readonly Commit[] {
  const kept = new Map(nodes.map((node) => [node.name, keptTransfers(join(node.home, 'data'))]));
  return commits.filter(({ node, id }) => !stored.has(id) && kept.get(node)?.has(id) !== true);
}

/** The ids of all transfers in all databases that were put aside in this directory. */
export function keptTransfers(directory: string): Set<string> {
  const ids = new Set<string>();
  for (const entry of readdirSync(directory)) {
    const file = join(directory, entry, 'database.sqlite');
    if (!entry.includes('.divergent-') || !existsSync(file)) continue;
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      for (const { id } of database.prepare('SELECT id FROM transfers').all()) ids.add(String(id));
    } finally {
      database.close();
    }
  }
  return ids;
}
