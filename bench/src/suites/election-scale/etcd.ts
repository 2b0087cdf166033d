/**
 * An etcd server for comparison, and a lease on it over its HTTP gateway: the election that its documentation describes (a key
 * created only when absent, bound to a lease that is kept alive; the others watch the key). The binary is PATH's, else that of
 * Debian's package, unpacked in a temporary directory; nothing is installed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, freePort, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';

const run = promisify(execFile);
const BOUND = { timeout: 120_000 };

/** The binary's path, or why there is none. */
export async function findEtcd(workspace: string, mayFetch: boolean): Promise<{ path: string } | { reason: string }> {
  const onPath = await run('sh', ['-c', 'command -v etcd']).catch(() => undefined);
  if (onPath !== undefined) return { path: onPath.stdout.trim() };
  if (!mayFetch) return { reason: 'etcd is not on PATH' };
  try {
    await run('apt-get', ['-qq', '-o', 'APT::Sandbox::User=', 'download', 'etcd-server'], { ...BOUND, cwd: workspace });
    const file = (await readdir(workspace)).find((name) => name.endsWith('.deb'));
    await run('dpkg-deb', ['-x', file as string, 'etcd'], { ...BOUND, cwd: workspace });
    return { path: join(workspace, 'etcd', 'usr', 'bin', 'etcd') };
  } catch (error) {
    return { reason: `apt can't get etcd-server: ${String((error as { stderr?: string }).stderr ?? error).trim()}` };
  }
}

export class Etcd implements AsyncDisposable {
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #directory: TemporaryDirectory;

  private constructor(url: string, process: ChildProcess, directory: TemporaryDirectory) {
    this.url = url;
    this.#process = process;
    this.#directory = directory;
  }

  static async start(binary: string): Promise<Etcd> {
    const directory = await temporaryDirectory('etcd');
    const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
    const args = {
      'data-dir': join(directory.path, 'data'),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
      'log-level': 'error',
    };
    const flags = Object.entries(args).flatMap(([name, value]) => [`--${name}`, value]);
    const process = spawn(binary, flags, { stdio: 'ignore' });
    process.on('error', () => {});
    const etcd = new Etcd(client, process, directory);
    try {
      await eventually(async () => (await fetch(`${client}/health`)).ok, { timeoutMs: 15_000, what: 'etcd' });
      return etcd;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  async call<T>(path: string, body: object): Promise<T> {
    const response = await fetch(`${this.url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`etcd ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Resolves when the key is deleted after `revision`. */
  async deleted(key: string, revision: number): Promise<void> {
    const abort = new AbortController();
    const request = { create_request: { key: base64(key), start_revision: String(revision + 1) } };
    const response = await fetch(`${this.url}/v3/watch`, {
      method: 'POST',
      body: JSON.stringify(request),
      signal: abort.signal,
    });
    const decoder = new TextDecoder();
    let text = '';
    try {
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        text += decoder.decode(chunk, { stream: true });
        if (text.includes('"DELETE"')) return;
      }
    } finally {
      abort.abort();
    }
    throw new Error('the watch of etcd ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const process = this.#process;
    if (process.exitCode === null && process.signalCode === null && process.pid !== undefined) {
      const exited = new Promise((resolve) => process.once('exit', resolve));
      process.kill('SIGKILL');
      await exited;
    }
    await this.#directory.remove();
  }
}

/** One candidate's lease. */
export class EtcdLease {
  readonly #etcd: Etcd;
  readonly #key: string;
  readonly #id: string;

  private constructor(etcd: Etcd, key: string, id: string) {
    this.#etcd = etcd;
    this.#key = key;
    this.#id = id;
  }

  static async grant(etcd: Etcd, key: string, ttlSeconds: number): Promise<EtcdLease> {
    const { ID } = await etcd.call<{ ID: string }>('lease/grant', { TTL: String(ttlSeconds) });
    return new EtcdLease(etcd, key, ID);
  }

  /** Resolves when the key is ours. */
  async campaign(): Promise<void> {
    const key = base64(this.#key);
    const txn = {
      compare: [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }],
      success: [{ request_put: { key, value: base64(this.#id), lease: this.#id } }],
    };
    for (;;) {
      const answer = await this.#etcd.call<{ succeeded?: boolean; header: { revision: string } }>('kv/txn', txn);
      if (answer.succeeded) return;
      await this.#etcd.deleted(this.#key, Number(answer.header.revision));
    }
  }

  async keepAlive(): Promise<void> {
    await this.#etcd.call('lease/keepalive', { ID: this.#id });
  }

  /** Deletes the key with it. */
  async revoke(): Promise<void> {
    await this.#etcd.call('lease/revoke', { ID: this.#id });
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
