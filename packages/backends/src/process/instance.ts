/**
 * One run of the program, from spawn until nothing of it is left. Invariant: the program runs only after the record is
 * on disk and the guard knows the process; `gone` resolves only when its group and all its marked strays are gone.
 */
import {
  type Env,
  identifyProcess,
  inheritedEnvironment,
  PROCESS_MARK,
  type ProcessGuard,
  type ProcessId,
  signalGroup,
  type Timer,
  withDeadline,
} from '@canopy/core';
import { backendErrors } from '../errors.ts';
import { findProgram } from './command-lookup.ts';
import { bootId, endForCertain, type Prey } from './ending.ts';
import { type Launched, launch } from './launcher.ts';
import { OutputReader, type OutputSink, type OutputTail } from './output.ts';
import type { RecordFile } from './record.ts';

/** For the last lines of a program that is gone. */
const OUTPUT_MS = 250;

export interface ExitFacts {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

export interface InstanceContext {
  readonly platform: string;
  readonly app: string;
  readonly node: string;
  readonly env: Env;
  readonly guard: ProcessGuard;
  readonly record: RecordFile;
  readonly sink: OutputSink;
  readonly tail: OutputTail;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export class Instance {
  readonly startedAt: number;
  readonly #context: InstanceContext;
  readonly #launched: Launched;
  readonly #prey: Prey;
  readonly #output: OutputReader;
  readonly #exited = Promise.withResolvers<ExitFacts>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #killNow = Promise.withResolvers<void>();
  #exit: ExitFacts | undefined;
  #killAt = Number.POSITIVE_INFINITY;
  #killTimer: Timer | undefined;
  #isEnding = false;

  private constructor(context: InstanceContext, launched: Launched, prey: Prey) {
    this.#context = context;
    this.#launched = launched;
    this.#prey = prey;
    this.startedAt = context.env.clock.wall();
    this.#output = new OutputReader(launched.stdout, launched.stderr, context.sink, context.tail);
    launched.process.once('exit', (code, signal) => {
      this.#exit = { code: code ?? undefined, signal: signal ?? undefined };
      this.#exited.resolve(this.#exit);
      // Whatever it left behind in its group may write no longer.
      void this.end(0);
    });
  }

  /**
   * Rejects with BACKEND_COMMAND_MISSING, BACKEND_CWD_MISSING, BACKEND_SPAWN_FAILED, BACKEND_RECORD_FAILED, the guard's error, or the signal's
   * reason; then nothing of it runs.
   */
  static async launch(context: InstanceContext, signal: AbortSignal): Promise<Instance> {
    signal.throwIfAborted();
    const { app, node, platform, cwd, env, record } = context;
    const mark = env.random.uuid();
    const variables = environment(context.variables, {
      CANOPY_PLATFORM: platform,
      CANOPY_APP: app,
      CANOPY_NODE: node,
      [PROCESS_MARK]: mark,
    });
    const program = findProgram(context.command[0] as string, { app, cwd, path: variables['PATH'] });
    const launched = launch({ argv: [program, ...context.command.slice(1)], cwd, env: variables });
    const id = await identify(launched, app);
    const instance = new Instance(context, launched, { ...id, mark });
    try {
      await record.write({ ...id, mark, boot: bootId(), command: context.command.join(' ') });
      await context.guard.register({ ...id, kind: 'kill', label: 'backend' });
      signal.throwIfAborted();
    } catch (error) {
      await instance.end(0);
      throw error;
    }
    launched.go();
    return instance;
  }

  get id(): ProcessId {
    return this.#prey;
  }

  /** Undefined while its first process runs. */
  get exit(): ExitFacts | undefined {
    return this.#exit;
  }

  /** Resolves when its first process has ended. */
  get exited(): Promise<ExitFacts> {
    return this.#exited.promise;
  }

  /**
   * SIGTERM to the group, SIGKILL after `graceMs` (0: at once). Resolves when nothing of it runs and its output was taken.
   * A second call may shorten the grace, never lengthen it.
   */
  end(graceMs: number): Promise<void> {
    const { clock } = this.#context.env;
    const killAt = clock.monotonic() + graceMs;
    if (killAt < this.#killAt) {
      this.#killAt = killAt;
      this.#killTimer?.cancel();
      if (graceMs <= 0) this.#killNow.resolve();
      else this.#killTimer = clock.timer(graceMs, () => this.#killNow.resolve());
    }
    if (!this.#isEnding) {
      this.#isEnding = true;
      void this.#end(graceMs).then(this.#gone.resolve);
    }
    return this.#gone.promise;
  }

  async #end(graceMs: number): Promise<void> {
    const { env, guard, record } = this.#context;
    const log = env.log.with({ app: this.#context.app });
    if (this.#exit === undefined && graceMs > 0) {
      signalGroup(this.#prey, 'SIGTERM');
      // A stopped process hears SIGTERM only when it goes on.
      signalGroup(this.#prey, 'SIGCONT');
      await Promise.race([this.#exited.promise, this.#killNow.promise]);
    }
    this.#killTimer?.cancel();
    await endForCertain(this.#prey, env.clock, log);
    await this.#exited.promise;
    await withDeadline(env.clock, 'last output', OUTPUT_MS, this.#output.ended).catch(() => {});
    this.#output.destroy();
    for (const pipe of this.#launched.process.stdio) pipe?.destroy();
    // Both only save work later: an unknown process is harmless to the guard, a stale record to the next sweep.
    const warn = (error: Error): void => log.warn('backend_cleanup_failed', { error: error.message });
    await Promise.all([guard.unregister(this.#prey).catch(warn), record.remove().catch(warn)]);
  }
}

/** The new process's identity, or BACKEND_SPAWN_FAILED. */
async function identify(launched: Launched, app: string): Promise<ProcessId> {
  const { process: child } = launched;
  if (child.pid === undefined) {
    const reason = await new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
    throw backendErrors.create('BACKEND_SPAWN_FAILED', { app, reason });
  }
  child.on('error', () => {});
  const id = identifyProcess(child.pid);
  if (id === undefined) {
    child.kill('SIGKILL');
    throw backendErrors.create('BACKEND_SPAWN_FAILED', { app, reason: 'it ended at once' });
  }
  return id;
}

function environment(
  given: Readonly<Record<string, string | undefined>>,
  marks: Readonly<Record<string, string>>,
): Record<string, string> {
  const variables: Record<string, string> = { ...inheritedEnvironment() };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) delete variables[name];
    else variables[name] = value;
  }
  return { ...variables, ...marks };
}
