/** Databases of this process, each with the id of its database process. */
import { readFileSync } from 'node:fs';
import { type ConnectionSpec, noGuard, type Promotable, systemEnv } from '@canopy/core';
import { type SqliteOptions, sqlite } from '@canopy/sqlite';

export interface OpenDatabase {
  readonly database: Promotable;
  readonly pid: number;
}

/** Follows when this resolves. */
export async function openDatabase(
  place: { readonly path: string; readonly app: string; readonly node: string; readonly connection: ConnectionSpec },
  options: SqliteOptions = {},
): Promise<OpenDatabase> {
  const { path, ...rest } = place;
  let pid = 0;
  const guard = {
    ...noGuard,
    register: async (process: { readonly pid: number }): Promise<void> => {
      pid = process.pid;
    },
  };
  const database = sqlite(path, options).open({ platform: 'bench', ...rest, env: systemEnv(), guard });
  try {
    await database.start();
  } catch (error) {
    await database.stop();
    throw error;
  }
  return { database, pid };
}

/** The most memory that the process ever had, MB. */
export function peakMb(pid: number): number {
  const kb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return (kb * 1024) / 1e6;
}
