/**
 * The user's own code at the points of an app's life. Hooks of one app run one after another, never two at once: the old
 * role's hook has ended, or its time has run out, before the new role's begins.
 */
import { type Duration, type Env, type Logger, messageOf, parseDuration, withDeadline } from '@canopy/core';
import { platformErrors } from '../errors.ts';

export interface HookContext {
  readonly app: string;
  readonly node: string;
  /** Aborts when the hook's time is up; that of `onActive` lives on and aborts when the term ends. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface TermHookContext extends HookContext {
  /** Epoch of the term that begins or ends. */
  readonly epoch: number;
}

export interface LeaderChangeContext extends HookContext {
  readonly leader: string | undefined;
  readonly epoch: number | undefined;
}

export type HookFunction<C> = (context: C) => void | Promise<void>;
/** A function, or one with a time limit of its own (default 30 s). */
export type Hook<C> = HookFunction<C> | { readonly run: HookFunction<C>; readonly timeout: Duration };

export interface AppHooks {
  /** The database is writable; the backend starts afterwards. Failure: the term is undone and tried again later. */
  readonly onActive?: Hook<TermHookContext>;
  /** The backend has ended; the database is given up afterwards, so writers of this process must end here. */
  readonly onPassive?: Hook<TermHookContext>;
  /** It follows: after start, and each time after it was active. Failure is logged. */
  readonly onStandby?: Hook<HookContext>;
  /** The leader, as seen here, is another one. Only the latest of several is told. Failure is logged. */
  readonly onLeaderChange?: Hook<LeaderChangeContext>;
  /** Before the app takes part in elections. Failure fails the start. */
  readonly onStart?: Hook<HookContext>;
  readonly onStop?: Hook<HookContext>;
}

export const HOOK_TIMEOUT_MS = 30_000;

export class HookRunner {
  readonly #app: string;
  readonly #node: string;
  readonly #env: Env;
  #last: Promise<unknown> = Promise.resolve();

  constructor(app: string, node: string, env: Env) {
    this.#app = app;
    this.#node = node;
    this.#env = env;
  }

  /** Runs the hook after those before it; rejects with HOOK_FAILED or STEP_TIMEOUT. Without a hook: resolves at once. */
  run<C extends HookContext>(
    name: keyof AppHooks,
    hook: Hook<C> | undefined,
    facts: Omit<C, keyof HookContext>,
    signal?: AbortSignal,
  ): Promise<void> {
    if (hook === undefined) return Promise.resolve();
    const running = this.#last.then(() => this.#run(name, hook, facts, signal));
    this.#last = running.catch(() => {});
    return running;
  }

  async #run<C extends HookContext>(
    name: keyof AppHooks,
    hook: Hook<C>,
    facts: Omit<C, keyof HookContext>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { run, timeoutMs } = hookParts(hook);
    const expired = new AbortController();
    const context = {
      ...facts,
      app: this.#app,
      node: this.#node,
      signal: signal === undefined ? expired.signal : AbortSignal.any([signal, expired.signal]),
      log: this.#env.log.with({ app: this.#app, hook: name }),
    } as unknown as C;
    let isLate = false;
    const timer = this.#env.clock.timer(timeoutMs, () => {
      isLate = true;
    });
    try {
      await withDeadline(
        this.#env.clock,
        `hook ${name}`,
        timeoutMs,
        Promise.resolve().then(() => run(context)),
      );
    } catch (error) {
      expired.abort(new DOMException('the time of the hook is up', 'AbortError'));
      const facts = { app: this.#app, step: name, hook: name, timeoutMs, problem: messageOf(error) };
      throw platformErrors.create(isLate ? 'STEP_TIMEOUT' : 'HOOK_FAILED', facts, error);
    } finally {
      timer.cancel();
    }
  }
}

/** Undefined when the value is neither a function nor `{ run, timeout }` with a duration. */
export function hookProblem(hook: unknown): string | undefined {
  if (hook === undefined || typeof hook === 'function') return undefined;
  const parts = hook as { run?: unknown; timeout?: unknown } | null;
  if (typeof parts !== 'object' || parts === null || typeof parts.run !== 'function')
    return 'must be a function or { run, timeout }';
  return parseDuration(parts.timeout) === undefined ? 'has a timeout that is no duration' : undefined;
}

function hookParts<C>(hook: Hook<C>): { run: HookFunction<C>; timeoutMs: number } {
  if (typeof hook === 'function') return { run: hook, timeoutMs: HOOK_TIMEOUT_MS };
  return { run: hook.run, timeoutMs: parseDuration(hook.timeout) ?? HOOK_TIMEOUT_MS };
}
