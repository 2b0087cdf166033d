/** Answers control requests of one node and its apps. Each request is bounded by its caller's timeout, not here. */
import { type Env, messageOf, TaskGroup } from '@canopy/core';
import type { Bus, BusMessage } from '@canopy/nats';
import { platformErrors } from '../errors.ts';
import { controlSubject, methodOf } from '../resources.ts';
import { encodeJson, errorReply } from './protocol.ts';

/** Methods by name; what they return is the reply's `data`. */
export type Handlers = Readonly<Record<string, (request: Readonly<Record<string, unknown>>) => unknown>>;

/** Requests that may be under way at once; more are answered with CONTROL_FAILED. */
const MAX_REQUESTS = 64;

export class ControlServer {
  readonly #bus: Bus;
  readonly #env: Env;
  readonly #platform: string;
  readonly #node: string;
  readonly #tasks: TaskGroup;
  #running = 0;

  constructor(options: { bus: Bus; platform: string; node: string }, env: Env) {
    this.#bus = options.bus;
    this.#platform = options.platform;
    this.#node = options.node;
    this.#env = env;
    this.#tasks = new TaskGroup((error, task) =>
      env.log.error('control_task_failed', { task, error: messageOf(error) }),
    );
  }

  /** Answers from now on; `app` undefined: methods of the node. */
  serve(app: string | undefined, handlers: Handlers): void {
    const subject = controlSubject(this.#platform, app, this.#node, '*');
    this.#tasks.run(`serve ${subject}`, async (signal) => {
      for await (const message of this.#bus.subscribe(subject, { signal })) void this.#answer(message, handlers);
    });
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
  }

  /** Never rejects. */
  async #answer(message: BusMessage, handlers: Handlers): Promise<void> {
    const method = methodOf(message.subject);
    this.#running += 1;
    try {
      if (this.#running > MAX_REQUESTS)
        throw platformErrors.create('CONTROL_FAILED', { problem: 'too many requests at once' });
      const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
      if (handler === undefined) throw platformErrors.create('CONTROL_METHOD_UNKNOWN', { node: this.#node, method });
      const data = await handler(parse(message.data, method));
      message.respond(encodeJson({ ok: true, data: data ?? null }));
    } catch (error) {
      this.#env.log.warn('control_request_failed', { method, error: messageOf(error) });
      message.respond(encodeJson(errorReply(error)));
    } finally {
      this.#running -= 1;
    }
  }
}

function parse(bytes: Uint8Array, method: string): Readonly<Record<string, unknown>> {
  if (bytes.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw platformErrors.create('CONTROL_REQUEST_INVALID', { method, problem: 'it is not JSON' });
  }
  if (typeof value !== 'object' || value === null)
    throw platformErrors.create('CONTROL_REQUEST_INVALID', { method, problem: 'it is not a JSON object' });
  return value as Readonly<Record<string, unknown>>;
}
