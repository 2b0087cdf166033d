/**
 * A file that only the present term can write, on a directory that several processes share. Each version is a file of
 * its own, named by a number; making the next number is the compare-and-set, because `link` refuses a name that exists.
 * Invariant: the version with the highest number is the content, and its epoch never goes down.
 */
import { link, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeFenced, encodeFenced, type FencedValue } from './fenced-value.ts';
import { staleEpoch } from './guard.ts';

const DIGITS = 15;
/** Kept behind the present version, for readers that have just looked at the list. */
const VERSIONS_KEPT = 2;
/** A write takes milliseconds; one that is this old has been abandoned. */
const ABANDONED_MS = 600_000;
const TIDY_EVERY = 64;

export class FencedFile {
  readonly #directory: string;
  readonly #uuid: () => string;

  /** `uuid` names temporary files: `env.random.uuid`. The directory is made by the first write. */
  constructor(directory: string, uuid: () => string) {
    this.#directory = directory;
    this.#uuid = uuid;
  }

  /** The content, and the epoch that wrote it. Undefined when nothing was written yet. */
  async read(): Promise<FencedValue | undefined> {
    return (await this.#present())?.content;
  }

  /**
   * Call first in a term: from when it resolves, earlier terms can't write any more, and the content it gives is the last
   * of theirs. ELECTION_EPOCH_STALE when a later term has been here.
   */
  async claim(epoch: number): Promise<Uint8Array | undefined> {
    return this.#replace(epoch, (present) => present);
  }

  /** On disk when it resolves. ELECTION_EPOCH_STALE when a later term has been here. */
  async write(epoch: number, value: Uint8Array): Promise<void> {
    await this.#replace(epoch, () => value);
  }

  async #replace(epoch: number, next: (present: Uint8Array) => Uint8Array): Promise<Uint8Array | undefined> {
    await mkdir(this.#directory, { recursive: true });
    for (;;) {
      const present = await this.#present();
      if (present !== undefined && present.content.epoch > epoch)
        throw staleEpoch(`file ${this.#directory}`, epoch, present.content.epoch);
      const number = (present?.number ?? 0) + 1;
      const before = present?.content.value;
      if (!(await this.#create(number, encodeFenced({ epoch, value: next(before ?? new Uint8Array(0)) })))) continue;
      // The name was free, but perhaps only because versions that came later have been tidied away: then it is not the
      // present one, and whoever wrote those decides.
      if ((await this.#numbers()).at(-1) === number) {
        await this.#tidy(number);
        return before;
      }
    }
  }

  /** False when the version exists. */
  async #create(number: number, bytes: Uint8Array): Promise<boolean> {
    const temporary = join(this.#directory, `.${this.#uuid()}`);
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      await link(temporary, this.#pathOf(number));
      await this.#syncDirectory();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return false;
    } finally {
      await unlink(temporary);
    }
  }

  async #present(): Promise<{ number: number; content: FencedValue } | undefined> {
    for (;;) {
      const number = (await this.#numbers()).at(-1);
      if (number === undefined) return undefined;
      try {
        return { number, content: decodeFenced(await readFile(this.#pathOf(number))) };
      } catch (error) {
        // Tidied away since the list was read, so there is a newer one.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  async #numbers(): Promise<number[]> {
    try {
      const names = await readdir(this.#directory);
      return names
        .filter((name) => /^\d{15}$/.test(name))
        .map(Number)
        .sort((a, b) => a - b);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  async #tidy(present: number): Promise<void> {
    for (const number of await this.#numbers())
      if (number < present - VERSIONS_KEPT) await unlink(this.#pathOf(number)).catch(() => {});
    if (present % TIDY_EVERY === 0) await this.#sweep();
  }

  /** What writers left that died before their version had its name. By the file system's own clock. */
  async #sweep(): Promise<void> {
    const now = (await stat(this.#directory)).mtimeMs;
    for (const name of await readdir(this.#directory)) {
      if (!/^\.[\w-]+$/.test(name)) continue;
      const path = join(this.#directory, name);
      const left = await stat(path).catch(() => undefined);
      if (left !== undefined && now - left.mtimeMs > ABANDONED_MS) await unlink(path).catch(() => {});
    }
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(this.#directory);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  #pathOf(number: number): string {
    return join(this.#directory, String(number).padStart(DIGITS, '0'));
  }
}
