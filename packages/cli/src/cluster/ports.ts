/**
 * Ports of a play cluster: found free once and kept in the cluster's directory, so that addresses stay the same when it is
 * started again. A port that somebody else has taken meanwhile is replaced.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export class PortBook {
  readonly #file: string;
  readonly #ports: Record<string, number>;
  readonly #checked = new Set<string>();
  /** One search at a time, or two would settle on the same free port. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#file = join(directory, 'ports.json');
    this.#ports = readPorts(this.#file);
  }

  /** The port kept under this name; `wanted` is tried first for a new one. */
  get(name: string, wanted = 0): Promise<number> {
    const found = this.#last.then(() => this.#find(name, wanted));
    this.#last = found.catch(() => {});
    return found;
  }

  async #find(name: string, wanted: number): Promise<number> {
    const kept = this.#ports[name];
    if (kept !== undefined && (this.#checked.has(name) || (await isFree(kept)))) {
      this.#checked.add(name);
      return kept;
    }
    const used = new Set(Object.values(this.#ports));
    let port = wanted;
    for (let tries = 0; port === 0 || used.has(port) || !(await isFree(port)); tries++) {
      port = wanted !== 0 && tries < 50 ? wanted + tries + 1 : await freePort();
    }
    this.#ports[name] = port;
    this.#checked.add(name);
    writeFileSync(this.#file, `${JSON.stringify(this.#ports, null, 2)}\n`);
    return port;
  }
}

function readPorts(file: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
  } catch {
    return {};
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
