/** Reads the journals that the ledgers wrote beside their databases: who committed which transfer when. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalNode } from '@canopy/cli';
import type { Commit } from '../check/index.ts';

export function readJournals(nodes: readonly LocalNode[]): Commit[] {
  return nodes.flatMap((node) => {
    const file = join(node.home, 'data', 'journal.ndjson');
    if (!existsSync(file)) return [];
    return parseJournal(node.name, readFileSync(file, 'utf8'));
  });
}

/** A line cut short by a SIGKILL is no commit that anybody was told of; it is left out. */
export function parseJournal(node: string, text: string): Commit[] {
  return text.split('\n').flatMap((line) => {
    if (!line.endsWith('}')) return [];
    const { id, at, pid } = JSON.parse(line) as { id: string; at: number; pid: number };
    return [{ node, id, at, pid }];
  });
}
