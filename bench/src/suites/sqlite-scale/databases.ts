/** Databases of this process, each with the id of its database process. */
import { readFileSync } from 'node:fs';
import { type Clock, type ConnectionSpec, noGuard, type Promotable, systemEnv, type Timer } from '@canopy/core';
import { type SqliteOptions, sqlite } from '@canopy/sqlite';
import { memoryOf } from '@canopy/testkit';

const LOOK_MS = 100;

export interface OpenDatabase {
  readonly database: Promotable;
  readonly pid: number;
}

/** Follows when this resolves; `onProcess` hears of the database process as soon as there is one. */
export async function openDatabase(
  place: { readonly path: string; readonly app: string; readonly node: string; readonly connection: ConnectionSpec },
  options: SqliteOptions = {},
  onProcess: (pid: number) => void = () => {},
): Promise<OpenDatabase> {
  const { path, ...rest } = place;
  let pid = 0;
  const guard = {
    ...noGuard,
    register: async (process: { readonly pid: number }): Promise<void> => {
      pid = process.pid;
      onProcess(pid);
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

/** The most memory that a process had, in MB: of its own (RssAnon, looked at ten times a second), and all that was resident. */
export class MemoryPeak implements Disposable {
  readonly #pid: number;
  readonly #clock: Clock;
  #anonKb = 0;
  #timer: Timer | undefined;

  constructor(pid: number, clock: Clock) {
    this.#pid = pid;
    this.#clock = clock;
    this.#look();
  }

  get anonMb(): number {
    return (this.#anonKb * 1024) / 1e6;
  }

  /** The program's text and libraries, which all its like share, included. */
  get residentMb(): number {
    const kb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'))?.[1]);
    return (kb * 1024) / 1e6;
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  #look(): void {
    this.#anonKb = Math.max(this.#anonKb, memoryOf(this.#pid)?.rssAnonKb ?? 0);
    this.#timer = this.#clock.timer(LOOK_MS, () => this.#look(), { background: true });
  }
}
