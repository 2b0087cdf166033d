/**
 * One request's journey: admitted, waiting for an active instance if there is none, tried, tried again where that is
 * safe, and answered. Invariant: the answer to a mutating request that this node's backend gave leaves only after
 * `confirm` of the very term in which the request was sent to it.
 */
import type { Agent, IncomingMessage, ServerResponse } from 'node:http';
import { type CanopyError, type Env, messageOf } from '@canopy/core';
import { platformErrors } from '../errors.ts';
import { answerError, answerRefusal } from './answers.ts';
import { type AttemptResult, attempt } from './attempt.ts';
import { hopCount, isRefusal, requestHeaders } from './headers.ts';
import type { ProxyMetrics, ProxyOutcome } from './metrics.ts';
import type { ResolvedProxyOptions } from './options.ts';
import { hold, relay } from './relay.ts';
import { ReplayBody } from './replay-body.ts';
import { type AttemptFailure, admit, decide, isMutating } from './routing.ts';
import type { ProxyTarget, Route, ServingTerm } from './target.ts';
import { pauseUntil, type WaitingRoom } from './waiting-room.ts';

/** As much of a body as is kept for another attempt. */
const KEEP_BYTES = 64 * 1024;
/** Between attempts when nothing says that the route has changed. */
const RETRY_PAUSE_MS = 50;
const MOVED_GRACE_MS = 250;
const NEVER = new AbortController().signal;

export interface ExchangeContext {
  readonly app: string;
  readonly target: ProxyTarget;
  readonly options: ResolvedProxyOptions;
  readonly backendAgent: Agent;
  readonly peerAgent: Agent;
  readonly room: WaitingRoom;
  readonly metrics: ProxyMetrics;
  readonly env: Env;
  /** Brackets the time in which the local backend works on a request or its answer is held. */
  readonly onLocal: () => () => void;
}

type Answered = Extract<AttemptResult, { type: 'answered' }>;

export class Exchange {
  readonly #context: ExchangeContext;
  readonly #request: IncomingMessage;
  readonly #client: ServerResponse;
  readonly #body: ReplayBody;
  readonly #gone = new AbortController();
  readonly #hop: number;
  readonly #startedAt: number;
  readonly #isMutating: boolean;
  #wantsContinue: boolean;

