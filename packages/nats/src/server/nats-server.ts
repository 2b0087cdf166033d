/**
 * One nats-server as a child of this process: launched, watched until it serves, and ended for certain. It keeps its
 * ports and data over kill() and restart(); whatever happens to this process, the server ends with it.
 */
import { closeSync, openSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { abortable, assert, type ConnectionSpec, coreErrors, hasCode, identifyProcess } from '@canopy/core';
import { natsErrors } from '../errors.ts';
import { DataDirectory } from './data-directory.ts';
import { childEnvironment } from './environment.ts';
import { findNatsServer } from './find/find.ts';
import { isSufficient, parseVersion } from './find/version.ts';
import { type HeldProcess, type ProcessExit, signalHeld, spawnHeld } from './machine/held-process.ts';
import { logTail } from './machine/log-tail.ts';
import { freePort, hostPort, isPortFree } from './machine/port.ts';
import { type NatsServerOptions, type ResolvedServerOptions, resolveServerOptions } from './options.ts';
import { askReadiness, type Readiness } from './readiness.ts';
import { renderServerConfig } from './server-config.ts';

/** How long an orderly end may take before it is forced. */
const STOP_GRACE_MS = 5_000;
const POLL_MS = 25;
/** Tries with another port when a free one was taken in the moment before the server bound it. */
const PORT_TRIES = 5;

interface Ports {
  readonly client: number;
  readonly monitor: number | undefined;
}

export type NatsServerState = 'running' | 'frozen' | 'exited' | 'stopped';

export class NatsServer implements AsyncDisposable {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  /** The server's own log. It is rotated at 16 MiB, with one older file kept. */
  readonly logFile: string;
  /** `http://host:port` of the monitoring endpoints, when `monitor` was asked for. */
  readonly monitorUrl: string | undefined;
  /** How a client reaches it, credentials included. */
  readonly connection: ConnectionSpec;
  readonly #options: ResolvedServerOptions;
  readonly #binary: string;
  readonly #ports: Ports;
  readonly #directory: DataDirectory;
  #held: HeldProcess | undefined;
  #frozen = false;
  #version = '';
  #restarting: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  private constructor(options: ResolvedServerOptions, binary: string, ports: Ports, directory: DataDirectory) {
    this.#options = options;
    this.#binary = binary;
    this.#ports = ports;
    this.#directory = directory;
    this.name = options.name;
    this.host = options.host;
    this.port = ports.client;
    this.dataDir = options.dataDir;
    this.logFile = options.logFile;
    this.monitorUrl = ports.monitor === undefined ? undefined : `http://${hostPort(options.host, ports.monitor)}`;
    this.connection = { servers: [this.url], ...options.auth };
  }

  /**
   * Starts a server and resolves when it serves (with JetStream: when its API answers). Nothing of it runs after a
   * failure. Errors: NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD, NATS_DATA_DIR_UNWRITABLE, NATS_DATA_DIR_IN_USE,
   * PORT_TAKEN, NATS_SERVER_EXITED, NATS_SERVER_NOT_READY, OPTIONS_INVALID.
   */
  static async launch(options: NatsServerOptions): Promise<NatsServer> {
    const resolved = resolveServerOptions(options);
    const { env, signal } = resolved;
    signal?.throwIfAborted();
    const directory = await DataDirectory.claim(resolved.dataDir, env.clock);
    try {
      const binary = resolved.binary ?? (await findNatsServer(resolved.find)).path;
      for (let tries = 1; ; tries++) {
        const server = new NatsServer(resolved, binary, await choosePorts(resolved), directory);
        try {
          await server.#start();
          return server;
        } catch (error) {
          await server.#end();
          if (resolved.port !== 0 || tries === PORT_TRIES || !hasCode(error, 'PORT_TAKEN')) throw error;
        }
      }
    } catch (error) {
      await directory.release();
      throw error;
    }
  }

  get url(): string {
    return `nats://${hostPort(this.host, this.#ports.client)}`;
  }

  /** Of the present life, or of the last one. */
  get pid(): number {
    return this.#held?.pid ?? 0;
  }

  /** As the server tells it: `2.15.1`. */
  get version(): string {
    return this.#version;
  }

  get state(): NatsServerState {
    if (this.#stopping !== undefined) return 'stopped';
    if (this.#held === undefined || this.#held.exit() !== undefined) return 'exited';
    return this.#frozen ? 'frozen' : 'running';
  }

  /** The last lines of its log and of what it printed besides (a crash, a faulty configuration); at most 16 KiB each. */
  async logTail(lines = 40): Promise<string> {
    const parts = [await logTail(this.logFile, lines), await logTail(this.#outputFile, lines)];
    return parts.filter((part) => part !== '').join('\n');
  }

  /** Resolves when the present life ends, by whatever cause. */
  async exited(options: { signal?: AbortSignal | undefined } = {}): Promise<ProcessExit> {
    return abortable(this.#held?.exited ?? Promise.resolve({ code: undefined, signal: undefined }), options.signal);
  }

  /** Sends the signal (default SIGKILL) and waits for the process to end. Data and ports stay for restart(). */
  async kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' = 'SIGKILL'): Promise<void> {
    if (this.#held === undefined) return;
    if (this.#frozen && signal !== 'SIGKILL') this.thaw();
    signalHeld(this.#held, signal);
    await this.#held.exited;
    this.#frozen = false;
  }

  /** Stops the process in its tracks; its connections stay open and silent. */
  freeze(): void {
    if (this.#held !== undefined && signalHeld(this.#held, 'SIGSTOP')) this.#frozen = true;
  }

  thaw(): void {
    if (this.#held !== undefined) signalHeld(this.#held, 'SIGCONT');
    this.#frozen = false;
  }

  /** Ends what runs (in order, unless it was killed already) and starts it again on the same ports and data. */
  restart(): Promise<void> {
    this.#requireOpen('restart');
    const restarting = this.#restarting.catch(() => {}).then(() => this.#restart());
    this.#restarting = restarting;
    restarting.catch(() => {});
    return restarting;
  }

  async #restart(): Promise<void> {
    await this.#end();
    const { clock } = this.#options.env;
    const giveUpAt = clock.monotonic() + this.#options.timeoutMs;
    for (;;) {
      this.#requireOpen('restart');
      try {
        return await this.#start();
      } catch (error) {
        await this.#end();
        // A port that was ours a moment ago is usually given back soon.
        if (!hasCode(error, 'PORT_TAKEN') || clock.monotonic() > giveUpAt) throw error;
        await clock.sleep(200, { signal: this.#options.signal });
      }
    }
  }

  /** In order within five seconds, else by force. Idempotent; when it resolves, nothing of the server runs. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    await this.#end();
    // A restart under way sees that this is stopping, and undoes itself.
    await this.#restarting.catch(() => {});
    await this.#end();
    await this.#directory.release();
  }

  get #outputFile(): string {
    return join(this.dataDir, 'nats-server.out');
  }

  async #start(): Promise<void> {
    const { env, host, signal } = this.#options;
    for (const port of [this.#ports.client, this.#ports.monitor, this.#options.cluster?.port])
      if (port !== undefined && !(await isPortFree(host, port))) throw natsErrors.create('PORT_TAKEN', { port, host });
    await rm(this.logFile, { force: true });
    signal?.throwIfAborted();
    await this.#directory.write(async () => {
      const held = await this.#spawn(await this.#writeConfig());
      this.#held = held;
      this.#frozen = false;
      await this.#directory.record(identifyProcess(held.pid));
    });
    assert(this.#held !== undefined, 'a server was spawned');
    await this.#untilReady(this.#held);
    env.log.info('nats_server_started', { url: this.url, pid: this.pid, dataDir: this.dataDir });
  }

  async #writeConfig(): Promise<string> {
    const file = join(this.dataDir, 'nats-server.conf');
    const { name, host, jetstream, syncAlways, auth, cluster } = this.#options;
    const text = renderServerConfig({
      name,
      host,
      port: this.#ports.client,
      monitorPort: this.#ports.monitor,
      logFile: this.logFile,
      storeDir: jetstream ? this.dataDir : undefined,
      syncAlways,
      auth,
      cluster,
    });
    await writeFile(file, text, { mode: 0o600 });
    return file;
  }

  async #spawn(config: string): Promise<HeldProcess> {
    const output = openSync(this.#outputFile, 'w', 0o600);
    try {
      const environment = childEnvironment({ PATH: this.#options.environment.PATH });
      return await spawnHeld(this.#binary, ['-c', config], { environment, output });
    } finally {
      closeSync(output);
    }
  }

  async #untilReady(held: HeldProcess): Promise<void> {
    const { env, timeoutMs, signal, cluster } = this.#options;
    // A member of a cluster has no JetStream leader until a majority runs: who launches the cluster waits for that.
    const expected = { name: this.name, jetstream: this.#options.jetstream && cluster === undefined };
    const giveUpAt = env.clock.monotonic() + timeoutMs;
    let answer: Readiness;
    for (;;) {
      signal?.throwIfAborted();
      this.#requireOpen('start');
      answer = await askReadiness(env.clock, this.connection, expected);
      if (held.exit() !== undefined) throw await this.#exitError(held.exit() as ProcessExit);
      if (answer.ready) return this.#acceptVersion(answer.version);
      if (env.clock.monotonic() > giveUpAt) break;
      await env.clock.sleep(POLL_MS, { signal });
    }
    throw natsErrors.create('NATS_SERVER_NOT_READY', {
      timeoutMs,
      problem: answer.problem,
      logFile: this.logFile,
      log: await this.logTail(),
    });
  }

  /** A binary that the caller named was not asked for its version before. */
  #acceptVersion(version: string): void {
    this.#version = version;
    const parsed = parseVersion(version);
    if (parsed === undefined || !isSufficient(parsed))
      throw natsErrors.create('NATS_SERVER_TOO_OLD', { version, path: this.#binary });
  }

  async #exitError(exit: ProcessExit): Promise<Error> {
    const log = await this.logTail();
    const taken = /listening on port: [^\n]*:(\d+)[^\n]*address already in use/.exec(log);
    if (taken !== null) return natsErrors.create('PORT_TAKEN', { port: Number(taken[1]), host: this.host });
    const lines = log.split('\n').filter((line) => line !== '');
    const telling = ['[FTL]', '[ERR]', ''].map((mark) => lines.findLast((line) => line.includes(mark)));
    const line = telling.find((found) => found !== undefined);
    const reason = line?.replace(/^\[\d+\] \S+ \S+ /, '') ?? `it ended with ${exit.code ?? exit.signal}`;
    return natsErrors.create('NATS_SERVER_EXITED', { reason, exit, logFile: this.logFile, log });
  }

  /** Nothing runs afterwards; may be called at any time. */
  async #end(): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    this.thaw();
    signalHeld(held, 'SIGTERM');
    const force = this.#options.env.clock.timer(STOP_GRACE_MS, () => signalHeld(held, 'SIGKILL'));
    await held.exited;
    force.cancel();
  }

  #requireOpen(action: string): void {
    if (this.#stopping === undefined) return;
    throw coreErrors.create('STATE_INVALID', { subject: 'nats-server', action, state: 'stopped' });
  }
}

async function choosePorts(options: ResolvedServerOptions): Promise<Ports> {
  const { host, env } = options;
  const client = options.port === 0 ? await freePort(env.random, { host }) : options.port;
  const taken = new Set([client, ...(options.cluster === undefined ? [] : [options.cluster.port])]);
  return { client, monitor: options.monitor ? await freePort(env.random, { host, taken }) : undefined };
}
