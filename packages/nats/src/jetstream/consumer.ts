/**
 * A push consumer that delivers the last message of every subject and then what is new. It lives in the memory of one
 * server, is never acknowledged, and removes itself on the server 10 s after nobody listens any more; `close` removes
 * it at once. A gap in its numbering (a message lost on the way) is reported, never skipped over.
 */
import { abortable } from '@canopy/core';
import { type Msg, nuid } from '@nats-io/transport-node';
import { Budget } from '../session/link.ts';
import type { JetStreamApi } from './api.ts';
import { type Delivery, parseDelivery } from './message.ts';

export interface Delivered extends Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  header(name: string): string | undefined;
}

export interface ConsumerOptions {
  readonly stream: string;
  readonly filter: string;
  readonly headersOnly?: boolean;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage: (message: Delivered) => void;
  /** The stream of messages is no longer whole. Called at most once. */
  readonly onLost: (reason: string) => void;
}

const INACTIVE_NS = 10_000_000_000;
const REMOVE_MS = 3000;
const PASS_PAUSE_MS = 50;
const HEARTBEAT_NS = 5_000_000_000;

export interface PushConsumer {
  readonly name: string;
  /** How many messages wait to be listed; 0 = there is nothing. */
  readonly initiallyPending: number;
  /** Stops delivery and removes the consumer from the server; best effort, bounded. Idempotent. */
  close(): Promise<void>;
}

export async function openConsumer(api: JetStreamApi, options: ConsumerOptions): Promise<PushConsumer> {
  const { nc } = api.link;
  const name = `canopy_${nuid.next()}`;
  const inbox = `_INBOX.${nuid.next()}`;
  let nextSeq = 1;
  let over = false;
  const lose = (reason: string): void => {
    if (over) return;
    over = true;
    options.onLost(reason);
  };
  const subscription = nc.subscribe(inbox, {
    callback: (error, message) => {
      if (over) return;
      if (error) {
        lose(error.message);
        return;
      }
      const code = message.headers?.code ?? 0;
      if (code >= 400) lose(`the server ended the watch: ${code} ${message.headers?.description}`);
      if (over || isControl(message)) return;
      const delivery = parseDelivery(message.reply);
      if (delivery === undefined) return;
      if (delivery.consumerSeq !== nextSeq) {
        lose(`message ${nextSeq} of the watch was lost`);
        return;
      }
      nextSeq += 1;
      options.onMessage({
        ...delivery,
        subject: message.subject,
        data: message.data,
        header: (key) => message.headers?.get(key) || undefined,
      });
    },
  });
  let removed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    over = true;
    removed ??= remove(api, options.stream, name, () => subscription.unsubscribe());
    return removed;
  };
  try {
    const info = await api.call<{ num_pending: number }>(
      `open watch on ${options.stream}`,
      `CONSUMER.CREATE.${options.stream}.${name}`,
      { stream_name: options.stream, config: consumerConfig(name, inbox, options) },
      options,
    );
    return { name, initiallyPending: info.num_pending, close };
  } catch (error) {
    // It may have been made although the answer was lost.
    void close();
    throw error;
  }
}

function consumerConfig(name: string, inbox: string, options: ConsumerOptions): object {
  return {
    name,
    deliver_subject: inbox,
    deliver_policy: 'last_per_subject',
    ack_policy: 'none',
    replay_policy: 'instant',
    filter_subject: options.filter,
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_NS,
    flow_control: true,
    idle_heartbeat: HEARTBEAT_NS,
    headers_only: options.headersOnly ?? false,
  };
}

/** Flow control and heartbeats: answered, so that the server goes on sending. */
function isControl(message: Msg): boolean {
  if (message.headers === undefined || message.headers.code !== 100) return false;
  if (message.reply !== undefined && message.reply !== '') message.respond();
  return true;
}

async function remove(api: JetStreamApi, stream: string, name: string, unsubscribe: () => void): Promise<void> {
  unsubscribe();
  if (api.link.closing.aborted) return;
  try {
    const options = { timeoutMs: REMOVE_MS, signal: api.link.closing };
    await api.call(`close watch on ${stream}`, `CONSUMER.DELETE.${stream}.${name}`, undefined, options);
  } catch (error) {
    // Gone already, or unreachable: then the server removes it for want of a listener.
    api.env.log.debug('nats_consumer_not_removed', { stream, name, error: String(error) });
  }
}

/**
 * Everything that the filter matches now, the last message of each subject, in the order of the stream. Each pass has a
 * consumer of its own; a pass that is interrupted is begun anew until the time is up: DEADLINE_EXCEEDED.
 */
export async function listOnce(
  api: JetStreamApi,
  operation: string,
  options: Pick<ConsumerOptions, 'stream' | 'filter' | 'headersOnly' | 'timeoutMs' | 'signal'>,
): Promise<Delivered[]> {
  const budget = new Budget(api.env, options.timeoutMs, options.signal);
  for (;;) {
    const listed = await listPass(api, options, budget);
    if (listed !== undefined) return listed;
    if (budget.leftMs < PASS_PAUSE_MS) throw budget.expired(operation);
    await api.env.clock.sleep(PASS_PAUSE_MS, { signal: options.signal });
  }
}

/** Undefined when the listing broke off or did not complete in time. */
async function listPass(
  api: JetStreamApi,
  options: Pick<ConsumerOptions, 'stream' | 'filter' | 'headersOnly' | 'signal'>,
  budget: Budget,
): Promise<Delivered[] | undefined> {
  const listed: Delivered[] = [];
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = api.env.clock.timer(budget.leftMs, () => resolve(false));
  const forget = api.link.onBroken(() => resolve(false));
  let consumer: PushConsumer | undefined;
  try {
    consumer = await openConsumer(api, {
      ...options,
      timeoutMs: budget.leftMs,
      onLost: () => resolve(false),
      onMessage: (message) => {
        listed.push(message);
        if (message.pending === 0) resolve(true);
      },
    });
    if (consumer.initiallyPending === 0) resolve(true);
    return (await abortable(promise, options.signal)) ? listed : undefined;
  } finally {
    timer.cancel();
    forget();
    void consumer?.close();
  }
}