  constructor(
    context: ExchangeContext,
    request: IncomingMessage,
    client: ServerResponse,
    options: { wantsContinue: boolean },
  ) {
    this.#context = context;
    this.#request = request;
    this.#client = client;
    this.#hop = hopCount(request);
    this.#startedAt = context.env.clock.monotonic();
    this.#isMutating = isMutating(request.method ?? 'GET');
    this.#wantsContinue = options.wantsContinue;
    this.#body = new ReplayBody(request, {
      keepBytes: KEEP_BYTES,
      maxBytes: context.options.maxBodyBytes,
      onTooLarge: () => this.#tooLarge(false),
    });
    client.once('close', () => {
      if (!client.writableFinished) this.#gone.abort(new DOMException('the client has gone', 'AbortError'));
    });
    client.on('error', () => {});
  }

  /** Never rejects; the client has its answer, or its connection was cut, when this resolves. */
  async run(): Promise<void> {
    let outcome: ProxyOutcome;
    try {
      outcome = await this.#run();
    } catch (error) {
      this.#context.env.log.error('proxy_exchange_failed', { app: this.#context.app, error: messageOf(error) });
      this.#client.destroy();
      outcome = 'cut';
    }
    this.#context.metrics.requests.add(1, { app: this.#context.app, outcome });
  }

  async #run(): Promise<ProxyOutcome> {
    const { options, target, metrics, app } = this.#context;
    const length = Number(this.#request.headers['content-length'] ?? 0);
    if (length > options.maxBodyBytes) return this.#tooLarge(true);
    for (let tries = 0; ; tries++) {
      if (this.#gone.signal.aborted) return this.#ended();
      const route = usable(target.route());
      const admission = admit(route.kind, this.#hop);
      if (admission.action === 'refuse') return this.#refuse('not active');
      if (admission.action === 'wait' || route.kind === 'none') {
        const failed = await this.#wait(options.queueTimeoutMs - this.#waitedMs());
        if (failed !== undefined) return failed;
        continue;
      }
      if (tries > 0) metrics.retries.add(1, { app });
      const failure = await (route.kind === 'local' ? this.#tryLocal(route.term) : this.#tryPeer(route.address));
      if (typeof failure === 'string') return failure;
      const failed = await this.#afterFailure(failure);
      if (failed !== undefined) return failed;
    }
  }

  async #afterFailure(failure: AttemptFailure): Promise<ProxyOutcome | undefined> {
    const { options, app } = this.#context;
    const decision = decide(failure, {
      isMutating: this.#isMutating,
      isReplayable: this.#body.isReplayable,
      isHop: this.#hop > 0,
      waitedMs: this.#waitedMs(),
      queueTimeoutMs: options.queueTimeoutMs,
    });
    if (decision.action === 'refuse') return this.#refuse(failure.type);
    if (decision.action === 'retry') return this.#wait(RETRY_PAUSE_MS);
    const error = platformErrors.create(decision.code, {
      app,
      waitedMs: Math.round(this.#waitedMs()),
      timeoutMs: options.responseTimeoutMs,
    });
    return this.#fail(decision.status, error, decision.untouched, outcomeOf(decision.code));
  }

  /** Waits for the route to change, `ms` at most; an outcome when there is no more waiting. */
  async #wait(ms: number): Promise<ProxyOutcome | undefined> {
    const { options, target, room, env, app } = this.#context;
    if (ms <= 0) {
      const error = platformErrors.create('PROXY_NO_ACTIVE', { app, waitedMs: Math.round(this.#waitedMs()) });
      return this.#fail(503, error, true, 'queue_timeout');
    }
    const admitted = await room.run(() =>
      pauseUntil(env.clock, ms, (signal) => target.changed(signal), this.#gone.signal),
    );
    if (admitted) return undefined;
    return this.#fail(
      503,
      platformErrors.create('PROXY_QUEUE_FULL', { app, limit: options.maxQueue }),
      true,
      'queue_full',
    );
  }

  /** An outcome when the request has ended, else why this attempt failed. */
  async #tryLocal(term: ServingTerm): Promise<ProxyOutcome | AttemptFailure> {
    const { backendAgent, onLocal } = this.#context;
    const done = onLocal();
    try {
      const result = await this.#attempt(backendAgent, term.backend, 0);
      if (result.type === 'aborted') return this.#ended();
      if (result.type !== 'answered') return result;
      if (this.#isMutating) return await this.#release(result, term);
      if (!term.isValid()) {
        // The answer may have waited through a freeze while another node became active.
        this.#drop(result);
        return { type: 'stale' };
      }
      if (result.response.headers['content-length'] === undefined) done();
      return await this.#relay(result, true);
    } finally {
      done();
    }
  }

  async #tryPeer(address: string): Promise<ProxyOutcome | AttemptFailure> {
    const moved = new AbortController();
    const over = new AbortController();
    void this.#watchRoute(address, moved, over.signal);
    const result = await this.#attempt(this.#context.peerAgent, `http://${address}`, this.#hop + 1, moved.signal);
    over.abort();
    if (result.type === 'aborted') return this.#ended();
    if (result.type !== 'answered') return result;
    if (!isRefusal(result.response)) return this.#relay(result, false);
    this.#drop(result);
    return { type: 'refused' };
  }

  /** A node that froze keeps its connections open: when another one serves, there is nothing to wait for on the old. */
  async #watchRoute(address: string, moved: AbortController, over: AbortSignal): Promise<void> {
    const { target, env } = this.#context;
    while (!over.aborted) {
      await target.changed(over);
      const route = usable(target.route());
      if (over.aborted || route.kind === 'none' || (route.kind === 'remote' && route.address === address)) continue;
      // An answer that was sent before the move may still be on its way.
      await env.clock.sleep(MOVED_GRACE_MS, { signal: over }).catch(() => {});
      if (!over.aborted) moved.abort();
      return;
    }
  }

  #attempt(agent: Agent, origin: string, hop: number, moved = NEVER): Promise<AttemptResult> {
    const { options, env } = this.#context;
    return attempt({
      clock: env.clock,
      agent,
      origin,
      method: this.#request.method ?? 'GET',
      path: this.#request.url ?? '/',
      headers: requestHeaders(this.#request, { hop }),
      body: this.#body,
      expectContinue: hop > 0 && this.#body.isPresent,
      onBody: () => this.#continue(),
      connectTimeoutMs: options.connectTimeoutMs,
      responseTimeoutMs: options.responseTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs,
      signal: this.#gone.signal,
      moved,
    });
  }

  /** The answer of our own backend to a mutating request: held until confirmed. */
  async #release(result: Answered, term: ServingTerm): Promise<ProxyOutcome> {
    const { env, metrics, app } = this.#context;
    const held = await hold(result.response, this.#client, {
      clock: env.clock,
      fromBackend: true,
      confirm: () => this.#confirm(term),
      onReleased: (ms) => metrics.hold.observe(ms / 1000, { app }),
    });
    if (held.type === 'confirmed') return 'ok';
    if (this.#gone.signal.aborted) return this.#ended();
    if (held.type === 'broken')
      return this.#fail(503, platformErrors.create('PROXY_OUTCOME_UNKNOWN', { app }), false, 'unknown');
    env.log.warn('proxy_write_not_confirmed', { app, epoch: term.epoch, error: messageOf(held.error) });
    if (held.type === 'cut') return 'cut';
    const error = platformErrors.create('PROXY_NOT_REPLICATED', { app, reason: messageOf(held.error) }, held.error);
    return this.#fail(503, error, false, 'not_replicated');
  }

  async #confirm(term: ServingTerm): Promise<void> {
    const { env, options } = this.#context;
    const late = new AbortController();
    const timer = env.clock.timer(options.syncTimeoutMs, () =>
      late.abort(new Error(`no confirmation within ${options.syncTimeoutMs} ms`)),
    );
    try {
      await term.confirm(AbortSignal.any([late.signal, this.#gone.signal]));
    } finally {
      timer.cancel();
    }
  }

  async #relay(result: Answered, fromBackend: boolean): Promise<ProxyOutcome> {
    try {
      await relay(result.response, this.#client, { fromBackend });
      return 'ok';
    } catch {
      result.cancel();
      this.#client.destroy();
      return this.#gone.signal.aborted ? 'client_gone' : 'cut';
    }
  }

  /** Before the first byte of the body is read. */
  #continue(): void {
    if (!this.#wantsContinue) return;
    this.#wantsContinue = false;
    this.#client.writeContinue();
  }

  #drop(result: Answered): void {
    result.cancel();
    this.#body.detach();
  }

  #refuse(reason: string): ProxyOutcome {
    answerRefusal(this.#client, reason);
    return 'refused';
  }

  #tooLarge(untouched: boolean): ProxyOutcome {
    const limit = this.#context.options.maxBodyBytes;
    // The rest of the body is not read: the connection can't be used again.
    if (!this.#client.headersSent) this.#client.setHeader('connection', 'close');
    this.#fail(413, platformErrors.create('PROXY_BODY_TOO_LARGE', { limit }), untouched, 'too_large');
    this.#gone.abort(new DOMException('the body is too large', 'AbortError'));
    return 'too_large';
  }

  #fail(status: number, error: CanopyError, untouched: boolean, outcome: ProxyOutcome): ProxyOutcome {
    answerError(this.#client, status, error, { untouched });
    return outcome;
  }

  #ended(): ProxyOutcome {
    return this.#client.statusCode === 413 ? 'too_large' : 'client_gone';
  }

  #waitedMs(): number {
    return this.#context.env.clock.monotonic() - this.#startedAt;
  }
}

/** A local route whose lease has run out, by the clock, is none. */
export function usable(route: Route): Route {
  return route.kind === 'local' && !route.term.isValid() ? { kind: 'none' } : route;
}

function outcomeOf(code: 'PROXY_UNREACHABLE' | 'PROXY_OUTCOME_UNKNOWN' | 'PROXY_RESPONSE_TIMEOUT'): ProxyOutcome {
  if (code === 'PROXY_UNREACHABLE') return 'unreachable';
  return code === 'PROXY_OUTCOME_UNKNOWN' ? 'unknown' : 'timeout';
}
