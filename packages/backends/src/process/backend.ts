/**
 * A process under supervision, as a `Backend`. One run at a time: from `start()` to the end of everything that it caused,
 * restarts included. Invariant: a run launches an instance only after its last one is gone, and `start()` begins a run
 * only after the last one has ended; so there are never two.
 */
import { resolve } from 'node:path';
import {
  type Backend,
  type BackendContext,
  type BackendEvent,
  type BackendStatus,
  coreErrors,
  type Env,
} from '@canopy/core';
import { backendErrors } from '../errors.ts';
import { BACKEND_OUTPUT_DROPPED } from '../metrics.ts';
import { BackendEvents } from './backend-events.ts';
import { endLeftover } from './ending.ts';
import { probe } from './health-probe.ts';
import { type ExitFacts, Instance, type InstanceContext } from './instance.ts';
import type { ResolvedProcessOptions } from './options.ts';
import { type OutputLine, type OutputSink, OutputTail } from './output.ts';
import { OutputFile } from './output-file.ts';
import { handlerSink, logSink } from './output-sinks.ts';
import { RecordFile } from './record.ts';
import { decideRestart } from './restart-policy.ts';
import { exitError, type Trouble, untilHealthy, untilTrouble, type VigilContext } from './vigil.ts';

/** From a start to the end of all that followed from it. */
interface Run {
  readonly controller: AbortController;
  readonly ready: PromiseWithResolvers<void>;
  done: Promise<void>;
  instance: Instance | undefined;
  /** How the end is to be: the shortest grace that anybody asked for. */
  graceMs: number;
  /** Times of the restarts so far (monotonic ms). */
  history: readonly number[];
}

export interface ProcessStats {
  readonly pid: number | undefined;
  readonly restarts: number;
  /** Of the present instance; undefined while none runs. */
  readonly uptimeMs: number | undefined;
}

export class ProcessBackend implements Backend {
  readonly #options: ResolvedProcessOptions;
  readonly #env: Env;
  readonly #events: BackendEvents;
  readonly #tail = new OutputTail();
  readonly #record: RecordFile;
  readonly #sink: OutputSink;
  readonly #instanceContext: InstanceContext;
  readonly #vigil: VigilContext;
  #run: Run | undefined;
  #restarts = 0;
  #lastExit: ExitFacts | undefined;
  #problem: string | undefined;

