/** Who keeps what was kept aside: the nodes of an app, each its own, or the directory of one file on this machine. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import type { DivergencePiece, NodeDivergences } from '@canopy/platform';
import {
  deleteDivergence,
  describeDivergences,
  findDivergence,
  realDatabasePath,
  showDivergence,
} from '@canopy/sqlite';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { cliErrors } from '../errors.ts';

export type Change = DivergencePiece['changes'][number];

/** What the divergences are of: one of the two. */
export type DivergencePlace = { readonly app: string } | { readonly file: string };

export interface DivergenceSource {
  /** For people: the app, or the file. */
  readonly label: string;
  /** As the verbs are told it. */
  readonly argument: string;
  /** For the JSON form. */
  readonly fields: { readonly app: string } | { readonly database: string };
  list(): Promise<readonly NodeDivergences[]>;
  changes(node: string, id: string): AsyncIterable<Change>;
  delete(node: string, id: string): Promise<{ directory: string; freedBytes: number }>;
}

/** Throws FILE_MISSING where neither the file nor anything kept of it is there. */
export async function withDivergences<T>(
  place: DivergencePlace,
  options: ClusterOptions,
  work: (source: DivergenceSource) => Promise<T>,
): Promise<T> {
  if ('file' in place) return work(fileSource(realDatabasePath(place.file), place.file));
  const { app } = place;
  return withCluster(options, ({ databases }) =>
    work({
      label: app,
      argument: app,
      fields: { app },
      list: () => databases.divergences(app),
      changes: (node, id) => databases.changes(app, node, id),
      delete: (node, id) => databases.deleteDivergence(app, node, id),
    }),
  );
}

function fileSource(path: string, given: string): DivergenceSource {
  return {
    label: path,
    argument: `--file ${given}`,
    fields: { database: path },
    list: async () => {
      const divergences = await describeDivergences(path);
      if (divergences.length === 0 && !existsSync(path)) throw cliErrors.create('FILE_MISSING', { file: path });
      return [{ node: hostname(), divergences, error: undefined }];
    },
    changes: async function* (_, id) {
      yield* showDivergence(findDivergence(path, id));
    },
    delete: (_, id) => deleteDivergence(path, id),
  };
}