  constructor(options: ResolvedProcessOptions, context: BackendContext) {
    const { platform, app, node, guard, stateDir } = context;
    const labels = { app, node };
    this.#options = options;
    this.#env = { ...context.env, log: context.env.log.with({ app }) };
    this.#events = new BackendEvents(this.#env, labels);
    this.#record = new RecordFile(app, stateDir);
    this.#sink = makeSink(options, stateDir, this.#env, labels);
    this.#vigil = { app, clock: this.#env.clock, options, tail: this.#tail };
    this.#instanceContext = {
      platform,
      app,
      node,
      env: this.#env,
      guard,
      record: this.#record,
      sink: this.#sink,
      tail: this.#tail,
      command: options.command,
      cwd: resolve(options.cwd ?? '.'),
      variables: options.env,
    };
  }

  async sweep(): Promise<void> {
    const left = await this.#record.read();
    if (left === undefined) return;
    this.#env.log.warn('backend_swept', { pid: left.pid, command: left.command });
    await endLeftover(left, this.#env.clock, this.#env.log);
    await this.#record.remove();
  }

  /**
   * Resolves when healthy. Rejects, with nothing left running, with BACKEND_COMMAND_MISSING, BACKEND_CWD_MISSING,
   * BACKEND_SPAWN_FAILED, BACKEND_RECORD_FAILED, BACKEND_EXITED, BACKEND_NEVER_HEALTHY, BACKEND_STOPPED (by `stop()`), the guard's error, or the
   * signal's reason (then by SIGKILL, at once). STATE_INVALID while it runs already.
   */
  async start(options: { signal: AbortSignal }): Promise<void> {
    options.signal.throwIfAborted();
    if (this.#run !== undefined)
      throw coreErrors.create('STATE_INVALID', { subject: 'backend', action: 'start', state: this.#events.state });
    const run: Run = {
      controller: new AbortController(),
      ready: Promise.withResolvers(),
      done: Promise.resolve(),
      instance: undefined,
      graceMs: this.#options.graceMs,
      history: [],
    };
    run.ready.promise.catch(() => {});
    this.#run = run;
    this.#problem = undefined;
    this.#tail.clear();
    const onAbort = (): void => this.#cancel(run, 0, options.signal.reason);
    options.signal.addEventListener('abort', onAbort, { once: true });
    run.done = this.#supervise(run);
    try {
      await run.ready.promise;
    } catch (error) {
      await run.done;
      throw error;
    } finally {
      options.signal.removeEventListener('abort', onAbort);
    }
  }

  async stop(options: { graceMs?: number } = {}): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    this.#events.enter('stopping', 'stop');
    const reason = backendErrors.create('BACKEND_STOPPED', { app: this.#vigil.app });
    this.#cancel(run, options.graceMs ?? this.#options.graceMs, reason);
    await run.done;
  }

  /** Asks now, whatever the last periodic answer was. Bounded by the health timeout. */
  async health(): Promise<{ readonly healthy: boolean; readonly detail: string | undefined }> {
    const { health } = this.#options;
    const instance = this.#run?.instance;
    if (instance === undefined || instance.exit !== undefined) return { healthy: false, detail: 'not running' };
    if (health === undefined) return { healthy: this.#events.state === 'running', detail: undefined };
    const answer = await probe(health.url, this.#env.clock, { timeoutMs: health.timeoutMs });
    return { healthy: answer.ok, detail: answer.detail };
  }

  status(): BackendStatus {
    const instance = this.#running();
    return {
      state: this.#events.state,
      pid: instance?.id.pid,
      address: this.#options.address,
      startedAt: instance?.startedAt,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
      problem: this.#problem,
    };
  }

  stats(): ProcessStats {
    const instance = this.#running();
    const uptimeMs = instance === undefined ? undefined : this.#env.clock.wall() - instance.startedAt;
    return { pid: instance?.id.pid, restarts: this.#restarts, uptimeMs };
  }

  /** The last lines it wrote since `start()`, at most 20, newest last. */
  logs(): readonly OutputLine[] {
    return this.#tail.lines();
  }

  /** The present state first, then changes; a reader 256 events behind loses the oldest. */
  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<BackendEvent> {
    return this.#events.watch(options);
  }

  #running(): Instance | undefined {
    const instance = this.#run?.instance;
    return instance?.exit === undefined ? instance : undefined;
  }

  #cancel(run: Run, graceMs: number, reason: unknown): void {
    run.graceMs = Math.min(run.graceMs, graceMs);
    run.controller.abort(reason);
    void run.instance?.end(run.graceMs);
  }

  async #supervise(run: Run): Promise<void> {
    let failure: Error | undefined;
    let wasReady = false;
    try {
      this.#events.enter('starting', 'start');
      await this.#bringUp(run);
      this.#events.enter('running', 'healthy');
      wasReady = true;
      run.ready.resolve();
      failure = await this.#keepUp(run);
    } catch (error) {
      run.ready.reject(error);
      failure = error as Error;
    }
    await run.instance?.end(run.graceMs);
    this.#noteExit(run);
    await this.#sink.close();
    this.#run = undefined;
    this.#events.healthy(undefined);
    if (failure === undefined || run.controller.signal.aborted) this.#events.enter('stopped', 'stopped');
    else {
      this.#problem = failure.message;
      // A start that failed is answered by its rejection.
      if (wasReady) this.#events.failed(failure);
      else this.#events.enter('failed', failure.message);
    }
  }

  /** Launches one instance and waits until it serves. The instance is left in `run` also on failure. */
  async #bringUp(run: Run): Promise<void> {
    const { signal } = run.controller;
    const { clock } = this.#env;
    const begun = clock.monotonic();
    run.instance = undefined;
    const instance = await Instance.launch(this.#instanceContext, signal);
    run.instance = instance;
    if (signal.aborted) void instance.end(run.graceMs);
    await untilHealthy(this.#vigil, instance, signal);
    this.#events.started(clock.monotonic() - begun);
    this.#events.healthy(true);
  }

  /** Restarts by the policy until stopped (undefined) or until the policy says no (the reason). */
  async #keepUp(run: Run): Promise<Error | undefined> {
    for (;;) {
      let trouble: Trouble | { type: 'start_failed'; error: Error } | undefined = await untilTrouble(
        this.#vigil,
        run.instance as Instance,
        run.controller.signal,
        (healthy) => this.#events.healthy(healthy),
      );
      while (trouble !== undefined) {
        const refused = await this.#afterTrouble(run, trouble);
        if (run.controller.signal.aborted) return undefined;
        if (refused !== undefined) return refused;
        trouble = await this.#tryAgain(run);
      }
      if (run.controller.signal.aborted) return undefined;
    }
  }

  /** Ends what is left, and either waits out the pause before a restart or gives the reason why there is none. */
  async #afterTrouble(run: Run, trouble: Trouble | { type: 'start_failed'; error: Error }): Promise<Error | undefined> {
    const { clock, random } = this.#env;
    const reason = trouble.type === 'exited' ? exitError(this.#vigil, trouble.exit, 'by itself') : trouble.error;
    if (trouble.type === 'unhealthy') this.#events.enter('unhealthy', reason.message);
    this.#events.healthy(false);
    this.#problem = reason.message;
    const cause = trouble.type === 'exited' ? { type: 'exited' as const, ...trouble.exit } : { type: trouble.type };
    const decision = decideRestart(this.#options.restart, run.history, cause, clock.monotonic(), random);
    await run.instance?.end(this.#options.graceMs);
    this.#noteExit(run);
    if (run.controller.signal.aborted) return undefined;
    if (!decision.restart) {
      if (decision.why === 'policy') return reason;
      const { withinMs } = this.#options.restart;
      const fields = { app: this.#vigil.app, restarts: run.history.length, withinMs, reason: reason.message };
      return backendErrors.create('BACKEND_GAVE_UP', fields, reason);
    }
    run.history = decision.history;
    this.#events.enter('restarting', reason.message);
    await clock.sleep(decision.delayMs, { signal: run.controller.signal }).catch(() => {});
    return undefined;
  }

  /** One restart; undefined when it serves again or the run was cancelled. */
  async #tryAgain(run: Run): Promise<{ type: 'start_failed'; error: Error } | undefined> {
    this.#restarts += 1;
    this.#events.restarted();
    try {
      await this.#bringUp(run);
    } catch (error) {
      return run.controller.signal.aborted ? undefined : { type: 'start_failed', error: error as Error };
    }
    this.#problem = undefined;
    this.#events.enter('running', 'restarted');
    return undefined;
  }

  /** Once per instance: what became of it. */
  #noteExit(run: Run): void {
    const exit = run.instance?.exit;
    if (exit === undefined) return;
    this.#lastExit = exit;
    this.#events.exited(exit);
    run.instance = undefined;
  }
}

function makeSink(
  { log }: ResolvedProcessOptions,
  stateDir: string,
  env: Env,
  labels: { app: string; node: string },
): OutputSink {
  if (log.kind === 'handler') return handlerSink(log.handler, env.log);
  if (log.kind === 'file') return new OutputFile({ ...log, file: resolve(stateDir, log.file) }, env.log);
  return logSink(env.log, env.clock, env.metrics.counter(BACKEND_OUTPUT_DROPPED), labels);
}
